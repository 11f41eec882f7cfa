//! `arrow.flight.protocol.FlightService`, as Feast's SDK speaks it with `offline_store: {type: remote}`.
//!
//! Reading is one exchange: a command and a table come, a table goes. Features are joined by the same build as any other
//! training set. Writing is a put, into the history of a view. What is written is read to its end before anything is
//! refused: the client reads errors only when it has written everything.

mod aliases;
mod command;
mod fitted;
mod form;
pub mod messages;
mod sources;

use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use axum::Router;
use axum::body::Bytes;
use featurestore::push::To;
use featurestore::training::Options;
use futures::stream::{self, StreamExt, TryStreamExt};
use schema::{AppliedDefinitions, ErrorKind, FeatureView};
use tokio::time::timeout;
use tonic::{Code, Status, Streaming};

use super::streaming::{Answers, streaming};
use crate::failure::Failure;
use crate::feast::{Class, FeastError};
use crate::http::building::{
    Building, Form, MEMORY_BYTES, Order, PART_WITHIN, SPINE_BYTES_MAX, SpineRows, Time, decode, undone,
};
use crate::http::pusher::{self, Pusher};
use crate::http::services::{self, Reference};
use command::{Command, Historical, SourceText, Write};
use fitted::fitted;
use form::{END, FlightForm, stream_parts};
use messages::{FlightData, FlightDescriptor, PutResult};

/// What metrics call this protocol.
const PROTOCOL: &str = "flight";
/// How long an exchange waits for a place among the builds: the client does not try again.
const PATIENCE: Duration = Duration::from_secs(60);
/// The two kinds of calls, as messages name them.
const AN_EXCHANGE: &str = "an exchange";
const A_PUT: &str = "a put";
/// The one column of a table that stands for none.
const NO_TABLE: &str = "key";

/// Training sets and writes for Feast's SDK.
#[derive(Debug)]
pub struct Flight {
    project: String,
    building: Building,
    pusher: Pusher,
}

/// The methods.
pub fn router(flight: Arc<Flight>) -> Router {
    let exchange = {
        let flight = Arc::clone(&flight);
        move |asked| Arc::clone(&flight).exchange(asked)
    };
    let put = move |asked| Arc::clone(&flight).put(asked);
    Router::new()
        .route("/arrow.flight.protocol.FlightService/DoExchange", streaming(exchange, SPINE_BYTES_MAX))
        .route("/arrow.flight.protocol.FlightService/DoPut", streaming(put, SPINE_BYTES_MAX))
}

impl Flight {
    /// Answers in the name of `project`.
    pub fn new(project: String, building: Building, pusher: Pusher) -> Self {
        Self { project, building, pusher }
    }

    async fn exchange(self: Arc<Self>, mut asked: Streaming<FlightData>) -> Result<Answers<FlightData>, Status> {
        let (descriptor, first) = opened(&mut asked).await?;
        let answers = match Command::read(descriptor.as_ref()) {
            Ok(Command::GetHistoricalFeatures(wanted)) => self.historical(&wanted, first, asked).await,
            other => {
                drained(&mut asked).await?;
                other.and_then(|command| self.read(&command))
            }
        };
        answers.map_err(|why| status(&why))
    }

    async fn historical(
        &self,
        wanted: &Historical,
        first: FlightData,
        mut asked: Streaming<FlightData>,
    ) -> Result<Answers<FlightData>, FeastError> {
        let place = match self.building.place(PATIENCE).await {
            Ok(place) => place,
            Err(why) => {
                drained(&mut asked).await.map_err(|status| refusal(ErrorKind::Invalid, status.message()))?;
                return Err(why.into());
            }
        };
        let table = table(first, &mut asked).await?;
        self.is_ours(&wanted.project)?;
        let (service, names) = wanted.service(self.building.catalog().definitions(), &self.project)?;
        let spine = match (&wanted.entity_df_sql, table) {
            (Some(sql), _) => SpineRows::Sql(sql.clone()),
            (None, Some(parts)) => SpineRows::Ipc(parts),
            (None, None) => {
                let message = "There is no entity_df: send a frame, or a query over the sources as text. A training set \
                               has a row for each of its rows";
                return Err(refusal(ErrorKind::Invalid, message));
            }
        };
        let options = Options { names: Some(names), memory_bytes: MEMORY_BYTES, ..Options::default() };
        let order = Order { service, spine, time: Time::AsInFeast, options, fail_on_leakage: false };
        let pieces = self.building.start(PROTOCOL, place, order, FlightForm::default()).await?;
        let messages = stream::try_unfold(pieces, |mut pieces| async move {
            let piece = pieces.next().await.map_err(|why| {
                tracing::error!("a training set was broken off: {why}");
                status(&why.into())
            })?;
            let messages = |piece: Vec<FlightData>| stream::iter(piece.into_iter().map(Ok::<_, Status>));
            Ok::<_, Status>(piece.map(|piece| (messages(piece), pieces)))
        });
        Ok(messages.try_flatten().boxed())
    }

