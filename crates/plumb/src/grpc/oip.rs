//! `inference.GRPCInferenceService`: the Open Inference Protocol over gRPC.
//!
//! Triton's stream, repository, configuration and statistics are there. What has to do with shared memory, traces and logs is not there and answers `UNIMPLEMENTED`.

mod stream;
mod tensors;

use std::future::ready;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use tonic::{Request, Status};

use super::deadline::deadline;
use super::frames::Frames;
use super::streaming::streaming_in;
use super::unary::{unary, unary_in};
use crate::oip::load::Load;
use crate::oip::messages::config::ModelConfigResponse;
use crate::oip::messages::infer::{ModelInferRequest, ModelInferResponse};
use crate::oip::messages::repository::{IndexRequest, IndexResponse, LoadRequest, ParameterChoice};
use crate::oip::messages::{Empty, Is, OfModel};
use crate::oip::{Inference, Refusal};

/// The service's name.
pub const SERVICE: &str = "inference.GRPCInferenceService";

/// The methods.
pub fn router(inference: Arc<Inference>) -> Router {
    let frames = Frames { bytes_max: Some(inference.bytes_max()), compressed: true };
    let mut router = Router::new();
    macro_rules! told {
        ($($name:literal => |$inference:ident, $asked:ident: $asks:ty| $answer:expr;)*) => {$(
            let service = Arc::clone(&inference);
            let method = move |$asked: $asks| {
                let $inference = &service;
                let answer = || -> Result<_, Refusal> { $answer };
                ready(answer().map_err(Status::from))
            };
            router = router.route(concat!("/inference.GRPCInferenceService/", $name), unary(method));
        )*};
    }
    told! {
        "ServerLive" => |_inference, _asked: Empty| Ok(Is { so: true });
        "ServerReady" => |inference, _asked: Empty| Ok(Is { so: inference.is_ready() });
        "ModelReady" => |inference, asked: OfModel| Ok(Is { so: inference.model(&asked.name, &asked.version).is_ok() });
        "ServerMetadata" => |inference, _asked: Empty| Ok(inference.server());
        "ModelMetadata" => |inference, asked: OfModel| inference.metadata(&asked.name, &asked.version);
        "ModelConfig" => |inference, asked: OfModel| {
            Ok(ModelConfigResponse { config: Some(inference.config(&asked.name, &asked.version)?) })
        };
        "ModelStatistics" => |inference, asked: OfModel| inference.statistics(&asked.name, &asked.version);
        "RepositoryIndex" => |inference, asked: IndexRequest| Ok(IndexResponse { models: inference.index(asked.ready) });
    }
    let (loading, unloading, answering) = (Arc::clone(&inference), Arc::clone(&inference), Arc::clone(&inference));
    router
        .route(
            "/inference.GRPCInferenceService/RepositoryModelLoad",
            unary_in(frames, move |asked| load(Arc::clone(&loading), asked)),
        )
        .route(
            "/inference.GRPCInferenceService/RepositoryModelUnload",
            unary_in(frames, move |asked| unload(Arc::clone(&unloading), asked)),
        )
        .route(
            "/inference.GRPCInferenceService/ModelInfer",
            unary_in(frames, move |asked| infer(Arc::clone(&answering), asked)),
        )
        .route(
            "/inference.GRPCInferenceService/ModelStreamInfer",
            streaming_in(frames, move |asked| ready(Ok(stream::answers(Arc::clone(&inference), asked)))),
        )
}

async fn load(inference: Arc<Inference>, asked: Request<LoadRequest>) -> Result<Empty, Status> {
    let LoadRequest { model_name, parameters, .. } = asked.into_inner();
    let parameters = parameters.iter().map(|(key, parameter)| {
        let text = match &parameter.choice {
            Some(ParameterChoice::String(text)) => Some(text.as_str()),
            _ => None,
        };
        (key.as_str(), text)
    });
    let load = Load::read(&model_name, parameters)?;
    inference.load(&model_name, load).await?;
    Ok(Empty {})
}

/// There are no models that depend on others, so `unload_dependents` has nothing to say.
async fn unload(inference: Arc<Inference>, asked: Request<LoadRequest>) -> Result<Empty, Status> {
    inference.unload(&asked.into_inner().model_name).await?;
    Ok(Empty {})
}

async fn infer(inference: Arc<Inference>, asked: Request<ModelInferRequest>) -> Result<ModelInferResponse, Status> {
    let deadline = deadline(asked.metadata());
    Ok(answer(&inference, asked.into_inner(), deadline).await?)
}

/// One request, answered.
async fn answer(
    inference: &Inference,
    asked: ModelInferRequest,
    deadline: Option<Instant>,
) -> Result<ModelInferResponse, Refusal> {
    let model = inference.model(&asked.model_name, &asked.model_version)?;
    let id = asked.id.clone();
    let request = tensors::request(asked, deadline)?;
    let answer = inference.infer(&model, request).await?;
    Ok(tensors::response(&model, id, answer))
}

#[cfg(test)]
mod tests;
