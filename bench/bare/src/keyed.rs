//! Predictions by key: one HMGET, one run.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};

use crate::features::{self, Body, Reader};
use crate::predict::{self, Answer, Sessions};
use crate::{Failure, Options};

struct Keyed {
    reader: Reader,
    sessions: Sessions,
}

pub(crate) async fn router(options: &Options<'_>) -> Result<Router, Failure> {
    let keyed = Keyed { reader: features::reader(options).await?, sessions: predict::loaded(options)? };
    Ok(Router::new().route("/", post(predict_by_key)).with_state(Arc::new(keyed)))
}

async fn predict_by_key(
    State(keyed): State<Arc<Keyed>>,
    Json(body): Json<Body>,
) -> Result<Json<Answer>, (StatusCode, String)> {
    keyed.answer(&body).await.map(Json).map_err(|why| (StatusCode::INTERNAL_SERVER_ERROR, why.to_string()))
}

impl Keyed {
    async fn answer(&self, body: &Body) -> Result<Answer, Failure> {
        let keys = body.entities.get(&self.reader.key).ok_or("`entities` lacks the key")?;
        let columns = self.reader.columns(keys).await?;
        #[expect(clippy::cast_possible_truncation, reason = "the model takes FP32")]
        let row = |at: usize| columns.iter().map(|column| column[at].map_or(f32::NAN, |value| value as f32)).collect();
        let rows: Vec<Vec<f32>> = (0..keys.len()).map(row).collect();
        predict::run(&self.sessions, &rows)
    }
}
