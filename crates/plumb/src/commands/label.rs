//! `plumb label ...`: what came of predictions, taken from files, listed, and joined with the prediction log.

use std::collections::HashMap;
use std::process::ExitCode;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Float64Type};
use featurestore::CompiledService;
use featurestore::retrieve::EntityRows;
use registry::Stage;
use schema::definitions::JoinKey;
use schema::error::chain;
use schema::yaml::suggest;
use schema::{BoxError, EntityKey, ErrorKind, FeatureName, ModelName, Timestamp};
use serde_json::{Value as Json, json};
use serving::labels::join::{JoinError, Wanted, join};
use serving::labels::{Added, Label, Labels, Of};
use transform::cast;
use uuid::Uuid;

use super::model::{model_named, version_named};
use crate::cli::{Format, LabelAddArgs, LabelCommand, LabelJoinArgs};
use crate::failure::Failure;
use crate::output;
use crate::predicting::answers::PREDICTION_ID;
use crate::predicting::file::{Input, Sink};
use crate::predicting::outcomes::Whose;
use crate::project::Project;

/// The column of times, unless another is named.
const AT: &str = "at";
/// Rows of a file that are kept at once.
const ROWS: usize = 10_000;

/// Runs one of the commands.
///
/// # Errors
/// What the command says.
pub async fn label(project: &Project, format: Format, command: &LabelCommand) -> Result<ExitCode, Failure> {
    match command {
        LabelCommand::Add(args) => add(project, format, args).await,
        LabelCommand::List => list(project, format),
        LabelCommand::Join(args) => joined(project, format, args),
    }
}

async fn add(project: &Project, format: Format, args: &LabelAddArgs) -> Result<ExitCode, Failure> {
    let name: FeatureName = args.label.parse().map_err(|why| Failure::invalid(format!("the label: {why}")))?;
    let outcomes = project.outcomes();
    let input = Input::open(&args.file, ROWS)?;
    let reading = Reading::find(project, args, &input)?;
    let bar = output::progress(input.n_rows, name.as_str());
    let (mut done, mut from) = (Added { new: 0, repeated: 0 }, 0);
    for batch in input.rows() {
        let within = |why: Failure| {
            bar.finish_and_clear();
            let message = format!("`{}`, in the rows from {from} on: {}", args.file.display(), why.message);
            Failure { message, ..why }.note(&format!("{} labels before are kept", done.new))
        };
        let batch = batch.map_err(within)?;
        let (labels, whose) = reading.labels(&name, &batch).map_err(within)?;
        let Added { new, repeated } = outcomes.add(labels, whose).await.map_err(within)?;
        (done.new, done.repeated, from) = (done.new + new, done.repeated + repeated, from + batch.num_rows());
        bar.set_position(from as u64);
    }
    bar.finish_and_clear();
    let json = json!({ "label": name, "labels": done.new, "repeated": done.repeated });
    output::answer(format, &json, || {
        format!("{} labels `{name}` taken, {} were there already\n", done.new, done.repeated)
    });
    Ok(ExitCode::SUCCESS)
}

/// How a file's rows are labels.
struct Reading {
    value: usize,
    at: Option<usize>,
    of: Columns,
}

enum Columns {
    Ids(usize),
    Keys { model: ModelName, compiled: Box<CompiledService>, keys: Vec<JoinKey>, places: Vec<usize> },
}

