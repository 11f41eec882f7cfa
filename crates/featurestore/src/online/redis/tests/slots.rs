//! Slots as the server computes them.

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use redis::Value;

use super::super::slot::slot_of;
use crate::online::testing::TestServer;

#[test]
fn slots_are_the_servers() {
    // Any server of a cluster answers, whether or not it serves a slot.
    let server = TestServer::start(&["--cluster-enabled", "yes", "--cluster-port", "PORT"]);
    let client = redis::Client::open(format!("redis://{}", server.address())).unwrap();
    let mut connection = client.get_connection().unwrap();
    let mut check = |key: &[u8]| {
        let slot: Value = redis::cmd("CLUSTER").arg("KEYSLOT").arg(key).query(&mut connection).unwrap();
        assert_eq!(slot, Value::Int(i64::from(slot_of(key))), "{:?}", String::from_utf8_lossy(key));
    };
    for key in [
        "",
        "{",
        "}",
        "{}",
        "}{",
        "{a}",
        "a{b}c",
        "a{}b",
        "a{}{b}",
        "{{a}}",
        "{a}{b}",
        "{a",
        "a}",
        "foo{bar}{zap}",
        "foo{{bar}}zap",
        "123456789",
        "plumb:{}:shop:\u{1}s{user}",
    ] {
        check(key.as_bytes());
    }
    let every: Vec<u8> = (0..=255).collect();
    check(&every);
    // Bytes in which braces are common.
    let byte = prop_oneof![3 => any::<u8>(), 1 => Just(b'{'), 1 => Just(b'}')];
    const SEED: [u8; 32] = *b"plumb: a key is in one slot only";
    let rng = proptest::test_runner::TestRng::from_seed(proptest::test_runner::RngAlgorithm::ChaCha, &SEED);
    let mut runner = proptest::test_runner::TestRunner::new_with_rng(proptest::test_runner::Config::default(), rng);
    for _ in 0..2_000 {
        let key = proptest::collection::vec(&byte, 0..40).new_tree(&mut runner).unwrap().current();
        check(&key);
    }
}

#[test]
fn braces_in_a_users_key_do_not_decide_its_slot() {
    let slots: std::collections::BTreeSet<u16> =
        (0..1_000).map(|i| slot_of(format!("plumb:{{}}:shop:\u{1}s{{same}}{i}").as_bytes())).collect();
    assert!(slots.len() > 900, "1,000 keys are in {} slots", slots.len());
}
