//! The fields of a request, read as MLflow's server reads them.
//!
//! A GET has them in its query, where numbers and booleans are texts and a list is a repeated key; every other method has
//! a JSON object. Fields that nobody asks for are ignored; one of another type, or none where one is needed, is named.

use axum::body::{Body, Bytes};
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, Uri, header};
use futures::StreamExt;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::error::{Code, Refusal};
use crate::http::body::{BYTES_MAX, announced};

/// How much of a body that is too large is read and dropped before it is refused. A client that is cut off while it still
/// sends sees a broken connection, and tries again; one that has sent all reads the answer.
pub(super) const DROPPED_MAX: usize = 64 << 20;
/// How much of a wrong value a message shows.
const SHOWN_MAX: usize = 200;

/// The fields of a request.
#[derive(Debug)]
pub struct Sent(pub Fields);

/// Fields of a request or of an object in it.
#[derive(Debug, Clone, Default)]
pub struct Fields {
    values: Map<String, Value>,
    /// Whether they are of a query: all are lists of texts then.
    spoken: bool,
    /// What stands before the names of these in messages: `tags[0].`.
    at: String,
    /// Bytes of the body that they are of.
    size_bytes: usize,
}

impl<S: Send + Sync> FromRequest<S> for Sent {
    type Rejection = Refusal;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Refusal> {
        let (head, body) = request.into_parts();
        if head.method == Method::GET && head.uri.query().is_some_and(|query| !query.is_empty()) {
            return Fields::of_query(&head.uri).map(Self);
        }
        let bytes = whole(&head.headers, body, BYTES_MAX).await?;
        if !bytes.is_empty() && !is_json(&head.headers) {
            let message = "Bad Request. Content-Type must be application/json.";
            return Err(Refusal::new(Code::BadRequest, message));
        }
        Fields::of_json(&bytes).map(Self)
    }
}

/// What stands in an address.
#[derive(Debug)]
pub struct Named<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Named<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let found = Path::from_request_parts(parts, state).await;
        found
            .map(|Path(named)| Self(named))
            .map_err(|why: PathRejection| Refusal::new(Code::BadRequest, format!("the address: {}", why.body_text())))
    }
}

/// Pages of other sites can make a browser send anything but this type without asking.
fn is_json(headers: &HeaderMap) -> bool {
    let said = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    said.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

/// A body of at most so many bytes.
///
/// # Errors
/// It is larger, or breaks off.
pub(super) async fn whole(headers: &HeaderMap, body: Body, bytes_max: usize) -> Result<Bytes, Refusal> {
    let too_large = || Refusal::invalid(format!("the body is larger than {} MB: split the request", bytes_max >> 20));
    // One that says that it is larger than what would be dropped is not waited for.
    if announced(headers) > DROPPED_MAX {
        return Err(too_large());
    }
    let mut pieces = body.into_data_stream();
    let (mut kept, mut seen) = (Vec::new(), 0_usize);
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|why| Refusal::new(Code::BadRequest, format!("reading the body: {why}")))?;
        seen = seen.saturating_add(piece.len());
        if seen <= bytes_max {
            kept.extend_from_slice(&piece);
        } else if seen > DROPPED_MAX {
            break;
        } else {
            kept = Vec::new();
        }
    }
    if seen > bytes_max {
        return Err(too_large());
    }
    Ok(kept.into())
}

impl Fields {
    /// Those of an address.
    ///
    /// # Errors
    /// The query is none.
    pub fn of_query(uri: &Uri) -> Result<Self, Refusal> {
        let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(uri)
            .map_err(|why| Refusal::new(Code::BadRequest, format!("the address: {}", why.body_text())))?;
        let mut values = Map::new();
        for (name, said) in pairs {
            if let Value::Array(all) = values.entry(name).or_insert_with(|| Value::Array(Vec::new())) {
                all.push(said.into());
            }
        }
        Ok(Self { values, spoken: true, ..Self::default() })
    }