impl Reading {
    fn find(project: &Project, args: &LabelAddArgs, input: &Input) -> Result<Self, Failure> {
        let names = || input.schema.fields().iter().map(|field| field.name().as_str());
        let place = |name: &str| input.schema.column_with_name(name).map(|(at, _)| at);
        let needed = |name: &str, why: &str| {
            let message = format!("`{}` has no column `{name}`, {why}", args.file.display());
            place(name).ok_or_else(|| Failure::invalid(message).hint(suggest(name, names())))
        };
        let value = needed(&args.value, "of the values (--value)")?;
        let kind = input.schema.field(value).data_type();
        if !kind.is_numeric() && !matches!(kind, DataType::Boolean | DataType::Utf8 | DataType::LargeUtf8) {
            let message = format!("column `{}` is {}", args.value, cast::describe(kind));
            return Err(Failure::invalid(message).hint("a label is a number, a truth value or a text"));
        }
        let Some(model) = &args.model else {
            let ids = needed(PREDICTION_ID, "and no --model says whose entities it is of")?;
            let at = args.at.as_ref().map(|at| needed(at, "of the times (--at)")).transpose()?.or_else(|| place(AT));
            return Ok(Self { value, at, of: Columns::Ids(ids) });
        };
        let catalog = project.registry.catalog();
        let found = model_named(&catalog, model)?;
        let version = &version_named(found, Stage::Production.as_str())?.version;
        let servable = version.servable.as_ref().ok_or_else(|| {
            Failure::invalid(format!("model `{model}` has no feature service, and so no entities"))
                .hint("label its predictions by their ids")
        })?;
        let definitions = catalog.definitions();
        let service = definitions.service_by_fingerprint(servable.service.as_str(), &servable.service_fingerprint);
        let service = service.ok_or_else(|| Failure::new(ErrorKind::Conflict, "its feature service is not applied"))?;
        let compiled = CompiledService::new(service, definitions)?;
        let keys: Vec<JoinKey> = compiled.keys().into_iter().filter(|key| !key.is_constant()).cloned().collect();
        let places = keys.iter().map(|key| needed(key.name.as_str(), "a join key of the model"));
        let places = places.collect::<Result<_, _>>()?;
        let at = args.at.as_deref().unwrap_or(AT);
        let at = needed(at, "of the times: of an entity they decide which predictions a label is of (--at)")?;
        let compiled = Box::new(compiled);
        Ok(Self { value, at: Some(at), of: Columns::Keys { model: version.name.clone(), compiled, keys, places } })
    }

    fn labels(&self, name: &FeatureName, batch: &RecordBatch) -> Result<(Vec<Label>, Option<Whose>), Failure> {
        let n = batch.num_rows();
        let (of, whose) = match &self.of {
            Columns::Ids(at) => (ids(batch.column(*at))?, None),
            Columns::Keys { model, compiled, keys, places } => {
                let columns = keys.iter().zip(places).map(|(key, at)| {
                    cast::conform(batch.column(*at), key.dtype, None)
                        .map_err(|why| Failure::invalid(format!("column `{}`: {why}", key.name)))
                });
                let columns = columns.collect::<Result<Vec<_>, _>>()?;
                let null = || Failure::invalid("a row has a null key, which is nobody's").hint("leave the row out");
                let of = |key: Option<EntityKey>| {
                    Ok(Of::Entity { model: model.clone(), keys: keys.clone(), key: key.ok_or_else(null)? })
                };
                let of = EntityKey::from_columns(&columns, n).into_iter().map(of).collect::<Result<_, Failure>>()?;
                let columns = keys.iter().map(|key| key.name.to_string()).zip(columns).collect();
                (of, Some(Whose::of(compiled, EntityRows { n, columns })))
            }
        };
        let times = match self.at {
            None => vec![None; n],
            Some(at) => {
                let times = cast::times(batch.column(at), None)
                    .map_err(|why| Failure::invalid(format!("the column of times: {why}")))?;
                let null = || Failure::invalid("a row has no time").hint("leave the row out");
                let one = |time: Option<i64>| time.map(Timestamp::from_nanos).map(Some).ok_or_else(null);
                times.iter().map(one).collect::<Result<_, _>>()?
            }
        };
        let values = values(batch.column(self.value))?;
        let labels = of.into_iter().zip(times).zip(values);
        Ok((labels.map(|((of, at), value)| Label { name: name.clone(), of, at, value }).collect(), whose))
    }
}

fn ids(column: &ArrayRef) -> Result<Vec<Of>, Failure> {
    let wrong = || Failure::invalid("column `prediction_id` has what is no id").hint("take the ids of answers");
    let texts = arrow::compute::cast(column, &DataType::Utf8).map_err(|_type| wrong())?;
    let id =
        |text: Option<&str>| Uuid::try_parse(text.unwrap_or_default()).map(Of::Prediction).map_err(|_no_id| wrong());
    texts.as_string::<i32>().iter().map(id).collect()
}

fn values(column: &ArrayRef) -> Result<Vec<Json>, Failure> {
    let as_type = |to: &DataType| {
        arrow::compute::cast(column, to).map_err(|why| Failure::invalid(format!("the column of values: {why}")))
    };
    let values: Vec<Option<Json>> = match column.data_type() {
        DataType::Boolean => column.as_boolean().iter().map(|value| value.map(Json::from)).collect(),
        kind if kind.is_integer() => {
            let whole = as_type(&DataType::Int64)?;
            whole.as_primitive::<arrow::datatypes::Int64Type>().iter().map(|value| value.map(Json::from)).collect()
        }
        kind if kind.is_numeric() => {
            let numbers = as_type(&DataType::Float64)?;
            numbers.as_primitive::<Float64Type>().iter().map(|value| value.map(Json::from)).collect()
        }
        _ => {
            let texts = as_type(&DataType::Utf8)?;
            texts.as_string::<i32>().iter().map(|value| value.map(Json::from)).collect()
        }
    };
    let told = |value: Option<Json>| {
        value.filter(|value| !value.is_null()).ok_or_else(|| {
            Failure::invalid("a row has no value, or one that is no number")
                .hint("leave out rows that nothing is known of")
        })
    };
    values.into_iter().map(told).collect()
}

