//! A folder, and a bucket in memory and on a real S3 server, pass the suite; what is one of them's alone.

use std::cell::RefCell;
use std::fs;

use storage::testing::{SECRET, Sky, TestBucket, Weather};

use super::conformance::{Behind, check};
use super::*;

/// Artifacts of a folder. Every machine has the same one.
struct InFolder(tempfile::TempDir);

impl Behind for InFolder {
    fn open(&self) -> Artifacts {
        Artifacts::open(&self.0.path().join("deep/down")).unwrap()
    }

    fn set(&self, path: &str, bytes: Option<&[u8]>) {
        let path = self.open().root().join(path);
        match bytes {
            Some(bytes) => fs::write(path, bytes).unwrap(),
            None => fs::remove_file(path).unwrap(),
        }
    }

    fn names(&self) -> Vec<String> {
        let root = self.open().root().to_owned();
        let (mut names, mut folders) = (Vec::new(), vec![root.clone()]);
        while let Some(folder) = folders.pop() {
            for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
                match path.is_dir() {
                    true => folders.push(path),
                    false => names.push(path.strip_prefix(&root).unwrap().display().to_string()),
                }
            }
        }
        names.sort();
        names
    }
}

/// Artifacts of a bucket. Every machine has copies in a folder of its own.
struct InBucket {
    test: TestBucket,
    machines: RefCell<Vec<tempfile::TempDir>>,
}

impl InBucket {
    fn new(test: TestBucket) -> Self {
        Self { test, machines: RefCell::default() }
    }
}

impl Behind for InBucket {
    fn open(&self) -> Artifacts {
        let machine = tempfile::tempdir().unwrap();
        let artifacts = Artifacts::open(machine.path()).unwrap().in_bucket(Some(self.test.bucket.clone()));
        self.machines.borrow_mut().push(machine);
        artifacts
    }

    fn set(&self, path: &str, bytes: Option<&[u8]>) {
        match bytes {
            Some(bytes) => self.test.put(path, bytes),
            None => self.test.remove(path),
        }
    }

    fn names(&self) -> Vec<String> {
        self.test.names()
    }
}

#[test]
fn a_folder_keeps_what_artifacts_promise() {
    check(&InFolder(tempfile::tempdir().unwrap()));
}

#[test]
fn a_bucket_keeps_what_artifacts_promise() {
    check(&InBucket::new(TestBucket::in_memory()));
}

#[test]
fn a_bucket_of_a_real_store_keeps_what_artifacts_promise() {
    let Some(test) = TestBucket::on_s3() else { return };
    let behind = InBucket::new(test);
    check(&behind);
    assert_eq!(behind.test.unfinished(), None);
}

#[test]
fn a_draft_of_a_killed_writer_is_never_read_and_goes_when_the_folder_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    let artifacts = Artifacts::open(folder.path()).unwrap();
    let digest = artifacts.put(b"whole").unwrap();
    let draft = |name: &str| folder.path().join("sha256").join(name);
    fs::write(draft("incoming.7-0.tmp"), b"mod").unwrap();
    let model = Fingerprint::of_bytes(b"model");
    assert!(matches!(artifacts.get(&model), Err(ArtifactError::Missing { .. })));
    // One that somebody is at stays.
    fs::write(draft("incoming.8-0.tmp"), b"mod").unwrap();
    let writer = File::open(draft("incoming.8-0.tmp")).unwrap();
    writer.lock().unwrap();
    let artifacts = Artifacts::open(folder.path()).unwrap();
    assert!(!draft("incoming.7-0.tmp").exists() && draft("incoming.8-0.tmp").exists());
    assert_eq!(artifacts.get(&digest).unwrap(), b"whole");
    drop(writer);
    artifacts.put(b"model").unwrap();
    assert_eq!(artifacts.get(&model).unwrap(), b"model");
    Artifacts::open(folder.path()).unwrap();
    assert!(!draft("incoming.8-0.tmp").exists());
}

/// Writers of many threads, while others open the folder: no draft of the living is taken.
#[test]
fn who_opens_a_folder_takes_no_draft_of_the_living() {
    let folder = tempfile::tempdir().unwrap();
    let artifacts = Artifacts::open(folder.path()).unwrap();
    let over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|threads| {
        threads.spawn(|| {
            while !over.load(std::sync::atomic::Ordering::Relaxed) {
                Artifacts::open(folder.path()).unwrap();
            }
        });
        let writers: Vec<_> = (0..4_u32)
            .map(|writer| {
                let artifacts = &artifacts;
                threads.spawn(move || {
                    for n in 0..200_u32 {
                        let bytes = format!("{writer} {n}").into_bytes();
                        let (digest, _) = artifacts.put_from(&mut &bytes[..]).unwrap();
                        assert_eq!(artifacts.get(&digest).unwrap(), bytes);
                    }
                })
            })
            .collect();
        let ended: Vec<_> = writers.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        over.store(true, std::sync::atomic::Ordering::Relaxed);
        ended.into_iter().for_each(|ended| ended.unwrap());
    });
}

