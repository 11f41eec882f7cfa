//! `ModelStreamInfer`: requests as they come, answers in their order.

use std::sync::Arc;

use futures::stream::StreamExt;
use tonic::{Request, Status, Streaming};

use super::super::deadline::deadline;
use super::super::streaming::Answers;
use super::answer;
use crate::oip::messages::infer::{
    ModelInferRequest, ModelInferResponse, ModelStreamInferResponse, Parameter, ParameterChoice,
};
use crate::oip::options::Options;
use crate::oip::{Inference, Refusal};

/// Requests of one stream that are answered at once; more wait in the connection.
const AT_ONCE: usize = 16;

/// What is set on the last answer to a request where the client asks for it.
const FINAL: &str = "triton_final_response";

/// Answers each request. One that fails is a message that says why, or ends the stream where the client asks for that.
pub(super) fn answers(
    inference: Arc<Inference>,
    asked: Request<Streaming<ModelInferRequest>>,
) -> Answers<ModelStreamInferResponse> {
    let deadline = deadline(asked.metadata());
    let ends = asked.metadata().get("triton_grpc_error").is_some_and(|value| value.as_bytes() == b"true");
    let answering = asked.into_inner().map(move |asked| {
        let inference = Arc::clone(&inference);
        async move {
            let asked = asked?;
            let told = (asked.model_name.clone(), asked.model_version.clone(), asked.id.clone());
            let says_final = is_final_asked(&asked);
            match answer(&inference, asked, deadline).await {
                Ok(mut response) => {
                    if says_final {
                        let truth = Parameter { choice: Some(ParameterChoice::Bool(true)) };
                        response.parameters.insert(FINAL.to_owned(), truth);
                    }
                    Ok(ModelStreamInferResponse { error_message: String::new(), infer_response: Some(response) })
                }
                Err(refusal) if ends => Err(Status::from(refusal)),
                Err(refusal) => Ok(refused(told, refusal)),
            }
        }
    });
    // What comes after a failure that ends the stream is not sent.
    let answers = answering.buffered(AT_ONCE).scan(false, |ended, answer| {
        let goes_on = !std::mem::replace(ended, answer.is_err());
        std::future::ready(goes_on.then_some(answer))
    });
    answers.boxed()
}

fn is_final_asked(asked: &ModelInferRequest) -> bool {
    let parameters = asked.parameters.iter().filter_map(|(key, parameter)| match parameter.choice {
        Some(ParameterChoice::Bool(truth)) => Some((key.as_str(), crate::oip::options::Value::Bool(truth))),
        _ => None,
    });
    Options::read(parameters).is_ok_and(|options| options.final_response)
}

/// The request's own names are said with it, for answers of several are in one stream.
fn refused((model_name, model_version, id): (String, String, String), refusal: Refusal) -> ModelStreamInferResponse {
    let response = ModelInferResponse { model_name, model_version, id, ..ModelInferResponse::default() };
    ModelStreamInferResponse { error_message: refusal.message, infer_response: Some(response) }
}
