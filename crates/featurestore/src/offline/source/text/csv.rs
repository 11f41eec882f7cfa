//! CSV as RFC 4180 has it: fields in quotes may hold anything, a quote in them is written twice.
//!
//! One thing is added: an empty field is null, and `""` is the empty text.

use std::io::{BufRead, Read};
use std::ops::Range;

use super::{BadRow, Trouble};

/// A record may be so long: a longer one is a quote without its end.
const RECORD_MAX: usize = 16 << 20;

/// The records of a text, the header among them.
#[derive(Debug)]
pub(super) struct Records<R> {
    input: R,
    delimiter: u8,
    /// The line that was read last, from 1.
    line: u64,
    /// Where the text stands that was read last, in bytes from the start of the file.
    bytes: Range<u64>,
    buffer: Vec<u8>,
}

/// One record.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Record {
    /// The line on which it starts.
    pub(super) line: u64,
    /// `None` for an empty field.
    pub(super) fields: Vec<Option<String>>,
}

impl<R: BufRead> Records<R> {
    pub(super) fn new(input: R, delimiter: char) -> Self {
        let delimiter = u8::try_from(delimiter).unwrap_or(b',');
        Self { input, delimiter, line: 0, bytes: 0..0, buffer: Vec::new() }
    }

    /// Where the record stands that was read last, with its line end: one that is none, too.
    pub(super) fn bytes(&self) -> Range<u64> {
        self.bytes.clone()
    }

    /// Its text as it stands there.
    pub(super) fn text(&self) -> &[u8] {
        &self.buffer
    }

    /// The next record; lines with nothing on them are none.
    ///
    /// # Errors
    /// [`Trouble::Bad`] for a record that is none: the next one may be good. Anything else is about the file.
    pub(super) fn next(&mut self) -> Result<Option<Record>, Trouble> {
        loop {
            self.buffer.clear();
            self.bytes.start = self.bytes.end;
            if !self.more()? {
                return Ok(None);
            }
            if self.line == 1 && self.buffer.starts_with(b"\xef\xbb\xbf") {
                self.buffer.drain(..3);
                self.bytes.start += 3;
            }
            if !matches!(self.buffer.as_slice(), b"" | b"\n" | b"\r\n") {
                return self.record().map(Some);
            }
        }
    }

    /// Reads a line behind what is there.
    fn more(&mut self) -> Result<bool, Trouble> {
        let left = RECORD_MAX.saturating_sub(self.buffer.len());
        let n = self.input.by_ref().take(left as u64 + 1).read_until(b'\n', &mut self.buffer)?;
        if n > left {
            let why = format!("a record of more than {} MiB: does a quote have no end?", RECORD_MAX >> 20);
            return Err(Trouble::File { line: self.line + 1, why });
        }
        self.line += u64::from(n > 0);
        self.bytes.end += n as u64;
        Ok(n > 0)
    }

    fn record(&mut self) -> Result<Record, Trouble> {
        let line = self.line;
        let bad = |why: &str| Trouble::Bad(BadRow::new(line, why));
        let mut fields = Vec::new();
        let mut at = 0;
        loop {
            let field = if self.buffer.get(at) == Some(&b'"') {
                at += 1;
                Some(self.quoted(line, &mut at)?)
            } else {
                let rest = &self.buffer[at..];
                let n = rest.iter().position(|b| *b == self.delimiter || *b == b'\n').unwrap_or(rest.len());
                let mut plain = &rest[..n];
                if rest.get(n) != Some(&self.delimiter) {
                    plain = plain.strip_suffix(b"\r").unwrap_or(plain);
                }
                if plain.contains(&b'"') {
                    return Err(bad("a quote in a field without quotes: put the field in quotes and double that one"));
                }
                at += n;
                (!plain.is_empty()).then(|| plain.to_vec())
            };
            let text = field.map(String::from_utf8).transpose();
            fields.push(text.map_err(|_bytes| bad("a field is not UTF-8"))?);
            match self.buffer.get(at..).unwrap_or_default() {
                [b'\r', b'\n'] | [b'\n'] | [] => return Ok(Record { line, fields }),
                [delimiter, ..] if *delimiter == self.delimiter => at += 1,
                _ => return Err(bad("text behind the quote that ends a field")),
            }
        }
    }

