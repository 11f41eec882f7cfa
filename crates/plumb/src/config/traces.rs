//! `traces: {endpoint: "http://collector:4318", sample: 1%, service: plumb, headers: {authorization: "${TOKEN}"}}`.

use std::fmt;

use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use schema::yaml::{Fields, Mistake, Node};

use crate::trace::export::Collector;

/// Where traces go.
#[derive(Clone)]
pub struct TracesConfig {
    /// The URL of the collector's traces.
    url: Url,
    /// The share of requests that are traced whose callers do not say.
    pub sample: f64,
    service: String,
    headers: HeaderMap,
}

/// Where collectors take traces, below the address that they are known by.
const PATH: &str = "v1/traces";

impl fmt::Debug for TracesConfig {
    /// Without the headers, which are secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of requests to {}", self.sample, self.url.host_str().unwrap_or_default())
    }
}

impl TracesConfig {
    /// What sends them, of a project of this name.
    pub fn collector(&self, project: &str) -> Collector {
        let Self { url, service, headers, .. } = self.clone();
        Collector { url, headers, service, project: project.to_owned() }
    }
}

/// Reads `traces`.
pub(super) fn read(fields: &mut Fields<'_>, mistakes: &mut Vec<Mistake>) -> Option<TracesConfig> {
    let mut inner = fields.optional("traces")?.fields("the traces", mistakes);
    let url = inner.required("endpoint", mistakes).and_then(|node| node.parse(mistakes, endpoint));
    let mut sample = 1.0;
    if let Some(node) = inner.optional("sample")
        && let Some(text) = node.setting(mistakes)
    {
        match text.trim_end_matches('%').trim().parse::<f64>() {
            Ok(percent) if (0.0..=100.0).contains(&percent) => sample = percent / 100.0,
            _ => mistakes.push(node.expected("a percentage of the requests, from 0 to 100")),
        }
    }
    let service = inner.text("service", mistakes).unwrap_or_else(|| "plumb".to_owned());
    let mut headers = HeaderMap::new();
    if let Some(node) = inner.optional("headers") {
        for (name, value) in node.entries(mistakes) {
            if let Some((name, value)) = header(name, value, mistakes) {
                headers.insert(name, value);
            }
        }
    }
    inner.finish(mistakes);
    Some(TracesConfig { url: url?, sample, service, headers })
}

/// The address of a collector, or the very place where it takes traces.
fn endpoint(text: &str) -> Result<Url, String> {
    let shape = "expected the address of a collector, such as `http://127.0.0.1:4318`";
    let mut url: Url = text.parse().map_err(|why| format!("{shape}: {why}"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(format!("{shape}: traces go over HTTP, not `{}`", url.scheme()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(format!("{shape}: it has no user and no password; those are `headers`"));
    }
    if !url.path().trim_end_matches('/').ends_with(PATH) {
        url.set_path(&format!("{}/{PATH}", url.path().trim_end_matches('/')));
    }
    Ok(url)
}

/// Values may be secret: no message shows one.
fn header(name: Node<'_>, value: Node<'_>, mistakes: &mut Vec<Mistake>) -> Option<(HeaderName, HeaderValue)> {
    let (text, said) = (name.text(mistakes)?, value.setting(mistakes)?);
    let parsed = text.parse::<HeaderName>().ok().zip(HeaderValue::try_from(said).ok());
    if parsed.is_none() {
        mistakes.push(Mistake::new(&name.place(), format!("`{text}` is no header, or its value is none")));
    }
    parsed.map(|(name, mut value)| {
        value.set_sensitive(true);
        (name, value)
    })
}
