//! ONNX Runtime: finding the library, reading model files, feeding sessions, taking answers out.
//!
//! Invariant: nothing of the runtime leaves this module. Values are copied in and out, errors are [`OnnxError`], and a
//! session is only ever run by the one who holds its [`Lease`], because ONNX Runtime's own `Run` is not treated as
//! thread safe. All parallelism comes from the number of sessions: each runs on its caller's thread alone.
//!
//! Read [`plan`] for how a service's columns become a model's inputs, and [`crate::batch_check`] for when rows may
//! share a run.

pub mod column;
pub mod datatype;
pub mod inspect;
pub mod options;
pub mod outputs;
pub mod plan;
pub mod pool;
pub mod rows;
pub mod runtime;
pub mod session;
pub mod tensor;
#[cfg(any(test, feature = "testing"))]
pub mod toy;

use std::path::PathBuf;

use schema::{BoxError, ErrorKind};

pub use datatype::Datatype;
pub use inspect::{ModelFile, inspect};
pub use options::{Provider, SessionOptions};
pub use outputs::Outputs;
pub use plan::{InputPlan, Misfit, Rows};
pub use pool::{Lease, SessionPool};
pub use runtime::Runtime;
pub use session::ModelSession;
pub use tensor::{Tensor, TensorData, TensorRow};

/// What went wrong with the runtime, a model file or a run.
#[derive(Debug, thiserror::Error)]
pub enum OnnxError {
    /// The named library is not there.
    #[error("there is no ONNX Runtime library at `{}`", path.display())]
    NoSuchLibrary {
        /// As given.
        path: PathBuf,
    },
    /// No library in any of the usual places.
    #[error("found no ONNX Runtime library, looked for {}", list(looked_at))]
    NoLibrary {
        /// Where, in order.
        looked_at: Vec<PathBuf>,
    },
    /// A file that is not a library we can use: damaged, of another processor, too old.
    #[error("loading ONNX Runtime from `{}`", path.display())]
    Library {
        /// The file.
        path: PathBuf,
        /// The loader's reason.
        #[source]
        source: BoxError,
    },
    /// The bytes are not a model that this runtime can load.
    #[error("the model cannot be loaded: {reason}")]
    Unloadable {
        /// The runtime's reason.
        reason: String,
    },
    /// Some weights are in other files.
    #[error("the model keeps tensor `{tensor}` outside its file, in `{location}`")]
    ExternalData {
        /// The first such tensor.
        tensor: String,
        /// The file that it names.
        location: String,
    },
    /// Some weights are in another file, and cannot be taken from there.
    #[error("the model keeps tensor `{tensor}` in `{location}`: {why}")]
    External {
        /// The tensor.
        tensor: String,
        /// The file that it names.
        location: String,
        /// What is wrong with that.
        why: String,
    },
    /// An input or output that is a sequence, a map or the like.
    #[error("{side} `{name}` of the model is {what}, not a tensor")]
    NotATensor {
        /// `input` or `output`.
        side: &'static str,
        /// Its name in the graph.
        name: String,
        /// What it is: "a sequence of maps".
        what: String,
    },
    /// An input or output of an element type that no tensor of ours has.
    #[error("{side} `{name}` of the model has elements of type {element}")]
    ElementType {
        /// `input` or `output`.
        side: &'static str,
        /// Its name in the graph.
        name: String,
        /// The type.
        element: String,
    },
    /// A graph that gives nothing.
    #[error("the model has no outputs: it answers nothing")]
    NoOutputs,
    /// The model and the service do not go together.
    #[error(transparent)]
    Misfit(#[from] Misfit),
    /// A missing value where the model's type has none.
    #[error(
        "feature `{column}` is null in row {row}, and the model takes it as {datatype}, which has no missing value"
    )]
    Null {
        /// The service's column.
        column: String,
        /// Row number in the columns that were handed in.
        row: usize,
        /// Element type of the input.
        datatype: &'static str,
    },
    /// A text that C strings cannot carry.
    #[error("feature `{column}` has a NUL character in row {row}, which ONNX Runtime would end the text at")]
    Nul {
        /// The service's column.
        column: String,
        /// Row number in the columns that were handed in.
        row: usize,
    },
    /// The columns handed in are not those that the plan was made for: a bug of the caller.
    #[error("the columns are not the service's: {reason}")]
    Columns {
        /// What differs.
        reason: String,
    },
    /// The runtime refused the inputs or failed on them.
    #[error("running the model on {rows} row(s): {reason}")]
    Run {
        /// Rows of the batch.
        rows: usize,
        /// The runtime's reason.
        reason: String,
        /// Whether it blames the values: an index out of range, say.
        refused: bool,
    },
    /// A model whose rows run one at a time answers them in different shapes.
    #[error("output `{output}` has another shape for some rows than for others, so one tensor cannot hold it")]
    Ragged {
        /// The output.
        output: String,
    },
    /// The thread that ran the model is gone: a bug.
    #[error("the thread that ran the model ended")]
    Ended,
    /// The model does not answer row by row.
    #[error("output `{output}` has shape {shape:?} for {rows} row(s): its first dimension must be the number of rows")]
    OutputRows {
        /// The output.
        output: String,
        /// What it came out as.
        shape: Vec<i64>,
        /// Rows of the batch.
        rows: usize,
    },
}