    /// The bytes of a field, from behind its first quote to its last.
    fn quoted(&mut self, line: u64, at: &mut usize) -> Result<Vec<u8>, Trouble> {
        let mut text = Vec::new();
        loop {
            let rest = &self.buffer[*at..];
            match rest.iter().position(|b| *b == b'"') {
                None => {
                    text.extend_from_slice(rest);
                    *at = self.buffer.len();
                    // The rest of the file would be one row: nothing of it is left out silently.
                    if !self.more()? {
                        return Err(Trouble::File { line, why: "a quote that has no end".to_owned() });
                    }
                }
                Some(n) => {
                    text.extend_from_slice(&rest[..n]);
                    *at += n + 1;
                    if self.buffer.get(*at) != Some(&b'"') {
                        return Ok(text);
                    }
                    text.push(b'"');
                    *at += 1;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, want: &str) {
        let mut records = Records::new(text.as_bytes(), ',');
        let mut found = Vec::new();
        loop {
            match records.next() {
                Ok(None) => break,
                Ok(Some(record)) => {
                    let fields = record.fields.iter().map(|f| f.as_ref().map_or("-".to_owned(), |f| format!("{f:?}")));
                    found.push(format!("{}: {}", record.line, fields.collect::<Vec<_>>().join(" ")));
                }
                Err(Trouble::Bad(row)) => found.push(format!("{}! {}", row.line, row.why)),
                Err(Trouble::File { line, why }) => {
                    found.push(format!("{line}!! {why}"));
                    break;
                }
                Err(Trouble::Io(why)) => panic!("{why}"),
            }
        }
        assert_eq!(found.join(" / "), want);
    }

    #[test]
    fn empty_is_null_and_quoted_empty_is_a_text() {
        check("a,b\n1,\n,\"\"\n", r#"1: "a" "b" / 2: "1" - / 3: - """#);
        check("a,b\r\n1,2", r#"1: "a" "b" / 2: "1" "2""#);
        check("\u{feff}a\n\n\r\n1\n", r#"1: "a" / 4: "1""#);
        check("", "");
    }

    #[test]
    fn quotes_hold_anything() {
        check("\"a,\"\"b\"\"\",\"x\ny\"\n1,2\n", r#"1: "a,\"b\"" "x\ny" / 3: "1" "2""#);
        check("\" \",\"\r\n\"\r\n", r#"1: " " "\r\n""#);
        check("\"a\"", r#"1: "a""#);
    }

    #[test]
    fn what_is_no_record_is_told_and_the_next_one_read() {
        let inside = "a quote in a field without quotes: put the field in quotes and double that one";
        check("5\" pipe,1\n2,3\n", &format!("1! {inside} / 2: \"2\" \"3\""));
        check("\"a\"b,1\n2,3\n", "1! text behind the quote that ends a field / 2: \"2\" \"3\"");
        check("1\n\"a\n2,3\n", "1: \"1\" / 2!! a quote that has no end");
        let mut records = Records::new(&b"1,\xff\n2,3\n"[..], ',');
        assert!(matches!(records.next(), Err(Trouble::Bad(row)) if row.why == "a field is not UTF-8"));
        assert_eq!(records.next().unwrap().unwrap().line, 2);
    }

    #[test]
    fn a_record_without_end_is_not_read_into_memory() {
        let long = format!("a\n\"{}", "x\n".repeat(RECORD_MAX));
        let mut records = Records::new(long.as_bytes(), ',');
        assert!(records.next().is_ok());
        assert!(matches!(records.next(), Err(Trouble::File { .. })));
    }

    #[test]
    fn any_character_may_separate() {
        let mut records = Records::new(&b"a;b,c;\n"[..], ';');
        let fields = records.next().unwrap().unwrap().fields;
        assert_eq!(fields, [Some("a".to_owned()), Some("b,c".to_owned()), None]);
    }
}
