//! The layout of a token: `pl1.` and bytes in base64 without padding.
//!
//! Format byte; sequence number of the definitions; what was asked for; the views' fingerprints; the instant; for each view
//! the state of its data; the entities, packed; for each view the event time of each row; digests of rows and features.
//! Numbers have as many bytes as they need (LEB128), what has a fixed width is little-endian.

use std::sync::Arc;

use arrow::array::ArrayRef;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use featurestore::codec::RowCodec;
use featurestore::offline::history::Held;
use featurestore::online::Served;
use featurestore::retrieve::EntityRows;
use featurestore::{CompiledService, FeatureRows};
use schema::{Dtype, FeatureView, Timestamp};

use super::Digests;

const PREFIX: &str = "pl1.";
const FORMAT: u8 = 1;
const HELD: u8 = 1;
const WITHOUT: u8 = 0;

/// What a request asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// A version of a service.
    Service {
        /// Its name.
        name: String,
        /// Its version.
        version: u32,
    },
    /// Features by reference, with the views' versions.
    Features(Vec<String>),
}

/// What answered for one use of a view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ViewState {
    /// A generation made from this state of the data.
    Held {
        /// Its number.
        generation: u64,
        /// The state.
        held: Held,
    },
    /// Nothing that can be replayed: the store did not answer, or the rows are Feast's.
    Without,
}

/// A token that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Sequence number of the definitions.
    pub definitions: u64,
    /// What was asked for.
    pub asked: Asked,
    /// The first bytes of the views' fingerprints.
    pub meanings: Vec<[u8; 8]>,
    /// The instant.
    pub as_of: Timestamp,
    /// What answered, for each use of a view.
    pub views: Vec<ViewState>,
    /// The packed keys and request fields of each row.
    entities: Vec<Vec<u8>>,
    /// For each use of a view, the event time of each row.
    pub event_times: Vec<Vec<Option<Timestamp>>>,
    /// Of what was answered.
    pub digests: Digests,
}

/// A text that is no token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum MalformedToken {
    #[error("it does not begin with `{PREFIX}`")]
    Prefix,
    #[error("it has a character that is none of base64's")]
    Base64,
    #[error("its format is {found}, and this version reads {FORMAT}")]
    Format { found: u8 },
    #[error("it ends in the middle, or holds more than it says")]
    Length,
}

/// What does not change from answer to answer: the beginning, and how what a request says is packed.
#[derive(Debug)]
pub(super) struct Frame {
    head: Vec<u8>,
    names: Vec<String>,
    codec: RowCodec,
}

impl Frame {
    pub(super) fn new(definitions: u64, asked: &Asked, compiled: &CompiledService) -> Self {
        let names = names(compiled);
        let codec = RowCodec::new(names.iter().map(|(_, dtype)| *dtype));
        let names = names.into_iter().map(|(name, _)| name.to_owned()).collect();
        Self { head: head(definitions, asked, compiled), names, codec }
    }
}

fn head(definitions: u64, asked: &Asked, compiled: &CompiledService) -> Vec<u8> {
    let mut out = vec![FORMAT];
    push_number(&mut out, definitions);
    let text = match asked {
        Asked::Service { name, version } => format!("{name}@v{version}"),
        Asked::Features(references) => references.join(" "),
    };
    push_bytes(&mut out, text.as_bytes());
    push_number(&mut out, compiled.views.len() as u64);
    compiled.views.iter().for_each(|view| out.extend(meaning(&view.view)));
    out
}

/// The first bytes of a view's fingerprint.
pub(super) fn meaning(view: &FeatureView) -> [u8; 8] {
    first_bytes(view.fingerprint.as_bytes())
}

fn first_bytes(digest: &[u8; 32]) -> [u8; 8] {
    let [a, b, c, d, e, f, g, h, ..] = *digest;
    [a, b, c, d, e, f, g, h]
}

