//! What artifacts promise, wherever they are: one suite, which a folder passes, and a bucket.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{self, Read};
use std::path::Path;

use schema::{ErrorKind, Fingerprint};

use super::{ArtifactError, Artifacts, key};

/// A place of artifacts that a test may look behind.
pub trait Behind {
    /// The artifacts, as another machine has them: it has no copy of anything.
    fn open(&self) -> Artifacts;
    /// Puts other bytes in the place of what is there, or, of none, takes it away.
    fn set(&self, path: &str, bytes: Option<&[u8]>);
    /// The paths of all that is there, in order; not of drafts.
    fn names(&self) -> Vec<String>;
}

/// Asserts all of it.
///
/// # Panics
/// If something is not as promised.
pub fn check(behind: &impl Behind) {
    what_is_put_is_given_back(behind);
    what_comes_piece_by_piece(behind);
    what_breaks_off(behind);
    what_is_damaged(behind);
    what_is_missing(behind);
    many_writers(behind);
}

fn text(artifacts: &Artifacts, digest: &Fingerprint) -> Vec<u8> {
    let mut read = Vec::new();
    artifacts.open_checked(digest).unwrap().read_to_end(&mut read).unwrap();
    assert_eq!(read, artifacts.get(digest).unwrap());
    read
}

/// Under its digest, on every machine, once.
fn what_is_put_is_given_back(behind: &impl Behind) {
    let artifacts = behind.open();
    for bytes in [&b"model"[..], b"", &[0; 70_000]] {
        let digest = artifacts.put(bytes).unwrap();
        assert_eq!(digest, Fingerprint::of_bytes(bytes));
        assert_eq!(artifacts.put(bytes).unwrap(), digest);
        for artifacts in [&artifacts, &behind.open()] {
            assert_eq!(text(artifacts, &digest), bytes);
            artifacts.check(&digest).unwrap();
            artifacts.is_there(&digest, bytes.len() as u64).unwrap();
            artifacts.bring([digest]).unwrap();
            assert_eq!(std::fs::read(artifacts.path(&digest)).unwrap(), bytes);
        }
        behind.set(&key(&digest), None);
    }
    assert_eq!(behind.names(), Vec::<String>::new());
}

/// More than a piece of a bucket's, in pieces of any length.
fn what_comes_piece_by_piece(behind: &impl Behind) {
    struct Uneven<'b>(&'b [u8]);
    impl Read for Uneven<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let most = (1 + self.0.len() % 70_001).min(into.len());
            self.0.read(&mut into[..most])
        }
    }
    let bytes: Vec<u8> = (0..9_000_001_u32).map(|n| n.to_le_bytes()[0] ^ n.to_le_bytes()[2]).collect();
    let want = (Fingerprint::of_bytes(&bytes), bytes.len() as u64);
    let artifacts = behind.open();
    assert_eq!(artifacts.put_from(&mut Uneven(&bytes)).unwrap(), want);
    assert_eq!(artifacts.put_from(&mut &bytes[..]).unwrap(), want);
    assert_eq!(behind.names(), [key(&want.0)]);
    assert!(text(&behind.open(), &want.0) == bytes);
    behind.set(&key(&want.0), None);
}

/// It leaves nothing that anybody sees.
fn what_breaks_off(behind: &impl Behind) {
    struct Breaks;
    impl Read for Breaks {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("it broke off"))
        }
    }
    let artifacts = behind.open();
    let why = artifacts.put_from(&mut (&b"half"[..]).chain(Breaks)).unwrap_err();
    assert!(matches!(why, ArtifactError::Io { .. }) && why.passes(), "{why}");
    assert_eq!(behind.names(), Vec::<String>::new());
    let drafts = |dir: &Path| std::fs::read_dir(dir).unwrap().filter(|e| e.as_ref().unwrap().path().is_file()).count();
    assert_eq!(drafts(&artifacts.root().join("sha256")), 0);
}

/// It is refused at every read, told with its place, and mended by putting it again.
fn what_is_damaged(behind: &impl Behind) {
    let bytes = [7; 70_000];
    let digest = behind.open().put(&bytes).unwrap();
    let mut flipped = bytes;
    flipped[40_000] ^= 4;
    for damage in [&flipped[..], b"", &bytes[..69_999], &[7; 70_001]] {
        behind.set(&key(&digest), Some(damage));
        let artifacts = behind.open();
        for why in [
            artifacts.get(&digest).unwrap_err(),
            artifacts.open_checked(&digest).map(drop).unwrap_err(),
            artifacts.check(&digest).unwrap_err(),
        ] {
            let said = why.to_string();
            assert!(matches!(why, ArtifactError::Damaged { stated, .. } if stated == digest), "{said}");
            assert!(said.contains(&artifacts.location()) && said.contains(&digest.short()), "{said}");
            assert!(why.kind() == ErrorKind::Internal && !why.passes());
            assert!(why.hint().unwrap().contains("register the same model file again"));
        }
        let there = artifacts.is_there(&digest, 70_000);
        assert_eq!(there.is_err(), damage.len() != 70_000, "{there:?}");
        assert_eq!(behind.open().put(&bytes).unwrap(), digest);
        assert!(text(&artifacts, &digest) == bytes);
        behind.set(&key(&digest), Some(damage));
        assert_eq!(behind.open().put_from(&mut &bytes[..]).unwrap(), (digest, 70_000));
        behind.open().check(&digest).unwrap();
    }
    behind.set(&key(&digest), None);
}

/// It is told with its place, and what to do.
fn what_is_missing(behind: &impl Behind) {
    let artifacts = behind.open();
    let digest = Fingerprint::of_bytes(b"never put");
    for why in [
        artifacts.get(&digest).unwrap_err(),
        artifacts.open_checked(&digest).map(drop).unwrap_err(),
        artifacts.check(&digest).unwrap_err(),
        artifacts.is_there(&digest, 9).unwrap_err(),
    ] {
        let said = why.to_string();
        assert!(said.contains(&digest.to_string()) && said.contains(&artifacts.location()), "{said}");
        assert!(why.kind() == ErrorKind::NotFound && !why.passes(), "{said}");
        assert!(why.hint().unwrap().contains("backup"));
    }
}

/// Of the same bytes agree.
fn many_writers(behind: &impl Behind) {
    let bytes = vec![7; 100_000];
    let digest = Fingerprint::of_bytes(&bytes);
    let (one, other) = (behind.open(), behind.open());
    std::thread::scope(|scope| {
        for artifacts in [&one, &one, &other, &other] {
            let bytes = &bytes;
            scope.spawn(move || assert_eq!(artifacts.put(bytes).unwrap(), digest));
        }
    });
    assert_eq!(behind.names(), [key(&digest)]);
    assert_eq!(text(&behind.open(), &digest), bytes);
    behind.set(&key(&digest), None);
}
