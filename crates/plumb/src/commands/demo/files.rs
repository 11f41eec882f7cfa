//! The demo project's files, inside the binary.

use std::path::Path;

use crate::failure::Failure;

macro_rules! files {
    ($($path:literal from $root:literal;)*) => {
        &[$(($path, include_bytes!(concat!($root, $path)).as_slice()),)*]
    };
}

const FILES: &[(&str, &[u8])] = files! {
    "plumb.yaml" from "../../../../../examples/repeat_purchase/";
    "spine.sql" from "../../../../../examples/repeat_purchase/";
    "data/orders.parquet" from "../../../../../examples/repeat_purchase/";
    "data/PROVENANCE.md" from "../../../../../examples/repeat_purchase/";
    "features/user_features.yaml" from "../../../../../examples/repeat_purchase/";
    "features/user_features.sql" from "../../../../../examples/repeat_purchase/";
    "features/services.yaml" from "../../../../../examples/repeat_purchase/";
    "models/repeat_purchase_v1.onnx" from "../../../../../";
    "models/repeat_purchase_v2.onnx" from "../../../../../";
};

/// Writes the project to `folder`; what stands there already must be the demo's own.
pub(super) fn write(folder: &Path) -> Result<String, Failure> {
    let main = folder.join(crate::config::MAIN_FILE);
    let ours = std::fs::read_to_string(&main).map(|text| text.contains("project: repeat_purchase"));
    let empty = std::fs::read_dir(folder).map_or(true, |mut entries| entries.next().is_none());
    if !empty && !ours.unwrap_or(false) {
        let message = format!("`{}` holds something else", folder.display());
        return Err(Failure::new(schema::ErrorKind::Conflict, message).hint("choose another folder: --dir DIR"));
    }
    let fail = |why: std::io::Error| Failure::invalid(format!("writing to `{}`: {why}", folder.display()));
    // Every run tells the same story: state of an earlier one goes, and edits to the demo's files too.
    let state = folder.join(".plumb");
    if state.is_dir() {
        std::fs::remove_dir_all(&state).map_err(fail)?;
    }
    for (path, bytes) in FILES {
        let path = folder.join(path);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(fail)?;
        }
        std::fs::write(path, bytes).map_err(fail)?;
    }
    Ok(format!("{} files in {}", FILES.len(), folder.display()))
}
