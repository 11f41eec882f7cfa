//! Why a Redis server refuses, in words, and what to do about it.

use std::fmt;

/// A refusal that has a cure. What a server says otherwise is passed on as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum Refusal {
    NoPassword,
    WrongPassword,
    NoPermission,
    OutOfMemory,
    ReadOnly,
    Loading,
    Busy,
    NotSaved,
    ClusterDown,
    NotACluster,
    Elsewhere,
    NoMaster,
    NotReplicated,
}

impl Refusal {
    /// By the code that begins a server's error, and what follows it.
    pub(super) fn of(code: &str, details: &str) -> Option<Self> {
        Some(match code {
            "NOAUTH" => Self::NoPassword,
            "WRONGPASS" => Self::WrongPassword,
            "NOPERM" => Self::NoPermission,
            "OOM" => Self::OutOfMemory,
            "READONLY" => Self::ReadOnly,
            "LOADING" => Self::Loading,
            "BUSY" => Self::Busy,
            "MISCONF" => Self::NotSaved,
            "CLUSTERDOWN" | "MASTERDOWN" => Self::ClusterDown,
            "MOVED" | "ASK" | "TRYAGAIN" | "CROSSSLOT" => Self::Elsewhere,
            "NOREPLICAS" => Self::NotReplicated,
            "ERR" if details.contains("user executing the script can't") => Self::NoPermission,
            "ERR" if details.contains("cluster support disabled") => Self::NotACluster,
            _ => return None,
        })
    }

    /// Whether it is about who asks: asking again changes nothing.
    pub fn is_auth(self) -> bool {
        matches!(self, Self::NoPassword | Self::WrongPassword | Self::NoPermission)
    }

    /// Whether the same may be answered later, with nothing changed here.
    pub fn may_pass(self) -> bool {
        !self.is_auth() && !matches!(self, Self::NotACluster | Self::Elsewhere | Self::NoMaster)
    }

    /// Whether it is a sign that the store as a whole is in trouble. One that only takes no writes still answers.
    pub(super) fn is_trouble(self) -> bool {
        match self {
            Self::NoPassword
            | Self::WrongPassword
            | Self::NoPermission
            | Self::Loading
            | Self::Busy
            | Self::ClusterDown
            | Self::NotACluster
            | Self::NoMaster => true,
            Self::OutOfMemory | Self::ReadOnly | Self::NotSaved | Self::Elsewhere | Self::NotReplicated => false,
        }
    }

    /// What to do.
    pub fn hint(self) -> &'static str {
        match self {
            Self::NoPassword => "put the password in plumb.yaml, by `password: \"${NAME}\"` or in the URL",
            Self::WrongPassword => {
                "compare user and password in plumb.yaml with the server's: ACL LIST shows its users"
            }
            Self::NoPermission => {
                "the user needs `~plumb:*` and `+hmget +hget +hset +evalsha +eval +script|load +ping +role +wait \
                 +cluster|slots +cluster|info +asking +select`: ACL SETUSER"
            }
            Self::OutOfMemory => "raise the server's `maxmemory`, or remove keys that are not needed; reads go on",
            Self::ReadOnly => "name the master, or let sentinels name it: `sentinel: {master: NAME, urls: [...]}`",
            Self::Loading => "it answers when it has loaded its data: try again",
            Self::Busy => "another client's script runs too long: SCRIPT KILL ends it",
            Self::NotSaved => "see the server's log; free disk space, or turn its saving off",
            Self::ClusterDown => "see `redis-cli --cluster check`: a slot without a master stops the whole cluster",
            Self::NotACluster => "write `url:` instead of `cluster:`, or start the server with `cluster-enabled yes`",
            Self::Elsewhere => "write `cluster: [url, ...]` instead of `url:`; while slots move, try again",
            Self::NoMaster => "compare the master's name with the sentinels': SENTINEL MASTERS shows what they watch",
            Self::NotReplicated => "start the missing replicas, or ask for fewer with `replicas` in plumb.yaml",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoPassword => "it asks for a password",
            Self::WrongPassword => "it does not accept this user and password",
            Self::NoPermission => "the user may not do this",
            Self::OutOfMemory => "its memory is full",
            Self::ReadOnly => "it is a replica, which takes no writes",
            Self::Loading => "it is loading its data",
            Self::Busy => "it is busy with a script",
            Self::NotSaved => "it cannot save to its disk and takes no writes",
            Self::ClusterDown => "the cluster is down",
            Self::NotACluster => "it is not part of a cluster",
            Self::Elsewhere => "another node of its cluster has the key",
            Self::NoMaster => "the sentinels know no such master",
            Self::NotReplicated => "too few replicas have the write",
        })
    }
}
