use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::codes::{CODES, find};
use super::*;
use crate::http::services::ServiceError;

const KINDS: [ErrorKind; 9] = [
    ErrorKind::Invalid,
    ErrorKind::NotFound,
    ErrorKind::Conflict,
    ErrorKind::Denied,
    ErrorKind::CheckFailed,
    ErrorKind::Overloaded,
    ErrorKind::Timeout,
    ErrorKind::Unavailable,
    ErrorKind::Internal,
];

/// I11: whatever enum an error is of, its kind has a code, and a user's mistake is no 5xx, which clients retry.
#[test]
fn each_kind_has_a_code_a_status_and_says_whether_to_retry() {
    for kind in KINDS {
        let failure = Failure::new(kind, "");
        assert!(failure.is_listed(), "{kind:?}");
        let theirs = match kind {
            ErrorKind::Invalid | ErrorKind::NotFound | ErrorKind::Conflict | ErrorKind::CheckFailed => true,
            ErrorKind::Denied | ErrorKind::Overloaded => true,
            ErrorKind::Timeout | ErrorKind::Unavailable | ErrorKind::Internal => false,
        };
        assert_eq!(failure.status().is_client_error(), theirs, "{kind:?}");
        assert_ne!(failure.exit_code(), 0);
        let json = failure.to_json();
        for field in ["code", "message", "retryable"] {
            assert!(!json["error"][field].is_null(), "{kind:?} {field}");
        }
    }
}

#[test]
fn codes_are_told_apart() {
    let names: Vec<&str> = CODES.iter().map(|code| code.name).collect();
    let mut sorted = names.clone();
    sorted.sort_unstable();
    sorted.dedup();
    assert_eq!(names, sorted);
}

/// Every `.code("..")` of the sources is in the table, and the table has none that no source has.
#[test]
fn each_code_of_the_sources_is_in_the_table() {
    let mut said = BTreeSet::new();
    let mut files = Vec::new();
    collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    for file in files.iter().filter(|file| !file.ends_with("tests.rs")) {
        let text = std::fs::read_to_string(file).unwrap();
        for (at, _) in text.match_indices(".code(\"") {
            let name = text[at + 7..].split('"').next().unwrap();
            assert!(find(name).is_some(), "{} says `{name}`, which failure/codes.rs does not list", file.display());
            said.insert(name.to_owned());
        }
        // Those that are chosen from, or constants.
        for code in CODES {
            if !file.ends_with("failure/codes.rs") && text.contains(&format!("\"{}\"", code.name)) {
                said.insert(code.name.to_owned());
            }
        }
    }
    let unsaid: Vec<&str> = CODES.iter().map(|code| code.name).filter(|name| !said.contains(*name)).collect();
    assert!(unsaid.is_empty(), "no source says {unsaid:?}");
}

fn collect(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, into);
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            into.push(path);
        }
    }
}

/// The errors that choose their code by the variant.
#[test]
fn each_variant_with_a_code_of_its_own_is_in_the_table() {
    let (name, hint) = (|| "a".to_owned(), || "b".to_owned());
    let services = [
        ServiceError::NoService { name: name(), hint: hint() },
        ServiceError::NoView { name: name(), hint: hint() },
        ServiceError::NoVersion { name: name(), version: 1, hint: hint() },
        ServiceError::NoFeature { view: name(), feature: name(), hint: hint() },
        ServiceError::NoReference { text: name() },
        ServiceError::Versions { text: name() },
        ServiceError::Unresolved { name: name() },
    ];
    for error in services {
        let text = format!("{error:?}");
        assert!(Failure::from(error).is_listed(), "{text}");
    }
    let view: schema::ViewId = schema::ViewId { name: "a".parse().unwrap(), version: 1 };
    let pushes = [
        featurestore::push::PushError::NotOnline { view: view.clone() },
        featurestore::push::PushError::Feast { view: view.clone() },
    ];
    for error in pushes {
        let text = format!("{error:?}");
        assert!(Failure::from(error).is_listed(), "{text}");
    }
    assert!(Failure::from(RetrieveError::NotOnline { view }).is_listed());
}

/// docs/http.md prints the table that programs are told of.
#[test]
fn the_table_of_codes_is_documented() {
    let mut want = String::from("| code | status | retry | means |\n|---|---|---|---|\n");
    for code in CODES {
        let failures: Vec<Failure> = code.kinds.iter().map(|kind| Failure::new(*kind, "").code(code.name)).collect();
        let statuses: Vec<String> = failures.iter().map(|failure| failure.status().as_u16().to_string()).collect();
        let retry = if failures.iter().any(Failure::is_retryable) { "yes" } else { "" };
        want += &format!("| `{}` | {} | {retry} | {} |\n", code.name, statuses.join(", "), code.means);
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/http.md");
    let docs = std::fs::read_to_string(path).unwrap();
    assert!(docs.contains(&want), "docs/http.md must have this table:\n{want}");
}