impl OnnxError {
    /// What a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NoSuchLibrary { .. } | Self::NoLibrary { .. } | Self::Library { .. } => ErrorKind::Unavailable,
            Self::Unloadable { .. }
            | Self::ExternalData { .. }
            | Self::External { .. }
            | Self::NotATensor { .. }
            | Self::ElementType { .. }
            | Self::NoOutputs
            | Self::Misfit(_)
            | Self::Null { .. }
            | Self::Nul { .. }
            | Self::Run { refused: true, .. } => ErrorKind::Invalid,
            Self::Columns { .. }
            | Self::Ended
            | Self::Run { refused: false, .. }
            | Self::OutputRows { .. }
            | Self::Ragged { .. } => ErrorKind::Internal,
        }
    }

    /// What to try next, where there is something.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NoSuchLibrary { .. } | Self::NoLibrary { .. } | Self::Library { .. } => {
                "run `cargo xtask setup`, or set ORT_DYLIB_PATH to a libonnxruntime.so".to_owned()
            }
            Self::ExternalData { .. } => "register the folder that both files are in, or save the model as one file: \
                 `onnx.save(model, path, save_as_external_data=False)`"
                .to_owned(),
            Self::External { .. } => {
                "keep a model's weights in files of its own folder, or save the model as one file: \
                 `onnx.save(model, path, save_as_external_data=False)`"
                    .to_owned()
            }
            Self::NotATensor { .. } => {
                "export the model with tensors as its inputs and outputs; of sequences, only the maps of scores that \
                 an `ai.onnx.ml.ZipMap` ends the graph with are taken apart here"
                    .to_owned()
            }
            Self::NoOutputs => "name the values that it is to give as outputs of the graph".to_owned(),
            Self::ElementType { side: "input", .. } => {
                "begin the graph with a Cast from float, int64 or string".to_owned()
            }
            Self::ElementType { .. } => "end the graph with a Cast to float, int64 or string".to_owned(),
            Self::Misfit(misfit) => misfit.hint().to_owned(),
            Self::Null { column, .. } => format!("declare a `fill:` for `{column}` in the feature service"),
            Self::OutputRows { .. } => "export the model with a free first dimension in every output".to_owned(),
            Self::Ragged { .. } => "ask for one row at a time".to_owned(),
            Self::Unloadable { .. } | Self::Nul { .. } | Self::Columns { .. } | Self::Ended | Self::Run { .. } => {
                return None;
            }
        })
    }

    /// A session could not be made from the bytes.
    fn unloadable(error: &ort::Error) -> Self {
        Self::Unloadable { reason: reason(error.message()) }
    }

    /// A run failed.
    fn run(rows: usize, error: &ort::Error) -> Self {
        let refused = matches!(error.code(), ort::ErrorCode::InvalidArgument);
        Self::Run { rows, reason: reason(error.message()), refused }
    }
}

