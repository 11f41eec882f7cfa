use std::sync::LazyLock;

use axum::body::Body;
use axum::http::Request as HttpRequest;
use axum::http::header::CONTENT_TYPE;
use proptest::prelude::*;
use prost::Message;
use tokio::runtime::Runtime;
use tonic::Code;
use tonic::codegen::{Body as _, Service};

use super::*;
use crate::config::InferenceConfig;
use crate::grpc::attended;
use crate::oip::messages::infer::{Contents, ModelStreamInferResponse, Tensor};
use crate::oip::messages::{ModelMetadata, ServerMetadata};
use crate::oip::testing::World;

struct Served {
    /// What it stands on.
    _world: World,
    methods: Router,
}

/// What was answered: messages, and how it ended.
struct Told {
    messages: Vec<Vec<u8>>,
    code: i32,
    why: String,
}

impl Told {
    fn read<M: Message + Default>(&self) -> M {
        assert_eq!(self.code, 0, "{}", self.why);
        M::decode(self.messages[0].as_slice()).unwrap()
    }
}

impl Served {
    async fn new() -> Self {
        let world = World::new(InferenceConfig::default()).await;
        let methods = attended(router(Arc::clone(&world.inference)), crate::trace::Tracer::default());
        Self { _world: world, methods }
    }

    /// Sends frames, and reads all that comes.
    async fn send(&self, method: &str, metadata: &[(&str, &str)], frames: Vec<u8>) -> Told {
        let request = HttpRequest::post(format!("/{SERVICE}/{method}")).header(CONTENT_TYPE, "application/grpc");
        let request = metadata.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let response = self.methods.clone().call(request.body(Body::from(frames)).unwrap()).await.unwrap();
        let (head, mut body) = response.into_parts();
        let mut told = Told { messages: Vec::new(), code: -1, why: String::new() };
        let status = |told: &mut Told, headers: &axum::http::HeaderMap| {
            if let Some(code) = headers.get("grpc-status") {
                told.code = code.to_str().unwrap().parse().unwrap();
                let why = headers.get("grpc-message").map(|why| why.to_str().unwrap());
                told.why = why.unwrap_or_default().replace("%20", " ");
            }
        };
        status(&mut told, &head.headers);
        let mut bytes = Vec::new();
        while let Some(frame) = std::future::poll_fn(|context| std::pin::Pin::new(&mut body).poll_frame(context)).await
        {
            let frame = frame.unwrap();
            if let Some(trailers) = frame.trailers_ref() {
                status(&mut told, trailers);
            }
            bytes.extend(frame.into_data().map(|data| data.to_vec()).unwrap_or_default());
        }
        while bytes.len() >= 5 {
            let length = u32::from_be_bytes(bytes[1..5].try_into().unwrap()) as usize;
            told.messages.push(bytes[5..5 + length].to_vec());
            bytes.drain(..5 + length);
        }
        told
    }

    async fn ask(&self, method: &str, asked: &impl Message) -> Told {
        self.send(method, &[], framed(asked)).await
    }
}

fn framed(asked: &impl Message) -> Vec<u8> {
    let message = asked.encode_to_vec();
    [&[0], &u32::try_from(message.len()).unwrap().to_be_bytes()[..], &message].concat()
}

fn linear(rows: &[f32]) -> ModelInferRequest {
    let contents = Some(Contents { fp32s: rows.to_vec(), ..Contents::default() });
    let shape = vec![i64::try_from(rows.len() / 3).unwrap(), 3];
    let input =
        Tensor { name: "features".to_owned(), datatype: "FP32".to_owned(), shape, contents, ..Tensor::default() };
    ModelInferRequest { model_name: "linear".to_owned(), inputs: vec![input], ..ModelInferRequest::default() }
}

