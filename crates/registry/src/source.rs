//! What a version says it comes from: a URI, told apart by who could read it.
//!
//! Whatever is decoded later by whomever, it names the same: a URI is percent-decoded until nothing changes, and one that
//! leaves its place, or has two spellings, is refused.

use schema::ModelName;

use crate::alias::LATEST;
use crate::stage::Stage;

/// How often a URI is decoded: nobody encodes one so often by mistake.
const DECODED_MAX: usize = 16;

/// A source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// `runs:/<run>/<path>`: files of a run.
    Run {
        /// The run.
        run: String,
        /// Below its files.
        path: String,
    },
    /// `models:/m-<id>`: a logged model.
    LoggedModel {
        /// Its id.
        id: String,
    },
    /// `models:/<name>/<version or stage>`, `models:/<name>@<alias>`: a version.
    Version {
        /// The model.
        model: ModelName,
        /// Which of its versions.
        which: Which,
    },
    /// `mlflow-artifacts:/<path>`: files that go through the server.
    Proxied {
        /// Below the root of all of them.
        path: String,
    },
    /// A path of the machine.
    Local,
    /// Somewhere that the server never looks at: `s3://`, `gs://`, `dbfs:/`, any other scheme.
    Elsewhere,
    /// Somewhere that the server would have to connect to, on the word of whoever names it.
    Connects {
        /// The scheme.
        scheme: String,
    },
}

/// Which version of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// By its number.
    Number(u32),
    /// The one that a stage resolves to.
    Stage(Stage),
    /// The one that an alias points to.
    Alias(String),
    /// The highest of all.
    Latest,
}

/// Why a URI is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum SourceError {
    #[error("it is empty")]
    Empty,
    #[error("it holds a NUL or another control character")]
    Control,
    #[error("it is percent-encoded again and again")]
    Encoded,
    #[error("it has a segment `..`, or a path that another spelling also names")]
    Path,
    #[error("`{uri}` names no version: write models:/name/3, models:/name/Production or models:/name@alias")]
    Version { uri: String },
    #[error("a URI of a run has no host: write runs:/<run id>/<path>")]
    Run,
}

/// Schemes that would make whoever reads a source connect to a host that a client names.
pub const CONNECTING: [&str; 10] =
    ["ftp", "sftp", "hdfs", "viewfs", "http", "https", "r2", "b2", "abfss", "mlflow-artifacts"];

impl Source {
    /// Reads a URI.
    ///
    /// # Errors
    /// [`SourceError`] for one that is not what it seems, whoever would read it.
    pub fn parse(uri: &str) -> Result<Self, SourceError> {
        let decoded = decoded(uri)?;
        if decoded.trim().is_empty() {
            return Err(SourceError::Empty);
        }
        if decoded.chars().any(char::is_control) {
            return Err(SourceError::Control);
        }
        let Some((scheme, rest)) = scheme(&decoded) else {
            return Ok(Self::Local);
        };
        // Of the query and the fragment nobody makes a path.
        let path = rest.split(['?', '#']).next().unwrap_or_default();
        let (host, path) = match path.strip_prefix("//") {
            Some(after) => after.split_once('/').unwrap_or((after, "")),
            None => ("", path.strip_prefix('/').unwrap_or(path)),
        };
        if scheme == "file" {
            return Ok(Self::Local);
        }
        let trimmed = path.strip_suffix('/').unwrap_or(path);
        let crooked = |part: &str| matches!(part, "" | "." | "..");
        if path.contains('\\') || host == ".." || (!trimmed.is_empty() && trimmed.split('/').any(crooked)) {
            return Err(SourceError::Path);
        }
        match scheme.as_str() {
            "runs" if !host.is_empty() => Err(SourceError::Run),
            "runs" => {
                let (run, path) = trimmed.split_once('/').unwrap_or((trimmed, ""));
                if run.is_empty() {
                    Err(SourceError::Run)
                } else {
                    Ok(Self::Run { run: run.to_owned(), path: path.to_owned() })
                }
            }
            "models" if host.is_empty() => {
                Self::of_models(trimmed).ok_or_else(|| SourceError::Version { uri: uri.to_owned() })
            }
            "models" => Err(SourceError::Version { uri: uri.to_owned() }),
            "mlflow-artifacts" if host.is_empty() => Ok(Self::Proxied { path: trimmed.to_owned() }),
            other if CONNECTING.contains(&other) => Ok(Self::Connects { scheme }),
            _ => Ok(Self::Elsewhere),
        }
    }

