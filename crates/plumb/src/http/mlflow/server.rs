//! What a client asks of the server itself.

use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

/// The routes.
pub(super) fn router() -> Router {
    Router::new().route("/3.0/mlflow/server-info", get(server_info))
}

/// `GET /version`, outside the prefix. Ours: a client that finds it older than a call does not make the call, and the calls
/// that were added to MLflow since version 3.4 are of traces, which are not here.
pub(super) async fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}

/// Files are sent and fetched in one request each, through this server.
async fn server_info() -> Json<Value> {
    Json(json!({
        "store_type": "SqlStore",
        "workspaces_enabled": false,
        "trace_archival_enabled": false,
        "multipart_uploads_enabled": false,
        "multipart_downloads_enabled": false,
        "presigned_upload_run_id_supported": false,
        "presigned_upload_model_id_supported": false,
        "features_enabled": {},
    }))
}
