//! Models at work: sessions, the fleet of loaded versions, the scorer, the prediction log, promotion and skew.
//!
//! Read in this order: [`onnx`] (the runtime and its sessions), [`infer`] (tensors in, tensors out), [`fleet`] (which versions are loaded), [`scorer`] (one
//! request from entity keys to answer), [`prediction_log`] (what was answered), [`labels`] (what came of it), [`tuner`] (how versions are run), by the tests of [`sequential`], [`promotion`] (the squares that a version
//! must pass), [`skew`] (the log against history).

pub mod adapted;
pub mod batch_check;
pub mod class_order;
pub mod compare;
pub mod fleet;
pub mod infer;
pub mod labels;
pub mod onnx;
pub mod pinned;
pub mod prediction_log;
pub mod promised;
pub mod promotion;
pub mod scorer;
pub mod sequential;
pub mod skew;
pub mod squares;
pub mod tuner;

pub use fleet::{Fleet, LoadedModel};
pub use prediction_log::PredictionLog;
pub use scorer::{Prediction, ScoreError, Scorer};
