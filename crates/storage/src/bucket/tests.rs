//! A folder of a bucket, in memory and on a real S3 server, in good and in bad weather.

use std::time::Instant;

use super::*;
use crate::testing::{self, SECRET, Sky, TestBucket, Weather};

/// More than two pieces.
const LARGE: usize = 2 * (8 << 20) + 1;

fn large() -> Vec<u8> {
    (0..LARGE).map(|n| n.to_le_bytes()[1] ^ n.to_le_bytes()[0]).collect()
}

/// What any bucket does.
fn check(test: &TestBucket) {
    let bucket = &test.bucket;
    assert_eq!((bucket.size("a").unwrap(), bucket.list(9).unwrap()), (None, Vec::new()));
    assert!(bucket.read("a").unwrap().is_none());
    let large = large();
    for (path, bytes) in [("empty", &[][..]), ("a", b"one"), ("deep/down/b.bin", b"two"), ("large", &large)] {
        bucket.write(path, &mut &bytes[..], bytes.len() as u64).unwrap();
        assert_eq!(bucket.size(path).unwrap(), Some(bytes.len() as u64), "{path}");
        assert_eq!(bucket.read(path).unwrap().unwrap().size_bytes(), bytes.len() as u64);
        assert!(test.get(path) == bytes, "{path}");
    }
    // What is there gives way, whatever its length.
    bucket.write("large", &mut &b"small"[..], 5).unwrap();
    assert_eq!(test.get("large"), b"small");
    assert_eq!(test.names(), ["a", "deep/down/b.bin", "empty", "large"]);
    let sizes: u64 = bucket.list(9).unwrap().iter().map(|listed| listed.size_bytes).sum();
    assert_eq!((sizes, bucket.list(3).unwrap().len()), (11, 3));
    test.remove("a");
    assert_eq!(bucket.size("a").unwrap(), None);
    assert_eq!(bucket.url("a"), format!("{}/a", test.url()));
    let why = bucket.read("../a").unwrap_err();
    assert_eq!(why.kind(), ErrorKind::Invalid, "{why}");
}

/// What comes short of its length, or breaks off, leaves nothing.
fn check_broken(test: &TestBucket) {
    struct Breaks;
    impl Read for Breaks {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("it broke off"))
        }
    }
    let large = large();
    for n in [3, LARGE - 1] {
        let mut short = &large[..n];
        let why = test.bucket.write("short", &mut short, n as u64 + 1).unwrap_err();
        assert!(schema::error::chain(&why).contains("bytes came of"), "{why}");
        let why = test.bucket.write("broken", &mut (&large[..n]).chain(Breaks), LARGE as u64).unwrap_err();
        assert!(schema::error::chain(&why).contains("it broke off"), "{why}");
    }
    assert_eq!(test.names(), Vec::<String>::new());
    assert_eq!(test.unfinished(), None);
}

#[test]
fn a_bucket_keeps_what_is_written() {
    check(&TestBucket::in_memory());
    TestBucket::on_s3().iter().for_each(check);
}

#[test]
fn what_breaks_off_leaves_nothing() {
    check_broken(&TestBucket::in_memory());
    TestBucket::on_s3().iter().for_each(check_broken);
}

#[test]
fn anybody_may_wait_for_a_bucket_and_drop_it() {
    // On a runtime's own thread, where waiting for a future would panic.
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let test = TestBucket::in_memory();
        test.put("a", b"one");
        assert_eq!(test.get("a"), b"one");
    });
}

#[test]
fn a_store_that_fails_a_little_is_asked_again() {
    let Some(test) = TestBucket::on_s3() else { return };
    let weather = Weather::before(test.server());
    let bucket = test.through(weather.url());
    let large = large();
    for sky in [Sky::Status(500), Sky::Status(503)] {
        weather.turns(sky, "PUT ", 2);
        bucket.write("a", &mut &b"one"[..], 3).unwrap();
        weather.turns(sky, "partNumber=2", 2);
        bucket.write("large", &mut &large[..], LARGE as u64).unwrap();
        weather.turns(sky, "GET ", 2);
        let mut bytes = Vec::new();
        bucket.read("large").unwrap().unwrap().read_to_end(&mut bytes).unwrap();
        assert!(bytes == large);
    }
    // An answer that ends in its middle is asked for from there on.
    weather.turns(Sky::Cut, "GET ", 1);
    let mut bytes = Vec::new();
    bucket.read("large").unwrap().unwrap().read_to_end(&mut bytes).unwrap();
    assert!(bytes == large);
    assert_eq!(test.unfinished(), None);
}

