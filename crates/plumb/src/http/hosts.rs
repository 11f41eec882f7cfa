//! What a server may be called by who asks it: the `Host` of a request, and the `Origin` of a page that sends one.
//!
//! A page of the web may give a name of its own the address of this machine, and then read and write what the machine's
//! network keeps from it (DNS rebinding); or send a form here from where it is. So names that somebody outside can give are
//! refused unless `allowed_hosts` has them. An address is no name, and nobody outside can give `localhost`, a name without
//! a dot, or one that ends as names inside a network do.

use axum::http::{HeaderMap, Uri, header};
use schema::ErrorKind;

use crate::config::Hosts;
use crate::failure::Failure;

/// Sees to it that the server is called what a request calls it. One that names no host comes from no browser.
///
/// # Errors
/// `host_not_allowed`.
pub fn check(hosts: &Hosts, headers: &HeaderMap, uri: &Uri) -> Result<(), Failure> {
    for host in headers.get_all(header::HOST) {
        allow(hosts, host.as_bytes(), "the request names")?;
    }
    if let Some(authority) = uri.authority() {
        allow(hosts, authority.as_str().as_bytes(), "the request names")?;
    }
    for origin in headers.get_all(header::ORIGIN) {
        let origin = origin.as_bytes();
        let scheme = origin.windows(3).position(|bytes| bytes == b"://");
        allow(hosts, scheme.map_or(origin, |at| &origin[at + 3..]), "the request comes from a page of")?;
    }
    Ok(())
}

fn allow(hosts: &Hosts, said: &[u8], what: &str) -> Result<(), Failure> {
    let host = host_of(said);
    if hosts.are_any() || host.is_some_and(|host| said != b"null" && hosts.have(host)) {
        return Ok(());
    }
    let said = String::from_utf8_lossy(said);
    let shown: String = host.unwrap_or(&said).escape_debug().take(SHOWN_MAX).collect();
    let message = format!("{what} host `{shown}`, which this server is not called");
    Err(Failure::new(ErrorKind::Denied, message)
        .code("host_not_allowed")
        .hint("if it is: allowed_hosts: [name] in plumb.yaml"))
}

/// The longest name that is shown, in characters: what DNS has.
const SHOWN_MAX: usize = 253;

/// The name or address of `host:port`; `None` for anything else.
fn host_of(said: &[u8]) -> Option<&str> {
    let said = std::str::from_utf8(said).ok()?;
    let (host, port) = match said.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, port)) => (address, port.strip_prefix(':').unwrap_or(port)),
        None => said.split_once(':').unwrap_or((said, "")),
    };
    let is_in_a_host = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte);
    let is_host = !host.is_empty() && host.bytes().all(is_in_a_host);
    (is_host && port.bytes().all(|byte| byte.is_ascii_digit())).then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(named: &[&str]) -> Hosts {
        Hosts::new(named.iter().map(|name| name.parse().unwrap()).collect())
    }

    #[track_caller]
    fn check(named: &[&str], headers: &[(&str, &str)], allowed: bool) {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(header::HeaderName::try_from(*name).unwrap(), value.parse().unwrap());
        }
        let found = super::check(&hosts(named), &map, &Uri::from_static("/livez"));
        assert_eq!(found.is_ok(), allowed, "{headers:?}: {found:?}");
    }

    #[test]
    fn what_only_the_inside_knows_is_allowed() {
        for host in [
            "localhost",
            "localhost:8080",
            "LOCALHOST.:8080",
            "app.localhost",
            "127.0.0.1:8080",
            "[::1]:8080",
            "10.1.2.3",
            "203.0.113.7:80",
            "plumb",
            "plumb:8080",
            "plumb.ml.svc:8080",
            "plumb.ml.svc.cluster.local",
            "printer.local",
            "metadata.internal",
        ] {
            check(&[], &[("host", host)], true);
        }
        check(&[], &[], true);
    }

    #[test]
    fn a_name_that_somebody_can_give_is_refused_unless_it_is_named() {
        for host in [
            "evil.com",
            "evil.com:8080",
            "localhost.evil.com",
            "127.0.0.1.evil.com",
            "evil.com.",
            "plumb.ml",
            "",
            "@evil.com",
            "localhost@evil.com",
            "evil.com@localhost",
            "a b",
            "[::1",
        ] {
            check(&[], &[("host", host)], false);
        }
        check(&["ml.example.com"], &[("host", "ML.example.com:443")], true);
        check(&["ml.acme.com"], &[("host", "x.ml.acme.com")], false);
        check(&["*.acme.com"], &[("host", "x.ml.acme.com")], true);
        check(&["*.acme.com"], &[("host", "acme.com")], false);
        check(&["*.acme.com"], &[("host", "notacme.com")], false);
        check(&["*"], &[("host", "evil.com")], true);
        // All that is said counts.
        check(&[], &[("host", "localhost"), ("host", "evil.com")], false);
    }

    #[test]
    fn a_page_is_where_it_says() {
        check(&[], &[("host", "localhost:8080"), ("origin", "http://localhost:8888")], true);
        check(&[], &[("host", "localhost:8080"), ("origin", "https://evil.com")], false);
        check(&["app.acme.com"], &[("host", "localhost"), ("origin", "https://app.acme.com")], true);
        // A frame that says nothing of itself, and what is no origin.
        check(&[], &[("host", "localhost"), ("origin", "null")], false);
        check(&[], &[("host", "localhost"), ("origin", "http://")], false);
        check(&["*"], &[("host", "localhost"), ("origin", "null")], true);
    }

    #[test]
    fn http_2_names_it_in_the_address() {
        let uri = |text: &'static str| Uri::from_static(text);
        assert!(super::check(&hosts(&[]), &HeaderMap::new(), &uri("http://localhost:1/livez")).is_ok());
        let refused = super::check(&hosts(&[]), &HeaderMap::new(), &uri("http://evil.com/livez")).unwrap_err();
        assert_eq!((refused.status().as_u16(), refused.code), (403, "host_not_allowed"));
        assert!(refused.message.contains("`evil.com`"), "{}", refused.message);
    }
}