    /// What stands behind `models:/`.
    fn of_models(text: &str) -> Option<Self> {
        if let Some((name, alias)) = text.split_once('@') {
            let model = ModelName::new(name).ok()?;
            let which = if alias.eq_ignore_ascii_case(LATEST) { Which::Latest } else { Which::Alias(alias.to_owned()) };
            return (!alias.is_empty() && !alias.contains('/')).then_some(Self::Version { model, which });
        }
        let Some((name, version)) = text.split_once('/') else {
            return text.starts_with("m-").then(|| Self::LoggedModel { id: text.to_owned() });
        };
        let model = ModelName::new(name).ok()?;
        let which = match version.parse() {
            Ok(number) => Which::Number(number),
            Err(_) if version.eq_ignore_ascii_case(LATEST) => Which::Latest,
            Err(_) => Which::Stage(version.parse().ok()?),
        };
        Some(Self::Version { model, which })
    }
}

/// The scheme, in small letters, and what follows its colon. A path has none, and neither has a Windows drive.
fn scheme(uri: &str) -> Option<(String, &str)> {
    let (scheme, rest) = uri.split_once(':')?;
    let well = scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    let named = scheme.len() > 1 && scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && well;
    named.then(|| (scheme.to_ascii_lowercase(), rest))
}

fn decoded(uri: &str) -> Result<String, SourceError> {
    let mut text = uri.to_owned();
    for _ in 0..DECODED_MAX {
        let next = decoded_once(&text).ok_or(SourceError::Control)?;
        if next == text {
            return Ok(text);
        }
        text = next;
    }
    Err(SourceError::Encoded)
}

/// Two digits after each `%` are a byte; a `%` without them stands for itself. `None` where the bytes are no text.
fn decoded_once(text: &str) -> Option<String> {
    let digit =
        |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16)).and_then(|d| u8::try_from(d).ok());
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        match (bytes[at], digit(bytes.get(at + 1)), digit(bytes.get(at + 2))) {
            (b'%', Some(high), Some(low)) => {
                decoded.push(high * 16 + low);
                at += 3;
            }
            (byte, ..) => {
                decoded.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8(decoded).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_told_apart_by_who_could_read_them() {
        let run = |path: &str| Source::Run { run: "r1".to_owned(), path: path.to_owned() };
        let version = |which| Source::Version { model: "my model".parse().unwrap(), which };
        let connects = |scheme: &str| Source::Connects { scheme: scheme.to_owned() };
        for (uri, want) in [
            ("runs:/r1/model", run("model")),
            ("runs:/r1/a/b/", run("a/b")),
            ("runs:/r1", run("")),
            ("models:/m-abc", Source::LoggedModel { id: "m-abc".to_owned() }),
            ("models:/my model/3", version(Which::Number(3))),
            ("models:/my%20model/production", version(Which::Stage(Stage::Production))),
            ("models:/my model@champion", version(Which::Alias("champion".to_owned()))),
            ("models:/my model/latest", version(Which::Latest)),
            ("mlflow-artifacts:/0/r1/artifacts/m", Source::Proxied { path: "0/r1/artifacts/m".to_owned() }),
            ("mlflow-artifacts://host:80/0", connects("mlflow-artifacts")),
            ("http://host/a", connects("http")),
            ("HTTPS://host/a?b=../c", connects("https")),
            ("s3://bucket/key", Source::Elsewhere),
            ("dbfs:/a/b", Source::Elsewhere),
            ("/etc/passwd", Source::Local),
            ("file:///etc/passwd", Source::Local),
            ("FILE:/etc/passwd", Source::Local),
            ("C:\\models", Source::Local),
            ("dummy-source", Source::Local),
        ] {
            assert_eq!(Source::parse(uri), Ok(want), "{uri}");
        }
    }

    #[test]
    fn what_is_not_what_it_seems_is_refused() {
        for (uri, want) in [
            ("", SourceError::Empty),
            ("s3://b/../c", SourceError::Path),
            ("s3://b/%2e%2e/c", SourceError::Path),
            ("s3://b/%252e%252e/c", SourceError::Path),
            ("mlflow-artifacts:/0//r1", SourceError::Path),
            ("mlflow-artifacts:/0/./r1", SourceError::Path),
            ("runs:/r1/..%2Fr2", SourceError::Path),
            ("runs:/r1/a\\b", SourceError::Path),
            ("runs://host/r1", SourceError::Run),
            ("runs:/", SourceError::Run),
            ("s3://b/a%00", SourceError::Control),
            ("s3://b/%ff", SourceError::Control),
        ] {
            assert_eq!(Source::parse(uri), Err(want), "{uri}");
        }
        for uri in ["models:/name", "models:/name/x", "models:/@a", "models:/n@", "models://host/n/1", "models:/n/1/2"]
        {
            assert!(matches!(Source::parse(uri), Err(SourceError::Version { .. })), "{uri}");
        }
        let deep = (0..20).fold("s3://b/%".to_owned(), |uri, _| uri.replace('%', "%25"));
        assert_eq!(Source::parse(&deep), Err(SourceError::Encoded));
    }
}
