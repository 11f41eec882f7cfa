//! Features through Redis: a pipeline of HMGET, floats cut out of the replies, columns as JSON.

use std::collections::HashMap;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::post;
use axum::{Json, Router};
use redis::aio::MultiplexedConnection;
use redis::{Client, IntoConnectionInfo as _, Pipeline};
use serde::ser::{SerializeMap as _, Serializer};
use serde::{Deserialize, Serialize};

use crate::{Failure, Options};

/// What plumb puts before an `int64` entity key: its format, and the tag of an integer.
const KEY_TAG: [u8; 2] = [1, b'i'];

#[derive(Debug)]
pub(crate) struct Reader {
    connection: MultiplexedConnection,
    /// `plumb:PROJECT:` and the tag.
    prefix: Vec<u8>,
    pub(crate) key: String,
    view: String,
    names: Vec<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Body {
    pub(crate) entities: HashMap<String, Vec<i64>>,
}

/// Columns of floats by name; a null is a key that is not there.
struct Columns<'a> {
    names: &'a [String],
    values: Vec<Vec<Option<f64>>>,
}

pub(crate) async fn router(options: &Options<'_>) -> Result<Router, Failure> {
    Ok(Router::new().route("/", post(features)).with_state(Arc::new(reader(options).await?)))
}

pub(crate) async fn reader(options: &Options<'_>) -> Result<Reader, Failure> {
    let info = options.required("redis")?.into_connection_info()?;
    let tcp = info.tcp_settings().clone().set_nodelay(true);
    let client = Client::open(info.set_tcp_settings(tcp))?;
    let mut prefix = format!("plumb:{{}}:{}:", options.get("project").unwrap_or("bench")).into_bytes();
    prefix.extend(KEY_TAG);
    Ok(Reader {
        connection: client.get_multiplexed_async_connection().await?,
        prefix,
        key: options.get("key").unwrap_or("k").to_owned(),
        view: options.get("view").unwrap_or("stats@v1").to_owned(),
        names: (0..options.number("columns", 10)?).map(|i: usize| format!("f{i}")).collect(),
    })
}

async fn features(
    State(reader): State<Arc<Reader>>,
    Json(body): Json<Body>,
) -> Result<impl IntoResponse, (StatusCode, String)> {
    let Some(keys) = body.entities.get(&reader.key) else {
        return Err((StatusCode::BAD_REQUEST, format!("`entities` lacks `{}`", reader.key)));
    };
    let answer = reader.read(keys).await.map_err(|why| (StatusCode::INTERNAL_SERVER_ERROR, why.to_string()))?;
    Ok(([(CONTENT_TYPE, "application/json")], answer))
}

impl Reader {
    async fn read(&self, keys: &[i64]) -> Result<Bytes, Failure> {
        let values = self.columns(keys).await?;
        Ok(serde_json::to_vec(&Columns { names: &self.names, values })?.into())
    }

    /// A column for each feature, a value for each key.
    pub(crate) async fn columns(&self, keys: &[i64]) -> Result<Vec<Vec<Option<f64>>>, Failure> {
        let mut lookups = Pipeline::with_capacity(keys.len());
        for key in keys {
            let mut place = self.prefix.clone();
            place.extend((key ^ i64::MIN).to_be_bytes());
            lookups.cmd("HMGET").arg(place).arg(&self.view);
        }
        let mut connection = self.connection.clone();
        let cells: Vec<(Option<Vec<u8>>,)> = lookups.query_async(&mut connection).await?;
        let mut values = vec![Vec::with_capacity(keys.len()); self.names.len()];
        for (cell,) in &cells {
            push(&mut values, cell.as_deref())?;
        }
        Ok(values)
    }
}

/// Bytes of a row's checksum, which stands behind its values.
const CHECK_BYTES: usize = 4;

/// A cell ends in its row's values, which are without nulls here: eight bytes a feature, little-endian; then the checksum.
fn push(columns: &mut [Vec<Option<f64>>], cell: Option<&[u8]>) -> Result<(), Failure> {
    let Some(cell) = cell else {
        columns.iter_mut().for_each(|column| column.push(None));
        return Ok(());
    };
    let values = 8 * columns.len();
    let start = cell.len().checked_sub(values + CHECK_BYTES).ok_or("a cell is shorter than its values")?;
    for (column, bytes) in columns.iter_mut().zip(cell[start..start + values].as_chunks::<8>().0) {
        column.push(Some(f64::from_le_bytes(*bytes)));
    }
    Ok(())
}

impl Serialize for Columns<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.names.len()))?;
        for (name, values) in self.names.iter().zip(&self.values) {
            map.serialize_entry(name, values)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_the_end_of_a_cell() {
        let mut columns = vec![Vec::new(); 2];
        let values = [1.5_f64, -0.0].map(f64::to_le_bytes).concat();
        let cell: Vec<u8> = [9; 42].into_iter().chain(values).chain([7; CHECK_BYTES]).collect();
        push(&mut columns, Some(&cell)).unwrap();
        push(&mut columns, None).unwrap();
        let answer = serde_json::to_string(&Columns { names: &["f0".into(), "f1".into()], values: columns }).unwrap();
        assert_eq!(answer, r#"{"f0":[1.5,null],"f1":[-0.0,null]}"#);
        assert!(push(&mut [Vec::new(), Vec::new()], Some(&[0; 15])).is_err());
    }
}
