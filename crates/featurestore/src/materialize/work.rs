//! What a materialization has to do, decided from what is online and what history holds. Pure.

use crate::offline::history::{History, Unit};
use crate::online::marks::{Contents, Marks};

/// What there is to do.
#[derive(Debug, Clone)]
pub(super) enum Work {
    /// What is online is this history.
    Nothing,
    /// History only grew: its new part is merged into the current generation, newest wins, beside readers.
    Append(Vec<Unit>),
    /// The build of a generation of this very history was interrupted: it goes on.
    Continue,
    /// A generation beside the current one.
    Build,
}

/// Decides. With `fresh` nothing that is online is trusted.
pub(super) fn work(marks: &Marks, history: &History, fresh: bool) -> Work {
    let contents = history.contents();
    let grown = |before: &Contents| history.since(before);
    decide(marks, contents, grown, fresh)
}

fn decide(marks: &Marks, contents: Contents, grown: impl FnOnce(&Contents) -> Option<Vec<Unit>>, fresh: bool) -> Work {
    let half_built = marks.building.as_ref().is_some_and(|building| building.contents == contents);
    match &marks.current {
        _ if fresh => Work::Build,
        _ if half_built => Work::Continue,
        Some(current) if current.contents == contents => Work::Nothing,
        Some(current) => grown(&current.contents).map_or(Work::Build, Work::Append),
        None => Work::Build,
    }
}

#[cfg(test)]
mod tests {
    use schema::{Fingerprint, Timestamp};

    use super::*;

    fn contents(n: u8) -> Contents {
        Contents { version: Fingerprint::of_bytes(&[n]), n_files: usize::from(n), n_pushed: 0 }
    }

    #[track_caller]
    fn check(marks: &Marks, now: Contents, grew: bool, fresh: bool, want: &str) {
        let units = grew.then(Vec::new);
        assert_eq!(format!("{:?}", decide(marks, now, |_| units, fresh)), want);
    }

    #[test]
    fn what_there_is_to_do() {
        let at = Timestamp::from_nanos(0);
        let none = Marks::default();
        let one = none.clone().begin(contents(1), at).switch(at);
        check(&none, contents(1), false, false, "Build");
        check(&one, contents(1), false, false, "Nothing");
        check(&one, contents(1), false, true, "Build");
        check(&one, contents(2), true, false, "Append([])");
        check(&one, contents(2), false, false, "Build");
        let killed = one.begin(contents(2), at);
        check(&killed, contents(2), false, false, "Continue");
        check(&killed, contents(2), true, false, "Continue");
        check(&killed, contents(3), false, false, "Build");
        check(&killed, contents(2), false, true, "Build");
        check(&killed, contents(1), false, false, "Nothing");
    }
}
