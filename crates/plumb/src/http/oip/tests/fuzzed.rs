//! Requests that are nearly right, and whatever else: none is a 5xx, none is a crash, and what is refused says why.

use std::sync::LazyLock;

use proptest::prelude::{any, *};
use tokio::runtime::Runtime;

use super::*;

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());
static SERVED: LazyLock<Served> = LazyLock::new(|| RUNTIME.block_on(Served::new()));

/// Requests that are right.
fn seeds() -> Vec<(&'static str, Json, Vec<u8>)> {
    let size = |n: usize| json!({ "binary_data_size": n });
    vec![
        ("linear", linear(&json!([[1.0, 2.0, 3.0]])), vec![]),
        (
            "linear",
            json!({
                "id": "1", "parameters": { "binary_data_output": true, "priority": 1, "timeout": 1_000_000 },
                "inputs": [{ "name": "features", "shape": [1, 3], "datatype": "FP32", "parameters": size(12) }],
                "outputs": [{ "name": "score", "parameters": { "binary_data": true, "classification": 1 } }],
            }),
            floats(&[1.0, 2.0, 3.0]),
        ),
        (
            "add",
            json!({ "inputs": [
                { "name": "a", "shape": [1, 1], "datatype": "INT64", "data": [9_007_199_254_740_993_i64] },
                { "name": "b", "shape": [1, 1], "datatype": "INT64", "parameters": size(8) },
            ] }),
            7_i64.to_le_bytes().to_vec(),
        ),
        (
            "echo",
            json!({ "inputs": [{ "name": "x", "shape": [2, 1], "datatype": "BYTES", "parameters": size(11) }] }),
            [&2_u32.to_le_bytes()[..], b"ab", &1_u32.to_le_bytes(), b"c"].concat(),
        ),
        (
            "half",
            json!({
                "inputs": [{ "name": "x", "shape": [1, 2], "datatype": "FP16", "parameters": size(4) }],
                "parameters": { "binary_data_output": true },
            }),
            vec![0, 0x3c, 0, 0xc0],
        ),
        ("free", json!({ "inputs": [{ "name": "x", "shape": [0, 2], "datatype": "FP32", "data": [] }] }), vec![]),
    ]
}

/// What becomes of a body.
#[derive(Debug, Clone)]
enum Change {
    Flip(usize, u8),
    Insert(usize, Vec<u8>),
    Remove(usize, usize),
    Repeat(usize, usize),
    Cut(usize),
}

/// What JSON and its numbers are made of: these in other places go further than any byte.
const WORDS: [&str; 24] = [
    "[",
    "]",
    "{",
    "}",
    ",",
    ":",
    "\"",
    "\\u0000",
    "null",
    "true",
    "NaN",
    "-Infinity",
    "-1",
    "0",
    "1e400",
    "0.5",
    "18446744073709551616",
    "9223372036854775807",
    "\"shape\":",
    "\"data\":",
    "\"parameters\":",
    "\"datatype\":\"BYTES\"",
    "[[[[",
    "\"binary_data_size\":4294967295",
];

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let at = || any::<prop::sample::Index>().prop_map(|at| at.index(1 << 12));
    let word = prop::sample::select(WORDS.to_vec()).prop_map(|word| word.as_bytes().to_vec());
    let change = prop_oneof![
        (at(), any::<u8>()).prop_map(|(at, byte)| Change::Flip(at, byte)),
        (at(), word).prop_map(|(at, word)| Change::Insert(at, word)),
        (at(), prop::collection::vec(any::<u8>(), 1..4)).prop_map(|(at, bytes)| Change::Insert(at, bytes)),
        (at(), 1_usize..20).prop_map(|(at, n)| Change::Remove(at, n)),
        (at(), 1_usize..40).prop_map(|(at, n)| Change::Repeat(at, n)),
        at().prop_map(Change::Cut),
    ];
    prop::collection::vec(change, 0..5)
}

fn changed(mut body: Vec<u8>, changes: &[Change]) -> Vec<u8> {
    for change in changes {
        let n = body.len();
        let within = |at: usize| at % (n + 1);
        match change {
            Change::Flip(at, byte) => {
                if let Some(there) = body.get_mut(within(*at)) {
                    *there ^= byte;
                }
            }
            Change::Insert(at, bytes) => drop(body.splice(within(*at)..within(*at), bytes.iter().copied())),
            Change::Remove(at, n) => {
                let from = within(*at);
                let to = (from + n).min(body.len());
                body.drain(from..to);
            }
            Change::Repeat(at, n) => {
                let from = within(*at);
                let piece = body[from..(from + n).min(body.len())].to_vec();
                drop(body.splice(from..from, piece));
            }
            Change::Cut(at) => body.truncate(within(*at)),
        }
    }
    body
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    #[test]
    fn no_request_is_too_strange(
        seed in 0_usize..6,
        of_json in changes(),
        of_raw in changes(),
        length in prop_oneof![4 => Just(None), 1 => any::<i64>().prop_map(Some), 1 => (0_i64..400).prop_map(Some)],
        encoding in prop_oneof![8 => Just(None), 1 => Just(Some("gzip")), 1 => Just(Some("deflate"))],
    ) {
        let (model, json, raw) = seeds().swap_remove(seed);
        let json = changed(json.to_string().into_bytes(), &of_json);
        let said = length.map_or(json.len().to_string(), |length| length.to_string());
        let is_binary = !raw.is_empty() || length.is_some();
        let body = [json, changed(raw, &of_raw)].concat();
        let mut headers = Vec::new();
        if is_binary {
            headers.push(("Inference-Header-Content-Length", said.as_str()));
        }
        headers.extend(encoding.map(|encoding| ("content-encoding", encoding)));
        let told = RUNTIME.block_on(SERVED.send("POST", &format!("/v2/models/{model}/infer"), &headers, body));
        prop_assert!(told.status < 500, "{} {}", told.status, String::from_utf8_lossy(&told.body));
        if told.status != 200 {
            let said: Json = serde_json::from_slice(&told.body).unwrap();
            prop_assert!(said["error"].as_str().is_some_and(|why| !why.is_empty()), "{said}");
        }
    }

    #[test]
    fn no_path_is_too_strange(path in "(/[a-z.%0-9{}:]{0,12}){0,6}", get in any::<bool>(), body in prop::collection::vec(any::<u8>(), 0..40)) {
        let path: String = format!("/v2{path}");
        prop_assume!(path.parse::<Uri>().is_ok());
        let told = RUNTIME.block_on(SERVED.send(if get { "GET" } else { "POST" }, &path, &[], body));
        prop_assert!(told.status < 500 || told.status == 501, "{path}: {}", told.status);
    }
}