    fn read(&self, command: &Command) -> Result<Answers<FlightData>, FeastError> {
        match command {
            Command::GetTableColumnNamesAndTypesFromDataSource(source) => {
                let catalog = self.building.catalog();
                let columns = sources::columns(self.view_of(catalog.definitions(), source)?);
                let internal = |why: schema::BoxError| refusal(ErrorKind::Internal, &why.to_string());
                let columns = columns.map_err(|why| internal(why.into()))?;
                let mut form = FlightForm::default();
                let mut messages = form.begin(columns.schema_ref()).map_err(internal)?;
                messages.extend(form.rows(&columns).map_err(internal)?);
                Ok(stream::iter(messages.into_iter().map(Ok)).boxed())
            }
            Command::PullLatestFromTableOrQuery {} | Command::PullAllFromTableOrQuery {} => Err(refusal(
                ErrorKind::Invalid,
                "plumb does not hand out the rows of a source. Bring views online by store.materialize() with \
                 online_store: {type: remote}, or by `plumb materialize`; features as of any instant are there by \
                 get_historical_features",
            )),
            other => Err(other.misplaced(AN_EXCHANGE)),
        }
    }

    async fn put(self: Arc<Self>, mut asked: Streaming<FlightData>) -> Result<Answers<PutResult>, Status> {
        let (descriptor, first) = opened(&mut asked).await?;
        let done = match Command::read(descriptor.as_ref()) {
            Ok(Command::OfflineWriteBatch(write)) => self.write(&write, first, asked).await,
            other => {
                drained(&mut asked).await?;
                other.and_then(|command| self.other_put(&command))
            }
        };
        done.map_err(|why| status(&why))?;
        Ok(stream::empty().boxed())
    }

    async fn write(
        &self,
        write: &Write,
        first: FlightData,
        mut asked: Streaming<FlightData>,
    ) -> Result<(), FeastError> {
        // As many writes as builds: their rows are in memory too.
        let place = self.building.place(PATIENCE).await?;
        let nothing = || refusal(ErrorKind::Invalid, "There are no rows to write");
        let parts = table(first, &mut asked).await?.ok_or_else(nothing)?;
        let [name] = write.feature_view_names.as_slice() else {
            return Err(refusal(ErrorKind::Invalid, "A batch is written to one feature view"));
        };
        let view = self.pusher.find(name).map_err(|why| FeastError::unknown(&why, &self.project))?;
        let rows = tokio::task::block_in_place(|| decode(parts))
            .map_err(|why| refusal(ErrorKind::Invalid, &format!("The table is no Arrow stream: {why}")))?;
        // The client writes frames of pandas, and leaves no note of it.
        let (schema, batches) = undone(&rows.0, &rows.1, &sources::declared(&view)).map_err(Failure::from)?;
        let (wanted, declared) = (sources::own(&view, &schema), sources::declared(&view));
        let (mut first_row, mut fitting) = (0, Vec::with_capacity(batches.len()));
        for batch in &batches {
            let own = batch.project(&wanted).map_err(|why| refusal(ErrorKind::Internal, &why.to_string()))?;
            fitting.push(fitted(&own, &declared, first_row)?);
            first_row += own.num_rows();
        }
        for own in &fitting {
            for from in (0..own.num_rows()).step_by(pusher::ROWS_MAX) {
                let rows = own.slice(from, pusher::ROWS_MAX.min(own.num_rows() - from));
                self.pusher.push(&view, &rows, None, To::Offline).await?;
            }
        }
        drop(place);
        Ok(())
    }

    fn other_put(&self, command: &Command) -> Result<(), FeastError> {
        match command {
            Command::ValidateDataSource(source) => {
                self.view_of(self.building.catalog().definitions(), source)?;
                Ok(())
            }
            Command::Persist {} => Err(refusal(
                ErrorKind::Invalid,
                "plumb keeps no saved datasets. Keep what to_arrow() gives, or write a file by `plumb training-set \
                 build`, which can be made again",
            )),
            Command::WriteLoggedFeatures {} => {
                Err(refusal(ErrorKind::Invalid, "plumb logs what it predicts by itself, and takes no other logs"))
            }
            other => Err(other.misplaced(A_PUT)),
        }
    }

    fn is_ours(&self, project: &str) -> Result<(), FeastError> {
        if project == self.project {
            return Ok(());
        }
        let message = format!("Project {project} does not exist: this server has project `{}`", self.project);
        Err(FeastError { kind: ErrorKind::NotFound, class: Class::ProjectObjectNotFoundException, message })
    }

