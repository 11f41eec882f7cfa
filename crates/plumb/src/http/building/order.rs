//! What is to be built: a service and a spine, however a request names and brings them.

use arrow::array::RecordBatch;
use arrow::buffer::Buffer;
use arrow::datatypes::{DataType, Schema, SchemaRef};
use arrow::error::ArrowError;
use axum::body::Bytes;
use featurestore::ipc::{Limits, read_stream};
use featurestore::training::Options;
use featurestore::training::spine::Spine;
use featurestore::{CompiledService, OfflineError, OfflineStore};
use schema::{AppliedDefinitions, Dtype};

use super::{SPINE_BYTES_MAX, pandas};
use crate::failure::Failure;
use crate::http::services::{self, Reference};

/// What messages call a spine that came with a request.
const NAME: &str = "of the request";
/// What Feast calls the column of the instants.
const FEASTS: &str = "event_timestamp";

/// What the rows of a request may take, unfolded: four times of what may be sent.
const PLAIN_BYTES_MAX: u64 = 4 * SPINE_BYTES_MAX as u64;

/// A training set that somebody wants.
#[derive(Debug)]
pub struct Order {
    /// The features.
    pub service: CompiledService,
    /// Who, when and whatever else.
    pub spine: SpineRows,
    /// The column of the instants.
    pub time: Time,
    /// How.
    pub options: Options,
    /// Whether nothing of it is sent before it was judged, and none of what leaks.
    pub fail_on_leakage: bool,
}

/// Which column of a spine has the instants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Time {
    /// The named one; `event_time` or `event_timestamp` if none is.
    Named(Option<String>),
    /// `event_timestamp`, or the only one of times.
    AsInFeast,
}

/// A spine as a request brings it.
#[derive(Debug)]
pub enum SpineRows {
    /// Rows in memory.
    Rows(SchemaRef, Vec<RecordBatch>),
    /// An Arrow IPC stream, in parts as they came.
    Ipc(Vec<Bytes>),
    /// A query over the applied sources.
    Sql(String),
}

impl SpineRows {
    /// Opens the spine: everything but a query's rows is read then.
    ///
    /// # Errors
    /// [`OfflineError::Spine`] for what is no spine.
    pub(super) async fn open(
        self,
        time: &Time,
        service: &CompiledService,
        store: &OfflineStore,
        definitions: &AppliedDefinitions,
    ) -> Result<Spine, OfflineError> {
        let (schema, batches) = match self {
            Self::Rows(schema, batches) => (schema, batches),
            Self::Ipc(parts) => {
                let (schema, batches) = decode(parts).map_err(|why| {
                    refuse(format!("it is no Arrow stream: {why}"), "write it with pyarrow, without compression")
                })?;
                if pandas::had(&schema) {
                    pandas::undone(&schema, &batches, &needed(service))?
                } else {
                    (schema, batches)
                }
            }
            Self::Sql(sql) => return Spine::query(NAME, &sql, time.named(), store, definitions).await,
        };
        let column = time.of(&schema)?;
        Spine::of_batches(NAME, schema, batches, column.as_deref())
    }
}

impl Time {
    fn named(&self) -> Option<&str> {
        match self {
            Self::Named(name) => name.as_deref(),
            Self::AsInFeast => None,
        }
    }

    /// The column of a spine whose columns are known.
    fn of(&self, schema: &Schema) -> Result<Option<String>, OfflineError> {
        match self {
            Self::Named(name) => return Ok(name.clone()),
            Self::AsInFeast if schema.column_with_name(FEASTS).is_some() => return Ok(Some(FEASTS.to_owned())),
            Self::AsInFeast => {}
        }
        let fields = schema.fields().iter();
        let times: Vec<&str> = fields
            .filter(|field| matches!(field.data_type(), DataType::Timestamp(_, _)))
            .map(|field| field.name().as_str())
            .collect();
        match times.as_slice() {
            [one] => Ok(Some((*one).to_owned())),
            [] => {
                Err(refuse(format!("it has no column `{FEASTS}`, and no other of times"), "name each row's instant so"))
            }
            many => Err(refuse(
                format!("it has no column `{FEASTS}`, and several of times: {}", schema::yaml::list(many)),
                "call the one of the rows' instants so",
            )),
        }
    }
}

pub(super) fn refuse(why: String, hint: &str) -> OfflineError {
    OfflineError::Spine { what: format!("spine `{NAME}`"), why, hint: hint.to_owned() }
}

/// What a service needs of a spine beside the time: names and types.
pub fn needed(service: &CompiledService) -> Vec<(String, Dtype)> {
    let keys = service.keys().into_iter().map(|key| (key.name.to_string(), key.dtype));
    keys.chain(service.fields.iter().map(|field| (field.name.to_string(), field.dtype))).collect()
}

/// The rows of an Arrow IPC stream. They stay where they are in memory.
///
/// # Errors
/// It is none; it is compressed, or stands for much more than it is.
pub fn decode(parts: Vec<Bytes>) -> Result<(SchemaRef, Vec<RecordBatch>), ArrowError> {
    let limits = Limits { plain_bytes: PLAIN_BYTES_MAX, compressed: false };
    read_stream(parts.into_iter().map(Buffer::from).collect(), &limits)
}

/// What requests name: a service, at a version or the current one, or some features.
pub type Wanted<'w> = (Option<&'w str>, Option<&'w [String]>);

/// The service that a request names, or one of the features that it names, ready to run.
///
/// # Errors
/// Unknown names; neither or both; two features of one name.
pub fn compiled(definitions: &AppliedDefinitions, wanted: Wanted<'_>) -> Result<CompiledService, Failure> {
    match wanted {
        (Some(name), None) => {
            // A service is named as a view is.
            let Reference { view: name, version, .. } = Reference::whole(name);
            Ok(match version {
                Some(version) => services::versioned(definitions, &name, version)?,
                None => services::declared(definitions, &name)?,
            })
        }
        (None, Some(references)) if !references.is_empty() => {
            let references = references.iter().map(|text| Reference::parse(text)).collect::<Result<Vec<_>, _>>()?;
            let compiled = services::named(definitions, &references)?;
            services::no_collision(&compiled)?;
            Ok(compiled)
        }
        _ => Err(Failure::invalid("the request must name one `service`, or some `features`, and not both")
            .code("no_features")
            .hint("send \"service\": \"name\" or \"features\": [\"view:feature\"]")),
    }
}