fn existing(project: &Project) -> Result<Option<Labels>, Failure> {
    Labels::existing(&project.config.predictions).map_err(|why| Failure::new(why.kind(), chain(&why)))
}

fn list(project: &Project, format: Format) -> Result<ExitCode, Failure> {
    let names = existing(project)?.map(|labels| labels.names()).transpose();
    let names = names.map_err(|why| Failure::new(why.kind(), chain(&why)))?.unwrap_or_default();
    let one = |named: &serving::labels::Named| {
        json!({
            "label": named.name, "of_predictions": named.of_predictions, "of_entities": named.of_entities, "last": named.last,
        })
    };
    let json = json!({ "labels": names.iter().map(one).collect::<Vec<_>>() });
    output::answer(format, &json, || {
        let rows = names.iter().map(|named| {
            let (by_id, by_entity) = (named.of_predictions.to_string(), named.of_entities.to_string());
            [named.name.clone(), by_id, by_entity, named.last.to_string()]
        });
        output::table(["LABEL", "OF PREDICTIONS", "OF ENTITIES", "LAST"], rows)
    });
    Ok(ExitCode::SUCCESS)
}

fn joined(project: &Project, format: Format, args: &LabelJoinArgs) -> Result<ExitCode, Failure> {
    let labels = existing(project)?;
    let known = labels.as_ref().map(Labels::names).transpose();
    let known = known.map_err(|why| Failure::new(why.kind(), chain(&why)))?.unwrap_or_default();
    let is_known = known.iter().any(|named| named.name == args.label);
    let Some(labels) = labels.filter(|_| is_known) else {
        let message = format!("there is no label `{}`", args.label.escape_debug());
        let hint = suggest(&args.label, known.iter().map(|named| named.name.as_str()));
        return Err(Failure::new(ErrorKind::NotFound, message).hint(hint));
    };
    let model = args.model.parse().map_err(|why| Failure::invalid(format!("the model: {why}")))?;
    let wanted = Wanted { model, label: args.label.clone(), window: args.within };
    let mut sink = Sink::begin(None, &args.to)?;
    let bar = output::counter(&args.model);
    let each = |batch: RecordBatch| {
        bar.inc(batch.num_rows() as u64);
        sink.write(&batch).map_err(|failure| BoxError::from(failure.message))
    };
    let (found, damaged) =
        join(&project.config.predictions, &labels, &wanted, each).map_err(|why| match &why {
            JoinError::Types { .. } => Failure::new(ErrorKind::Conflict, chain(&why)).hint(
                "service versions have the feature in other types: move the folder of the older one out of the prediction log",
            ),
            JoinError::Columns(_) => Failure::new(ErrorKind::Internal, chain(&why)),
            JoinError::Labels(_) | JoinError::Log(_) | JoinError::Sink(_) => {
                Failure::new(ErrorKind::Unavailable, chain(&why))
            }
        })?;
    bar.finish_and_clear();
    if found.predictions == 0 {
        let message = format!("no prediction of model `{}` is in the log", args.model.escape_debug());
        return Err(Failure::new(ErrorKind::NotFound, message).hint("predictions by entity keys are logged"));
    }
    sink.finish()?;
    let unread: Vec<String> = damaged.iter().map(|why| chain(why)).collect();
    let json: HashMap<&str, Json> = HashMap::from([
        ("predictions", json!(found.predictions)),
        ("by_prediction", json!(found.by_id)),
        ("by_entity", json!(found.by_entity)),
        ("unreadable", json!(unread)),
        ("output", json!(args.to)),
    ]);
    output::answer(format, &json!(json), || {
        let unread: String = unread.iter().map(|why| format!("not read: {why}\n")).collect();
        format!(
            "{unread}{} predictions to `{}`: {} with a label of their own, {} with one of their entity\n",
            found.predictions,
            args.to.display(),
            found.by_id,
            found.by_entity
        )
    });
    Ok(if unread.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
