//! A request as a span, and its parts.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use schema::{Clock, Timestamp};

use super::TraceContext;

/// A request that is being answered.
#[derive(Debug, Clone)]
pub struct Span(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    context: TraceContext,
    /// The caller's span.
    parent: Option<u64>,
    began: (Timestamp, Instant),
    /// None once it has ended: what is sent after an answer's beginning is no part any more.
    parts: Mutex<Option<Vec<Part>>>,
}

/// A part of it.
#[derive(Debug, Clone)]
pub struct Part {
    /// What was done.
    pub name: &'static str,
    /// When.
    pub began: Instant,
    /// For how long.
    pub took: Duration,
    /// What is said of it.
    pub attributes: Vec<Attribute>,
}

/// A name that others know, and a value.
pub type Attribute = (&'static str, Value);

/// What an attribute says.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A text.
    Text(String),
    /// A number.
    Whole(i64),
}

/// A request that was answered.
#[derive(Debug, Clone)]
pub struct Finished {
    /// Where it is in its trace.
    pub context: TraceContext,
    /// The caller's span.
    pub parent: Option<u64>,
    /// `POST /v1/features`.
    pub name: String,
    /// What is said of it.
    pub attributes: Vec<Attribute>,
    /// Whether the server failed.
    pub is_error: bool,
    /// When it came.
    pub began: Timestamp,
    /// As a machine's clock that is never set has it.
    pub began_at: Instant,
    /// How long it took.
    pub took: Duration,
    /// Its parts.
    pub parts: Vec<Part>,
}

/// Parts that one request has at most: many rows are many runs.
const PARTS_MAX: usize = 64;

impl Span {
    /// In the trace of a caller, or in one of its own.
    pub(super) fn new(caller: Option<TraceContext>, is_sampled: bool) -> Self {
        let parent = caller.as_ref().map(|caller| caller.span_id);
        let (trace_id, state) = caller.map_or_else(
            || (u128::from(random()) << 64 | u128::from(random()), String::new()),
            |of| (of.trace_id, of.state),
        );
        let context = TraceContext { trace_id, span_id: random(), is_sampled, state };
        let began = (Clock::wall(), Instant::now());
        Self(Arc::new(Inner { context, parent, began, parts: Mutex::new(Some(Vec::new())) }))
    }

    /// Where it is in its trace.
    pub fn context(&self) -> &TraceContext {
        &self.0.context
    }

    /// Whether it is sent to anybody.
    pub fn is_sampled(&self) -> bool {
        self.0.context.is_sampled
    }

    /// It has this part.
    pub(super) fn part(&self, part: Part) {
        let mut parts = self.0.parts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(parts) = parts.as_mut().filter(|parts| parts.len() < PARTS_MAX) {
            parts.push(part);
        }
    }

    pub(super) fn finished(&self, name: String, attributes: Vec<Attribute>, is_error: bool) -> Finished {
        let Inner { context, parent, began, parts } = &*self.0;
        let parts = parts.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_default();
        let (context, (began, began_at)) = (context.clone(), *began);
        Finished {
            context,
            parent: *parent,
            name,
            attributes,
            is_error,
            began,
            began_at,
            took: began_at.elapsed(),
            parts,
        }
    }
}

/// A number that nobody has; never zero, which is none.
pub(super) fn random() -> u64 {
    getrandom::u64().unwrap_or(1).max(1)
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Whole(number)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}
