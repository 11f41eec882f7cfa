//! A walk over all keys of a project, server by server.

use redis::{Pipeline, Value};

use super::address::Address;
use super::failed::Failed;
use super::servers::Servers;

/// Keys that a server looks at in one step: its other clients wait for it.
const KEYS_PER_STEP: usize = 1_000;

/// A walk that has come to some place. Keys that are there from its start to its end are met, some more than once; a key
/// whose slot moves to a server that was walked already may be missed.
pub(super) struct Scan<'s> {
    servers: &'s Servers,
    pattern: Vec<u8>,
    /// Masters of a cluster that are still to be walked, or the one server.
    left: Vec<Option<Address>>,
    cursor: Vec<u8>,
}

impl<'s> Scan<'s> {
    /// Over the keys that start with `prefix`.
    pub(super) fn new(servers: &'s Servers, prefix: &[u8], left: Vec<Option<Address>>) -> Self {
        let mut pattern = escaped(prefix);
        pattern.push(b'*');
        Self { servers, pattern, left, cursor: b"0".to_vec() }
    }

    /// Some more keys, which may be none; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<Vec<u8>>>, Failed> {
        let Some(server) = self.left.last() else { return Ok(None) };
        let mut step = Pipeline::new();
        step.cmd("SCAN").arg(&self.cursor).arg("MATCH").arg(&self.pattern).arg("COUNT").arg(KEYS_PER_STEP);
        let replies = self.servers.ask_server(server.as_ref(), step).await?;
        let (next, keys) = read(&replies)
            .ok_or_else(|| Failed::unexpected(self.servers.address(), replies.first().unwrap_or(&Value::Nil)))?;
        if next == b"0" {
            self.left.pop();
        }
        self.cursor = next;
        Ok(Some(keys))
    }
}

/// A text that a pattern matches as it is.
fn escaped(text: &[u8]) -> Vec<u8> {
    let mut pattern = Vec::with_capacity(text.len() + 1);
    for byte in text {
        if matches!(byte, b'*' | b'?' | b'[' | b']' | b'^' | b'-' | b'\\') {
            pattern.push(b'\\');
        }
        pattern.push(*byte);
    }
    pattern
}

/// The next cursor and the keys of a reply.
fn read(replies: &[Value]) -> Option<(Vec<u8>, Vec<Vec<u8>>)> {
    let bytes = |value: &Value| match value {
        Value::BulkString(bytes) => Some(bytes.clone()),
        _ => None,
    };
    let [Value::Array(parts)] = replies else { return None };
    let [cursor, Value::Array(keys)] = parts.as_slice() else { return None };
    Some((bytes(cursor)?, keys.iter().map(bytes).collect::<Option<_>>()?))
}
