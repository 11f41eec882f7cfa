//! Where something is in an object store: a bucket, and a path in it.

use std::fmt;

use crate::Scheme;

/// A path in a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The kind of store.
    pub scheme: Scheme,
    /// The bucket; of Azure also `container@account.dfs.core.windows.net`.
    pub authority: String,
    /// Without a slash in front.
    pub path: String,
    /// What comes before the path, slash included: `s3://bucket/`.
    pub root: String,
}

impl Place {
    /// Reads a URL.
    ///
    /// # Errors
    /// A sentence about what is no URL of a bucket, with a login in it among that.
    pub fn parse(text: &str) -> Result<Self, String> {
        let Some((scheme, rest)) = text.split_once("://") else {
            // Not repeated: it may be anything.
            return Err("this is no URL of a bucket; write s3://bucket/path".to_owned());
        };
        let Some(known) = Scheme::parse(&scheme.to_ascii_lowercase()) else {
            return Err(format!("nothing here reads `{scheme}://`; there is s3, gs, az and abfss"));
        };
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        if authority.is_empty() {
            return Err(format!("`{text}` names no bucket; write {scheme}://bucket/path"));
        }
        // Not repeated: what stands before the sign may be a password.
        let logs_in = authority.contains('@') && known != Scheme::Azure;
        if logs_in || authority.contains(':') {
            return Err(format!(
                "a URL of a bucket has no user, password or port: write {scheme}://bucket/path, and the rest under `storage`"
            ));
        }
        let root = format!("{scheme}://{authority}/");
        Ok(Self { scheme: known, authority: authority.to_owned(), path: path.to_owned(), root })
    }

    /// Reads the URL of a folder or of an object whose path has one spelling; a slash at its end says nothing.
    ///
    /// # Errors
    /// As [`Self::parse`]; the path leaves its place, is encoded, is a pattern, or has a query.
    pub fn plain(text: &str) -> Result<Self, String> {
        let place = Self::parse(text)?;
        let path = place.path.strip_suffix('/').unwrap_or(&place.path);
        let crooked = |part: &str| matches!(part, "" | "." | "..");
        if !path.is_empty() && path.split('/').any(crooked) {
            return Err("a segment of its path is empty, `.` or `..`".to_owned());
        }
        // The rest of a query may be a signature.
        if let Some(odd) = path.chars().find(|c| c.is_control() || "\\%?#*[]{}<>\"".contains(*c)) {
            return Err(format!("its path holds `{}`", odd.escape_debug()));
        }
        Ok(Self { path: path.to_owned(), ..place })
    }

    /// Whether another plain place is this one or below it.
    pub fn holds(&self, other: &Self) -> bool {
        let rest = other.path.strip_prefix(self.path.as_str());
        (self.scheme, &self.authority) == (other.scheme, &other.authority)
            && rest.is_some_and(|rest| self.path.is_empty() || rest.is_empty() || rest.starts_with('/'))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.root, self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(found: Result<Place, String>, want: &str) {
        let shown = match found {
            Ok(place) => format!("{:?} {} {} {}", place.scheme, place.authority, place.path, place.root),
            Err(why) => format!("! {why}"),
        };
        assert_eq!(shown, want);
    }

    #[test]
    fn urls_of_buckets() {
        check(Place::parse("s3://b/p/*.parquet"), "S3 b p/*.parquet s3://b/");
        check(Place::parse("S3a://b/p"), "S3 b p S3a://b/");
        check(Place::parse("gs://b"), "Gcs b  gs://b/");
        check(Place::parse("az://c/p"), "Azure c p az://c/");
        check(
            Place::parse("abfss://c@a.dfs.core.windows.net/p"),
            "Azure c@a.dfs.core.windows.net p abfss://c@a.dfs.core.windows.net/",
        );
        check(Place::parse("models"), "! this is no URL of a bucket; write s3://bucket/path");
        check(Place::parse("s3:///p"), "! `s3:///p` names no bucket; write s3://bucket/path");
        check(Place::parse("file:///p"), "! nothing here reads `file://`; there is s3, gs, az and abfss");
    }

    #[test]
    fn a_login_is_refused_and_not_repeated() {
        for text in ["s3://key:secret@b/p", "gs://secret@b", "az://c:secret@a/p"] {
            let why = Place::parse(text).unwrap_err();
            assert!(why.contains("has no user, password or port") && !why.contains("secret"), "{why}");
        }
    }

    #[test]
    fn a_plain_path_has_one_spelling() {
        check(Place::plain("s3://b/a/models/"), "S3 b a/models s3://b/");
        check(Place::plain("s3://b/"), "S3 b  s3://b/");
        for path in ["a//b", "/a", "a/../b", "..", "./a", "a//"] {
            check(Place::plain(&format!("s3://b/{path}")), "! a segment of its path is empty, `.` or `..`");
        }
        for (path, odd) in
            [("a%2e", "%"), ("a?sig=x", "?"), ("a#b", "#"), ("a*", "*"), ("a\\b", "\\\\"), ("a\nb", "\\n")]
        {
            check(Place::plain(&format!("s3://b/{path}")), &format!("! its path holds `{odd}`"));
        }
    }

    #[test]
    fn a_place_holds_what_is_below_it() {
        let holds = |outer: &str, inner: &str| Place::plain(outer).unwrap().holds(&Place::plain(inner).unwrap());
        assert!(holds("s3://b/a", "s3://b/a") && holds("s3://b/a", "s3://b/a/c") && holds("s3://b", "s3a://b/a"));
        assert!(!holds("s3://b/a", "s3://b/ab") && !holds("s3://b/a", "s3://b") && !holds("s3://b/a", "s3://c/a"));
        assert!(!holds("s3://b/a", "gs://b/a"));
    }
}
