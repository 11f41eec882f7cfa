//! The clauses of a filter: read once, then asked of each entry.

use super::pattern::is_like;
use super::subject::{Asked, Field, Subject};
use super::words::{Kind, Word, shown, words};
use super::{IS_PROMPT, SearchError, is_prompt};

/// All of these must hold.
#[derive(Debug)]
pub(super) struct Filter {
    clauses: Vec<Clause>,
    /// Whether a clause asks for prompts, which are left out otherwise.
    prompts: bool,
}

#[derive(Debug, PartialEq)]
struct Clause {
    name: Name,
    test: Test,
}

#[derive(Debug, PartialEq)]
enum Name {
    Attribute(&'static str),
    Tag(String),
}

#[derive(Debug, PartialEq)]
enum Test {
    /// How it compares, and with what.
    Text(Comparison, String),
    Number(Comparison, i64),
    In(Vec<String>),
    NotIn(Vec<String>),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Like,
    LikeInAnyCase,
}

impl Filter {
    pub(super) fn parse<S: Subject>(filter: &str) -> Result<Self, SearchError> {
        let words = words(filter)?;
        let mut clauses = Vec::new();
        for (i, clause) in words.split(|word| word.is("AND")).enumerate() {
            // A client puts its own clause behind an `AND`, also where the filter that it was given is blank.
            if i == 0 && clause.is_empty() {
                continue;
            }
            let place = || SearchError::Filter { why: format!("clause {} is empty", i + 1) };
            clauses.push(Reader { words: clause, at: 0 }.clause::<S>(place)?);
        }
        // Whoever asks for prompts is answered as asked; others see none, whatever else they say of this tag.
        let of_prompts = |clause: &Clause| clause.name == Name::Tag(IS_PROMPT.to_owned());
        let asks = |clause: &Clause| match &clause.test {
            Test::Text(Comparison::Equal, value) => value == "true",
            Test::Text(Comparison::NotEqual, value) => value == "false",
            _ => false,
        };
        let prompts = clauses.iter().any(|clause| of_prompts(clause) && asks(clause));
        if !prompts {
            clauses.retain(|clause| !of_prompts(clause));
        }
        Ok(Self { clauses, prompts })
    }

    /// The one name that an entry can have, where a clause says so.
    pub(super) fn name(&self) -> Option<&str> {
        self.clauses.iter().find_map(|clause| match (&clause.name, &clause.test) {
            (Name::Attribute("name"), Test::Text(Comparison::Equal, name)) => Some(name.as_str()),
            _ => None,
        })
    }

    pub(super) fn matches(&self, entry: &impl Subject) -> bool {
        (self.prompts || !is_prompt(entry.tags())) && self.clauses.iter().all(|clause| clause.matches(entry))
    }
}

impl Clause {
    fn matches(&self, entry: &impl Subject) -> bool {
        let field = match &self.name {
            Name::Attribute(name) => entry.field(name),
            // Who does not have the tag does not have another value of it either.
            Name::Tag(key) => match entry.tags().get(key) {
                Some(value) => Field::Text(value),
                None => return false,
            },
        };
        match (&self.test, field) {
            (Test::In(list), Field::Text(text)) => list.iter().any(|one| one == text),
            (Test::NotIn(list), Field::Text(text)) => !list.iter().any(|one| one == text),
            (Test::Text(comparison, value), Field::Text(text)) => match comparison {
                Comparison::Like => is_like(text, value),
                Comparison::LikeInAnyCase => is_like(&text.to_lowercase(), &value.to_lowercase()),
                other => other.holds(text, value),
            },
            (Test::Number(comparison, value), Field::Number(number)) => comparison.holds(&number, value),
            // A clause is of the type of its field: it was read so.
            _ => false,
        }
    }
}

impl Comparison {
    fn holds<T: Ord + ?Sized>(self, a: &T, b: &T) -> bool {
        match self {
            Self::Equal => a == b,
            Self::NotEqual => a != b,
            Self::Less => a < b,
            Self::LessOrEqual => a <= b,
            Self::Greater => a > b,
            Self::GreaterOrEqual => a >= b,
            Self::Like | Self::LikeInAnyCase => false,
        }
    }
}

/// Reads one clause.
struct Reader<'w> {
    words: &'w [Word],
    at: usize,
}

impl<'w> Reader<'w> {
    fn clause<S: Subject>(mut self, empty: impl Fn() -> SearchError) -> Result<Clause, SearchError> {
        if self.words.is_empty() {
            return Err(empty());
        }
        // OR, and groups, are not in the language: said in its words.
        let foreign = |word: &&Word| word.is("OR") || word.is_punctuation("(");
        if let Some(word) = self.words.first().filter(foreign).or_else(|| self.words.iter().find(|w| w.is("OR"))) {
            let clause = if word.is("OR") { "OR".to_owned() } else { self.text() };
            return Err(SearchError::Clause { clause });
        }
        let (name, asked, said) = self.name::<S>()?;
        let test = self.test(asked, &said)?;
        if self.at < self.words.len() {
            return Err(SearchError::Clause { clause: self.text() });
        }
        Ok(Clause { name, test })
    }

    /// The whole clause, for messages.
    fn text(&self) -> String {
        let words: Vec<&str> = self.words.iter().map(|word| word.text.as_str()).collect();
        shown(&words.join(" ")).trim_matches('`').to_owned()
    }