/// A whole token; `frame` is the service's.
pub(super) fn write(
    frame: &Frame,
    compiled: &CompiledService,
    entities: &EntityRows,
    as_of: Timestamp,
    found: &FeatureRows,
    served: &[Option<Arc<Served>>],
) -> String {
    let Frame { head, names, codec } = frame;
    let n = entities.n;
    let mut out = Vec::with_capacity(head.len() + 64 + n * (20 + 8 * served.len()) + 4 * found.columns.len());
    out.extend(head);
    out.extend(as_of.as_nanos().to_le_bytes());
    for served in served {
        let Some(served) = served else {
            out.push(WITHOUT);
            continue;
        };
        let contents = &served.generation.contents;
        out.push(HELD);
        push_number(&mut out, served.generation.number);
        out.extend(first_bytes(contents.version.as_bytes()));
        push_number(&mut out, contents.n_files as u64);
        push_number(&mut out, contents.n_pushed);
    }
    push_number(&mut out, n as u64);
    let columns: Vec<ArrayRef> = names.iter().filter_map(|name| entities.columns.get(name).cloned()).collect();
    for row in 0..n {
        push_bytes(&mut out, &codec.encode(&columns, row));
    }
    for times in &found.event_times {
        for time in times {
            // No row has the smallest instant: it stands for none.
            out.extend(time.map_or(i64::MIN, Timestamp::as_nanos).to_le_bytes());
        }
    }
    let digests = Digests::of(compiled, found, n);
    for digest in digests.rows.iter().chain(&digests.features) {
        out.extend(digest.to_le_bytes());
    }
    let mut text = String::with_capacity(PREFIX.len() + out.len() * 4 / 3 + 4);
    text.push_str(PREFIX);
    URL_SAFE_NO_PAD.encode_string(&out, &mut text);
    text
}

/// What a request says, in the order of a token: keys, then request fields.
fn names(compiled: &CompiledService) -> Vec<(&str, Dtype)> {
    let keys = compiled.keys().into_iter().map(|key| (key.name.as_str(), key.dtype));
    keys.chain(compiled.fields.iter().map(|field| (field.name.as_str(), field.dtype))).collect()
}

impl Token {
    /// Reads what [`super::Replayable::token`] wrote.
    ///
    /// # Errors
    /// [`MalformedToken`].
    pub fn read(text: &str) -> Result<Self, MalformedToken> {
        let text = text.trim().strip_prefix(PREFIX).ok_or(MalformedToken::Prefix)?;
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_no_base64| MalformedToken::Base64)?;
        match bytes.split_first() {
            None => Err(MalformedToken::Length),
            Some((&FORMAT, rest)) => Reader(rest).token().ok_or(MalformedToken::Length),
            Some((found, _)) => Err(MalformedToken::Format { found: *found }),
        }
    }

    /// Rows that were asked for.
    pub fn n_rows(&self) -> usize {
        self.entities.len()
    }

    /// What the request said, for the service that it asked for; `None` if it does not fit it.
    pub fn entities(&self, compiled: &CompiledService) -> Option<EntityRows> {
        let names = names(compiled);
        let codec = RowCodec::new(names.iter().map(|(_, dtype)| *dtype));
        let mut decoder = codec.decoder(self.entities.len());
        for row in &self.entities {
            decoder.push(row).ok()?;
        }
        let columns = names.iter().zip(decoder.finish()).map(|((name, _), column)| ((*name).to_owned(), column));
        Some(EntityRows { n: self.entities.len(), columns: columns.collect() })
    }
}

struct Reader<'b>(&'b [u8]);

