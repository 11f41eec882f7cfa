//! Why a version cannot be loaded.

use schema::ErrorKind;

use crate::onnx::OnnxError;

/// Why a version cannot be loaded.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum LoadError {
    #[error("model `{model}` version {version} is kept and not served: it was registered without a feature service")]
    NotServable { model: String, version: u32 },
    #[error("model `{model}` version {version} is kept and not served: none of its files is the ONNX file that it is")]
    NoGraph { model: String, version: u32 },
    #[error(
        "loading model `{model}` version {version}: its feature service `{service}` with fingerprint {fingerprint} is not applied"
    )]
    NoService { model: String, version: u32, service: String, fingerprint: String },
    #[error("loading model `{model}` version {version}")]
    Compile {
        model: String,
        version: u32,
        #[source]
        source: featurestore::compiled::CompileError,
    },
    #[error("loading model `{model}` version {version}")]
    Artifact {
        model: String,
        version: u32,
        #[source]
        source: registry::ArtifactError,
    },
    #[error("loading model `{model}` version {version}")]
    Onnx {
        model: String,
        version: u32,
        #[source]
        source: OnnxError,
    },
    #[error("model `{model}` version {version} was read in a process of its own and refused: {why}")]
    Inspected { model: String, version: u32, why: String, passes: bool },
    #[error("model `{model}` version {version} does not fit its feature service: {why}")]
    Misfit { model: String, version: u32, why: String },
}

impl LoadError {
    /// What a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NoService { .. } | Self::NotServable { .. } | Self::NoGraph { .. } => ErrorKind::Conflict,
            Self::Compile { .. } | Self::Misfit { .. } | Self::Inspected { passes: false, .. } => ErrorKind::Invalid,
            Self::Artifact { .. } | Self::Inspected { passes: true, .. } => ErrorKind::Unavailable,
            Self::Onnx { source, .. } => source.kind(),
        }
    }

    /// Whether trying again may do.
    pub fn passes(&self) -> bool {
        self.kind() == ErrorKind::Unavailable
    }
}
