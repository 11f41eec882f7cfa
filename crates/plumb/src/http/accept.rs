//! Which of several forms of an answer a client takes: the `Accept` header.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use schema::yaml::list;

use crate::failure::Failure;

/// JSON.
pub const JSON: &str = "application/json";
/// An Arrow IPC stream.
pub const ARROW_STREAM: &str = "application/vnd.apache.arrow.stream";

/// Whether a body is said to be an Arrow stream.
pub fn is_arrow(headers: &HeaderMap) -> bool {
    let said = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    said.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case(ARROW_STREAM))
}

/// The form that a client takes of [`JSON`] and [`ARROW_STREAM`], as the head of its request says.
#[derive(Debug, Clone, Copy)]
pub struct Form(pub &'static str);

impl<S: Send + Sync> FromRequestParts<S> for Form {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Failure> {
        choose(&parts.headers, &[JSON, ARROW_STREAM]).map(Self)
    }
}

/// The offer that a client likes best; of equals the one that it names more exactly, then the earlier one.
///
/// A client that says nothing takes the first. `offers` are media types in lower case.
///
/// # Errors
/// `not_acceptable` if it takes none of them.
pub fn choose(headers: &HeaderMap, offers: &[&'static str]) -> Result<&'static str, Failure> {
    let lines: Vec<&str> =
        headers.get_all(header::ACCEPT).iter().map(|line| line.to_str().unwrap_or_default()).collect();
    let ranges: Vec<Range<'_>> = lines.iter().flat_map(|line| line.split(',')).filter_map(Range::parse).collect();
    if lines.iter().all(|line| line.trim().is_empty())
        && let Some(first) = offers.first()
    {
        return Ok(first);
    }
    let liking = |offer: &&'static str| {
        let best = ranges.iter().filter_map(|range| range.exactness(offer).map(|exact| (exact, range.quality))).max();
        best.filter(|(_, quality)| *quality > 0).map(|(exact, quality)| (quality, exact))
    };
    // The last of equals wins, so the offers are looked at from the end.
    let best = offers.iter().rev().filter_map(|offer| liking(offer).map(|liking| (liking, *offer)));
    best.max_by_key(|(liking, _)| *liking).map(|(_, offer)| offer).ok_or_else(|| {
        let wanted = lines.join(", ");
        Failure::invalid(format!("the answer cannot be written as `{}`", wanted.escape_debug()))
            .code("not_acceptable")
            .hint(format!("there is {}; leave out Accept for the first", list(offers)))
    })
}

/// `type/subtype;q=0.5`, with `*` for either.
struct Range<'t> {
    kind: &'t str,
    subkind: &'t str,
    /// In thousandths.
    quality: u16,
}

impl<'t> Range<'t> {
    fn parse(text: &'t str) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        let (kind, subkind) = parts.next()?.split_once('/')?;
        let quality = parts.find_map(|parameter| parameter.strip_prefix("q=").or_else(|| parameter.strip_prefix("Q=")));
        Some(Self { kind, subkind, quality: quality.map_or(Some(1_000), thousandths)? })
    }

    /// How exactly it names a media type; `None` if it does not.
    fn exactness(&self, offer: &str) -> Option<u8> {
        let (kind, subkind) = offer.split_once('/')?;
        match (self.kind, self.subkind) {
            ("*", "*") => Some(0),
            (k, "*") if k.eq_ignore_ascii_case(kind) => Some(1),
            (k, s) if k.eq_ignore_ascii_case(kind) && s.eq_ignore_ascii_case(subkind) => Some(2),
            _ => None,
        }
    }
}

/// `0.5` as 500.
fn thousandths(text: &str) -> Option<u16> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = format!("{part:0<3}");
    let plain = whole.len() == 1 && digits.len() == 3 && digits.bytes().all(|b| b.is_ascii_digit());
    let value = plain.then(|| format!("{whole}{digits}").parse::<u16>().ok()).flatten()?;
    (value <= 1_000).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(accept: &[&str], want: &str) {
        let mut headers = HeaderMap::new();
        for line in accept {
            headers.append(header::ACCEPT, line.parse().unwrap());
        }
        match choose(&headers, &[JSON, ARROW_STREAM]) {
            Ok(chosen) => assert_eq!(chosen, want),
            Err(failure) => {
                assert_eq!(failure.status().as_u16(), 406);
                assert_eq!(failure.code, want);
            }
        }
    }

    #[test]
    fn the_best_liked_offer_is_chosen() {
        check(&[], JSON);
        check(&[""], JSON);
        check(&["*/*"], JSON);
        check(&["application/*"], JSON);
        check(&["text/html, */*;q=0.8"], JSON);
        check(&["application/json, application/vnd.apache.arrow.stream"], JSON);
        check(&[ARROW_STREAM], ARROW_STREAM);
        check(&["Application/Vnd.Apache.Arrow.Stream"], ARROW_STREAM);
        check(&["application/vnd.apache.arrow.stream, */*"], ARROW_STREAM);
        check(&["application/json;q=0.5", "application/vnd.apache.arrow.stream;q=0.9"], ARROW_STREAM);
        check(&["application/json;q=0, */*"], ARROW_STREAM);
    }

    #[test]
    fn what_nobody_offers_is_refused() {
        check(&["text/html"], "not_acceptable");
        check(&["application/json;q=0"], "not_acceptable");
        check(&["nonsense"], "not_acceptable");
        check(&["application/json;q=2"], "not_acceptable");
        check(&["*/*;q=0"], "not_acceptable");
    }
}
