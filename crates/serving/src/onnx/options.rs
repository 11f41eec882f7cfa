//! How sessions are made: threads of a run, and what runs it.
//!
//! Answers may differ in their last digits with either, so both are what somebody chose: never a device that the runtime
//! happens to discover.

use std::fmt;
use std::sync::Arc;

use ort::ep::ExecutionProviderDispatch;
use ort::session::builder::{AutoDevicePolicy, SessionBuilder};

/// How sessions of a model are made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionOptions {
    /// Threads of one run. The runtime's own default is all cores for each session; these collide as soon as two requests do.
    pub intra_op: usize,
    /// Whether threads that wait for each other burn their core meanwhile. Of one thread, none does.
    pub spinning: bool,
    /// What runs a model, in order; what none of them takes runs on the processor.
    pub providers: Arc<[Provider]>,
}

/// What runs a model beside the processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provider {
    /// NVIDIA's devices.
    Cuda,
    /// The same, with kernels that are chosen for the model.
    TensorRt,
    /// Intel's processors and devices.
    OpenVino,
}

impl Default for SessionOptions {
    fn default() -> Self {
        Self { intra_op: 1, spinning: false, providers: [].into() }
    }
}

impl SessionOptions {
    /// Puts them into a builder.
    pub(super) fn apply(&self, builder: SessionBuilder) -> ort::Result<SessionBuilder> {
        let builder = builder.with_intra_threads(self.intra_op.max(1))?.with_inter_threads(1)?;
        let builder = builder.with_intra_op_spinning(self.spinning && self.intra_op > 1)?;
        if self.providers.is_empty() {
            return Ok(builder.with_auto_device(AutoDevicePolicy::PreferCPU)?);
        }
        // One that is not there is an error: answers and times would change with it unnoticed.
        let providers = self.providers.iter().filter_map(|provider| provider.dispatch());
        let providers: Vec<_> = providers.map(ExecutionProviderDispatch::error_on_failure).collect();
        Ok(builder.with_execution_providers(providers)?)
    }
}

// === impl Provider ===

impl Provider {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Cuda, Self::TensorRt, Self::OpenVino];

    /// The one of this name, which is that of the feature that it is built with.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|provider| provider.as_str() == name)
    }

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cuda => "cuda",
            Self::TensorRt => "tensorrt",
            Self::OpenVino => "openvino",
        }
    }

    /// Whether this program was built with it.
    pub fn is_built(self) -> bool {
        self.dispatch().is_some()
    }

    fn dispatch(self) -> Option<ExecutionProviderDispatch> {
        match self {
            #[cfg(feature = "cuda")]
            Self::Cuda => Some(ort::ep::CUDA::default().build()),
            #[cfg(feature = "tensorrt")]
            Self::TensorRt => Some(ort::ep::TensorRT::default().build()),
            #[cfg(feature = "openvino")]
            Self::OpenVino => Some(ort::ep::OpenVINO::default().build()),
            #[cfg(not(all(feature = "cuda", feature = "tensorrt", feature = "openvino")))]
            _ => None,
        }
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn providers_are_called_as_their_features() {
        for provider in Provider::ALL {
            assert_eq!(Provider::parse(provider.as_str()), Some(provider));
        }
        assert_eq!(Provider::parse("CUDA"), None);
        assert_eq!(Provider::Cuda.is_built(), cfg!(feature = "cuda"));
    }
}
