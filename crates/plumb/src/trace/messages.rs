//! Messages of the OpenTelemetry Protocol 1.x, as far as spans need them (`opentelemetry/proto/trace/v1/trace.proto`).

use prost::Message;

use super::span::{Attribute, Finished, Value, random};

/// `ExportTraceServiceRequest`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Request {
    #[prost(message, repeated, tag = "1")]
    pub resource_spans: Vec<ResourceSpans>,
}

/// `ExportTraceServiceResponse`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Response {
    #[prost(message, optional, tag = "1")]
    pub partial_success: Option<PartialSuccess>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct PartialSuccess {
    #[prost(int64, tag = "1")]
    pub rejected_spans: i64,
    #[prost(string, tag = "2")]
    pub error_message: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ResourceSpans {
    #[prost(message, optional, tag = "1")]
    pub resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    pub scope_spans: Vec<ScopeSpans>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Resource {
    #[prost(message, repeated, tag = "1")]
    pub attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ScopeSpans {
    #[prost(message, optional, tag = "1")]
    pub scope: Option<Scope>,
    #[prost(message, repeated, tag = "2")]
    pub spans: Vec<SpanMessage>,
}

/// `InstrumentationScope`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Scope {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub version: String,
}

/// `Span`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct SpanMessage {
    #[prost(bytes = "vec", tag = "1")]
    pub trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub span_id: Vec<u8>,
    #[prost(string, tag = "3")]
    pub trace_state: String,
    #[prost(bytes = "vec", tag = "4")]
    pub parent_span_id: Vec<u8>,
    #[prost(string, tag = "5")]
    pub name: String,
    #[prost(enumeration = "Kind", tag = "6")]
    pub kind: i32,
    #[prost(fixed64, tag = "7")]
    pub start_time_unix_nano: u64,
    #[prost(fixed64, tag = "8")]
    pub end_time_unix_nano: u64,
    #[prost(message, repeated, tag = "9")]
    pub attributes: Vec<KeyValue>,
    #[prost(message, optional, tag = "15")]
    pub status: Option<Status>,
    /// Those of W3C Trace Context in the lowest byte.
    #[prost(fixed32, tag = "16")]
    pub flags: u32,
}

/// `Span.SpanKind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
pub(super) enum Kind {
    Unspecified = 0,
    Internal = 1,
    Server = 2,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Status {
    #[prost(int32, tag = "3")]
    pub code: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct KeyValue {
    #[prost(string, tag = "1")]
    pub key: String,
    #[prost(message, optional, tag = "2")]
    pub value: Option<AnyValue>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct AnyValue {
    #[prost(oneof = "Said", tags = "1, 3")]
    pub said: Option<Said>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub(super) enum Said {
    #[prost(string, tag = "1")]
    Text(String),
    #[prost(int64, tag = "3")]
    Whole(i64),
}

/// `STATUS_CODE_ERROR`.
const ERROR: i32 = 2;
const SAMPLED: u32 = 1;

/// One message for some requests, of a service of this name.
pub(super) fn message(service: &str, project: &str, finished: &[Finished]) -> Request {
    let resource = vec![
        key_value(&("service.name", service.into())),
        key_value(&("service.namespace", project.into())),
        key_value(&("service.version", env!("CARGO_PKG_VERSION").into())),
    ];
    let scope = Scope { name: "plumb".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() };
    let spans = finished.iter().flat_map(spans).collect();
    let scope_spans = vec![ScopeSpans { scope: Some(scope), spans }];
    Request { resource_spans: vec![ResourceSpans { resource: Some(Resource { attributes: resource }), scope_spans }] }
}

/// The span of a request, and those of its parts.
fn spans(of: &Finished) -> impl Iterator<Item = SpanMessage> {
    let began = u64::try_from(of.began.as_nanos()).unwrap_or(0);
    let nanos = |time: std::time::Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    let span = move |id: u64, parent: Option<u64>, from: u64, took: u64| SpanMessage {
        trace_id: of.context.trace_id.to_be_bytes().to_vec(),
        span_id: id.to_be_bytes().to_vec(),
        trace_state: of.context.state.clone(),
        parent_span_id: parent.map(|parent| parent.to_be_bytes().to_vec()).unwrap_or_default(),
        start_time_unix_nano: began.saturating_add(from),
        end_time_unix_nano: began.saturating_add(from).saturating_add(took),
        flags: SAMPLED,
        ..SpanMessage::default()
    };
    let whole = SpanMessage {
        name: of.name.clone(),
        kind: Kind::Server.into(),
        attributes: of.attributes.iter().map(key_value).collect(),
        status: of.is_error.then_some(Status { code: ERROR }),
        ..span(of.context.span_id, of.parent, 0, nanos(of.took))
    };
    let parts = of.parts.iter().map(move |part| {
        let from = nanos(part.began.saturating_duration_since(of.began_at));
        SpanMessage {
            name: part.name.to_owned(),
            kind: Kind::Internal.into(),
            attributes: part.attributes.iter().map(key_value).collect(),
            ..span(random(), Some(of.context.span_id), from, nanos(part.took))
        }
    });
    std::iter::once(whole).chain(parts)
}

fn key_value((key, value): &Attribute) -> KeyValue {
    let said = match value {
        Value::Text(text) => Said::Text(text.clone()),
        Value::Whole(number) => Said::Whole(*number),
    };
    KeyValue { key: (*key).to_owned(), value: Some(AnyValue { said: Some(said) }) }
}
