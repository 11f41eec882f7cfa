//! ONNX Runtime's library: it is found, and opens.

use registry::Catalog;
use serving::onnx::Runtime;

use super::finding::{Findings, Level};
use crate::config::onnxruntime_library;
use crate::failure::Failure;

const CHECK: &str = "ONNX Runtime";

/// Looks. A project without models can do without.
pub(super) fn look(catalog: Option<&Catalog>, found: &mut Findings) {
    match Runtime::load(onnxruntime_library().as_deref()) {
        Ok(runtime) => {
            let about = runtime.library.display().to_string();
            found.add(Level::Ok, CHECK, about, format!("version {}", runtime.version));
        }
        Err(why) => {
            let failure = Failure::from(why);
            let is_needed = catalog.is_none_or(|catalog| catalog.models().next().is_some());
            match (is_needed, failure.hint) {
                (true, hint) => found.failed(CHECK, "", Failure { hint, ..failure }),
                (false, hint) => {
                    let says = format!("{}; no model is registered yet", failure.message);
                    found.advise(Level::Warning, CHECK, "", says, hint.unwrap_or_default());
                }
            }
        }
    }
}