#[test]
fn copies_are_checked_made_anew_and_never_needed() {
    let behind = InBucket::new(TestBucket::in_memory());
    let artifacts = behind.open();
    let digest = artifacts.put(b"model").unwrap();
    let copy = artifacts.path(&digest);
    assert_eq!(fs::read(&copy).unwrap(), b"model");
    for damage in [&b"modem"[..], b"", b"model and more"] {
        fs::write(&copy, damage).unwrap();
        assert_eq!(artifacts.get(&digest).unwrap(), b"model");
        assert_eq!(fs::read(&copy).unwrap(), b"model", "the copy was made anew");
        fs::write(&copy, damage).unwrap();
        artifacts.bring([digest]).unwrap();
        assert_eq!(fs::read(&copy).unwrap(), b"model");
    }
    // All of them go, the folder too, while it is in use.
    fs::remove_dir_all(artifacts.root()).unwrap();
    assert_eq!(artifacts.get(&digest).unwrap(), b"model");
    // A copy answers while the bucket has nothing, and hides it from nobody who looks.
    behind.set(&key(&digest), None);
    assert_eq!(artifacts.get(&digest).unwrap(), b"model");
    assert!(matches!(artifacts.check(&digest), Err(ArtifactError::Missing { root, .. }) if root == behind.test.url()));
    assert!(matches!(artifacts.is_there(&digest, 5), Err(ArtifactError::Missing { .. })));
    assert!(matches!(behind.open().get(&digest), Err(ArtifactError::Missing { .. })));
}

#[test]
fn what_the_bucket_has_is_not_written_again() {
    let Some(test) = TestBucket::on_s3() else { return };
    let weather = Weather::before(test.server());
    let machine = tempfile::tempdir().unwrap();
    let artifacts = Artifacts::open(machine.path()).unwrap().in_bucket(Some(test.through(weather.url())));
    let n_puts = || weather.asked().iter().filter(|first| first.starts_with("PUT ")).count();
    let digest = artifacts.put(b"model").unwrap();
    assert_eq!(n_puts(), 1);
    artifacts.put(b"model").unwrap();
    artifacts.put_from(&mut &b"model"[..]).unwrap();
    assert_eq!(n_puts(), 0);
    // Nor is a copy that is sound asked for again.
    artifacts.get(&digest).unwrap();
    weather.asked();
    artifacts.get(&digest).unwrap();
    artifacts.open_checked(&digest).unwrap();
    assert_eq!(weather.asked(), Vec::<String>::new());
}

#[test]
fn a_bucket_that_fails_is_told_and_nothing_has_the_name() {
    let Some(test) = TestBucket::on_s3() else { return };
    let weather = Weather::before(test.server());
    let open = || {
        let machine = tempfile::tempdir().unwrap();
        let artifacts = Artifacts::open(machine.path()).unwrap().in_bucket(Some(test.through(weather.url())));
        (artifacts, machine)
    };
    let (artifacts, _machine) = open();
    let digest = artifacts.put(b"there").unwrap();
    for (sky, kind) in [
        (Sky::Status(500), ErrorKind::Unavailable),
        (Sky::Status(503), ErrorKind::Overloaded),
        (Sky::Status(403), ErrorKind::Invalid),
    ] {
        let told = |why: ArtifactError| {
            let said = schema::error::chain(&why);
            assert_eq!((why.kind(), why.passes()), (kind, true), "{said}");
            assert!(said.contains(&test.url()) && !said.contains(SECRET) && why.hint().is_some(), "{said}");
        };
        let (artifacts, _machine) = open();
        weather.turns(sky, "PUT ", 99);
        told(artifacts.put(b"model").unwrap_err());
        told(artifacts.put_from(&mut &b"model"[..]).unwrap_err());
        weather.turns(sky, "GET ", 99);
        told(artifacts.get(&digest).unwrap_err());
        told(artifacts.check(&digest).unwrap_err());
        weather.clears();
        assert_eq!(test.names(), [key(&digest)]);
        assert_eq!(artifacts.get(&digest).unwrap(), b"there");
    }
}
