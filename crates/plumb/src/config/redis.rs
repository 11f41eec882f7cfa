//! `online: {kind: redis, ...}`: one server, a cluster, or a master by its name at sentinels.

use std::path::{Path, PathBuf};
use std::time::Duration;

use featurestore::online::redis::{DEFAULT_TIMEOUT, Login, RedisConfig, RedisServers, RedisUrl, TlsFiles};
use schema::error::chain;
use schema::yaml::{Fields, Mistake, Node};

/// Reads what stands beside `kind: redis`; `None` if it is not complete.
pub(super) fn read(inner: &mut Fields<'_>, folder: &Path, mistakes: &mut Vec<Mistake>) -> Option<RedisConfig> {
    let servers = servers(inner, mistakes);
    let login = login(inner, mistakes);
    let database = inner.optional("database").and_then(|node| node.count(mistakes));
    let tls = inner.optional("tls").map(|node| tls(node, folder, mistakes)).unwrap_or_default();
    let timeout = inner.optional("timeout").and_then(|node| node.parse(mistakes, schema::Ttl::parse));
    let timeout = timeout.map_or(DEFAULT_TIMEOUT, |limit| Duration::from_nanos(limit.as_nanos().unsigned_abs()));
    let replicas = inner.optional("replicas").and_then(|node| node.count(mistakes)).unwrap_or(0);
    let config = RedisConfig { servers: servers?, login, database: database.map(i64::from), tls, timeout, replicas };
    if let Err(why) = config.check() {
        let mistake = Mistake::new(inner.place(), chain(&why));
        mistakes.push(match why.hint() {
            Some(hint) => mistake.hint(hint),
            None => mistake,
        });
    }
    Some(config)
}

fn servers(inner: &mut Fields<'_>, mistakes: &mut Vec<Mistake>) -> Option<RedisServers> {
    let [one, cluster, sentinel] = ["url", "cluster", "sentinel"].map(|name| inner.optional(name));
    if [one, cluster, sentinel].iter().flatten().count() > 1 {
        let message = "the online store has more than one of `url`, `cluster` and `sentinel`";
        mistakes.push(Mistake::new(inner.place(), message).hint("keep the one that says how the servers are run"));
        return None;
    }
    if let Some(node) = cluster {
        let urls = urls(node, mistakes)?;
        return Some(RedisServers::Cluster(urls));
    }
    if let Some(node) = sentinel {
        let mut fields = node.fields("the `sentinel` setting", mistakes);
        let master = fields.required("master", mistakes).and_then(|node| node.text(mistakes));
        let named = fields.required("urls", mistakes).and_then(|node| urls(node, mistakes));
        let login = login(&mut fields, mistakes);
        fields.finish(mistakes);
        return Some(RedisServers::Sentinel { master: master?, sentinels: named?, login });
    }
    let node = inner.required("url", mistakes)?;
    url(node, mistakes).map(RedisServers::One)
}

fn urls(node: Node<'_>, mistakes: &mut Vec<Mistake>) -> Option<Vec<RedisUrl>> {
    let n_mistakes = mistakes.len();
    let urls: Vec<RedisUrl> = node.items(mistakes).into_iter().filter_map(|node| url(node, mistakes)).collect();
    if urls.is_empty() && mistakes.len() == n_mistakes {
        mistakes.push(
            node.expected("at least one URL").hint("write [redis://host:port, ...]; the rest is found from there"),
        );
    }
    (mistakes.len() == n_mistakes).then_some(urls)
}

/// The URL is not repeated in a mistake: it may hold a password.
fn url(node: Node<'_>, mistakes: &mut Vec<Mistake>) -> Option<RedisUrl> {
    let text = node.text(mistakes)?;
    let wrong = |why: schema::BoxError| {
        Mistake::new(&node.place(), format!("this is not a Redis URL: {}", chain(why.as_ref())))
            .hint("write redis://[user:password@]host[:port][/database], or rediss:// for TLS")
    };
    text.parse().map_err(|why| mistakes.push(wrong(why))).ok()
}

fn login(fields: &mut Fields<'_>, mistakes: &mut Vec<Mistake>) -> Login {
    let (username, password) = (fields.text("username", mistakes), fields.text("password", mistakes));
    if username.is_some() && password.is_none() {
        mistakes.push(Mistake::new(fields.place(), "there is a `username` and no `password`"));
    }
    Login { username, password }
}

fn tls(node: Node<'_>, folder: &Path, mistakes: &mut Vec<Mistake>) -> TlsFiles {
    let mut fields = node.fields("the `tls` setting", mistakes);
    let [ca, cert, key] = ["ca", "cert", "key"].map(|name| fields.text(name, mistakes).map(|path| folder.join(path)));
    let identity: Option<(PathBuf, PathBuf)> = match (cert, key) {
        (Some(cert), Some(key)) => Some((cert, key)),
        (None, None) => None,
        _ => {
            mistakes.push(
                Mistake::new(fields.place(), "of `cert` and `key` there is only one")
                    .hint("name both, the client's certificate and its key, or neither"),
            );
            None
        }
    };
    fields.finish(mistakes);
    TlsFiles { ca, identity }
}
