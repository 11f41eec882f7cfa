//! Reads a Redis that Feast fills, in place: nothing is copied, and nothing is ever written.
//!
//! What Feast leaves out is decided here as everywhere: a row older than the TTL is `OUTSIDE_MAX_AGE`, an entity without a
//! time is `NOT_FOUND`, a null is `NULL_VALUE`. Feast keeps one row of each entity, whose time it cuts to whole seconds: an
//! instant before it is refused, for nobody knows what was there. Layout and golden bytes are in
//! [`feast_redis`](crate::online::feast_redis).

use std::fmt;

use arrow::array::{Array, ArrayRef, new_empty_array};
use arrow::compute::concat;
use redis::{Cmd, Value as Reply};
use schema::definitions::{FeastRows, JoinKey};
use schema::{Dtype, EntityKey, FeatureView, Status, Timestamp, Value};

use super::config::RedisConfig;
use super::failed::Failed;
use super::node::Purpose;
use super::servers::{Keyed, Servers};
use crate::assemble::{ViewRows, status_at};
use crate::compiled::CompiledView;
use crate::erase::KeyMatch;
use crate::online::feast_redis::{
    decode_time, decode_value, entity_key, field, parse_entity_key, time_field, versioned,
};
use crate::online::guarded::Guard;
use crate::online::{Doing, OnlineError};
use crate::retrieve::RetrieveError;

const DAY: i64 = 86_400_000_000_000;

/// The Redis of a Feast project. Prints without passwords.
pub struct FeastRedis {
    servers: Servers,
    project: String,
    guard: Guard,
}

/// What a view is called there.
struct Fields {
    time: String,
    /// In the order of the view's stored features.
    features: Vec<[u8; 4]>,
}

/// Uses of views by the same keys: one command an entity.
struct Group<'a> {
    members: Vec<usize>,
    keys: &'a [ArrayRef],
    fields: Vec<Fields>,
}

impl FeastRedis {
    /// The Redis of Feast's `project`; it connects when it is asked.
    ///
    /// # Errors
    /// [`OnlineError::Settings`].
    pub fn new(config: &RedisConfig, project: &str) -> Result<Self, OnlineError> {
        Ok(Self { servers: Servers::new(config)?, project: project.to_owned(), guard: Guard::default() })
    }

    /// Whether it answers.
    ///
    /// # Errors
    /// Why it does not.
    pub async fn check(&self) -> Result<(), OnlineError> {
        let ask = async { self.servers.check().await.map_err(|failed| failed.while_doing(Doing::Opening)) };
        self.guard.call(|| Doing::Opening, ask).await
    }

    /// How many rows of a view there are by some keys. They are Feast's to remove.
    ///
    /// # Errors
    /// It cannot be asked.
    pub async fn count(&self, view: &FeatureView, keys: &KeyMatch) -> Result<u64, OnlineError> {
        let failed = |failed: Failed| failed.while_doing(Doing::Erasing);
        let time = time_field(&name_of(view));
        if let Some(key) = keys.exact() {
            // A key that Feast has no place for is nowhere.
            let Some(place) = self.place(view, key.parts()) else { return Ok(0) };
            return self.n_with(vec![place], &time).await.map_err(failed);
        }
        let mut found = 0;
        let mut scan = self.servers.scan(&[]).await.map_err(failed)?;
        while let Some(mut places) = scan.next().await.map_err(failed)? {
            places.retain(|place| self.key_at(view, place).is_some_and(|key| keys.matches(&key)));
            if !places.is_empty() {
                found += self.n_with(places, &time).await.map_err(failed)?;
            }
        }
        Ok(found)
    }

    /// At how many of these places there is a field.
    async fn n_with(&self, places: Vec<Vec<u8>>, field: &str) -> Result<u64, Failed> {
        let command = |place: Vec<u8>| {
            let slot = self.servers.slot_of(&place);
            let mut command = Cmd::new();
            command.arg("HEXISTS").arg(place).arg(field);
            Keyed { slot, command }
        };
        // The master is asked: a replica may be behind.
        let replies = self.servers.ask(Purpose::Write, places.into_iter().map(command).collect()).await?;
        let mut found = 0;
        for reply in replies {
            match reply {
                Reply::Int(there) => found += u64::from(there > 0),
                other => return Err(Failed::unexpected(self.servers.address(), &other)),
            }
        }
        Ok(found)
    }

    /// Where the row of a key is.
    fn place(&self, view: &FeatureView, parts: Vec<Value>) -> Option<Vec<u8>> {
        let keys = view.keys().iter().zip(parts);
        let parts: Vec<(&str, Dtype, Value)> = keys.map(|(key, value)| (key.name.as_str(), key.dtype, value)).collect();
        entity_key(&self.project, &parts).ok()
    }

