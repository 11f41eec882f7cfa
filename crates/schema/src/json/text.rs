//! From any JSON text to the canonical one.

/// Values inside one another, at most.
const DEPTH_MAX: usize = 128;

/// Why a text is no JSON that we keep.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not JSON at byte {at}: {why}")]
pub struct JsonError {
    /// How many bytes were read before.
    pub at: usize,
    /// What is wrong there.
    pub why: &'static str,
}

/// The canonical spelling of a JSON text.
///
/// # Errors
/// [`JsonError`] if it is no JSON, names a key of an object twice, holds a number beyond float64, half a surrogate pair,
/// or more than 128 values inside one another.
pub fn canonical(text: &str) -> Result<String, JsonError> {
    let mut reader = Reader { text, at: 0 };
    let mut out = String::with_capacity(text.len());
    reader.space();
    reader.value(&mut out, 0)?;
    reader.space();
    if reader.at < text.len() {
        return Err(reader.wrong("text after the value"));
    }
    Ok(out)
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Reader<'t> {
    fn wrong(&self, why: &'static str) -> JsonError {
        JsonError { at: self.at, why }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn value(&mut self, out: &mut String, depth: usize) -> Result<(), JsonError> {
        if depth == DEPTH_MAX {
            return Err(self.wrong("too many values inside one another"));
        }
        match self.peek() {
            Some(b'{') => self.object(out, depth),
            Some(b'[') => self.list(out, depth),
            Some(b'"') => {
                let text = self.string()?;
                push_string(out, &text);
                Ok(())
            }
            Some(b'-' | b'0'..=b'9') => self.number(out),
            _ => self.word(out),
        }
    }

    fn word(&mut self, out: &mut String) -> Result<(), JsonError> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let Some(word) = ["null", "true", "false"].into_iter().find(|word| rest.starts_with(word)) else {
            return Err(self.wrong("expected a value"));
        };
        self.at += word.len();
        out.push_str(word);
        Ok(())
    }

    fn list(&mut self, out: &mut String, depth: usize) -> Result<(), JsonError> {
        self.at += 1;
        out.push('[');
        self.space();
        if !self.take(b']') {
            loop {
                self.space();
                self.value(out, depth + 1)?;
                self.space();
                if self.take(b']') {
                    break;
                }
                if !self.take(b',') {
                    return Err(self.wrong("expected `,` or `]`"));
                }
                out.push(',');
            }
        }
        out.push(']');
        Ok(())
    }

    fn object(&mut self, out: &mut String, depth: usize) -> Result<(), JsonError> {
        self.at += 1;
        let mut entries: Vec<(String, String)> = Vec::new();
        self.space();
        if !self.take(b'}') {
            loop {
                self.space();
                if self.peek() != Some(b'"') {
                    return Err(self.wrong("expected a name in quotes"));
                }
                let name = self.string()?;
                self.space();
                if !self.take(b':') {
                    return Err(self.wrong("expected `:`"));
                }
                self.space();
                let mut value = String::new();
                self.value(&mut value, depth + 1)?;
                entries.push((name, value));
                self.space();
                if self.take(b'}') {
                    break;
                }
                if !self.take(b',') {
                    return Err(self.wrong("expected `,` or `}`"));
                }
            }
        }
        entries.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        if entries.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            return Err(self.wrong("the object before it has a name twice"));
        }
        out.push('{');
        for (i, (name, value)) in entries.iter().enumerate() {
            if i > 0 {
                out.push(',');
            }
            push_string(out, name);
            out.push(':');
            out.push_str(value);
        }
        out.push('}');
        Ok(())
    }

    fn digits(&mut self) -> usize {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        self.at - start
    }

    fn number(&mut self, out: &mut String) -> Result<(), JsonError> {
        let start = self.at;
        self.take(b'-');
        let zero = self.peek() == Some(b'0');
        let whole = self.digits();
        if whole == 0 || zero && whole > 1 {
            return Err(self.wrong("a number starts with one digit or none of them 0"));
        }
        let mut integer = true;
        if self.take(b'.') {
            integer = false;
            if self.digits() == 0 {
                return Err(self.wrong("expected digits after the point"));
            }
        }
        if let Some(b'e' | b'E') = self.peek() {
            integer = false;
            self.at += 1;
            if !self.take(b'+') {
                self.take(b'-');
            }
            if self.digits() == 0 {
                return Err(self.wrong("expected digits of an exponent"));
            }
        }
        let text = &self.text[start..self.at];
        if integer && text != "-0" {
            out.push_str(text);
            return Ok(());
        }
        match text.parse::<f64>() {
            Ok(number) if number.is_finite() => out.push_str(&format!("{number:?}")),
            _ => return Err(self.wrong("the number before it is beyond float64")),
        }
        Ok(())
    }

    /// A string without its quotes and escapes.
    fn string(&mut self) -> Result<String, JsonError> {
        self.at += 1;
        let mut out = String::new();
        loop {
            let rest: &'t str = self.text.get(self.at..).unwrap_or_default();
            let Some(plain) = rest.find(|c: char| c == '"' || c == '\\' || c < ' ') else {
                return Err(self.wrong("a string without end"));
            };
            out.push_str(&rest[..plain]);
            self.at += plain;
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(out);
                }
                Some(b'\\') => out.push(self.escape()?),
                _ => return Err(self.wrong("a control character in a string")),
            }
        }
    }

    fn escape(&mut self) -> Result<char, JsonError> {
        self.at += 1;
        let found = self.peek();
        self.at += usize::from(found.is_some_and(|byte| byte.is_ascii()));
        Ok(match found {
            Some(plain @ (b'"' | b'\\' | b'/')) => char::from(plain),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                let first = self.hex()?;
                if !(0xd800..0xdc00).contains(&first) {
                    return char::from_u32(first).ok_or_else(|| self.wrong("half a surrogate pair"));
                }
                if !(self.take(b'\\') && self.take(b'u')) {
                    return Err(self.wrong("half a surrogate pair"));
                }
                let second = self.hex()?;
                let low = second.checked_sub(0xdc00).filter(|low| *low < 0x400);
                let code = low.map(|low| 0x10000 + ((first - 0xd800) << 10) + low);
                code.and_then(char::from_u32).ok_or_else(|| self.wrong("half a surrogate pair"))?
            }
            _ => return Err(self.wrong("an escape that JSON does not have")),
        })
    }

    fn hex(&mut self) -> Result<u32, JsonError> {
        let digits = self.text.get(self.at..self.at + 4).filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()));
        let code = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
        let code = code.ok_or_else(|| self.wrong("expected four hexadecimal digits"))?;
        self.at += 4;
        Ok(code)
    }
}

