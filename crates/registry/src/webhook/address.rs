//! Where messages may go: an address on the public internet, over TLS, unless the operator allows another one.
//!
//! Whoever may make a hook must not reach through the server what only the server can reach. So the address that a name
//! resolves to is judged, each one of them, and a connection is made to no other.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use url::Url;

/// Longest URL, in characters.
pub const URL_MAX: usize = 2_000;

/// What the operator allows beside public addresses over TLS.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AddressRules {
    /// Networks that are allowed though they are not public.
    pub allow_private: Vec<Network>,
    /// Whether messages may go over plain HTTP, which anybody on the way reads and changes.
    pub allow_http: bool,
}

/// Addresses that begin alike: `10.0.0.0/8`, `fd00::/8`, `127.0.0.1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    first: IpAddr,
    prefix: u8,
}

/// Why messages may not go to an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum AddressError {
    #[error("this is no URL: {why}")]
    NotAUrl { why: String },
    #[error("the URL is longer than {URL_MAX} characters")]
    Long,
    #[error("the scheme is `{scheme}`, and only https is allowed")]
    Scheme { scheme: String },
    #[error("the URL has no host")]
    NoHost,
    #[error("the URL has a user or a password in it: use a secret instead, which is not shown")]
    Credentials,
    #[error("{address} is not a public address: it is {class}")]
    Private { address: IpAddr, class: &'static str },
    #[error("the name `{host}` has no address")]
    NoAddress { host: String },
}

impl AddressRules {
    /// Checks all of a URL that can be seen without asking for the addresses of its host: an address in numbers, in whatever
    /// spelling, is judged here.
    ///
    /// # Errors
    /// [`AddressError`].
    pub fn check_url(&self, text: &str) -> Result<Url, AddressError> {
        if text.chars().count() > URL_MAX {
            return Err(AddressError::Long);
        }
        let url = Url::parse(text).map_err(|why| AddressError::NotAUrl { why: why.to_string() })?;
        if url.scheme() != "https" && !(self.allow_http && url.scheme() == "http") {
            return Err(AddressError::Scheme { scheme: url.scheme().chars().take(40).collect() });
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(AddressError::Credentials);
        }
        match url.host() {
            None => return Err(AddressError::NoHost),
            Some(url::Host::Ipv4(address)) => self.check(address.into())?,
            Some(url::Host::Ipv6(address)) => self.check(address.into())?,
            Some(url::Host::Domain(_)) => {}
        }
        Ok(url)
    }

    /// Checks every address of a name: one that is refused is not left out, for it says whose name it is.
    ///
    /// # Errors
    /// [`AddressError`] of the first that is refused, or that there is none.
    pub fn check_all(&self, host: &str, addresses: &[IpAddr]) -> Result<(), AddressError> {
        if addresses.is_empty() {
            return Err(AddressError::NoAddress { host: host.to_owned() });
        }
        addresses.iter().try_for_each(|address| self.check(*address))
    }

    /// Checks one address.
    ///
    /// # Errors
    /// [`AddressError::Private`].
    pub fn check(&self, address: IpAddr) -> Result<(), AddressError> {
        let meant = plain(address);
        let Some(class) = class(meant) else { return Ok(()) };
        if self.allow_private.iter().any(|network| network.has(meant) || network.has(address)) {
            return Ok(());
        }
        Err(AddressError::Private { address, class })
    }
}

/// The IPv4 address that an IPv6 address stands for, where it stands for one: mapped, compatible, translated (NAT64), 6to4.
fn plain(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    let [a, b, c, d, e, f, g, h] = v6.segments();
    let v4 = |high: u16, low: u16| IpAddr::V4(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)));
    match [a, b, c, d, e, f] {
        [0, 0, 0, 0, 0, 0xffff] | [0x64, 0xff9b, 0, 0, 0, 0] => v4(g, h),
        // `::` and `::1` are addresses of their own.
        [0, 0, 0, 0, 0, 0] if g != 0 || h > 1 => v4(g, h),
        [0x2002, high, low, ..] => v4(high, low),
        _ => address,
    }
}

