//! Which rows a migration takes: `name` for the declared version of a service, `name@v3` for that version.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::name::{NameError, ServiceName};

/// The service that a declared migration starts at.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MigrateFrom {
    /// The service.
    pub service: ServiceName,
    /// Its version; the declared one unless given.
    pub version: Option<u32>,
}

/// One version of a service: `churn@v2`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ServiceVersion {
    /// The service.
    pub name: ServiceName,
    /// Its version, from 1.
    pub version: u32,
}

impl TryFrom<String> for ServiceVersion {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let MigrateFrom { service, version } = text.parse().map_err(|why: NameError| why.to_string())?;
        let version = version.ok_or_else(|| format!("`{service}` says no version, as `{service}@v1` does"))?;
        Ok(Self { name: service, version })
    }
}

impl From<ServiceVersion> for String {
    fn from(from: ServiceVersion) -> Self {
        from.to_string()
    }
}

impl FromStr for MigrateFrom {
    type Err = NameError;

    /// What follows an `@` and is no version belongs to the name, which then is none.
    fn from_str(text: &str) -> Result<Self, NameError> {
        let apart = text.split_once("@v").and_then(|(name, version)| Some((name, version.parse().ok()?)));
        match apart {
            Some((name, version)) => Ok(Self { service: name.parse()?, version: Some(version) }),
            None => Ok(Self { service: text.parse()?, version: None }),
        }
    }
}

impl TryFrom<String> for MigrateFrom {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<MigrateFrom> for String {
    fn from(from: MigrateFrom) -> Self {
        from.to_string()
    }
}

impl fmt::Display for MigrateFrom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.version {
            Some(version) => write!(f, "{}@v{version}", self.service),
            None => self.service.fmt(f),
        }
    }
}

impl fmt::Display for ServiceVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@v{}", self.name, self.version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_alone_means_the_declared_version() {
        for (text, version) in [("churn", None), ("churn@v3", Some(3)), ("churn.eu", None)] {
            let from: MigrateFrom = text.parse().unwrap();
            assert_eq!((from.version, from.to_string().as_str()), (version, text));
        }
        for text in ["churn@3", "churn@v", "churn@vx", "3", "@v1"] {
            assert!(text.parse::<MigrateFrom>().is_err(), "{text}");
        }
    }
}
