//! `predictions: {path: .plumb/predictions, sample: 100, keep: 90d, queue_mb: 256}`: the prediction log.

use std::path::{Path, PathBuf};

use schema::Ttl;
use schema::yaml::{Fields, Mistake};
use serving::prediction_log::LogConfig;
use serving::prediction_log::sample::KeySample;

/// Where the log is.
const PATH: &str = ".plumb/predictions";
/// The most that `queue_mb` may say.
const QUEUE_MB_MAX: u32 = 65_536;

/// Reads `predictions`: the folder, and how the log is kept.
pub(super) fn read(fields: &mut Fields<'_>, folder: &Path, mistakes: &mut Vec<Mistake>) -> (PathBuf, LogConfig) {
    let mut config = LogConfig::default();
    let Some(node) = fields.optional("predictions") else { return (folder.join(PATH), config) };
    let mut inner = node.fields("the prediction log", mistakes);
    let path = inner.text("path", mistakes).unwrap_or_else(|| PATH.to_owned());
    if let Some(node) = inner.optional("sample")
        && let Some(text) = node.setting(mistakes)
    {
        match text.trim_end_matches('%').parse().ok().and_then(KeySample::percent) {
            Some(sample) => config.sample = sample,
            None => mistakes.push(node.expected("a percentage, from 0 to 100")),
        }
    }
    if let Some(node) = inner.optional("keep")
        && let Some(keep) = node.parse(mistakes, Ttl::parse)
    {
        match u64::try_from(keep.as_nanos()) {
            Ok(nanos) if nanos > 0 => config.keep = Some(std::time::Duration::from_nanos(nanos)),
            _ => mistakes.push(node.expected("a time, such as `90d`")),
        }
    }
    if let Some(node) = inner.optional("queue_mb")
        && let Some(mb) = node.count(mistakes)
    {
        if mb == 0 || mb > QUEUE_MB_MAX {
            mistakes.push(node.expected(&format!("a number of megabytes from 1 to {QUEUE_MB_MAX}")));
        }
        config.bytes_max = usize::try_from(mb).unwrap_or(usize::MAX).saturating_mul(1 << 20);
    }
    inner.finish(mistakes);
    (folder.join(path), config)
}