    fn next(&mut self) -> Option<&'w Word> {
        let word = self.words.get(self.at)?;
        self.at += 1;
        Some(word)
    }

    /// The field, how it may be asked for, and its name in messages.
    fn name<S: Subject>(&mut self) -> Result<(Name, Asked, String), SearchError> {
        let clause = |text: String| SearchError::Clause { clause: text };
        let Some(first) = self.next().filter(|word| matches!(word.kind, Kind::Bare | Kind::Backticked)) else {
            return Err(clause(self.text()));
        };
        let (entity, key) = match first.text.split_once('.') {
            Some((entity, key)) if first.kind == Kind::Bare => (entity, key.to_owned()),
            _ => ("attribute", first.text.clone()),
        };
        // tags.`a key with blanks`
        let quoted = |word: &&Word| word.glued && matches!(word.kind, Kind::Backticked | Kind::Quoted);
        let key = match self.words.get(self.at).filter(quoted) {
            Some(word) if key.is_empty() => {
                self.at += 1;
                word.text.clone()
            }
            _ => key,
        };
        match entity.to_ascii_lowercase().as_str() {
            "tag" | "tags" if !key.is_empty() => {
                let said = format!("tag '{key}'");
                Ok((Name::Tag(key), Asked::Text, said))
            }
            "attribute" => {
                let found = S::ATTRIBUTES.iter().find(|(name, _)| *name == key);
                let (name, asked) = found.ok_or_else(|| {
                    let valid: Vec<&str> = S::ATTRIBUTES.iter().map(|(name, _)| *name).collect();
                    SearchError::Attribute { key, valid: format!("{valid:?}") }
                })?;
                Ok((Name::Attribute(name), *asked, format!("attribute '{name}'")))
            }
            _ => {
                let valid = "an attribute's name, `tags.<key>`".to_owned();
                Err(SearchError::Attribute { key: first.text.clone(), valid })
            }
        }
    }

    fn test(&mut self, asked: Asked, name: &str) -> Result<Test, SearchError> {
        use Comparison::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual, Like, LikeInAnyCase, NotEqual};
        let Some(word) = self.next() else { return Err(SearchError::Clause { clause: self.text() }) };
        let listed = word.is("IN") || (word.is("NOT") && self.words.get(self.at).is_some_and(|next| next.is("IN")));
        let comparison = match word.text.as_str() {
            _ if listed => None,
            "=" if word.kind == Kind::Operator => Some(Equal),
            "!=" if word.kind == Kind::Operator => Some(NotEqual),
            "<" if word.kind == Kind::Operator => Some(Less),
            "<=" if word.kind == Kind::Operator => Some(LessOrEqual),
            ">" if word.kind == Kind::Operator => Some(Greater),
            ">=" if word.kind == Kind::Operator => Some(GreaterOrEqual),
            _ if word.is("LIKE") => Some(Like),
            _ if word.is("ILIKE") => Some(LikeInAnyCase),
            _ => return Err(SearchError::Clause { clause: self.text() }),
        };
        let unfit = |valid: &str| SearchError::Comparator {
            comparator: if word.is("NOT") { "NOT IN".to_owned() } else { word.text.to_uppercase() },
            name: name.to_owned(),
            valid: valid.to_owned(),
        };
        match (asked, comparison) {
            (Asked::Number, Some(Like | LikeInAnyCase) | None) => Err(unfit("=, !=, <, <=, >, >=")),
            (Asked::Number, Some(comparison)) => Ok(Test::Number(comparison, self.number(name)?)),
            (Asked::List, None) => {
                let not = word.is("NOT");
                self.at += usize::from(not);
                let list = self.list(name)?;
                Ok(if not { Test::NotIn(list) } else { Test::In(list) })
            }
            (_, Some(comparison @ (Equal | NotEqual | Like | LikeInAnyCase))) => {
                Ok(Test::Text(comparison, self.quoted(name)?))
            }
            (Asked::List, _) => Err(unfit("=, !=, LIKE, ILIKE, IN, NOT IN")),
            (Asked::Text, _) => Err(unfit("=, !=, LIKE, ILIKE")),
        }
    }

    fn quoted(&mut self, name: &str) -> Result<String, SearchError> {
        match self.next() {
            Some(word) if word.kind == Kind::Quoted => Ok(word.text.clone()),
            found => Err(unexpected(name, "a quoted string value", found)),
        }
    }

    fn number(&mut self, name: &str) -> Result<i64, SearchError> {
        let word = self.next();
        // In quotes too, as MLflow's server takes it.
        let said = word.filter(|word| matches!(word.kind, Kind::Bare | Kind::Quoted));
        let number = said.and_then(|word| word.text.parse().ok());
        number.ok_or_else(|| unexpected(name, "an integer", word))
    }

    /// `('a', 'b')`
    fn list(&mut self, name: &str) -> Result<Vec<String>, SearchError> {
        let expected = "a list of quoted strings in brackets";
        let open = self.next();
        if !open.is_some_and(|word| word.is_punctuation("(")) {
            return Err(unexpected(name, expected, open));
        }
        let mut list = Vec::new();
        loop {
            match self.next() {
                Some(word) if word.kind == Kind::Quoted => list.push(word.text.clone()),
                found => return Err(unexpected(name, expected, found)),
            }
            match self.next() {
                Some(word) if word.is_punctuation(",") => {}
                Some(word) if word.is_punctuation(")") => return Ok(list),
                found => return Err(unexpected(name, expected, found)),
            }
        }
    }
}

fn unexpected(name: &str, expected: &'static str, found: Option<&Word>) -> SearchError {
    let found = found.map_or_else(|| "the end".to_owned(), |word| shown(&word.text));
    SearchError::Value { name: name.to_owned(), expected, found }
}
