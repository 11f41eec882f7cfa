//! `query: {time: 1h, rows: 1000000000, memory_mb: 2048}`: what one query may take, of a view or of a spine.

use std::time::Duration;

use featurestore::offline::query::QueryLimits;
use schema::Ttl;
use schema::yaml::{Fields, Mistake};

/// Reads `query`.
pub(super) fn read(fields: &mut Fields<'_>, mistakes: &mut Vec<Mistake>) -> QueryLimits {
    let usual = QueryLimits::default();
    let Some(node) = fields.optional("query") else { return usual };
    let mut inner = node.fields("the `query` setting", mistakes);
    let time = inner.optional("time").and_then(|node| node.parse(mistakes, Ttl::parse));
    let rows = inner.optional("rows").and_then(|node| {
        let said = node.setting(mistakes)?;
        let rows = said.parse().ok().filter(|n: &u64| *n > 0);
        if rows.is_none() {
            mistakes.push(node.expected("a number of rows"));
        }
        rows
    });
    let memory = inner.optional("memory_mb").and_then(|node| node.count(mistakes));
    inner.finish(mistakes);
    QueryLimits {
        memory_bytes: memory.map_or(usual.memory_bytes, |mb| (mb as usize).saturating_mul(1 << 20)),
        time: time.map_or(usual.time, |time| Duration::from_nanos(time.as_nanos().unsigned_abs())),
        rows: rows.unwrap_or(usual.rows),
    }
}
