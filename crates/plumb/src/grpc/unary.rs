//! One method: a request in, an answer out.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::extract::Request as HttpRequest;
use axum::routing::{MethodRouter, post};
use prost::Message;
use tonic::codegen::Service;
use tonic::server::Grpc;
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

use super::frames::Frames;

/// A route that decodes a request, calls `method` and encodes what it answers.
pub(super) fn unary<Asked, Answer, Method, Answering>(method: Method) -> MethodRouter
where
    Asked: Message + Default + 'static,
    Answer: Message + 'static,
    Method: Fn(Asked) -> Answering + Clone + Send + Sync + 'static,
    Answering: Future<Output = Result<Answer, Status>> + Send + 'static,
{
    unary_in(Frames::default(), move |asked: Request<Asked>| method(asked.into_inner()))
}

/// A route whose frames are as `frames` says; `method` sees the metadata besides.
pub(super) fn unary_in<Asked, Answer, Method, Answering>(frames: Frames, method: Method) -> MethodRouter
where
    Asked: Message + Default + 'static,
    Answer: Message + 'static,
    Method: Fn(Request<Asked>) -> Answering + Clone + Send + Sync + 'static,
    Answering: Future<Output = Result<Answer, Status>> + Send + 'static,
{
    post(move |request: HttpRequest| {
        let call = Call(method.clone());
        async move {
            let grpc = Grpc::new(ProstCodec::<Answer, Asked>::default());
            frames.of(grpc, request.headers()).unary(call, request).await.map(Body::new)
        }
    })
}

/// A function as the service that tonic calls.
struct Call<Method>(Method);

impl<Asked, Answer, Method, Answering> Service<Request<Asked>> for Call<Method>
where
    Method: Fn(Request<Asked>) -> Answering,
    Answering: Future<Output = Result<Answer, Status>> + Send + 'static,
{
    type Response = Response<Answer>;
    type Error = Status;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Answer>, Status>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Asked>) -> Self::Future {
        let answering = (self.0)(request);
        Box::pin(async move { answering.await.map(Response::new) })
    }
}
