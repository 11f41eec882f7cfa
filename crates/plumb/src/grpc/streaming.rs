//! One method with a stream each way: messages in, messages out.

use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::extract::Request as HttpRequest;
use axum::routing::{MethodRouter, post};
use futures::stream::{BoxStream, StreamExt};
use prost::Message;
use tonic::codegen::Service;
use tonic::server::Grpc;
use tonic::{Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;

use super::attend::PROTOCOL;
use super::frames::Frames;
use crate::request_id::streamed;

/// What a method answers.
pub(super) type Answers<Answer> = BoxStream<'static, Result<Answer, Status>>;

/// A route that calls `method` with the messages as they come, each at most `bytes_max` long, and sends what it answers.
pub(super) fn streaming<Asked, Answer, Method, Answering>(method: Method, bytes_max: usize) -> MethodRouter
where
    Asked: Message + Default + 'static,
    Answer: Message + 'static,
    Method: Fn(Streaming<Asked>) -> Answering + Clone + Send + Sync + 'static,
    Answering: Future<Output = Result<Answers<Answer>, Status>> + Send + 'static,
{
    let frames = Frames { bytes_max: Some(bytes_max), compressed: false };
    streaming_in(frames, move |asked: Request<Streaming<Asked>>| method(asked.into_inner()))
}

/// A route whose frames are as `frames` says; `method` sees the metadata besides.
pub(super) fn streaming_in<Asked, Answer, Method, Answering>(frames: Frames, method: Method) -> MethodRouter
where
    Asked: Message + Default + 'static,
    Answer: Message + 'static,
    Method: Fn(Request<Streaming<Asked>>) -> Answering + Clone + Send + Sync + 'static,
    Answering: Future<Output = Result<Answers<Answer>, Status>> + Send + 'static,
{
    post(move |request: HttpRequest| {
        let call = Call(method.clone(), PhantomData);
        async move {
            let grpc = Grpc::new(ProstCodec::<Answer, Asked>::default());
            frames.of(grpc, request.headers()).streaming(call, request).await.map(Body::new)
        }
    })
}

/// A function as the service that tonic calls.
struct Call<Method, Answer>(Method, PhantomData<fn() -> Answer>);

impl<Asked, Answer, Method, Answering> Service<Request<Streaming<Asked>>> for Call<Method, Answer>
where
    Answer: Send + 'static,
    Method: Fn(Request<Streaming<Asked>>) -> Answering,
    Answering: Future<Output = Result<Answers<Answer>, Status>> + Send + 'static,
{
    type Response = Response<Answers<Answer>>;
    type Error = Status;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Status>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Streaming<Asked>>) -> Self::Future {
        let answering = (self.0)(request);
        Box::pin(async move { Ok(Response::new(streamed(PROTOCOL, answering.await?).boxed())) })
    }
}