/// A string with the escapes that it needs and no others.
fn push_string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c < ' ' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn values() -> impl Strategy<Value = Value> {
        let floats = any::<f64>().prop_filter_map("finite", |v| serde_json::Number::from_f64(v).map(Value::Number));
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            floats,
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                proptest::collection::vec((any::<String>(), inner), 0..6).prop_map(|e| e.into_iter().collect()),
            ]
        })
    }

    proptest! {
        #[test]
        fn the_canonical_text_is_the_same_value(value in values()) {
            for text in [serde_json::to_string(&value).unwrap(), serde_json::to_string_pretty(&value).unwrap()] {
                let once = canonical(&text).unwrap();
                prop_assert_eq!(&serde_json::from_str::<Value>(&once).unwrap(), &value);
                prop_assert_eq!(&canonical(&once).unwrap(), &once);
            }
        }

        #[test]
        fn what_is_refused_is_refused_by_others(text in r#"[\[\]{}",:\\u0-9a-f.eE+ -]{0,12}"#) {
            if let Ok(found) = canonical(&text) {
                prop_assert!(serde_json::from_str::<Value>(&text).is_ok(), "{} {}", text, found);
            }
        }
    }

    #[track_caller]
    fn check(text: &str, want: &str) {
        assert_eq!(canonical(text).unwrap_or_else(|why| why.to_string()), want);
    }

    #[test]
    fn equal_values_are_equal_texts() {
        check(r#" { "b" : 1 , "a" : [ ] , "" : { } } "#, r#"{"":{},"a":[],"b":1}"#);
        check("[1.0, 1e0, 10E-1, 1.00]", "[1.0,1.0,1.0,1.0]");
        check("[1e21, 0.1, -0, -0.0, 0]", "[1e21,0.1,-0.0,-0.0,0]");
        check(r#""\u0041\/\ud83d\ude00\n\u0001é""#, "\"A/😀\\n\\u0001é\"");
    }

    #[test]
    fn integers_keep_all_their_digits() {
        check("[9007199254740993, -9223372036854775809, 123456789012345678901234567890]", {
            "[9007199254740993,-9223372036854775809,123456789012345678901234567890]"
        });
    }

    #[test]
    fn what_is_no_json_says_where() {
        check("", "not JSON at byte 0: expected a value");
        check("{\"a\":1,}", "not JSON at byte 7: expected a name in quotes");
        check("[1 2]", "not JSON at byte 3: expected `,` or `]`");
        check("{\"a\":1,\"a\":2}", "not JSON at byte 13: the object before it has a name twice");
        check("1e999", "not JSON at byte 5: the number before it is beyond float64");
        check("NaN", "not JSON at byte 0: expected a value");
        check("01", "not JSON at byte 2: a number starts with one digit or none of them 0");
        check(r#""\ud800""#, "not JSON at byte 7: half a surrogate pair");
        check("\"\u{1}\"", "not JSON at byte 1: a control character in a string");
        check("1 x", "not JSON at byte 2: text after the value");
        check(&"[".repeat(1_000), "not JSON at byte 128: too many values inside one another");
    }
}
