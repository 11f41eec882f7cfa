//! Where a source is: a path of this machine, or a URL of an object store.

use storage::Scheme;

use super::partition::decoded;

pub(super) use storage::Place as RemotePlace;

/// A source's path, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// Relative to the project unless absolute.
    Local(String),
    Remote(RemotePlace),
}

impl Place {
    /// Reads a path or a URL.
    ///
    /// # Errors
    /// A sentence about a scheme that is none of ours, or a URL without a bucket.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let Some((scheme, rest)) = text.split_once("://").filter(|(scheme, _)| is_scheme(scheme)) else {
            return Ok(Self::Local(text.to_owned()));
        };
        if scheme.eq_ignore_ascii_case("file") {
            let path = rest.strip_prefix("localhost").unwrap_or(rest);
            return match path.starts_with('/') {
                true => Ok(Self::Local(decoded(path))),
                false => Err(format!("`{text}` names another machine; write file:///path")),
            };
        }
        if Scheme::parse(&scheme.to_ascii_lowercase()).is_none() {
            return Err(format!("nothing here reads `{scheme}://`; there is s3, gs, az, abfss and file"));
        }
        RemotePlace::parse(text).map(Self::Remote)
    }
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, want: &str) {
        let found = match Place::parse(text) {
            Ok(Place::Local(path)) => path,
            Ok(Place::Remote(r)) => format!("{:?} {} {} {}", r.scheme, r.authority, r.path, r.root),
            Err(why) => format!("! {why}"),
        };
        assert_eq!(found, want);
    }

    #[test]
    fn paths_and_urls() {
        check("data/x.csv", "data/x.csv");
        check("file:///a%20b/*.csv", "/a b/*.csv");
        check("s3://b/p/*.parquet", "S3 b p/*.parquet s3://b/");
        check("S3a://b/p", "S3 b p S3a://b/");
        check("gs://b", "Gcs b  gs://b/");
        check("az://c/p", "Azure c p az://c/");
        check(
            "abfss://c@a.dfs.core.windows.net/p",
            "Azure c@a.dfs.core.windows.net p abfss://c@a.dfs.core.windows.net/",
        );
        check("odd/a://b", "odd/a://b");
        check("s3:///p", "! `s3:///p` names no bucket; write s3://bucket/path");
        check("hdfs://n/p", "! nothing here reads `hdfs://`; there is s3, gs, az, abfss and file");
        check("file://host/p", "! `file://host/p` names another machine; write file:///path");
    }
}
