//! Paths as clients name them, and which of them are refused.

use std::fmt;

use super::TreeError;

/// Bytes of the longest name that file systems take.
const NAME_BYTES_MAX: usize = 255;
/// Bytes of the longest path.
const PATH_BYTES_MAX: usize = 4_096;
/// Folders of the longest path.
const PARTS_MAX: usize = super::DEPTH_MAX;
/// How often a path is decoded: nobody encodes one so often by mistake.
const DECODED_MAX: usize = 16;

/// A path of names below the root of a tree; the root itself has none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TreePath(Vec<String>);

impl TreePath {
    /// Reads a path. It is percent-decoded until nothing changes, so that nobody who decodes once more finds another one;
    /// empty names and `.` between slashes are left out.
    ///
    /// # Errors
    /// [`TreeError::Path`] for what is absolute, holds `..`, a backslash, `#` or NUL, or is too long.
    pub fn parse(text: &str) -> Result<Self, TreeError> {
        if text.len() > PATH_BYTES_MAX {
            return Err(TreeError::Path);
        }
        let text = decoded(text)?;
        let is_drive = text.as_bytes().first().is_some_and(u8::is_ascii_alphabetic) && text[1..].starts_with(":/");
        if text.starts_with('/') || is_drive || text.starts_with("file:") || text.contains(['\\', '#', '\0']) {
            return Err(TreeError::Path);
        }
        let parts: Vec<String> =
            text.split('/').filter(|part| !matches!(*part, "" | ".")).map(ToOwned::to_owned).collect();
        if parts.len() > PARTS_MAX || parts.iter().any(|part| part == ".." || part.len() > NAME_BYTES_MAX) {
            return Err(TreeError::Path);
        }
        Ok(Self(parts))
    }

    /// Whether it is the root.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The last name.
    pub fn name(&self) -> Option<&str> {
        self.0.last().map(String::as_str)
    }

    /// Its names, from the root on.
    pub fn parts(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// All but the last name.
    pub(super) fn folders(&self) -> impl Iterator<Item = &str> {
        self.parts().take(self.0.len().saturating_sub(1))
    }
}

impl fmt::Display for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.join("/").escape_debug().fmt(f)
    }
}

fn decoded(text: &str) -> Result<String, TreeError> {
    let mut text = text.to_owned();
    for _ in 0..DECODED_MAX {
        let next = decoded_once(&text)?;
        if next == text {
            return Ok(text);
        }
        text = next;
    }
    Err(TreeError::Path)
}

/// With `%XX` as the byte; a `%` without two digits stands for itself.
fn decoded_once(text: &str) -> Result<String, TreeError> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let code = bytes.get(at + 1..at + 3).filter(|_| *byte == b'%').and_then(|digits| {
            let [a, b] = [digits[0], digits[1]].map(|digit| char::from(digit).to_digit(16));
            u8::try_from(a? * 16 + b?).ok()
        });
        out.push(code.unwrap_or(*byte));
        at += if code.is_some() { 3 } else { 1 };
    }
    String::from_utf8(out).map_err(|_no_text| TreeError::Path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, want: &str) {
        assert_eq!(TreePath::parse(text).unwrap().0.join("|"), want);
    }

    #[test]
    fn paths_are_names_below_the_root() {
        check("", "");
        check("0/run/artifacts/model.onnx", "0|run|artifacts|model.onnx");
        check("a//b/./c/", "a|b|c");
        check("a%20b/c%2520d", "a b|c d");
        check("100%/50%zz/ü%C3%BC", "100%|50%zz|üü");
        check("a..b/...", "a..b|...");
        check("a:b", "a:b");
    }

    #[test]
    fn hostile_paths_are_refused_however_often_they_are_encoded() {
        let hostile =
            ["/etc/passwd", "../x", "a/../../x", "a/..", "..", "a\\b", "a#b", "a\0b", "C:/x", "file:///etc/passwd"];
        for path in hostile {
            let mut path = path.to_owned();
            for _ in 0..4 {
                assert!(matches!(TreePath::parse(&path), Err(TreeError::Path)), "{path}");
                path = path.bytes().map(|byte| format!("%{byte:02X}")).collect();
                if path.len() > 1_000 {
                    break;
                }
            }
        }
        for path in
            ["%2e%2e/x", "a/%252e%252e/x", "%2fetc", "%252525252fetc", "a%5cb", "a%00", "a%23b", "%ff", "%c0%ae"]
        {
            assert!(matches!(TreePath::parse(path), Err(TreeError::Path)), "{path}");
        }
        for long in ["x".repeat(256), "x/".repeat(2_000), "a/".repeat(65), format!("%{}41", "25".repeat(17))] {
            assert!(matches!(TreePath::parse(&long), Err(TreeError::Path)), "{long:.20}");
        }
    }
}
