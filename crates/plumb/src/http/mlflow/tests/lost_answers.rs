//! Creates whose answers were lost, asked for again: the registry has each once.

use serde_json::{Value, json};

use super::{API, Served};

const VERSIONS: &str = "model-versions/create";

impl Served {
    /// Asks for what is made, and hangs up before the answer is read.
    async fn ask_and_lose(&self, route: &str, authorization: &str, body: &Value) {
        let headers = [("authorization", authorization)];
        let answer = self.answer("POST", &format!("{API}/{route}"), &headers, body.to_string()).await;
        assert_eq!(answer.status(), 200);
        drop(answer);
    }

    async fn ask_as(&self, route: &str, authorization: &str, body: &Value) -> (u16, Value) {
        let headers = [("authorization", authorization)];
        let answer = self.answer("POST", &format!("{API}/{route}"), &headers, body.to_string()).await;
        let status = answer.status().as_u16();
        let bytes = axum::body::to_bytes(answer.into_body(), usize::MAX).await.unwrap();
        (status, serde_json::from_slice(&bytes).unwrap())
    }
}

#[tokio::test]
async fn what_is_registered_again_after_a_lost_answer_is_registered_once() {
    let served = Served::new().await;
    let model = json!({ "name": "m" });
    served.ask_and_lose("registered-models/create", "Basic a", &model).await;
    let (status, made) = served.ask_as("registered-models/create", "Basic a", &model).await;
    assert_eq!((status, &made["registered_model"]["name"]), (200, &json!("m")), "{made}");

    let version = json!({ "name": "m", "source": "s3://b/1" });
    served.ask_and_lose(VERSIONS, "Basic a", &version).await;
    let (status, made) = served.ask_as(VERSIONS, "Basic a", &version).await;
    assert_eq!((status, &made["model_version"]["version"]), (200, &json!("1")), "{made}");
    let latest = served.done("GET", "registered-models/get-latest-versions?name=m", Value::Null).await;
    assert_eq!(latest["model_versions"], json!([made["model_version"]]));

    // Both answers were read: what is asked for now is another version, and a name that is taken.
    let (status, made) = served.ask_as(VERSIONS, "Basic a", &version).await;
    assert_eq!((status, &made["model_version"]["version"]), (200, &json!("2")), "{made}");
    let (status, code, message) = served.refused("POST", "registered-models/create", model).await;
    assert_eq!((status, code.as_str()), (400, "RESOURCE_ALREADY_EXISTS"), "{message}");
}

#[tokio::test]
async fn the_lost_answer_of_one_caller_is_not_given_to_another() {
    let served = Served::new().await;
    let model = json!({ "name": "m" });
    served.ask_and_lose("registered-models/create", "Basic a", &model).await;
    let (status, said) = served.ask_as("registered-models/create", "Basic b", &model).await;
    assert_eq!((status, &said["error_code"]), (400, &json!("RESOURCE_ALREADY_EXISTS")), "{said}");

    let version = json!({ "name": "m", "source": "s3://b/1" });
    served.ask_and_lose(VERSIONS, "Basic a", &version).await;
    assert_eq!(served.ask_as(VERSIONS, "Basic b", &version).await.1["model_version"]["version"], "2");
    assert_eq!(served.ask_as(VERSIONS, "Basic a", &version).await.1["model_version"]["version"], "1");
}
