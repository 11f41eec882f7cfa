//! Answers that were given before, for requests that are the same to the bit.
//!
//! The key is the first 128 bits of SHA-256 over what a request asks, so that nobody can make two requests that are taken for
//! one. A cache is of one version that is loaded: its file and its features are pinned, and with it goes the cache. Only of
//! versions whose answers were shown to depend on nothing but their row; failures are not kept. It turns itself off while it
//! costs more than it saves (docs/decisions/0106).

mod pays;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use quick_cache::Weighter;
use quick_cache::sync::Cache;
use ring::digest::{Context, SHA256};

use super::Asked;
use crate::onnx::Tensor;
use pays::{Judged, Pays};

/// What a request asks, in 128 bits.
pub(super) type Key = [u8; 16];

/// Answers of one version.
#[derive(Debug)]
pub(super) struct ResponseCache {
    answers: Cache<Key, Arc<[Tensor]>, Bytes>,
    pays: Mutex<Pays>,
    /// As `pays` says, without a lock.
    is_on: AtomicBool,
}

/// What a lookup gave.
#[derive(Debug)]
pub(super) enum Looked {
    /// The answer.
    Found(Arc<[Tensor]>),
    /// None; it may be kept by this key. The lookup took so long.
    Absent(Key, Duration),
}

/// Weighs answers by what they take.
#[derive(Debug, Clone)]
struct Bytes;

/// Requests of more rows are hardly the same again.
const ROWS_MAX: usize = 64;
/// What an entry takes beside its answer.
const ENTRY: usize = 96;

impl Weighter<Key, Arc<[Tensor]>> for Bytes {
    fn weight(&self, _key: &Key, answer: &Arc<[Tensor]>) -> u64 {
        let held: usize = answer.iter().map(|tensor| tensor.data.n_bytes_held() + size_of::<Tensor>()).sum();
        u64::try_from(held + ENTRY).unwrap_or(u64::MAX)
    }
}

impl ResponseCache {
    /// One that takes at most so many bytes.
    pub(super) fn of_bytes(bytes: usize) -> Self {
        let answers = Cache::with_weighter(bytes / 512 + 16, u64::try_from(bytes).unwrap_or(u64::MAX), Bytes);
        Self { answers, pays: Mutex::default(), is_on: AtomicBool::new(true) }
    }

    /// Looks for an answer; nothing where none would be kept. A run of this request would take `takes`.
    pub(super) fn look(&self, asked: &Asked, takes: impl FnOnce() -> Option<Duration>) -> Option<Looked> {
        if asked.rows == 0 || asked.rows > ROWS_MAX {
            return None;
        }
        let began = Instant::now();
        if !self.is_on.load(Ordering::Relaxed) {
            // Whoever finds it looked at goes on without it.
            let is_on = self.pays.try_lock().is_ok_and(|mut pays| pays.is_on(began));
            self.is_on.store(is_on, Ordering::Relaxed);
            if !is_on {
                return None;
            }
        }
        let key = key(asked);
        let found = self.answers.get(&key);
        let took = began.elapsed();
        match found {
            Some(answer) => {
                self.judge(began, took, Some(takes().unwrap_or_default()));
                Some(Looked::Found(answer))
            }
            None => Some(Looked::Absent(key, took)),
        }
    }

    /// Keeps an answer that was not found, after a lookup that took so long.
    pub(super) fn keep(&self, key: Key, looked: Duration, answer: &[Tensor]) {
        let began = Instant::now();
        if self.is_on() {
            self.answers.insert(key, answer.into());
            self.judge(began, looked + began.elapsed(), None);
        }
    }

    /// There was no answer to keep, after a lookup that took so long.
    pub(super) fn missed(&self, looked: Duration) {
        self.judge(Instant::now(), looked, None);
    }

    fn judge(&self, now: Instant, cost: Duration, saved: Option<Duration>) {
        let is_filling = || self.answers.weight() < self.answers.capacity() / 10 * 9;
        let judged = self.pays.lock().unwrap_or_else(PoisonError::into_inner).looked_up(now, cost, saved, is_filling);
        if judged == Judged::Off {
            self.is_on.store(false, Ordering::Relaxed);
        }
    }

    /// Whether anything is looked up.
    pub(super) fn is_on(&self) -> bool {
        self.is_on.load(Ordering::Relaxed)
    }
}

/// Everything that an answer depends on: inputs are in the model's order, and each says its datatype, its shape and its bytes.
fn key(asked: &Asked) -> Key {
    let mut digest = Context::new(&SHA256);
    let length = |digest: &mut Context, n: usize| digest.update(&(n as u64).to_le_bytes());
    length(&mut digest, asked.outputs.len());
    asked.outputs.iter().for_each(|at| length(&mut digest, *at));
    for input in &asked.inputs {
        digest.update(input.data.datatype().as_str().as_bytes());
        length(&mut digest, input.shape.len());
        input.shape.iter().for_each(|dim| digest.update(&dim.to_le_bytes()));
        input.data.bytes(|bytes| digest.update(bytes));
    }
    let digest = digest.finish();
    let mut key = Key::default();
    key.copy_from_slice(&digest.as_ref()[..size_of::<Key>()]);
    key
}

#[cfg(test)]
mod tests;
