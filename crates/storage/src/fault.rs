//! What a failure of a store means, in words that a person can act on.

use std::time::Duration;

use object_store::Error;
use schema::ErrorKind;
use schema::error::chain;

/// Why a store did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Fault {
    /// What a caller can do.
    pub kind: ErrorKind,
    /// What a person can do.
    pub hint: &'static str,
    text: String,
}

impl Fault {
    /// One of our own words.
    pub fn new(kind: ErrorKind, hint: &'static str, text: impl Into<String>) -> Self {
        Self { kind, hint, text: text.into() }
    }

    /// The store said nothing in time.
    pub fn late(limit: Duration) -> Self {
        let hint = "are the endpoint, the network and the credentials right? `storage: {listing_timeout: ...}` in \
                    `plumb.yaml` waits longer";
        Self::new(ErrorKind::Timeout, hint, format!("no answer within {} s", limit.as_secs_f32()))
    }

    /// What the library's error means.
    pub fn of(why: &Error) -> Self {
        let said = chain(why);
        let says = |words: &[&str]| words.iter().any(|word| said.contains(word));
        // Of a listing's error the library keeps the status in the text alone.
        let status = |code: &str| said.contains(&format!("status code: {code}"));
        let (kind, what, hint) = match why {
            _ if says(&NO_BUCKET) => {
                (ErrorKind::NotFound, "there is no such bucket", "check the URL, and the endpoint in `plumb.yaml`")
            }
            Error::NotFound { .. } => (ErrorKind::NotFound, "there is nothing", "check the URL"),
            Error::InvalidPath { .. } => {
                (ErrorKind::Invalid, "an object there has a path that leads elsewhere", "give the object another name")
            }
            Error::Precondition { .. } => (ErrorKind::Conflict, "the object changed while it was read", "try again"),
            Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => denied(),
            _ if status("403") || status("401") => denied(),
            _ if says(&["SlowDown", "ServerBusy"]) || status("429") || status("503") => {
                (ErrorKind::Overloaded, "the store asks for fewer requests", "try again later")
            }
            _ if status("4") => (
                ErrorKind::Invalid,
                "the store refuses the request",
                "check the settings under `storage` in `plumb.yaml`",
            ),
            _ => (ErrorKind::Unavailable, "the store cannot be asked", "try again; is the endpoint right?"),
        };
        Self::new(kind, hint, format!("{what}: {}", shortened(&plain(&said))))
    }

    /// Without texts that nobody may read, should the store have repeated them.
    pub(crate) fn without(mut self, secrets: &[String]) -> Self {
        for secret in secrets {
            self.text = self.text.replace(secret.as_str(), "***");
        }
        self
    }
}

/// How stores say that there is no such bucket.
const NO_BUCKET: [&str; 3] = ["NoSuchBucket", "ContainerNotFound", "bucket does not exist"];

/// Whether what is not there is the bucket, and not only the object.
pub(crate) fn is_of_bucket(why: &Error) -> bool {
    let said = chain(why);
    NO_BUCKET.iter().any(|word| said.contains(word))
}

fn denied() -> (ErrorKind, &'static str, &'static str) {
    let hint = "the credentials need to list the bucket, to read its objects and, for files of models, to write them: say \
                them in `plumb.yaml` under `storage`, or in the environment as the store's own tools take them";
    (ErrorKind::Invalid, "permission denied", hint)
}

/// Of an answer in XML the code and the message: beside them stores repeat what was sent, signatures and tokens included.
fn plain(said: &str) -> String {
    let Some(start) = said.find("<Error>") else { return said.to_owned() };
    let (before, answer) = (&said[..start], &said[start..]);
    let before = before.split("<?xml").next().unwrap_or_default();
    let element = |name: &str| {
        let (_, rest) = answer.split_once(&format!("<{name}>"))?;
        rest.split_once("</").map(|(text, _)| text)
    };
    let words: Vec<&str> = ["Code", "Message"].into_iter().filter_map(element).collect();
    format!("{before}{}", words.join(": "))
}

fn shortened(text: &str) -> String {
    const LETTERS: usize = 400;
    let plain = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let short: String = plain.chars().take(LETTERS).collect();
    if short.len() < plain.len() { format!("{short}…") } else { short }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generic(said: &str) -> Error {
        Error::Generic { store: "S3", source: said.into() }
    }

    #[test]
    fn failures_are_told_apart_by_what_can_be_done() {
        let path = || "a".to_owned();
        let of = |why: Error| Fault::of(&why);
        for (why, kind, words) in [
            (Error::NotFound { path: path(), source: "404".into() }, ErrorKind::NotFound, "there is nothing"),
            (
                Error::NotFound { path: path(), source: "<Error><Code>NoSuchBucket</Code></Error>".into() },
                ErrorKind::NotFound,
                "there is no such bucket",
            ),
            (
                Error::Precondition { path: path(), source: "412".into() },
                ErrorKind::Conflict,
                "changed while it was read",
            ),
            (Error::PermissionDenied { path: path(), source: "403".into() }, ErrorKind::Invalid, "permission denied"),
            (generic("status code: 401 Unauthorized"), ErrorKind::Invalid, "permission denied"),
            (generic("status code: 503: SlowDown"), ErrorKind::Overloaded, "fewer requests"),
            (generic("status code: 400 Bad Request"), ErrorKind::Invalid, "refuses the request"),
            (generic("status code: 500"), ErrorKind::Unavailable, "cannot be asked"),
            (generic("connection refused"), ErrorKind::Unavailable, "cannot be asked"),
        ] {
            let fault = of(why);
            assert_eq!(fault.kind, kind, "{fault}");
            assert!(fault.to_string().contains(words), "{fault}");
        }
        assert_eq!(Fault::late(Duration::from_millis(1500)).to_string(), "no answer within 1.5 s");
    }

    #[test]
    fn of_an_answer_in_xml_the_words_for_people_are_told() {
        let said = "Server returned non-2xx status code: 403: <?xml version=\"1.0\"?>\n<Error><Code>InvalidToken</Code>\
                    <Message>The token is malformed.</Message><Token-0>of the session</Token-0>\
                    <AWSAccessKeyId>AKIA</AWSAccessKeyId></Error>";
        let fault = Fault::of(&generic(said)).to_string();
        assert!(fault.ends_with("status code: 403: InvalidToken: The token is malformed."), "{fault}");
        // Whatever it repeats in its message is told without what we know to be secret.
        let fault = Fault::of(&generic("the key canary-key-1 is wrong")).without(&["canary-key-1".to_owned()]);
        assert!(fault.to_string().ends_with("the key *** is wrong"), "{fault}");
    }

    #[test]
    fn a_long_answer_is_told_in_part_and_in_one_line() {
        let fault = Fault::of(&generic(&"word \n".repeat(200))).to_string();
        assert!(fault.chars().count() < 440 && !fault.contains('\n') && fault.ends_with('…'), "{fault}");
    }
}
