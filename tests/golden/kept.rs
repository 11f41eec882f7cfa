//! What is stored, as it was written once: files of this folder, which no version of the program may stop reading.

use std::path::{Path, PathBuf};

/// Where a file of this folder is.
pub(crate) fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden").join(name)
}

/// Asserts that today's program writes what the file holds. A file that is not there yet is written where
/// `PLUMB_GOLDEN=write` says so: look at it, and commit it.
#[track_caller]
pub(crate) fn same(name: &str, written: &[u8]) {
    let path = path(name);
    if !path.exists() && std::env::var_os("PLUMB_GOLDEN").is_some_and(|said| said == "write") {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, written).unwrap();
    }
    let kept = std::fs::read(&path).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
    let shown = String::from_utf8_lossy(written);
    assert!(
        kept == written,
        "{name} is written otherwise than it was. A new format needs a new file beside it:\n{shown}"
    );
}
