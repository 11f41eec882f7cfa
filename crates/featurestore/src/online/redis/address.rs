//! Where a server is and how to log in, read from a URL once. Nothing here prints a password.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use redis::{ConnectionAddr, IntoConnectionInfo, RedisConnectionInfo};
use schema::BoxError;

/// Where a server listens. Prints as `host:port`, or as the path of a socket.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Address {
    /// A name or an IP address, and a port.
    Tcp(String, u16),
    /// A socket in the file system.
    Unix(PathBuf),
}

/// A user and a password, either of which a server may do without.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Login {
    /// An ACL user; without one the server takes the password for its default user.
    pub username: Option<String>,
    /// The password.
    pub password: Option<String>,
}

/// A parsed `redis://[user:password@]host[:port][/database]`, or `rediss://` for TLS.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisUrl {
    pub(super) address: Address,
    pub(super) tls: bool,
    pub(super) login: Login,
    /// `None` where the URL names none.
    pub(super) database: Option<i64>,
    pub(super) resp3: bool,
}

impl RedisUrl {
    /// Where the server listens.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Whether the connection is encrypted.
    pub fn is_tls(&self) -> bool {
        self.tls
    }
}

impl Login {
    /// Whether it names nobody.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What the client sends after connecting.
    pub(super) fn settings(&self, database: i64, resp3: bool) -> RedisConnectionInfo {
        let protocol = if resp3 { redis::ProtocolVersion::RESP3 } else { redis::ProtocolVersion::RESP2 };
        let mut settings = RedisConnectionInfo::default().set_db(database).set_protocol(protocol);
        if let Some(username) = &self.username {
            settings = settings.set_username(username);
        }
        if let Some(password) = &self.password {
            settings = settings.set_password(password);
        }
        settings
    }
}

impl Address {
    /// Reads `host:port` as servers write it, IPv6 without brackets too.
    pub(super) fn of_node(text: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        Some(Self::Tcp(host.to_owned(), port.parse().ok()?))
    }

    /// The host, unless it is a socket.
    pub(super) fn host(&self) -> Option<&str> {
        match self {
            Self::Tcp(host, _) => Some(host),
            Self::Unix(_) => None,
        }
    }
}

impl FromStr for RedisUrl {
    type Err = BoxError;

    fn from_str(text: &str) -> Result<Self, BoxError> {
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err("it has no scheme".into());
        };
        if text.contains('#') {
            // Elsewhere `#insecure` turns the check of certificates off. A `#` of a password is written %23.
            return Err("it has a `#`: certificates are always checked, and a `#` in a password is written %23".into());
        }
        let (tls, scheme) = match scheme {
            "rediss" | "valkeys" => (true, "redis"),
            other => (false, other),
        };
        let info = format!("{scheme}://{rest}").into_connection_info()?;
        let address = match info.addr() {
            ConnectionAddr::Tcp(host, port) => Address::Tcp(host.clone(), *port),
            ConnectionAddr::Unix(path) => Address::Unix(path.clone()),
            _ => return Err("it is neither a host nor a socket".into()),
        };
        let settings = info.redis_settings();
        let login = Login {
            username: settings.username().map(str::to_owned),
            password: settings.password().map(str::to_owned),
        };
        let database = settings.db();
        Ok(Self {
            address,
            tls,
            login,
            database: (database != 0).then_some(database),
            resp3: settings.protocol() == redis::ProtocolVersion::RESP3,
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(host, port) if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp(host, port) => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let password = self.password.as_ref().map(|_| "...");
        f.debug_struct("Login").field("username", &self.username).field("password", &password).finish()
    }
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.tls { "rediss" } else { "redis" }, self.address)?;
        self.database.map_or(Ok(()), |database| write!(f, "/{database}"))
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisUrl({self})")
    }
}