    /// The key of a view whose row is at a place; `None` for another's.
    fn key_at(&self, view: &FeatureView, place: &[u8]) -> Option<EntityKey> {
        let (parts, project) = parse_entity_key(place).ok()?;
        if project != self.project || parts.len() != view.keys().len() {
            return None;
        }
        let column = |key: &JoinKey| {
            let (_, _, value) =
                parts.iter().find(|(name, dtype, _)| key.name.as_str() == name && key.dtype == *dtype)?;
            value.to_array(key.dtype, 1).ok()
        };
        let columns: Vec<ArrayRef> = view.keys().iter().map(column).collect::<Option<_>>()?;
        EntityKey::from_columns(&columns, 1).pop()?
    }

    /// The rows of some views of one entity, each by its own key columns of `n` rows, in one round trip.
    pub(crate) async fn read(
        &self,
        views: &[&CompiledView],
        keys: &[Vec<ArrayRef>],
        n: usize,
        as_of: Timestamp,
    ) -> Result<Vec<ViewRows>, RetrieveError> {
        let groups = groups(views, keys);
        let mut commands = Vec::with_capacity(n * groups.len());
        // For each group and row, the place of its reply; a null key is not asked for.
        let mut places: Vec<Vec<Option<usize>>> = Vec::with_capacity(groups.len());
        for group in &groups {
            let view = views[group.members[0]];
            let mut at = Vec::with_capacity(n);
            for row in 0..n {
                let key = self.key(view, group.keys, row);
                at.push(key.is_some().then_some(commands.len()));
                commands.extend(key.map(|key| self.lookup(key, &group.fields)));
            }
            places.push(at);
        }
        let n_keys = commands.len();
        let doing = || Doing::Reading { views: views.iter().map(|view| view.view.id.clone()).collect(), n_keys };
        let replies = if commands.is_empty() {
            Vec::new()
        } else {
            let ask =
                async { self.servers.ask(Purpose::Read, commands).await.map_err(|failed| failed.while_doing(doing())) };
            let failed = |source| RetrieveError::Online { service: "Feast's views".to_owned(), source };
            self.guard.call(doing, ask).await.map_err(failed)?
        };
        let mut rows: Vec<Option<ViewRows>> = views.iter().map(|_| None).collect();
        for (group, places) in groups.iter().zip(&places) {
            let mut start = 0;
            for (member, fields) in group.members.iter().zip(&group.fields) {
                let end = start + 1 + fields.features.len();
                let hashes = places.iter().map(|place| place.map(|place| &replies[place]));
                let view = views[*member];
                let mut reading = Reading::new(view, n);
                for hash in hashes {
                    let cells = match hash {
                        None => None,
                        Some(Reply::Array(cells)) if cells.len() >= end => Some(&cells[start..end]),
                        Some(other) => {
                            let failed = Failed::unexpected(self.servers.address(), other).while_doing(doing());
                            return Err(RetrieveError::Online { service: "Feast's views".to_owned(), source: failed });
                        }
                    };
                    reading.push(cells, as_of)?;
                }
                rows[*member] = Some(reading.finish()?);
                start = end;
            }
        }
        Ok(rows.into_iter().flatten().collect())
    }

    /// The key of a row; `None` for a null, and for a value that Feast has no key of.
    fn key(&self, view: &CompiledView, columns: &[ArrayRef], row: usize) -> Option<Vec<u8>> {
        let part = |(key, column): (&JoinKey, &ArrayRef)| {
            (!column.is_null(row)).then(|| (key.name.as_str().to_owned(), key.dtype, Value::at(column, row)))
        };
        // The names are the entity's, whatever the request calls them.
        let parts: Vec<(String, Dtype, Value)> =
            view.view.keys().iter().zip(columns).map(part).collect::<Option<_>>()?;
        let parts: Vec<(&str, Dtype, Value)> =
            parts.iter().map(|(name, dtype, value)| (name.as_str(), *dtype, value.clone())).collect();
        entity_key(&self.project, &parts).ok()
    }

    fn lookup(&self, key: Vec<u8>, fields: &[Fields]) -> Keyed {
        let slot = self.servers.slot_of(&key);
        let mut command = Cmd::new();
        command.arg("HMGET").arg(key);
        for view in fields {
            command.arg(&view.time);
            for feature in &view.features {
                command.arg(feature.as_slice());
            }
        }
        Keyed { slot, command }
    }
}

/// What a view is called in fields.
fn name_of(view: &FeatureView) -> String {
    let own = FeastRows::default();
    let named = view.definition.online.feast().unwrap_or(&own);
    versioned(named.view.as_deref().unwrap_or(view.id.name.as_str()), named.version)
}

fn groups<'a>(views: &[&CompiledView], keys: &'a [Vec<ArrayRef>]) -> Vec<Group<'a>> {
    let mut groups: Vec<Group<'a>> = Vec::new();
    for (i, view) in views.iter().enumerate() {
        let name = name_of(&view.view);
        let features = view.view.definition.features.iter().map(|f| field(&name, f.name.as_str())).collect();
        let fields = Fields { time: time_field(&name), features };
        match groups.iter_mut().find(|group| views[group.members[0]].keys == view.keys) {
            Some(group) => {
                group.members.push(i);
                group.fields.push(fields);
            }
            None => groups.push(Group { members: vec![i], keys: &keys[i], fields: vec![fields] }),
        }
    }
    groups
}