/// What an address is that is not public.
fn class(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(v4) => class_v4(v4),
        IpAddr::V6(v6) => class_v6(v6),
    }
}

fn class_v4(address: Ipv4Addr) -> Option<&'static str> {
    Some(match address.octets() {
        [0, ..] => "of this network",
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => "of a private network",
        [100, 64..=127, ..] => "shared by a carrier's customers",
        [127, ..] => "this machine",
        [169, 254, ..] => "link-local, where clouds keep their credentials",
        [192, 0, 0, _] => "kept for protocols",
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => "for documentation",
        [192, 88, 99, _] => "a relay of 6to4",
        [198, 18..=19, ..] => "for benchmarks",
        [224..=239, ..] => "multicast",
        [240..=255, ..] => "kept for later, or broadcast",
        _ => return None,
    })
}

fn class_v6(address: Ipv6Addr) -> Option<&'static str> {
    let segments = address.segments();
    Some(match segments {
        [0, 0, 0, 0, 0, 0, 0, 0] => "of this network",
        [0, 0, 0, 0, 0, 0, 0, 1] => "this machine",
        [0xff00..=0xffff, ..] => "multicast",
        [0xfe80..=0xfebf, ..] => "link-local",
        [0xfec0..=0xfeff, ..] | [0xfc00..=0xfdff, ..] => "of a private network",
        [0x64, 0xff9b, 1, ..] => "translated to IPv4 of a private network",
        [0x100, 0, 0, ..] => "one that discards",
        [0x2001, 0xdb8, ..] | [0x3fff, 0..=0x0fff, ..] => "for documentation",
        // Teredo (2001::/32), benchmarks, ORCHID: none of them is where a server answers.
        [0x2001, 0..=0x1ff, ..] => "kept for protocols",
        [0x2000..=0x3fff, ..] => return None,
        _ => "of no public network",
    })
}

