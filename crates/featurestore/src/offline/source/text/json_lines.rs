//! JSON lines: an object on each line, its values as the text they are written in.

use std::fmt;
use std::io::{BufRead, Read};
use std::ops::Range;

use serde::Deserialize;
use serde::de::{Error, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{BadRow, Trouble};

/// A line may be so long.
const LINE_MAX: usize = 16 << 20;

/// The objects of a text.
#[derive(Debug)]
pub(super) struct Lines<R> {
    input: R,
    line: u64,
    /// Where the line stands that was read last, in bytes from the start of the file.
    bytes: Range<u64>,
    buffer: Vec<u8>,
}

/// One object.
#[derive(Debug)]
pub(super) struct Line<'t> {
    /// From 1.
    pub(super) line: u64,
    /// Names and the texts of their values, in the line's order.
    pub(super) entries: Vec<(String, &'t str)>,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(input: R) -> Self {
        Self { input, line: 0, bytes: 0..0, buffer: Vec::new() }
    }

    /// Where the line stands that was read last, with its end: one without an object, too.
    pub(super) fn bytes(&self) -> Range<u64> {
        self.bytes.clone()
    }

    /// Its text as it stands there.
    pub(super) fn text(&self) -> &[u8] {
        &self.buffer
    }

    /// The next object; lines of white space are none.
    ///
    /// # Errors
    /// [`Trouble::Bad`] for a line that holds none: the next one may.
    pub(super) fn next(&mut self) -> Result<Option<Line<'_>>, Trouble> {
        loop {
            self.buffer.clear();
            let n = self.input.by_ref().take(LINE_MAX as u64 + 1).read_until(b'\n', &mut self.buffer)?;
            if n == 0 {
                return Ok(None);
            }
            self.line += 1;
            self.bytes = self.bytes.end..self.bytes.end + n as u64;
            if n > LINE_MAX {
                let why = format!("a line of more than {} MiB: is it one object a line?", LINE_MAX >> 20);
                return Err(Trouble::File { line: self.line, why });
            }
            if self.line == 1 && self.buffer.starts_with(b"\xef\xbb\xbf") {
                self.buffer.drain(..3);
                self.bytes.start += 3;
            }
            if !self.buffer.iter().all(u8::is_ascii_whitespace) {
                break;
            }
        }
        let line = self.line;
        let bad = |why: String| Trouble::Bad(BadRow::new(line, &why));
        let text = str::from_utf8(&self.buffer).map_err(|_bytes| bad("it is not UTF-8".to_owned()))?;
        let object: Object<'_> = serde_json::from_str(text).map_err(|why| bad(plain(&why)))?;
        Ok(Some(Line { line, entries: object.0 }))
    }
}

/// The library counts lines of its own.
fn plain(why: &serde_json::Error) -> String {
    let text = why.to_string();
    let (what, _) = text.rsplit_once(" at line ").unwrap_or((&text, ""));
    if why.is_data() { what.to_owned() } else { format!("no JSON at character {}: {what}", why.column()) }
}

struct Object<'t>(Vec<(String, &'t str)>);

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        input.deserialize_map(Entries)
    }
}

struct Entries;

impl<'de> Visitor<'de> for Entries {
    type Value = Object<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object on each line")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
        let mut entries: Vec<(String, &'de str)> = Vec::new();
        while let Some((name, value)) = map.next_entry::<String, &'de RawValue>()? {
            if entries.iter().any(|(known, _)| *known == name) {
                return Err(A::Error::custom(format!("the name `{name}` is there twice")));
            }
            entries.push((name, value.get()));
        }
        Ok(Object(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &[u8], want: &str) {
        let mut lines = Lines::new(text);
        let mut found = Vec::new();
        loop {
            match lines.next() {
                Ok(None) => break,
                Ok(Some(line)) => {
                    let entries = line.entries.iter().map(|(name, value)| format!("{name}={value}"));
                    found.push(format!("{}: {}", line.line, entries.collect::<Vec<_>>().join(" ")));
                }
                Err(Trouble::Bad(row)) => found.push(format!("{}! {}", row.line, row.why)),
                Err(other) => panic!("{other:?}"),
            }
        }
        assert_eq!(found.join(" / "), want);
    }

    #[test]
    fn values_keep_their_spelling() {
        check(
            b"{\"a\": 1.50, \"b\": [1, {}]}\n\n  \r\n{\"c\": 123456789012345678901234567890}",
            "1: a=1.50 b=[1, {}] / 4: c=123456789012345678901234567890",
        );
        check(b"\xef\xbb\xbf{}", "1: ");
    }

    #[test]
    fn what_is_no_object_is_told_and_the_next_one_read() {
        check(b"[1]\n{\"a\":1}\n", "1! invalid type: sequence, expected an object on each line / 2: a=1");
        check(b"{\"a\":1,\"a\":2}\n", "1! the name `a` is there twice");
        check(b"{\"a\":}\n", "1! no JSON at character 6: expected value");
        check(b"{\"a\":1} x\n", "1! no JSON at character 9: trailing characters");
        check(b"{\"a\":\"\xff\"}\n{}", "1! it is not UTF-8 / 2: ");
    }
}