impl Reader<'_> {
    fn token(mut self) -> Option<Token> {
        let definitions = self.number()?;
        let text = String::from_utf8(self.bytes()?).ok()?;
        let asked = match text.rsplit_once("@v") {
            Some((name, version)) if !text.contains(':') => {
                Asked::Service { name: name.to_owned(), version: version.parse().ok()? }
            }
            _ => Asked::Features(text.split(' ').map(str::to_owned).collect()),
        };
        let n_views = self.count(8)?;
        let meanings = (0..n_views).map(|_| self.fixed()).collect::<Option<Vec<[u8; 8]>>>()?;
        let as_of = self.instant()?;
        let mut views = Vec::with_capacity(n_views);
        for _ in 0..n_views {
            views.push(match self.fixed::<1>()? {
                [HELD] => {
                    let generation = self.number()?;
                    let held = Held { version: self.fixed()?, n_files: self.number()?, n_pushed: self.number()? };
                    ViewState::Held { generation, held }
                }
                [WITHOUT] => ViewState::Without,
                _ => return None,
            });
        }
        let n = self.count(1)?;
        let entities = (0..n).map(|_| self.bytes()).collect::<Option<Vec<_>>>()?;
        let mut event_times = Vec::with_capacity(n_views);
        for _ in 0..n_views {
            let time = |time: Timestamp| (time != Timestamp::MIN).then_some(time);
            event_times.push((0..n).map(|_| self.instant().map(time)).collect::<Option<Vec<_>>>()?);
        }
        let digest = |reader: &mut Self| reader.fixed().map(u32::from_le_bytes);
        let rows = (0..n).map(|_| digest(&mut self)).collect::<Option<Vec<_>>>()?;
        let n_features = self.0.len() / 4;
        let features = (0..n_features).map(|_| digest(&mut self)).collect::<Option<Vec<_>>>()?;
        let digests = Digests { rows, features };
        self.0.is_empty().then_some(Token {
            definitions,
            asked,
            meanings,
            as_of,
            views,
            entities,
            event_times,
            digests,
        })
    }

    fn fixed<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, tail) = self.0.split_first_chunk::<N>()?;
        self.0 = tail;
        Some(*head)
    }

    fn instant(&mut self) -> Option<Timestamp> {
        self.fixed().map(|bytes| Timestamp::from_nanos(i64::from_le_bytes(bytes)))
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let [byte] = self.fixed::<1>()?;
            number |= u64::from(byte & 0x7f).checked_shl(shift)?;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    /// A number of things that take at least `size` bytes each: never more than there are bytes.
    fn count(&mut self, size: usize) -> Option<usize> {
        let n = usize::try_from(self.number()?).ok()?;
        (n <= self.0.len() / size).then_some(n)
    }

    fn bytes(&mut self) -> Option<Vec<u8>> {
        let n = self.count(1)?;
        let (head, tail) = self.0.split_at_checked(n)?;
        self.0 = tail;
        Some(head.to_vec())
    }
}

fn push_number(out: &mut Vec<u8>, mut number: u64) {
    loop {
        let [low, ..] = number.to_le_bytes();
        number >>= 7;
        if number == 0 {
            out.push(low & 0x7f);
            return;
        }
        out.push(low | 0x80);
    }
}

fn push_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    push_number(out, bytes.len() as u64);
    out.extend(bytes);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_no_token_is_refused_with_the_reason() {
        assert_eq!(Token::read("hello"), Err(MalformedToken::Prefix));
        assert_eq!(Token::read("pl1.?"), Err(MalformedToken::Base64));
        assert_eq!(Token::read("pl1."), Err(MalformedToken::Length));
        assert_eq!(Token::read("pl1.CQ"), Err(MalformedToken::Format { found: 9 }));
        assert_eq!(Token::read("pl1.AQ"), Err(MalformedToken::Length));
    }

    proptest! {
        #[test]
        fn numbers_come_back(number in any::<u64>()) {
            let mut out = Vec::new();
            push_number(&mut out, number);
            prop_assert_eq!(Reader(&out).number(), Some(number));
        }

        #[test]
        fn other_bytes_are_refused_not_misread(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let text = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode([&[FORMAT], bytes.as_slice()].concat()));
            if let Ok(token) = Token::read(&text) {
                prop_assert!(token.n_rows() <= bytes.len());
            }
        }
    }
}
