//! `postgres://user:password@host:port/database?schema=shop`: where the log is, and how it is shown without the password.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use tokio_postgres::config::{Config, Host, SslMode};

/// The address of a log, taken apart. Neither `Display` nor `Debug` shows the password.
#[derive(Clone, PartialEq, Eq)]
pub struct PostgresUrl {
    pub(crate) server: Config,
    /// Named in the address.
    pub(crate) schema: Option<String>,
    /// Whether connections are encrypted.
    pub(crate) encrypted: bool,
    /// Authorities to trust in place of the machine's.
    pub(crate) ca: Option<PathBuf>,
}

impl PostgresUrl {
    /// Whether `text` looks like one, right or wrong.
    pub fn is_one(text: &str) -> bool {
        text.starts_with("postgres://") || text.starts_with("postgresql://")
    }
}

impl FromStr for PostgresUrl {
    type Err = String;

    /// Reads `postgres://[user[:password]@]host[:port]/database[?schema=..&sslmode=..&sslrootcert=..]`, and of the other
    /// parameters those that the client knows. What is wrong is said without repeating the text.
    fn from_str(text: &str) -> Result<Self, String> {
        if !Self::is_one(text) {
            return Err("it does not begin with `postgres://`".to_owned());
        }
        let (address, query) = text.split_once('?').unwrap_or((text, ""));
        let (mut schema, mut mode, mut ca, mut rest) = (None, None, None, Vec::new());
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            match name {
                "schema" => schema = Some(checked_schema(value)?),
                "sslmode" => mode = Some(value),
                "sslrootcert" => ca = Some(PathBuf::from(value)),
                _ => rest.push(parameter),
            }
        }
        let kept = if rest.is_empty() { address.to_owned() } else { format!("{address}?{}", rest.join("&")) };
        let mut server: Config = kept.parse().map_err(|why: tokio_postgres::Error| schema::error::chain(&why))?;
        if server.get_hosts().is_empty() {
            return Err("it names no host".to_owned());
        }
        if server.get_dbname().is_none() {
            return Err("it names no database".to_owned());
        }
        let encrypted = match mode {
            None => !server.get_hosts().iter().all(is_local),
            Some("disable") => false,
            Some("require" | "verify-ca" | "verify-full") => true,
            Some(_) => return Err("`sslmode` is `disable` or `require`; what is required is also verified".to_owned()),
        };
        server.ssl_mode(if encrypted { SslMode::Require } else { SslMode::Disable });
        server.application_name("plumb");
        Ok(Self { server, schema, encrypted, ca })
    }
}

/// A name that needs no thought: letters, digits, `_` and `-`, of at most 63 bytes, none of the server's own.
pub(crate) fn checked_schema(name: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if name.is_empty() || name.len() > 63 || !name.chars().all(plain) || name.starts_with("pg_") {
        let why = "is no schema for a registry: write up to 63 letters, digits, `_` and `-`, not beginning with `pg_`";
        return Err(format!("`{}` {why}", name.escape_debug()));
    }
    Ok(name.to_owned())
}

/// Whether what is sent there does not leave the machine.
fn is_local(host: &Host) -> bool {
    match host {
        Host::Tcp(name) => {
            name == "localhost"
                || name.trim_matches(['[', ']']).parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
        }
        #[cfg(unix)]
        Host::Unix(_) => true,
    }
}

impl fmt::Display for PostgresUrl {
    /// The address without the password and without what concerns the connection alone.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("postgres://")?;
        if let Some(user) = self.server.get_user() {
            write!(f, "{user}@")?;
        }
        let ports = self.server.get_ports();
        for (i, host) in self.server.get_hosts().iter().enumerate() {
            if i > 0 {
                f.write_str(",")?;
            }
            match host {
                Host::Tcp(name) => f.write_str(name)?,
                #[cfg(unix)]
                Host::Unix(path) => write!(f, "{}", path.display())?,
            }
            if let Some(port) = ports.get(i).or(ports.first()) {
                write!(f, ":{port}")?;
            }
        }
        write!(f, "/{}", self.server.get_dbname().unwrap_or_default())?;
        match &self.schema {
            Some(schema) => write!(f, "?schema={schema}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgresUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, shown: &str, encrypted: bool) {
        let url: PostgresUrl = text.parse().unwrap();
        assert_eq!((url.to_string().as_str(), url.encrypted), (shown, encrypted));
        assert!(!format!("{url:?}").contains("s3cret"));
    }

    #[test]
    fn an_address_is_shown_without_its_password() {
        check("postgres://ann:s3cret@db.example.com/shop", "postgres://ann@db.example.com:5432/shop", true);
        check(
            "postgresql://ann:s3cret@127.0.0.1:5433/shop?schema=fraud&connect_timeout=3",
            "postgres://ann@127.0.0.1:5433/shop?schema=fraud",
            false,
        );
    }

    #[test]
    fn what_leaves_the_machine_is_encrypted_unless_said_otherwise() {
        check("postgres://localhost/shop", "postgres://localhost:5432/shop", false);
        check("postgres://localhost/shop?sslmode=verify-full", "postgres://localhost:5432/shop", true);
        check("postgres://10.0.0.7/shop", "postgres://10.0.0.7:5432/shop", true);
        check("postgres://10.0.0.7/shop?sslmode=disable", "postgres://10.0.0.7:5432/shop", false);
    }

    #[test]
    fn what_is_wrong_is_said_and_the_password_is_not() {
        for (text, why) in [
            ("mysql://a:s3cret@b/c", "it does not begin with"),
            ("postgres://a:s3cret@/c", "it names no host"),
            ("postgres://a:s3cret@b", "it names no database"),
            ("postgres://a:s3cret@b:port/c", "invalid"),
            ("postgres://a:s3cret@b/c?schema=", "is no schema"),
            ("postgres://a:s3cret@b/c?schema=pg_x", "is no schema"),
            ("postgres://a:s3cret@b/c?schema=a\"b", "is no schema"),
            ("postgres://a:s3cret@b/c?sslmode=prefer", "`disable` or `require`"),
            ("postgres://a:s3cret@b/c?color=red", "unknown"),
        ] {
            let said = text.parse::<PostgresUrl>().unwrap_err();
            assert!(said.contains(why) && !said.contains("s3cret"), "{text}: {said}");
        }
    }
}
