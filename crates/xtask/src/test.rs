//! `cargo xtask test`: the whole suite, on the embedded stores, and on a redis-server, a PostgreSQL and an S3 server of its own.

use std::ffi::OsString;

use crate::failure::Failure;
use crate::services::{Postgres, Redis, S3};
use crate::workspace::Workspace;
use crate::{apt, process, setup};

pub(crate) fn run(workspace: &Workspace, args: Vec<OsString>) -> Result<(), Failure> {
    let library = setup::ready(workspace)?;
    // The README's tour, which a test runs as printed, asks with curl.
    if process::on_path("curl").is_none() {
        apt::install("curl", &["curl"])?;
    }
    let redis = Redis::start()?;
    eprintln!("redis-server of this run: {}", redis.url());
    let postgres = Postgres::start()?;
    eprintln!("PostgreSQL of this run: {}", postgres.url());
    let s3 = S3::start(workspace)?;
    eprintln!("S3 server of this run: {}", s3.url());
    let mut cargo = workspace.cargo("test");
    if !names_packages(&args) {
        cargo.arg("--workspace");
    }
    cargo.arg("--no-fail-fast").args(args);
    cargo.env("PLUMB_TEST_REDIS", redis.url()).env("PLUMB_TEST_POSTGRES", postgres.url());
    cargo.env("PLUMB_TEST_S3", s3.url());
    cargo.env("ORT_DYLIB_PATH", library);
    process::run(&mut cargo)
}

/// Whether the arguments choose packages: beside `--workspace` cargo would run them all.
fn names_packages(args: &[OsString]) -> bool {
    args.iter().take_while(|arg| *arg != "--").any(|arg| {
        let arg = arg.to_string_lossy();
        arg.starts_with("-p") || arg == "--package" || arg.starts_with("--package=")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_named_before_the_dashes() {
        let check = |args: &str, expected: bool| {
            let args: Vec<OsString> = args.split_whitespace().map(OsString::from).collect();
            assert_eq!(names_packages(&args), expected);
        };
        check("", false);
        check("point_in_time -- --nocapture", false);
        check("-p schema", true);
        check("-pschema", true);
        check("--package schema", true);
        check("--package=schema", true);
        check("--profile release", false);
        check("-- -p", false);
    }
}