fn list(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| format!("`{}`", path.display())).collect::<Vec<_>>().join(", ")
}

/// What ONNX Runtime means, without the node, the source file and the function that it says it in.
fn reason(text: &str) -> String {
    let text = text.rsplit_once("Status Message: ").map_or(text, |(_, after)| after);
    let text = text.rsplit_once(" was false. ").map_or(text, |(_, after)| after);
    let said: Vec<&str> =
        text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("Please fix ")).collect();
    let said = said.join(", ");
    // "/build/core/graph/model.cc:180 Function() why".
    let location = said.split(' ').next().filter(|word| word.contains(".cc:") || word.contains(".h:"));
    let said = location.map_or(said.as_str(), |word| without_function(said[word.len()..].trim_start()));
    let said = said.trim_end_matches(['.', ' ']);
    let mut letters = said.chars();
    match (letters.next(), letters.next()) {
        // "Got invalid" becomes "got invalid"; an acronym stays.
        (Some(first), Some(second)) if !second.is_uppercase() => {
            first.to_lowercase().chain(said.chars().skip(1)).collect()
        }
        _ => said.to_owned(),
    }
}

/// Cuts a signature such as `void onnxruntime::Graph::Resolve(const Options &)` off the front.
fn without_function(said: &str) -> &str {
    let called = said.find('(').filter(|open| said[..*open].contains("::"));
    let mut depth = 0_i32;
    let ends = |(at, letter): (usize, char)| {
        depth += i32::from(letter == '(') - i32::from(letter == ')');
        (letter == ')' && depth == 0).then_some(at + 1)
    };
    let end = called.and_then(|_| said.char_indices().find_map(ends));
    end.map(|end| said[end..].trim_start()).filter(|rest| !rest.is_empty()).unwrap_or(said)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_lose_their_wrapping() {
        for (said, meant) in [
            (
                "Failed to load model because protobuf parsing failed.",
                "failed to load model because protobuf parsing failed",
            ),
            (
                "Got invalid dimensions for input: x for the following indices\n index: 1 Got: 3 Expected: 7\n Please fix either the inputs/outputs or the model.",
                "got invalid dimensions for input: x for the following indices, index: 1 Got: 3 Expected: 7",
            ),
            (
                "Non-zero status code returned while running Gather node. Name:'' Status Message: indices element out of data bounds, idx=5",
                "indices element out of data bounds, idx=5",
            ),
            (
                "/build/core/framework/op_kernel.h:51 const T* f(int) const [with T = int] p != nullptr was false. Missing Input: x",
                "missing Input: x",
            ),
            ("/build/core/graph/model.cc:180 Unsupported model IR version: 99", "unsupported model IR version: 99"),
            (
                "/build/core/graph/graph.cc:9 void onnxruntime::Graph::Init(std::vector<int> (*)()) This is no model",
                "this is no model",
            ),
            ("ONNX is not happy", "ONNX is not happy"),
        ] {
            assert_eq!(reason(said), meant);
        }
    }

    #[test]
    fn a_missing_library_says_where_and_what_to_do() {
        let error = OnnxError::NoLibrary { looked_at: vec!["/a".into(), "/b".into()] };
        assert_eq!(error.to_string(), "found no ONNX Runtime library, looked for `/a`, `/b`");
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.hint().is_some_and(|hint| hint.contains("cargo xtask setup") && hint.contains("ORT_DYLIB_PATH")));
    }
}
