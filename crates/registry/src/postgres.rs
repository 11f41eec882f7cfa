//! What the log and the runs share of a PostgreSQL: its address, how a connection is made and what its faults mean, and
//! which tables of a schema are ours. Each project has one schema (docs/decisions/0063).

pub(crate) mod fault;
pub(crate) mod link;
pub(crate) mod tables;
mod tls;
mod url;

use std::time::Duration;

use crate::store::StoreError;
use fault::Place;
use link::Door;

pub use url::PostgresUrl;

/// The advisory lock of whoever makes tables. A number of nobody else: "plumbreg" as bytes.
pub(crate) const MAKING: i64 = 8_100_404_046_938_105_191;

/// Where a registry is, and how long to wait for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostgresConfig {
    /// The server and the database.
    pub url: PostgresUrl,
    /// The schema, where the address names none.
    pub schema: String,
    /// How long one call may take. A write whose connection broke may take as long once more, to find out about it.
    pub timeout: Duration,
}

impl PostgresConfig {
    /// How long a call may take, where nobody says: a write takes milliseconds, and a server restarts within seconds.
    pub const TIMEOUT: Duration = Duration::from_secs(5);

    /// What it is called for people, the schema, and the way in. Nothing is connected.
    pub(crate) fn ready(&self) -> Result<(Place, String, Door), StoreError> {
        let schema = self.url.schema.as_ref().unwrap_or(&self.schema);
        let mut shown = self.url.clone();
        shown.schema = Some(schema.clone());
        let place = Place { location: shown.to_string() };
        let settings = |problem| StoreError::Settings { location: place.location.clone(), problem };
        let schema = url::checked_schema(schema).map_err(settings)?;
        let door = Door::new(&self.url, self.timeout).map_err(settings)?;
        Ok((place, schema, door))
    }
}
