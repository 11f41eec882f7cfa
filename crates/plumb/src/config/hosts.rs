//! `allowed_hosts: [ml.example.com, "*.example.org"]`: what the server is called beside what only its network knows.

use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use schema::yaml::{Fields, Mistake};

/// Last labels of names that nobody can register: RFC 2606, RFC 6761, RFC 6762, ICANN's `internal`, and what Kubernetes uses.
const INSIDE: [&str; 7] = ["localhost", "local", "internal", "svc", "test", "example", "invalid"];

/// Names that a server is called beside those that only the inside of a network knows.
#[derive(Debug, Clone, Default)]
pub struct Hosts(Arc<[HostPattern]>);

/// `name.example.com`, or `*.example.com` for all below, or `*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostPattern {
    /// Whatever it is called.
    Any,
    /// One name, in lower case.
    Name(String),
    /// All names that end so: `.example.com`.
    Below(String),
}

/// A text that is no [`HostPattern`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no name of a host")]
pub struct NotAHost(String);

impl FromStr for HostPattern {
    type Err = NotAHost;

    fn from_str(text: &str) -> Result<Self, NotAHost> {
        if text == "*" {
            return Ok(Self::Any);
        }
        let name = text.strip_prefix("*.").unwrap_or(text);
        let is_label =
            |label: &str| !label.is_empty() && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
        if !name.split('.').all(is_label) {
            return Err(NotAHost(text.escape_debug().to_string()));
        }
        let name = name.to_ascii_lowercase();
        Ok(if text.starts_with("*.") { Self::Below(format!(".{name}")) } else { Self::Name(name) })
    }
}

impl Hosts {
    /// With these beside.
    pub fn new(named: Vec<HostPattern>) -> Self {
        Self(named.into())
    }

    /// Whether it may be called anything.
    pub fn are_any(&self) -> bool {
        self.0.contains(&HostPattern::Any)
    }

    /// Whether it is called so; `host` is a name or an address, without a port.
    pub fn have(&self, host: &str) -> bool {
        if host.parse::<IpAddr>().is_ok() {
            return true;
        }
        let name = host.strip_suffix('.').unwrap_or(host);
        let Some((_, last)) = name.rsplit_once('.') else { return true };
        if INSIDE.iter().any(|inside| inside.eq_ignore_ascii_case(last)) {
            return true;
        }
        let name = name.to_ascii_lowercase();
        self.0.iter().any(|pattern| match pattern {
            HostPattern::Any => true,
            HostPattern::Name(known) => *known == name,
            HostPattern::Below(end) => name.ends_with(end),
        })
    }
}

/// Reads `allowed_hosts`.
pub(super) fn read(fields: &mut Fields<'_>, mistakes: &mut Vec<Mistake>) -> Hosts {
    let Some(list) = fields.optional("allowed_hosts") else { return Hosts::default() };
    let mut named: Vec<HostPattern> = Vec::new();
    for one in list.items(mistakes) {
        named.extend(one.parse(mistakes, str::parse::<HostPattern>));
    }
    Hosts::new(named)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_a_name() {
        for wrong in ["", "*.", "**", "a..b", "http://a.b", "a.b:80", "*.*.b", "a b", ".a", "ä.de"] {
            assert!(wrong.parse::<HostPattern>().is_err(), "{wrong}");
        }
    }
}
