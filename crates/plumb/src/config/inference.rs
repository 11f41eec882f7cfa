//! `inference: {server_name: plumb, non_finite: nulls, request_mb: 64}`: where the Open Inference Protocol leaves a choice.

use schema::yaml::{Fields, Mistake, suggest};

/// What the server says and takes in the Open Inference Protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InferenceConfig {
    /// What the server calls itself. Programs that ask whether they speak to Triton look for `triton`.
    pub server_name: String,
    /// How a float that JSON lacks is written.
    pub non_finite: NonFiniteFloat,
    /// The longest request, decompressed, in bytes. Each request that is being read has so much memory.
    pub bytes_max: usize,
}

/// How NaN and the infinities are written as JSON.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum NonFiniteFloat {
    /// `null`: every parser reads it, and which of the three it was is lost.
    #[default]
    Null,
    /// `NaN`, `Infinity` and `-Infinity`, as Triton does: no JSON, but parsers of Python read it.
    Token,
}

impl Default for InferenceConfig {
    fn default() -> Self {
        Self { server_name: "plumb".to_owned(), non_finite: NonFiniteFloat::default(), bytes_max: 64 << 20 }
    }
}

/// The most that `request_mb` may say: messages of gRPC are no longer.
const REQUEST_MB_MAX: u32 = 2_047;

/// Reads `inference`.
pub(super) fn read(fields: &mut Fields<'_>, mistakes: &mut Vec<Mistake>) -> InferenceConfig {
    let mut config = InferenceConfig::default();
    let Some(node) = fields.optional("inference") else { return config };
    let mut inner = node.fields("the Open Inference Protocol", mistakes);
    if let Some(name) = inner.text("server_name", mistakes) {
        config.server_name = name;
    }
    if let Some(node) = inner.optional("non_finite")
        && let Some(text) = node.text(mistakes)
    {
        match text.as_str() {
            "nulls" => {}
            "tokens" => config.non_finite = NonFiniteFloat::Token,
            other => {
                let message = format!("`{other}` does not say how a float is written that JSON lacks");
                mistakes.push(Mistake::new(&node.place(), message).hint(suggest(other, ["nulls", "tokens"])));
            }
        }
    }
    if let Some(node) = inner.optional("request_mb")
        && let Some(mb) = node.count(mistakes)
    {
        if mb > REQUEST_MB_MAX {
            mistakes.push(node.expected(&format!("a number of megabytes up to {REQUEST_MB_MAX}")));
        }
        config.bytes_max = usize::try_from(mb).unwrap_or(usize::MAX).saturating_mul(1 << 20);
    }
    inner.finish(mistakes);
    config
}