/// The rows of a view on their way into columns.
struct Reading<'a> {
    view: &'a CompiledView,
    statuses: Vec<Status>,
    event_times: Vec<Option<Timestamp>>,
    cells: Vec<Vec<ArrayRef>>,
    absent: Vec<Vec<bool>>,
}

impl<'a> Reading<'a> {
    fn new(view: &'a CompiledView, n: usize) -> Self {
        let n_features = view.view.definition.features.len();
        Self {
            view,
            statuses: Vec::with_capacity(n),
            event_times: Vec::with_capacity(n),
            cells: vec![Vec::with_capacity(n); n_features],
            absent: vec![Vec::with_capacity(n); n_features],
        }
    }

    /// Adds the row of one entity: the view's time, then its features. `None` is a key that was not asked for.
    fn push(&mut self, cells: Option<&[Reply]>, as_of: Timestamp) -> Result<(), RetrieveError> {
        let d = &self.view.view.definition;
        let time = match cells.and_then(<[Reply]>::first) {
            Some(Reply::BulkString(bytes)) => Some(decode_time(bytes).map_err(|why| self.wrong("its time", &why))?),
            Some(Reply::Nil) | None => None,
            Some(_) => return Err(self.wrong("its time", &"it is no text")),
        };
        if let Some(time) = time {
            let kept_from = if d.strict_before { time.next() } else { time };
            if kept_from > as_of {
                // The row that was there before is gone.
                return Err(RetrieveError::TooOld { view: self.view.view.id.clone(), kept_from, as_of });
            }
        }
        let status = time.map_or(Status::NotFound, |time| status_at(time, d.ttl, as_of));
        for (i, feature) in d.features.iter().enumerate() {
            let cell = cells.and_then(|cells| cells.get(i + 1)).filter(|_| status == Status::Present);
            let name = || format!("feature `{}`", feature.name);
            let value = match cell {
                Some(Reply::BulkString(bytes)) => decode_value(bytes).map_err(|why| self.wrong(&name(), &why))?,
                Some(Reply::Nil) | None => Value::Null,
                Some(_) => return Err(self.wrong(&name(), &"it is no text")),
            };
            let array = as_declared(&value, feature.dtype).map_err(|why| self.wrong(&name(), &why))?;
            self.cells[i].push(array);
            self.absent[i].push(matches!(cell, Some(Reply::Nil)));
        }
        self.statuses.push(status);
        self.event_times.push(time);
        Ok(())
    }

    fn finish(self) -> Result<ViewRows, RetrieveError> {
        let Self { view, statuses, event_times, cells, absent } = self;
        let join = |(cells, feature): (Vec<ArrayRef>, &schema::definitions::Feature)| {
            let cells: Vec<&dyn Array> = cells.iter().map(AsRef::as_ref).collect();
            match cells.as_slice() {
                [] => Ok(new_empty_array(&feature.dtype.to_arrow())),
                cells => concat(cells).map_err(|why| refused(view, why.to_string())),
            }
        };
        let stored = cells.into_iter().zip(&view.view.definition.features).map(join).collect::<Result<_, _>>()?;
        Ok(ViewRows { stored, statuses, event_times, absent })
    }

    fn wrong(&self, what: &str, why: &dyn fmt::Display) -> RetrieveError {
        refused(self.view, format!("{what}: {why}"))
    }
}

fn refused(view: &CompiledView, why: String) -> RetrieveError {
    RetrieveError::Feast { view: view.view.id.clone(), why }
}

/// A value that Feast wrote as a cell of the declared type; nothing is rounded.
fn as_declared(value: &Value, dtype: Dtype) -> Result<ArrayRef, String> {
    let wrong = || format!("{value} is not a value of {dtype}, as which it is declared");
    let value = match (value, dtype) {
        (Value::Timestamp(time), Dtype::Date) if time.as_nanos() % DAY == 0 => Value::Int(time.as_nanos() / DAY),
        (Value::Float(v), Dtype::Float32) => {
            #[expect(clippy::cast_possible_truncation, reason = "what changes by it is refused")]
            let narrow = *v as f32;
            if f64::from(narrow).to_bits() != v.to_bits() && !v.is_nan() {
                return Err(wrong());
            }
            value.clone()
        }
        (Value::String(_), Dtype::Decimal { .. } | Dtype::Json) => value.canonical(dtype)?,
        (value, _) => value.clone(),
    };
    value.to_array(dtype, 1).map_err(|_worse_words| wrong())
}

impl fmt::Debug for FeastRedis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FeastRedis(`{}`, `{}`)", self.servers.address(), self.project)
    }
}

#[cfg(test)]
mod tests;