    /// The view whose rows, or whose pushes, a source stands for.
    fn view_of<'a>(
        &self,
        definitions: &'a AppliedDefinitions,
        source: &SourceText,
    ) -> Result<&'a FeatureView, FeastError> {
        let name = source.name().unwrap_or_default();
        sources::view_of(definitions, &name).ok_or_else(|| {
            let known = definitions.views.keys().map(|view| format!("{view}_rows")).collect::<Vec<_>>();
            let hint = schema::yaml::suggest(&name, known.iter().map(String::as_str));
            let message = format!("Data source {name} does not exist in project {}: {hint}", self.project);
            FeastError { kind: ErrorKind::NotFound, class: Class::DataSourceObjectNotFoundException, message }
        })
    }
}

impl Historical {
    /// The features that are asked for, ready to run, and what the answer calls them.
    fn service(
        &self,
        definitions: &AppliedDefinitions,
        project: &str,
    ) -> Result<(featurestore::CompiledService, Vec<String>), FeastError> {
        let aliases = self.aliases(definitions)?;
        let unknown = |why| FeastError::unknown(&why, project);
        let (mut references, mut names) = (Vec::new(), Vec::<String>::new());
        for text in &self.feature_refs {
            let named = Reference::parse(text).map_err(unknown)?;
            let name = if self.full_feature_names { named.full_name() } else { named.feature.clone() };
            if names.contains(&name) {
                return Err(FeastError::collision(&name, self.full_feature_names));
            }
            names.push(name);
            references.push(named);
        }
        if references.is_empty() {
            return Err(refusal(ErrorKind::Invalid, "No features specified for retrieval"));
        }
        Ok((services::named_as(definitions, &references, &aliases).map_err(unknown)?, names))
    }
}

impl Command {
    fn misplaced(&self, way: &str) -> FeastError {
        let hint = if way == A_PUT { ": Feast's client did so up to 0.66; use 0.67" } else { "" };
        refusal(ErrorKind::Invalid, &format!("{} is not asked for by {way}{hint}", self.name()))
    }
}

/// The first message: what the call is about, and the columns of the table that follows.
async fn opened(asked: &mut Streaming<FlightData>) -> Result<(Option<FlightDescriptor>, FlightData), Status> {
    let mut first = next(asked).await?.unwrap_or_default();
    Ok((first.descriptor.take(), first))
}

/// The next message, as long as they keep coming: a place among the builds is held meanwhile.
async fn next(asked: &mut Streaming<FlightData>) -> Result<Option<FlightData>, Status> {
    let late = |_| {
        let waited = PART_WITHIN.as_secs();
        Status::invalid_argument(format!("nothing of the table came for {waited} s: send it without pauses"))
    };
    timeout(PART_WITHIN, asked.message()).await.map_err(late)?
}

/// Reads what nobody needs.
async fn drained(asked: &mut Streaming<FlightData>) -> Result<(), Status> {
    let mut n_bytes = 0;
    while let Some(data) = next(asked).await? {
        n_bytes += data.n_bytes();
        if n_bytes > SPINE_BYTES_MAX {
            return Err(status(&too_large()));
        }
    }
    Ok(())
}

/// The table that follows, as an Arrow stream in parts; `None` for one that stands for none.
async fn table(first: FlightData, asked: &mut Streaming<FlightData>) -> Result<Option<Vec<Bytes>>, FeastError> {
    let mut n_bytes = first.n_bytes();
    let mut parts: Vec<Bytes> = stream_parts(first).into_iter().flatten().collect();
    let broken = |status: Status| refusal(ErrorKind::Invalid, &format!("The table broke off: {}", status.message()));
    while let Some(data) = next(asked).await.map_err(broken)? {
        n_bytes += data.n_bytes();
        if n_bytes > SPINE_BYTES_MAX {
            return Err(too_large());
        }
        parts.extend(stream_parts(data).into_iter().flatten());
    }
    let head = parts.iter().take(2).cloned().chain([END]).collect();
    let nothing = decode(head).is_ok_and(|(schema, _)| is_nothing(&schema));
    parts.push(END);
    Ok((!nothing).then_some(parts))
}

fn is_nothing(schema: &SchemaRef) -> bool {
    matches!(schema.fields().as_ref(), [only] if only.name() == NO_TABLE)
}

fn too_large() -> FeastError {
    let message = format!("The table is larger than {} MB: send it in several calls", SPINE_BYTES_MAX >> 20);
    refusal(ErrorKind::Invalid, &message)
}

fn refusal(kind: ErrorKind, message: &str) -> FeastError {
    FeastError { kind, class: Class::FeastError, message: message.to_owned() }
}

/// An error on the wire: the client looks for these two words, and raises what follows as its class.
fn status(error: &FeastError) -> Status {
    let code = match error.kind {
        ErrorKind::NotFound => Code::NotFound,
        ErrorKind::Denied => Code::PermissionDenied,
        ErrorKind::Invalid | ErrorKind::Conflict | ErrorKind::CheckFailed => Code::InvalidArgument,
        ErrorKind::Unavailable | ErrorKind::Overloaded | ErrorKind::Timeout => Code::Unavailable,
        ErrorKind::Internal => Code::Internal,
    };
    Status::new(code, format!("Flight error: {}", error.detail()))
}
