//! Lines of the log as JSON, one object each: for programs that collect them.

use std::fmt;

use schema::Clock;
use serde_json::{Map, Value as Json};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::registry::LookupSpan;

use crate::request_id::RequestId;

/// `{"timestamp", "level", "target", "message", "request.id"?, "trace.id"?, "span.id"?, ...}`; fields of a line have the names that
/// it gives them.
pub(crate) struct JsonLines;

impl<S, N> FormatEvent<S, N> for JsonLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut to: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut line = Map::new();
        line.insert("timestamp".to_owned(), Clock::wall().to_string().into());
        line.insert("level".to_owned(), event.metadata().level().as_str().into());
        line.insert("target".to_owned(), event.metadata().target().into());
        line.insert("message".to_owned(), Json::Null);
        if let Some(id) = RequestId::current() {
            line.insert("request.id".to_owned(), id.to_string().into());
            if let Some(trace) = id.trace() {
                line.insert("trace.id".to_owned(), format!("{:032x}", trace.trace_id).into());
                line.insert("span.id".to_owned(), format!("{:016x}", trace.span_id).into());
            }
        }
        event.record(&mut Fields(&mut line));
        writeln!(to, "{}", Json::Object(line))
    }
}

struct Fields<'m>(&'m mut Map<String, Json>);

impl Fields<'_> {
    fn put(&mut self, field: &Field, value: Json) {
        self.0.insert(field.name().to_owned(), value);
    }
}

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        // What JSON's readers would round is a text.
        self.put(field, u64::try_from(value).map_or_else(|_| value.to_string().into(), Json::from));
    }

    fn record_i128(&mut self, field: &Field, value: i128) {
        self.put(field, i64::try_from(value).map_or_else(|_| value.to_string().into(), Json::from));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        // What JSON lacks is a text.
        let number = serde_json::Number::from_f64(value).map(Json::Number);
        self.put(field, number.unwrap_or_else(|| value.to_string().into()));
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use axum::http::{HeaderMap, HeaderValue};

    use super::*;
    use crate::request_id::HEADER;
    use crate::trace::Tracer;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_is_one_object_that_names_its_request_and_its_trace() {
        let lines = Lines::default();
        let to = lines.clone();
        let subscriber = tracing_subscriber::fmt().event_format(JsonLines).with_writer(move || to.clone()).finish();
        // Another subscriber besides: otherwise what this thread does not log is not logged by others either.
        let _second = tracing::Dispatch::new(tracing_subscriber::registry());
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!(n = 3, took_us = 153_u128, "outside \"of\"\nany");
            let mut headers = HeaderMap::new();
            headers.insert(HEADER, HeaderValue::from_static("mine"));
            let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
            headers.insert("traceparent", HeaderValue::from_static(parent));
            let id = RequestId::of(&headers).traced(Tracer::default().begin(&headers));
            futures::executor::block_on(
                id.scope(async { tracing::error!(model.name = "m", share = f64::NAN, "inside") }),
            );
        });
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        let lines: Vec<Json> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!((lines.len(), &lines[0]["message"], &lines[0]["n"]), (2, &"outside \"of\"\nany".into(), &3.into()));
        assert!(lines[0].get("request.id").is_none() && lines[0]["level"] == "WARN" && lines[0]["took_us"] == 153);
        assert_eq!((&lines[1]["request.id"], &lines[1]["model.name"]), (&"mine".into(), &"m".into()));
        assert_eq!(
            (&lines[1]["trace.id"], &lines[1]["share"]),
            (&"0af7651916cd43dd8448eb211c80319c".into(), &"NaN".into())
        );
        assert_eq!(lines[1]["span.id"].as_str().map(str::len), Some(16));
    }
}
