//! `view:feature`, `view@v2:feature`, `view@latest:feature`.

use super::ServiceError;

/// A feature as requests name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// The view.
    pub view: String,
    /// Its version; the current one unless given.
    pub version: Option<u32>,
    /// The feature, stored or computed.
    pub feature: String,
}

impl Reference {
    /// Reads a reference. What follows an `@` and is no version belongs to the view's name, which then is unknown.
    ///
    /// # Errors
    /// [`ServiceError::NoReference`] for a text without a colon.
    pub fn parse(text: &str) -> Result<Self, ServiceError> {
        let missing = || ServiceError::NoReference { text: text.escape_debug().to_string() };
        let (view, feature) = text.split_once(':').ok_or_else(missing)?;
        Ok(Self { feature: feature.to_owned(), ..Self::whole(view) })
    }

    /// A view, or a service, which is named the same way. A colon in it belongs to the name, which then is unknown.
    pub fn whole(text: &str) -> Self {
        let (view, version) = match text.split_once('@') {
            Some((name, "")) => (name, None),
            Some((name, at)) if at.eq_ignore_ascii_case("latest") => (name, None),
            Some((name, at)) => match version(at) {
                Some(version) => (name, Some(version)),
                None => (text, None),
            },
            None => (text, None),
        };
        Self { view: view.to_owned(), version, feature: String::new() }
    }

    /// What Feast calls the feature where names are full.
    pub fn full_name(&self) -> String {
        match self.version {
            Some(version) => format!("{}@v{version}__{}", self.view, self.feature),
            None => format!("{}__{}", self.view, self.feature),
        }
    }
}

/// The number of `v2` or `V2`. One too large for a version is a version that nobody has.
pub(super) fn version(text: &str) -> Option<u32> {
    let digits = text.strip_prefix(['v', 'V'])?;
    let number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    number.then(|| digits.parse().unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_read_as_feast_reads_them() {
        for (text, view, version, feature) in [
            ("txn:avg_7d", "txn", None, "avg_7d"),
            ("txn@v2:cnt_7d", "txn", Some(2), "cnt_7d"),
            ("txn@V02:cnt_7d", "txn", Some(2), "cnt_7d"),
            ("txn@latest:cnt_7d", "txn", None, "cnt_7d"),
            ("txn@LATEST:cnt_7d", "txn", None, "cnt_7d"),
            ("txn@:cnt_7d", "txn", None, "cnt_7d"),
            ("txn@2:cnt_7d", "txn@2", None, "cnt_7d"),
            ("txn@v:cnt_7d", "txn@v", None, "cnt_7d"),
            ("txn@v2x:cnt_7d", "txn@v2x", None, "cnt_7d"),
            ("txn@v99999999999:cnt_7d", "txn", Some(u32::MAX), "cnt_7d"),
            ("txn:a:b", "txn", None, "a:b"),
            (":", "", None, ""),
        ] {
            let want = Reference { view: view.to_owned(), version, feature: feature.to_owned() };
            assert_eq!(Reference::parse(text).unwrap(), want, "{text}");
        }
        assert!(Reference::parse("txn").is_err());
    }

    #[test]
    fn nothing_behind_a_name_is_dropped() {
        for (text, name, version) in
            [("txn", "txn", None), ("txn@v2", "txn", Some(2)), ("txn:x", "txn:x", None), ("txn@v2:x", "txn@v2:x", None)]
        {
            let want = Reference { view: name.to_owned(), version, feature: String::new() };
            assert_eq!(Reference::whole(text), want, "{text}");
        }
    }
}
