//! `inference: {server_name: plumb, non_finite: nulls, request_mb: 64}`: where the Open Inference Protocol leaves a choice, and
//! how models are run: `cache_mb: 64`, `execution_providers: [cuda]`, `tuner: {mode: on, slo_ms: 50, explore: 1%}`.

use std::path::Path;
use std::time::Duration;

use schema::yaml::{Fields, Mistake, Node, suggest};
use serving::onnx::{Provider, SessionOptions};
use serving::tuner::{Mode, TunerConfig};

/// What the server says and takes in the Open Inference Protocol.
#[derive(Debug, Clone, PartialEq)]
pub struct InferenceConfig {
    /// What the server calls itself. Programs that ask whether they speak to Triton look for `triton`.
    pub server_name: String,
    /// How a float that JSON lacks is written.
    pub non_finite: NonFiniteFloat,
    /// The longest request, decompressed, in bytes. Each request that is being read has so much memory.
    pub bytes_max: usize,
    /// Bytes of answers that each version may keep to give again; 0 for none.
    pub cache_bytes: usize,
    /// How sessions are made.
    pub sessions: SessionOptions,
    /// What the tuner does.
    pub tuning: Tuning,
}

/// What `tuner` says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tuning {
    /// Whether ways to run a version are measured, and tried.
    pub mode: Mode,
    /// How late an answer may be.
    pub slo: Option<Duration>,
    /// The share of an hour's requests that may be answered in a way that is only tried.
    pub explore: f64,
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
        let usual = TunerConfig::new(TUNER.into());
        Self {
            server_name: "plumb".to_owned(),
            non_finite: NonFiniteFloat::default(),
            bytes_max: 64 << 20,
            cache_bytes: 0,
            sessions: SessionOptions::default(),
            tuning: Tuning { mode: usual.mode, slo: usual.slo, explore: usual.explore },
        }
    }
}

impl InferenceConfig {
    /// The tuner of a project in this folder.
    pub fn tuner(&self, folder: &Path) -> TunerConfig {
        let Tuning { mode, slo, explore } = self.tuning;
        TunerConfig { mode, slo, explore, ..TunerConfig::new(folder.join(TUNER)) }
    }
}

/// Where the tuner keeps what it measured and decided.
const TUNER: &str = ".plumb/tuner";
/// The most that `cache_mb` may say.
const CACHE_MB_MAX: u32 = 65_536;
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
        config.bytes_max = bytes(mb);
    }
    if let Some(node) = inner.optional("cache_mb")
        && let Some(mb) = node.count(mistakes)
    {
        if mb > CACHE_MB_MAX {
            mistakes.push(node.expected(&format!("a number of megabytes up to {CACHE_MB_MAX}")));
        }
        config.cache_bytes = bytes(mb);
    }
    if let Some(node) = inner.optional("execution_providers") {
        let providers = node.items(mistakes).into_iter().filter_map(|item| provider(item, mistakes));
        config.sessions.providers = providers.collect();
    }
    if let Some(node) = inner.optional("tuner") {
        config.tuning = tuning(node, config.tuning, mistakes);
    }
    inner.finish(mistakes);
    config
}

fn bytes(mb: u32) -> usize {
    usize::try_from(mb).unwrap_or(usize::MAX).saturating_mul(1 << 20)
}

/// One of what this program was built with.
fn provider(node: Node<'_>, mistakes: &mut Vec<Mistake>) -> Option<Provider> {
    let name = node.text(mistakes)?;
    let Some(provider) = Provider::parse(&name) else {
        let message = format!("`{name}` is no execution provider");
        let names = Provider::ALL.map(Provider::as_str);
        mistakes.push(Mistake::new(&node.place(), message).hint(suggest(&name, names)));
        return None;
    };
    if !provider.is_built() {
        let message = format!("this program was built without the execution provider `{provider}`");
        let hint = format!("build it with `cargo build --release --features {provider}`, or leave the provider out");
        mistakes.push(Mistake::new(&node.place(), message).hint(hint));
    }
    Some(provider)
}

/// `off`, `advise`, `on`, or these with their settings.
fn tuning(node: Node<'_>, usual: Tuning, mistakes: &mut Vec<Mistake>) -> Tuning {
    let mut tuning = usual;
    if node.scalar().is_some() {
        tuning.mode = mode(node, mistakes).unwrap_or_default();
        return tuning;
    }
    let mut inner = node.fields("the tuner", mistakes);
    if let Some(node) = inner.required("mode", mistakes) {
        tuning.mode = mode(node, mistakes).unwrap_or_default();
    }
    if let Some(node) = inner.optional("slo_ms")
        && let Some(ms) = node.count(mistakes)
    {
        if ms == 0 {
            mistakes.push(node.expected("a number of milliseconds from 1 on"));
        }
        tuning.slo = Some(Duration::from_millis(ms.into()));
    }
    if let Some(node) = inner.optional("explore")
        && let Some(text) = node.setting(mistakes)
    {
        match text.trim_end_matches('%').trim().parse::<f64>() {
            Ok(percent) if percent > 0.0 && percent <= 100.0 => tuning.explore = percent / 100.0,
            _ => mistakes.push(node.expected("a percentage of the requests, above 0 and up to 100")),
        }
    }
    inner.finish(mistakes);
    tuning
}

fn mode(node: Node<'_>, mistakes: &mut Vec<Mistake>) -> Option<Mode> {
    match node.setting(mistakes)?.as_str() {
        // Some write YAML as it was, where these are truth values.
        "off" | "false" => Some(Mode::Off),
        "advise" => Some(Mode::Advise),
        "on" | "true" => Some(Mode::On),
        other => {
            let message = format!("`{other}` does not say what the tuner does");
            mistakes.push(Mistake::new(&node.place(), message).hint(suggest(other, ["off", "advise", "on"])));
            None
        }
    }
}