    /// Those of a body. An empty one has none.
    ///
    /// # Errors
    /// It is no JSON object.
    pub fn of_json(bytes: &[u8]) -> Result<Self, Refusal> {
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Ok(Self::default());
        }
        match serde_json::from_slice(bytes) {
            Ok(Value::Object(values)) => Ok(Self { values, size_bytes: bytes.len(), ..Self::default() }),
            Ok(other) => {
                let message = format!("the body is a {}, not a JSON object", kind(&other));
                Err(Refusal::new(Code::BadRequest, message))
            }
            Err(why) => Err(Refusal::new(Code::BadRequest, format!("the body is not JSON: {why}"))),
        }
    }

    /// A text, which may be empty.
    ///
    /// # Errors
    /// It is something else.
    pub fn text(&self, name: &str) -> Result<Option<&str>, Refusal> {
        match self.one(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(self.wrong(name, other)),
        }
    }

    /// A text that must be there and not be empty.
    ///
    /// # Errors
    /// It is not, or is something else.
    pub fn required(&self, name: &str) -> Result<&str, Refusal> {
        self.text(name)?.filter(|text| !text.is_empty()).ok_or_else(|| self.missing(name))
    }

    /// A whole number, also in a text.
    ///
    /// # Errors
    /// It is something else, or has more than 64 bits.
    pub fn int(&self, name: &str) -> Result<Option<i64>, Refusal> {
        let Some(value) = self.one(name) else { return Ok(None) };
        let read = match value {
            Value::String(text) => text.trim().parse().ok(),
            Value::Number(number) => number.as_i64().or_else(|| whole_of(number.as_f64()?)),
            _ => None,
        };
        read.map(Some).ok_or_else(|| self.wrong(name, value))
    }

    /// A whole number that must be there.
    ///
    /// # Errors
    /// As [`Self::int`], or it is missing.
    pub fn required_int(&self, name: &str) -> Result<i64, Refusal> {
        self.int(name)?.ok_or_else(|| self.missing(name))
    }

    /// A number; `"NaN"`, `"Infinity"` and `"-Infinity"` are texts.
    ///
    /// # Errors
    /// It is something else.
    pub fn double(&self, name: &str) -> Result<Option<f64>, Refusal> {
        let Some(value) = self.one(name) else { return Ok(None) };
        let read = match value {
            Value::String(text) => text.trim().parse().ok(),
            other => other.as_f64(),
        };
        read.map(Some).ok_or_else(|| self.wrong(name, value))
    }

    /// A number that must be there.
    ///
    /// # Errors
    /// As [`Self::double`], or it is missing.
    pub fn required_double(&self, name: &str) -> Result<f64, Refusal> {
        self.double(name)?.ok_or_else(|| self.missing(name))
    }

    /// True or false; in a query in any case.
    ///
    /// # Errors
    /// It is something else.
    pub fn flag(&self, name: &str) -> Result<Option<bool>, Refusal> {
        match self.one(name) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(Value::String(text)) if self.spoken && text.eq_ignore_ascii_case("true") => Ok(Some(true)),
            Some(Value::String(text)) if self.spoken && text.eq_ignore_ascii_case("false") => Ok(Some(false)),
            Some(other) => Err(self.wrong(name, other)),
        }
    }

    /// A list of texts; none is an empty one.
    ///
    /// # Errors
    /// It, or one of its values, is something else.
    pub fn texts(&self, name: &str) -> Result<Vec<&str>, Refusal> {
        let text = |value| Value::as_str(value).ok_or_else(|| self.wrong(name, value));
        self.all(name)?.iter().map(text).collect()
    }

    /// A list of objects; none is an empty one.
    ///
    /// # Errors
    /// It, or one of its values, is something else.
    pub fn objects(&self, name: &str) -> Result<Vec<Self>, Refusal> {
        let of = |(i, value): (usize, &Value)| match value {
            Value::Object(values) => {
                Ok(Self { values: values.clone(), at: format!("{}{name}[{i}].", self.at), ..Self::default() })
            }
            other => Err(self.wrong(name, other)),
        };
        self.all(name)?.iter().enumerate().map(of).collect()
    }

    /// An object.
    ///
    /// # Errors
    /// It is something else.
    pub fn object(&self, name: &str) -> Result<Option<Self>, Refusal> {
        match self.one(name) {
            None => Ok(None),
            Some(Value::Object(values)) => {
                Ok(Some(Self { values: values.clone(), at: format!("{}{name}.", self.at), ..Self::default() }))
            }
            Some(other) => Err(self.wrong(name, other)),
        }
    }

    /// The text of a list of key and value, as tags and params are sent. A value that is missing is empty.
    ///
    /// # Errors
    /// As [`Self::objects`]; a key is missing.
    pub fn pairs(&self, name: &str) -> Result<Vec<(String, String)>, Refusal> {
        let pair = |fields: Self| {
            Ok((fields.required("key")?.to_owned(), fields.text("value")?.unwrap_or_default().to_owned()))
        };
        self.objects(name)?.into_iter().map(pair).collect()
    }

    /// How large the body was; 0 for a query and for an object in a list.
    pub fn size_bytes(&self) -> usize {
        self.size_bytes
    }

    /// Whether it was sent, `null` counting as not.
    pub fn has(&self, name: &str) -> bool {
        self.one(name).is_some()
    }

    /// A field that is needed is missing or empty.
    pub fn missing(&self, name: &str) -> Refusal {
        let at = &self.at;
        Refusal::invalid(format!(
            "Missing value for required parameter '{at}{name}'. See the API docs for more information about request \
             parameters."
        ))
    }

    fn wrong(&self, name: &str, value: &Value) -> Refusal {
        let mut shown: String = value.to_string().chars().take(SHOWN_MAX + 1).collect();
        if shown.chars().count() > SHOWN_MAX {
            shown = shown.chars().take(SHOWN_MAX).chain("...".chars()).collect();
        }
        let (at, kind) = (&self.at, kind(value));
        Refusal::invalid(format!(
            "Invalid value {shown} for parameter '{at}{name}' supplied: Hint: Value was of type '{kind}'. See the API docs for \
             more information about request parameters."
        ))
    }

    fn one(&self, name: &str) -> Option<&Value> {
        match self.values.get(name)? {
            Value::Null => None,
            Value::Array(said) if self.spoken => said.first(),
            other => Some(other),
        }
    }

    fn all(&self, name: &str) -> Result<&[Value], Refusal> {
        match self.values.get(name) {
            None | Some(Value::Null) => Ok(&[]),
            Some(Value::Array(all)) => Ok(all),
            Some(other) => Err(self.wrong(name, other)),
        }
    }
}

/// `3.0` is a whole number.
#[expect(clippy::cast_possible_truncation, reason = "the range is checked: 2^53 is exact in both types")]
fn whole_of(number: f64) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    (number.fract().abs() < f64::MIN_POSITIVE && number.abs() <= EXACT).then_some(number as i64)
}

/// As Python calls it.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "NoneType",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float",
        Value::Number(_) => "int",
        Value::String(_) => "str",
        Value::Array(_) => "list",
        Value::Object(_) => "dict",
    }
}

#[cfg(test)]
mod tests;