#[test]
fn a_store_that_fails_is_told_within_its_time_and_leaves_nothing() {
    let Some(test) = TestBucket::on_s3() else { return };
    let weather = Weather::before(test.server());
    let bucket = test.through(weather.url());
    let large = large();
    test.put("there", b"one");
    for (sky, kind, words) in [
        (Sky::Status(500), ErrorKind::Unavailable, "the store cannot be asked"),
        (Sky::Status(503), ErrorKind::Overloaded, "fewer requests"),
        (Sky::Status(403), ErrorKind::Invalid, "permission denied"),
    ] {
        let told = |what: &str, why: BucketError| {
            let said = schema::error::chain(&why);
            assert_eq!(why.kind(), kind, "{what}: {said}");
            assert!(said.contains(words) && said.contains(&test.url()) && !said.contains(SECRET), "{what}: {said}");
        };
        weather.turns(sky, "partNumber=2", 99);
        told("a part", bucket.write("large", &mut &large[..], LARGE as u64).unwrap_err());
        weather.turns(sky, "POST ", 99);
        told("the begin", bucket.write("large", &mut &large[..], LARGE as u64).unwrap_err());
        weather.turns(sky, "uploadId=", 99);
        told("all of an upload", bucket.write("large", &mut &large[..], LARGE as u64).unwrap_err());
        weather.turns(sky, "PUT ", 99);
        told("one request", bucket.write("small", &mut &b"one"[..], 3).unwrap_err());
        weather.turns(sky, "GET ", 99);
        let why = bucket.read("there").unwrap().unwrap().read_to_end(&mut Vec::new()).unwrap_err();
        told("reading", why.downcast().unwrap());
        told("listing", bucket.list(9).unwrap_err());
        assert_eq!(test.names(), ["there"]);
    }
    // What could not be given up either is left, which nobody sees; the rest is not.
    let left = test.unfinished().unwrap_or_default();
    assert_eq!(left.matches("<Upload>").count(), 3, "{left}");
}

#[test]
fn a_store_that_says_nothing_is_told_within_its_time() {
    let Some(test) = TestBucket::on_s3() else { return };
    let weather = Weather::before(test.server());
    let bucket = test.through(weather.url());
    weather.turns(Sky::Silent, "GET ", 99);
    let began = Instant::now();
    let why = bucket.list(9).unwrap_err();
    assert_eq!(why.kind(), ErrorKind::Timeout);
    assert!(schema::error::chain(&why).contains("no answer within 5 s"), "{why}");
    assert!(began.elapsed().as_secs() < 60, "{:?}", began.elapsed());
    // Nobody listens at all.
    let away = test.through("http://127.0.0.1:1");
    let why = away.size("a").unwrap_err();
    assert_eq!(why.kind(), ErrorKind::Unavailable, "{why:?}");
}

#[test]
fn a_bucket_that_is_missing_is_no_missing_object() {
    let Some(test) = TestBucket::on_s3() else { return };
    let nowhere = Place::plain("s3://there-is-no-such-bucket-of-tests/models").unwrap();
    let bucket = Bucket::open(&testing::config(test.server()), &nowhere).unwrap();
    for why in
        [bucket.size("a").unwrap_err(), bucket.list(1).unwrap_err(), bucket.write("a", &mut &b""[..], 0).unwrap_err()]
    {
        let said = schema::error::chain(&why);
        assert!(said.contains("there is no such bucket"), "{said}");
        assert_eq!(why.kind(), ErrorKind::NotFound);
    }
}

#[test]
fn an_object_that_changes_while_it_is_read_is_told() {
    let Some(test) = TestBucket::on_s3() else { return };
    test.put("large", &large());
    let mut reader = test.bucket.read("large").unwrap().unwrap();
    let mut piece = vec![0; 100];
    reader.read_exact(&mut piece).unwrap();
    test.put("large", &large()[..LARGE - 1]);
    let why: BucketError = reader.read_to_end(&mut Vec::new()).unwrap_err().downcast().unwrap();
    assert_eq!(why.kind(), ErrorKind::Conflict, "{why:?}");
}
