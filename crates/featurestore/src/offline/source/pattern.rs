//! Patterns of paths: `*` and `?` within a name, `[a-z]` and `[!a-z]` for one letter, `{a,b}` for either, `**` for any
//! number of folders. A name that starts with a dot is matched only by a pattern that does.

/// A pattern, its alternatives written out.
#[derive(Debug, Clone)]
pub(super) struct Pattern {
    alternatives: Vec<Vec<Part>>,
    folder: String,
}

/// A name between two slashes.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    /// `**`
    Folders,
    Name(Vec<Token>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Letter(char),
    /// `?`
    One,
    /// `*`
    Many,
    /// `[...]`: whether it is negated, and its ranges.
    Set(bool, Vec<(char, char)>),
}

/// Alternatives of one pattern, at most.
const ALTERNATIVES_MAX: usize = 1_000;

impl Pattern {
    /// Whether a path is a pattern.
    pub(super) fn is_one(path: &str) -> bool {
        path.contains(['*', '?', '[', '{'])
    }

    /// Reads a pattern.
    ///
    /// # Errors
    /// A sentence about what has no end, or has too many alternatives.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut alternatives = Vec::new();
        for text in written_out(text)? {
            alternatives.push(text.split('/').map(part).collect::<Result<_, _>>()?);
        }
        let special = text.find(['*', '?', '[', '{']).unwrap_or(text.len());
        let folder = text[..special].rsplit_once('/').map_or("", |(folder, _)| folder).to_owned();
        Ok(Self { alternatives, folder })
    }

    /// The folder below which everything is that matches.
    pub(super) fn folder(&self) -> &str {
        &self.folder
    }

    /// Whether it matches a path.
    pub(super) fn matches(&self, path: &str) -> bool {
        let names: Vec<&str> = path.split('/').collect();
        self.alternatives.iter().any(|parts| matches(parts, &names))
    }

    /// Whether a path below this folder may match: what cannot is not looked into.
    pub(super) fn reaches(&self, folder: &str) -> bool {
        let names: Vec<&str> = folder.split('/').collect();
        self.alternatives.iter().any(|parts| {
            let n = parts.iter().position(|part| *part == Part::Folders).unwrap_or(parts.len());
            let plain = &parts[..n.min(names.len())];
            (n < parts.len() || names.len() < parts.len()) && matches(plain, &names[..plain.len()])
        })
    }
}

fn matches(parts: &[Part], names: &[&str]) -> bool {
    match parts {
        [] => names.is_empty(),
        [Part::Folders, rest @ ..] => {
            let shown = names.iter().take_while(|name| !name.starts_with('.')).count();
            (0..=shown).any(|n| matches(rest, &names[n..]))
        }
        [Part::Name(tokens), rest @ ..] => {
            names.split_first().is_some_and(|(name, others)| named(tokens, name) && matches(rest, others))
        }
    }
}

fn named(tokens: &[Token], name: &str) -> bool {
    if name.starts_with('.') && tokens.first() != Some(&Token::Letter('.')) {
        return false;
    }
    let letters: Vec<char> = name.chars().collect();
    // Where to go on after the last `*`, if what came after it does not fit.
    let (mut token, mut letter, mut again) = (0, 0, None);
    loop {
        let fits = match (tokens.get(token), letters.get(letter)) {
            (None, None) => return true,
            (Some(Token::Many), _) => {
                again = Some((token + 1, letter));
                token += 1;
                continue;
            }
            (Some(Token::Letter(wanted)), Some(found)) => wanted == found,
            (Some(Token::One), Some(_)) => true,
            (Some(Token::Set(negated, ranges)), Some(found)) => {
                ranges.iter().any(|(from, to)| (from..=to).contains(&found)) != *negated
            }
            _ => false,
        };
        if fits {
            (token, letter) = (token + 1, letter + 1);
            continue;
        }
        match again {
            Some((after, from)) if from < letters.len() => {
                (token, letter, again) = (after, from + 1, Some((after, from + 1)));
            }
            _ => return false,
        }
    }
}

fn part(text: &str) -> Result<Part, String> {
    if text == "**" {
        return Ok(Part::Folders);
    }
    let mut tokens = Vec::new();
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        tokens.push(match letter {
            '*' => Token::Many,
            '?' => Token::One,
            '[' => {
                let negated = letters.next_if(|c| matches!(c, '!' | '^')).is_some();
                let mut ranges = Vec::new();
                loop {
                    // A bracket that comes first is one of the letters.
                    match letters.next() {
                        Some(']') if !ranges.is_empty() => break,
                        Some(from) => {
                            let mut ahead = letters.clone();
                            let to = match (ahead.next(), ahead.next()) {
                                (Some('-'), Some(to)) if to != ']' => {
                                    letters = ahead;
                                    to
                                }
                                _ => from,
                            };
                            ranges.push((from, to));
                        }
                        None => return Err(format!("`[` in `{text}` has no end")),
                    }
                }
                Token::Set(negated, ranges)
            }
            plain => Token::Letter(plain),
        });
    }
    Ok(Part::Name(tokens))
}