fn floats(raw: &[u8]) -> Vec<f32> {
    raw.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

#[tokio::test]
async fn a_server_and_its_models_say_what_they_are() {
    let served = Served::new().await;
    assert!(served.ask("ServerLive", &Empty {}).await.read::<Is>().so);
    assert!(served.ask("ServerReady", &Empty {}).await.read::<Is>().so);
    assert_eq!(served.ask("ServerMetadata", &Empty {}).await.read::<ServerMetadata>().name, "plumb");
    let of = |name: &str, version: &str| OfModel { name: name.to_owned(), version: version.to_owned() };
    let metadata: ModelMetadata = served.ask("ModelMetadata", &of("add", "1")).await.read();
    assert_eq!((metadata.versions, metadata.inputs.len()), (vec!["1".to_owned()], 2));
    assert!(!served.ask("ModelReady", &of("nope", "")).await.read::<Is>().so);
    let told = served.ask("ModelMetadata", &of("nope", "")).await;
    assert_eq!(
        (told.code, told.why.as_str()),
        (Code::NotFound as i32, "Request for unknown model: 'nope' is not found")
    );
    let told = served.ask("ModelConfig", &of("add", "x")).await;
    assert_eq!(told.code, Code::InvalidArgument as i32);
    assert_eq!(served.ask("TraceSetting", &Empty {}).await.code, Code::Unimplemented as i32);
}

#[tokio::test]
async fn answers_are_raw_whatever_was_sent() {
    let served = Served::new().await;
    let mut asked = linear(&[1.0, 2.0, 3.0, 0.0, 0.0, 0.0]);
    asked.id = "mine".to_owned();
    let response: ModelInferResponse = served.ask("ModelInfer", &asked).await.read();
    assert_eq!((response.id.as_str(), response.model_version.as_str()), ("mine", "1"));
    assert_eq!(
        (response.outputs[0].shape.as_slice(), response.outputs[0].contents.is_none()),
        ([2, 1].as_slice(), true)
    );
    assert_eq!(floats(&response.raw[0]), [6.125, 0.125]);
}

#[tokio::test]
async fn whoever_waits_no_longer_is_told_so() {
    let served = Served::new().await;
    let told = served.send("ModelInfer", &[("grpc-timeout", "1n")], framed(&linear(&[1.0, 2.0, 3.0]))).await;
    assert_eq!(told.code, Code::DeadlineExceeded as i32, "{}", told.why);
    let told = served.send("ModelInfer", &[("grpc-timeout", "1H")], framed(&linear(&[1.0, 2.0, 3.0]))).await;
    assert_eq!(told.code, 0);
}

#[tokio::test]
async fn a_stream_answers_in_order_and_goes_on_after_a_failure_unless_it_is_to_end() {
    let served = Served::new().await;
    let mut wrong = linear(&[1.0, 2.0, 3.0]);
    wrong.model_name = "nope".to_owned();
    wrong.id = "second".to_owned();
    let frames = [framed(&linear(&[1.0, 2.0, 3.0])), framed(&wrong), framed(&linear(&[0.0, 0.0, 0.0]))].concat();
    let told = served.send("ModelStreamInfer", &[], frames.clone()).await;
    assert_eq!(told.code, 0);
    let answers: Vec<ModelStreamInferResponse> =
        told.messages.iter().map(|message| ModelStreamInferResponse::decode(message.as_slice()).unwrap()).collect();
    let raw = |at: usize| floats(&answers[at].infer_response.as_ref().unwrap().raw[0]);
    assert_eq!((raw(0), raw(2)), (vec![6.125], vec![0.125]));
    assert_eq!(answers[1].error_message, "Request for unknown model: 'nope' is not found");
    assert_eq!(answers[1].infer_response.as_ref().unwrap().id, "second");
    let told = served.send("ModelStreamInfer", &[("triton_grpc_error", "true")], frames).await;
    assert_eq!((told.code, told.messages.len()), (Code::NotFound as i32, 1));
}

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());
static SERVED: LazyLock<Served> = LazyLock::new(|| RUNTIME.block_on(Served::new()));

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    /// Messages that are nearly right, and whatever else: none is a bug of ours, and none is a crash.
    #[test]
    fn no_message_is_too_strange(
        shape in prop::collection::vec(prop_oneof![Just(1_i64), Just(3), any::<i64>()], 0..4),
        datatype in prop_oneof![Just("FP32".to_owned()), Just("BYTES".to_owned()), "[A-Z0-9]{0,6}"],
        raw in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..16), 0..3),
        n in 0_usize..3,
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        stream in any::<bool>(),
    ) {
        let mut asked = linear(&[1.0, 2.0, 3.0]);
        if n > 0 {
            asked.inputs[0].shape = shape;
            asked.inputs[0].datatype = datatype;
        }
        if n > 1 {
            asked.inputs[0].contents = None;
            asked.raw = raw.into_iter().map(Into::into).collect();
        }
        let mut frames = framed(&asked);
        for (at, byte) in flips {
            // The length before the message stays: what it says is waited for.
            let at = 5 + at.index(frames.len() - 5);
            frames[at] ^= byte;
        }
        let method = if stream { "ModelStreamInfer" } else { "ModelInfer" };
        let told = RUNTIME.block_on(SERVED.send(method, &[], frames));
        // Of a message that cannot be decoded tonic says that it is internal.
        let is_undecoded = told.code == Code::Internal as i32 && told.why.contains("decode");
        prop_assert!(is_undecoded || (told.code >= 0 && told.code != Code::Internal as i32), "{} {}", told.code, told.why);
    }
}
