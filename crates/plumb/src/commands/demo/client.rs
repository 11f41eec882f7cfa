//! The demo's HTTP client: what a user's curl would send.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use schema::ErrorKind;
use serde_json::{Value as Json, json};

use crate::failure::Failure;

fn failed(url: &str, why: impl std::fmt::Display) -> Failure {
    Failure::new(ErrorKind::CheckFailed, format!("asking {url}: {why}"))
}

pub(super) fn get(url: &str) -> Result<Json, Failure> {
    let mut response = ureq::get(url).call().map_err(|why| failed(url, why))?;
    response.body_mut().read_json().map_err(|why| failed(url, why))
}

pub(super) fn predict(url: &str, model: &str, users: &[Json]) -> Result<Json, Failure> {
    let url = format!("{url}/v1/models/{model}/predict");
    let body = json!({ "entities": { "user_id": users } });
    let mut response = ureq::post(&url).send_json(&body).map_err(|why| failed(&url, why))?;
    response.body_mut().read_json().map_err(|why| failed(&url, why))
}

/// Asks until `done`; how many requests that took. Any failed request is an error.
pub(super) fn while_not(done: &AtomicBool, url: &str, model: &str, users: &[Json]) -> Result<usize, Failure> {
    let mut asked = 0;
    while !done.load(Ordering::SeqCst) {
        predict(url, model, users)?;
        asked += 1;
    }
    Ok(asked)
}

/// Asks until `version` answers; how many requests that took, and how long. Any failed request is an error.
pub(super) fn until_version(
    url: &str,
    model: &str,
    users: &[Json],
    version: u32,
    within: Duration,
) -> Result<(usize, Duration), Failure> {
    let started = Instant::now();
    let mut asked = 0;
    loop {
        let answer = predict(url, model, users)?;
        asked += 1;
        if answer["version"] == version {
            return Ok((asked, started.elapsed()));
        }
        if started.elapsed() > within {
            let message = format!("version {version} does not answer within {} ms", within.as_millis());
            return Err(Failure::new(ErrorKind::CheckFailed, message));
        }
    }
}
