//! A state of a view's data as a text of the log: digest, files, pushed rows.

use featurestore::offline::history::Held;

/// Such as `0011223344556677:3:12`.
pub(super) fn to_text(held: &Held) -> String {
    format!("{:016x}:{}:{}", u64::from_be_bytes(held.version), held.n_files, held.n_pushed)
}

/// `None` for what is no such text: it then counts as not said.
pub(super) fn from_text(text: &str) -> Option<Held> {
    let mut parts = text.split(':');
    let version = u64::from_str_radix(parts.next()?, 16).ok()?.to_be_bytes();
    let (n_files, n_pushed) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    parts.next().is_none().then_some(Held { version, n_files, n_pushed })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_as_they_were_written() {
        let held = Held { version: [0, 1, 2, 3, 4, 5, 254, 255], n_files: 3, n_pushed: u64::MAX };
        assert_eq!(from_text(&to_text(&held)), Some(held));
        for text in ["", "12:3", "12:3:4:5", "zz:1:1", "12:-1:0"] {
            assert_eq!(from_text(text), None, "{text}");
        }
    }
}
