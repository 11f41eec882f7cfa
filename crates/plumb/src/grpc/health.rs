//! `grpc.health.v1.Health`: what load balancers and Kubernetes ask. `Watch` is not there; its clients then poll `Check`.

use std::future::ready;
use std::sync::Arc;

use axum::Router;
use prost::{Enumeration, Message};
use tonic::Status;

use super::unary::unary;
use super::{feast, oip};
use crate::http::health::Readiness;

/// Which service is asked for; the whole server if none is named.
#[derive(Clone, PartialEq, Eq, Message)]
struct HealthCheckRequest {
    #[prost(string, tag = "1")]
    service: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Message)]
struct HealthCheckResponse {
    #[prost(enumeration = "State", tag = "1")]
    status: i32,
}

/// `SERVING` and `NOT_SERVING` of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Enumeration)]
#[repr(i32)]
enum State {
    Unknown = 0,
    Up = 1,
    Down = 2,
}

/// The method.
pub fn router(readiness: Arc<Readiness>) -> Router {
    let check = move |asked: HealthCheckRequest| ready(check(&asked.service, &readiness));
    Router::new().route("/grpc.health.v1.Health/Check", unary(check))
}

fn check(service: &str, readiness: &Readiness) -> Result<HealthCheckResponse, Status> {
    let serving = match service {
        // The registry's answers need no model.
        feast::SERVICE => true,
        "" | oip::SERVICE => readiness.is_ready(),
        other => return Err(Status::not_found(format!("there is no service `{}`", other.escape_debug()))),
    };
    let status = if serving { State::Up } else { State::Down };
    Ok(HealthCheckResponse { status: status.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_is_healthy_when_it_is_ready() {
        let readiness = Readiness::default();
        assert_eq!(check("", &readiness).unwrap().status, 1);
        readiness.set(vec!["a model is not loaded".to_owned()]);
        assert_eq!(check("", &readiness).unwrap().status, 2);
        assert_eq!(check(oip::SERVICE, &readiness).unwrap().status, 2);
        assert_eq!(check(feast::SERVICE, &readiness).unwrap().status, 1);
        assert_eq!(check("nope", &readiness).unwrap_err().code(), tonic::Code::NotFound);
    }
}