/// The texts that a text with `{a,b}` stands for.
fn written_out(text: &str) -> Result<Vec<String>, String> {
    let mut done = Vec::new();
    let mut left = vec![text.to_owned()];
    while let Some(text) = left.pop() {
        let Some(start) = text.find('{') else {
            done.push(text);
            continue;
        };
        let mut depth = 0_usize;
        let mut cuts = vec![start];
        for (at, letter) in text[start..].char_indices() {
            match letter {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 1 => cuts.push(start + at),
                _ => {}
            }
            if depth == 0 {
                cuts.push(start + at);
                break;
            }
        }
        if depth > 0 {
            return Err(format!("`{{` in `{text}` has no end"));
        }
        let end = cuts[cuts.len() - 1];
        for pair in cuts.windows(2) {
            left.push(format!("{}{}{}", &text[..start], &text[pair[0] + 1..pair[1]], &text[end + 1..]));
        }
        if left.len() + done.len() > ALTERNATIVES_MAX {
            return Err(format!("it stands for more than {ALTERNATIVES_MAX} patterns"));
        }
    }
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, yes: &[&str], no: &[&str]) {
        let parsed = Pattern::parse(pattern).unwrap();
        for path in yes {
            assert!(parsed.matches(path), "`{pattern}` matches `{path}`");
            for (at, _) in path.match_indices('/') {
                assert!(parsed.reaches(&path[..at]), "`{pattern}` looks into `{}`", &path[..at]);
            }
        }
        for path in no {
            assert!(!parsed.matches(path), "`{pattern}` does not match `{path}`");
        }
    }

    #[test]
    fn a_star_stays_within_a_name() {
        check("data/*.csv", &["data/a.csv", "data/.csv.csv"][..1], &["data/a/b.csv", "a.csv", "data/a.csv.gz"]);
        check("data/*", &["data/a"], &["data/.hidden", "data/a/b", "data"]);
        check("a*b*c", &["abc", "aXbYbZc"], &["ab", "acb"]);
        check("*/x.csv", &["a/x.csv"], &["x.csv", "a/b/x.csv", ".git/x.csv"]);
        check(".*", &[".a"], &["a"]);
    }

    #[test]
    fn one_letter_or_one_of_some() {
        check("a?.csv", &["ab.csv", "aé.csv"], &["a.csv", "abc.csv"]);
        check("part-[0-9][0-9].csv", &["part-07.csv"], &["part-7.csv", "part-0x.csv"]);
        check("[!a-c]x", &["dx"], &["ax", "x"]);
        check("[]]", &["]"], &["["]);
        check("[a-]", &["a", "-"], &["b"]);
    }

    #[test]
    fn either_of_several() {
        check("{2023,2024}/{a,b*}.csv", &["2023/a.csv", "2024/bb.csv"], &["2025/a.csv", "2024/c.csv"]);
        check("{a,{b,c}d}", &["a", "bd", "cd"], &["b", "ad"]);
        check("x{,-y}", &["x", "x-y"], &["x-"]);
    }

    #[test]
    fn any_number_of_folders() {
        check("data/**/*.parquet", &["data/a.parquet", "data/x/y/a.parquet"], &["a.parquet", "data/.tmp/a.parquet"]);
        check("**", &["a", "a/b"], &[".a"]);
        check("a/**/b/**/c", &["a/b/c", "a/x/b/y/z/c"], &["a/c"]);
    }

    #[test]
    fn the_folder_is_what_comes_before() {
        for (pattern, folder) in [("data/2024-*/x", "data"), ("*.csv", ""), ("a/b/{c,d}/e", "a/b"), ("/a/[b]", "/a")] {
            assert_eq!(Pattern::parse(pattern).unwrap().folder(), folder);
        }
        let pattern = Pattern::parse("data/2024/*.csv").unwrap();
        assert!(!pattern.reaches("data/2023") && !pattern.reaches("data/2024/deep"));
    }

    #[test]
    fn what_has_no_end_is_refused() {
        assert_eq!(Pattern::parse("a[b").unwrap_err(), "`[` in `a[b` has no end");
        assert_eq!(Pattern::parse("a{b,c").unwrap_err(), "`{` in `a{b,c` has no end");
        let many = "{1,2,3,4}".repeat(10);
        assert_eq!(Pattern::parse(&many).unwrap_err(), "it stands for more than 1000 patterns");
    }
}
