//! `traceparent` and `tracestate`, as W3C Trace Context has them.

use axum::http::{HeaderMap, HeaderName};

/// The header of a trace's name.
pub(super) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// The header of what others know of it.
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
/// The longest state that is passed on.
const STATE_MAX: usize = 512;

/// A place in a trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace.
    pub trace_id: u128,
    /// The span in it.
    pub span_id: u64,
    /// Whether whoever began it keeps it.
    pub is_sampled: bool,
    /// What others know of it, as it came.
    pub state: String,
}

impl TraceContext {
    /// Of a caller, who sent these headers; nothing where they are none, or wrong.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let mut given = headers.get_all(&TRACEPARENT).into_iter();
        let (Some(one), None) = (given.next(), given.next()) else { return None };
        let (trace_id, span_id, is_sampled) = parse(one.to_str().ok()?.trim())?;
        let states = headers.get_all(&TRACESTATE).into_iter().filter_map(|state| state.to_str().ok());
        let state = states.collect::<Vec<_>>().join(",");
        // Part of a state would be another one.
        let state = if state.len() <= STATE_MAX { state } else { String::new() };
        Some(Self { trace_id, span_id, is_sampled, state })
    }
}

/// `00-<32 digits>-<16 digits>-<flags>`; a later version may go on behind that.
fn parse(text: &str) -> Option<(u128, u64, bool)> {
    let mut parts = text.splitn(5, '-');
    let mut next = |length: usize| {
        let is_lower = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        parts.next().filter(|part| part.len() == length && part.bytes().all(is_lower))
    };
    let (version, trace, span, flags) = (next(2)?, next(32)?, next(16)?, next(2)?);
    let goes_on = parts.next().is_some();
    if version == "ff" || version == "00" && goes_on {
        return None;
    }
    let (trace, span) = (u128::from_str_radix(trace, 16).ok()?, u64::from_str_radix(span, 16).ok()?);
    let flags = u8::from_str_radix(flags, 16).ok()?;
    (trace != 0 && span != 0).then_some((trace, span, flags & 1 == 1))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn a_traceparent_is_read_as_the_recommendation_says() {
        const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
        const SPAN: &str = "b7ad6b7169203331";
        let known = Some((0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c, 0xb7ad_6b71_6920_3331));
        for (text, expected, is_sampled) in [
            (format!("00-{TRACE}-{SPAN}-01"), known, true),
            (format!("00-{TRACE}-{SPAN}-00"), known, false),
            // Other flags mean what others know.
            (format!("00-{TRACE}-{SPAN}-03"), known, true),
            (format!("00-{TRACE}-{SPAN}-fe"), known, false),
            // A later version is read as far as it is known.
            (format!("cc-{TRACE}-{SPAN}-01"), known, true),
            (format!("cc-{TRACE}-{SPAN}-01-what-comes"), known, true),
            (format!("00-{TRACE}-{SPAN}-01-what-comes"), None, false),
            (format!("ff-{TRACE}-{SPAN}-01"), None, false),
            (format!("00-{}-{SPAN}-01", TRACE.to_uppercase()), None, false),
            (format!("00-{TRACE}-{}-01", "0".repeat(16)), None, false),
            (format!("00-{}-{SPAN}-01", "0".repeat(32)), None, false),
            (format!("00-{TRACE}-{SPAN}"), None, false),
            (format!("00-{TRACE}-{SPAN}-1"), None, false),
            (format!("00-{TRACE}0-{SPAN}-01"), None, false),
            ("00-xyz".to_owned(), None, false),
            (String::new(), None, false),
        ] {
            let found = parse(&text);
            assert_eq!(found.map(|(trace, span, _)| (trace, span)), expected, "{text}");
            assert_eq!(found.is_some_and(|(_, _, flag)| flag), is_sampled, "{text}");
        }
    }

    #[test]
    fn states_are_joined_and_of_two_parents_none_counts() {
        let mut headers = HeaderMap::new();
        let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        headers.append(TRACEPARENT, HeaderValue::from_static(parent));
        headers.append(TRACESTATE, HeaderValue::from_static("a=1"));
        headers.append(TRACESTATE, HeaderValue::from_static("b=2"));
        assert_eq!(TraceContext::of(&headers).unwrap().state, "a=1,b=2");
        headers.append(TRACESTATE, HeaderValue::from_str(&"x".repeat(STATE_MAX)).unwrap());
        assert_eq!(TraceContext::of(&headers).unwrap().state, "");
        headers.append(TRACEPARENT, HeaderValue::from_static(parent));
        assert_eq!(TraceContext::of(&headers), None);
    }
}
