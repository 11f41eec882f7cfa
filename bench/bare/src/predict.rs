//! Predictions: rows out of JSON, one run on a session that nobody else holds, outputs as JSON.

use std::path::Path;
use std::sync::{Arc, Mutex, TryLockError};

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use ort::environment::Environment;
use ort::session::Session;
use ort::value::{DynValue, TensorElementType, TensorRef};
use serde::{Deserialize, Serialize};

use crate::{Failure, Options};

/// As many as the runtime has workers; a run never waits inside, so a worker always finds one free.
pub(crate) type Sessions = Arc<[Mutex<Session>]>;

#[derive(Debug, Deserialize)]
struct Rows {
    inputs: Vec<Vec<f32>>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Answer {
    outputs: Vec<Output>,
}

#[derive(Debug, Serialize)]
struct Output {
    name: String,
    data: Data,
}

/// What a classifier gives: labels and probabilities, row by row.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Data {
    Integers(Vec<i64>),
    Floats(Vec<f32>),
}

pub(crate) fn router(options: &Options<'_>) -> Result<Router, Failure> {
    Ok(Router::new().route("/", post(predict)).with_state(loaded(options)?))
}

pub(crate) fn loaded(options: &Options<'_>) -> Result<Sessions, Failure> {
    let library = std::env::var_os("ORT_DYLIB_PATH").ok_or("ORT_DYLIB_PATH does not name ONNX Runtime's library")?;
    // Not `?` into `ort::Error`: making one calls into the library that has just failed to open.
    let environment = ort::init_from(Path::new(&library)).map_err(|why| why.to_string())?.build()?;
    let n_sessions = std::thread::available_parallelism().map_or(1, usize::from);
    Ok(sessions(&environment, options.required("model")?, n_sessions)?)
}

fn sessions(environment: &Environment, model: &str, n_sessions: usize) -> ort::Result<Sessions> {
    let mut builder = Session::builder(environment)?.with_intra_threads(1)?.with_inter_threads(1)?;
    (0..n_sessions).map(|_| builder.commit_from_file(model).map(Mutex::new)).collect()
}

/// The run stays on the request's worker: it is shorter than a hop to another thread.
async fn predict(
    State(sessions): State<Sessions>,
    Json(rows): Json<Rows>,
) -> Result<Json<Answer>, (StatusCode, String)> {
    run(&sessions, &rows.inputs).map(Json).map_err(|why| (StatusCode::INTERNAL_SERVER_ERROR, why.to_string()))
}

pub(crate) fn run(sessions: &[Mutex<Session>], rows: &[Vec<f32>]) -> Result<Answer, Failure> {
    let width = rows.first().map_or(0, Vec::len);
    if rows.iter().any(|row| row.len() != width) {
        return Err("the rows differ in length".into());
    }
    let matrix = rows.concat();
    let input = TensorRef::from_array_view(([rows.len(), width], matrix.as_slice()))?;
    let free = sessions.iter().find_map(|session| match session.try_lock() {
        Ok(session) => Some(session),
        Err(TryLockError::Poisoned(session)) => Some(session.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    });
    let mut session = free.ok_or("every session is taken: there are more workers than sessions")?;
    let answers = session.run(ort::inputs![input])?;
    let outputs = answers.iter().map(|(name, value)| Ok(Output { name: name.to_owned(), data: copy(&value)? }));
    Ok(Answer { outputs: outputs.collect::<Result<_, Failure>>()? })
}

fn copy(value: &DynValue) -> Result<Data, Failure> {
    match value.data_type() {
        TensorElementType::Int64 => Ok(Data::Integers(value.try_extract_tensor::<i64>()?.1.to_vec())),
        TensorElementType::Float32 => Ok(Data::Floats(value.try_extract_tensor::<f32>()?.1.to_vec())),
        other => Err(format!("an output has elements of type {other}").into()),
    }
}