impl Network {
    /// Whether an address is in it.
    pub fn has(&self, address: IpAddr) -> bool {
        match (self.first, address) {
            (IpAddr::V4(first), IpAddr::V4(address)) => {
                let shift = 32 - u32::from(self.prefix);
                first.to_bits().checked_shr(shift) == address.to_bits().checked_shr(shift)
            }
            (IpAddr::V6(first), IpAddr::V6(address)) => {
                let shift = 128 - u32::from(self.prefix);
                first.to_bits().checked_shr(shift) == address.to_bits().checked_shr(shift)
            }
            _ => false,
        }
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("`{text}` is no network: write an address and how many bits of it count, as in `10.0.0.0/8`");
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix.parse::<u8>().map_err(|_none| wrong())?)),
            None => (text, None),
        };
        let first: IpAddr = address.parse().map_err(|_none| wrong())?;
        let bits = if first.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.unwrap_or(bits);
        if prefix > bits { Err(wrong()) } else { Ok(Self { first, prefix }) }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowing(networks: &[&str]) -> AddressRules {
        AddressRules { allow_private: networks.iter().map(|one| one.parse().unwrap()).collect(), allow_http: false }
    }

    #[test]
    fn public_addresses_and_no_others() {
        for public in [
            "1.1.1.1",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2606:4700::1111",
            "2a00::1",
            "::ffff:8.8.8.8",
            "64:ff9b::808:808",
            "2002:808:808::1",
            "2001:4860::8888",
        ] {
            assert_eq!(AddressRules::default().check(public.parse().unwrap()), Ok(()), "{public}");
        }
        for private in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "10.255.255.255",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.9.9.9",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.7",
            "203.0.113.7",
            "224.0.0.1",
            "239.1.1.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:169.254.169.254",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::1",
            "2002:7f00:1::1",
            "2002:a00:1::",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "fc00::1",
            "fd12:3456::1",
            "ff02::1",
            "2001:db8::1",
            "2001::1",
            "2001:10::1",
            "100::1",
            "3fff::1",
            "4000::1",
            "5f00::1",
            "::2:0:0:1",
        ] {
            let refused = AddressRules::default().check(private.parse().unwrap());
            assert!(matches!(refused, Err(AddressError::Private { .. })), "{private}");
        }
    }

    #[track_caller]
    fn refused(url: &str, says: &str) {
        let why = AddressRules::default().check_url(url).unwrap_err().to_string();
        assert!(why.contains(says), "{url}: {why}");
    }

    #[test]
    fn an_address_in_numbers_is_judged_in_every_spelling() {
        for loopback in [
            "https://127.0.0.1/",
            "https://127.1/",
            "https://2130706433/",
            "https://0x7f.0.0.1/",
            "https://0x7f000001/",
            "https://0177.0.0.1/",
            "https://017700000001/",
            "https://[::1]/",
            "https://[::ffff:127.0.0.1]/",
            "https://[::ffff:7f00:1]/",
            "https://１２７.０.０.１/",
            "https://127.0.0.1./",
            "https://127%2e0%2e0%2e1/",
        ] {
            refused(loopback, "not a public address");
        }
        for metadata in [
            "https://169.254.169.254/latest",
            "https://2852039166/",
            "https://0xa9fea9fe/",
            "https://0251.0376.0251.0376/",
        ] {
            refused(metadata, "link-local");
        }
        for none in ["https://0/", "https://[::]/", "https://0.0.0.0:8443/"] {
            refused(none, "of this network");
        }
    }

    #[test]
    fn only_https_without_credentials() {
        for (url, says) in [
            ("http://example.com/", "only https"),
            ("ftp://example.com/", "only https"),
            ("file:///etc/passwd", "only https"),
            ("gopher://example.com", "only https"),
            ("https://u:p@example.com/", "user or a password"),
            ("https://u@example.com/", "user or a password"),
            ("https://:p@example.com/", "user or a password"),
            ("", "no URL"),
            ("example.com", "no URL"),
            ("https://", "no URL"),
            ("https:///", "no URL"),
            ("https://a b/", "no URL"),
            ("https://1.2.3.4.5/", "no URL"),
            ("https://256.1.1.1/", "no URL"),
        ] {
            refused(url, says);
        }
        refused(&format!("https://example.com/{}", "x".repeat(URL_MAX)), "longer");
        for good in
            ["https://example.com", "https://example.com:8443/a?b=c", "https://8.8.8.8/", "https://[2606:4700::1111]/"]
        {
            AddressRules::default().check_url(good).unwrap();
        }
        let plain = AddressRules { allow_http: true, ..AddressRules::default() };
        plain.check_url("http://example.com/").unwrap();
        assert!(plain.check_url("ftp://example.com/").is_err());
        assert!(plain.check_url("http://10.0.0.1/").is_err(), "plain HTTP does not open private networks");
    }

    #[test]
    fn one_address_that_is_refused_refuses_the_name() {
        let all = |list: &[&str]| {
            let addresses: Vec<IpAddr> = list.iter().map(|one| one.parse().unwrap()).collect();
            AddressRules::default().check_all("h", &addresses)
        };
        assert_eq!(all(&["8.8.8.8", "2606:4700::1111"]), Ok(()));
        assert!(all(&["8.8.8.8", "10.0.0.1"]).is_err());
        assert!(all(&[]).is_err());
    }

    #[test]
    fn the_operator_opens_networks() {
        let rules = allowing(&["10.1.0.0/16", "127.0.0.1", "fd00::/8"]);
        for open in ["10.1.2.3", "127.0.0.1", "fd12::1", "::ffff:10.1.9.9", "8.8.8.8"] {
            assert_eq!(rules.check(open.parse().unwrap()), Ok(()), "{open}");
        }
        for closed in ["10.2.0.0", "127.0.0.2", "fc00::1", "169.254.169.254", "::1"] {
            assert!(rules.check(closed.parse().unwrap()).is_err(), "{closed}");
        }
        assert_eq!(allowing(&["0.0.0.0/0"]).check("10.0.0.1".parse().unwrap()), Ok(()));
        for wrong in ["", "10", "10.0.0.0/33", "fd00::/129", "10.0.0.0/x", "a/8", "10.0.0.0/8/8", "10.0.0.0/-1"] {
            assert!(wrong.parse::<Network>().is_err(), "{wrong}");
        }
    }
}
