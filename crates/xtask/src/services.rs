//! Services that tests and benchmarks talk to: real ones, our own, on free ports of this machine, gone when we are.

mod keeper;
mod postgres;
mod redis;
mod s3;

use std::io;
use std::net::{Ipv4Addr, TcpListener};

pub(crate) use self::postgres::Postgres;
pub(crate) use self::redis::Redis;
pub(crate) use self::s3::S3;

/// A port of 127.0.0.1 that was free a moment ago. Another process may take it first, so whoever uses it must be ready
/// to ask again.
fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_free_port_can_be_bound() {
        let port = free_port().expect("the loopback interface has free ports");
        assert_ne!(port, 0);
        TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("nobody else was given it");
    }
}
