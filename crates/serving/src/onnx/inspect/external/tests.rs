use schema::ErrorKind;

use super::*;
use crate::onnx::inspect::wire;
use crate::onnx::toy::{self, FLOAT, Graph, Node};
use crate::onnx::{SessionPool, inspect};

/// `score = features . w + bias`, with `w` and `bias` in a file.
fn linear(w: &[(&str, &str)], bias: &[(&str, &str)]) -> Graph {
    Graph::new()
        .input("features", FLOAT, &[-1, 3])
        .elsewhere("w", &[3, 1], w)
        .elsewhere("bias", &[1], bias)
        .node(Node::new("MatMul", &["features", "w"], &["y"]))
        .node(Node::new("Add", &["y", "bias"], &["score"]))
        .output("score", FLOAT, &[-1, 1])
}

fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn files(of: &[(&str, &[f32])]) -> BTreeMap<String, Vec<u8>> {
    of.iter().map(|(name, values)| ((*name).to_owned(), bytes(values))).collect()
}

#[test]
fn weights_of_other_files_answer_as_weights_inside_do() {
    // Padding before, between and behind, as tools that align write it.
    let data = files(&[("weights/all.bin", &[9.0, 0.5, -0.25, 2.0, 9.0, 0.125, 9.0])]);
    let w = [("location", "weights/all.bin"), ("offset", "4"), ("length", "12")];
    let bias = [("location", "./weights//all.bin"), ("offset", "20")];
    let graph = linear(&w, &bias).model();
    assert_eq!(locations(&graph).unwrap(), BTreeSet::from(["weights/all.bin".to_owned()]));
    assert!(matches!(wire::check(&graph), Err(OnnxError::ExternalData { .. })));
    let whole = gather(&graph, &data).unwrap();
    wire::check(&whole).unwrap();
    let pool = SessionPool::load(&toy::runtime(), &whole, 1).unwrap();
    let plan = toy::plan(&whole, &["a", "b", "c"]);
    let row = [1.5, -2.0, 0.75];
    let outputs = pool.try_checkout().unwrap().run(&plan, &toy::floats(&[&row]), 0..1).unwrap();
    assert_eq!(toy::scores(&outputs), [toy::linear(&row)]);
    // What has all of its weights stays as it is.
    let inside = toy::file("linear");
    assert!(matches!(gather(&inside, &data).unwrap(), Cow::Borrowed(same) if same == inside));
}

#[test]
fn weights_of_branches_and_of_constants_are_gathered_too() {
    let branch = |name: &str| {
        let inner = Graph::new().elsewhere(name, &[1], &[("location", "w.bin")]);
        inner.node(Node::new("Add", &["x", name], &["z"])).output("z", FLOAT, &[-1])
    };
    let node =
        Node::new("If", &["c"], &["y"]).graph("then_branch", &branch("one")).graph("else_branch", &branch("two"));
    let constant = Node::new("Constant", &[], &["k"]).elsewhere("value", &[1], &[("location", "k.bin")]);
    let model = Graph::new().input("c", 9, &[]).input("x", FLOAT, &[-1]).node(node).node(constant);
    let model = model.node(Node::new("Add", &["y", "k"], &["s"])).output("s", FLOAT, &[-1]).model();
    assert_eq!(locations(&model).unwrap().len(), 2);
    let error = gather(&model, &files(&[("w.bin", &[1.0]), ("k.bin", &[2.0])])).unwrap_err();
    assert!(error.to_string().contains("larger than these files"), "two tensors in one place: {error}");
    let whole = gather(&model, &files(&[("w.bin", &[1.0, 1.0]), ("k.bin", &[2.0])])).unwrap();
    wire::check(&whole).unwrap();
    inspect(&toy::runtime(), &whole).unwrap();
}

#[track_caller]
fn refused(entries: &[(&str, &str)], want: &str) {
    let graph = linear(entries, &[("location", "b.bin")]).model();
    let data = files(&[("w.bin", &[0.5, -0.25, 2.0]), ("b.bin", &[0.125]), ("passwd", &[0.0; 3])]);
    let error = gather(&graph, &data).unwrap_err();
    let location = entries.iter().find(|(key, _)| *key == "location").map_or("", |(_, location)| location);
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    let said = error.to_string();
    assert!(said.starts_with("the model keeps tensor `w` in `") && said.ends_with(want), "{location}: {said}");
}

#[test]
fn paths_out_of_the_folder_are_refused_before_anything_is_looked_up() {
    for (location, want) in [
        ("/etc/passwd", "the path is absolute"),
        ("//etc/passwd", "the path is absolute"),
        ("../passwd", "the path leads out of the model's folder"),
        ("a/../passwd", "the path leads out of the model's folder"),
        ("a/b/../../../passwd", "the path leads out of the model's folder"),
        ("..", "the path leads out of the model's folder"),
        ("passwd\0.bin", "the name has a control character"),
        ("pass\nwd", "the name has a control character"),
        ("..\\passwd", "the path is spelled with a backslash"),
        ("\\\\host\\share\\passwd", "the path is spelled with a backslash"),
        ("C:/passwd", "the path names a drive, a stream or a scheme"),
        ("c:passwd", "the path names a drive, a stream or a scheme"),
        ("passwd:stream", "the path names a drive, a stream or a scheme"),
        ("file:///passwd", "the path names a drive, a stream or a scheme"),
        ("", "the path names no file"),
        (".", "the path names no file"),
        ("w.bin/", "the path names no file"),
    ] {
        refused(&[("location", location)], want);
        let graph = linear(&[("location", location)], &[("location", "b.bin")]).model();
        assert!(locations(&graph).is_err(), "{location}");
    }
    refused(&[], "the path names no file");
    refused(&[("location", "w.bin"), ("location", "passwd")], "it has two entries `location`");
}

#[test]
fn what_is_not_there_is_not_made_up() {
    let at = |offset, length| [("location", "w.bin"), ("offset", offset), ("length", length)];
    refused(&[("location", "other.bin")], "it is not one of the model's files");
    // Nothing is decoded, and case is kept.
    refused(&[("location", "%77.bin")], "it is not one of the model's files");
    refused(&[("location", "W.BIN")], "it is not one of the model's files");
    refused(&at("4", "12"), "12 bytes from 4 on are named there, and the file has 12");
    refused(&at("18446744073709551615", "12"), "and the file has 12");
    refused(&at("0", "8"), "8 bytes are named there, where its shape and type need 12");
    refused(&at("-4", "12"), "its offset `-4` is no number of bytes");
    refused(&at("0", "twelve"), "its length `twelve` is no number of bytes");
}

#[test]
fn impossible_shapes_and_types_are_refused() {
    for (element, shape, want) in [
        (FLOAT, &[1 << 31, 1 << 31, 1 << 31][..], "its shape is none, or too large"),
        (FLOAT, &[-1, 3], "its shape is none, or too large"),
        (FLOAT, &[1 << 30], "its shape is none, or too large"),
        (toy::STRING, &[3], "texts cannot be kept in another file"),
        (77, &[3], "its element type is not known"),
    ] {
        let graph = Graph::new().elsewhere_of("w", element, shape, &[("location", "w.bin")]);
        let error = gather(&graph.model(), &files(&[("w.bin", &[0.0; 3])])).unwrap_err();
        assert!(error.to_string().ends_with(want), "{error}");
    }
}

#[test]
fn a_model_cut_anywhere_is_an_error_or_a_shorter_model() {
    let whole = linear(&[("location", "w.bin")], &[("location", "b.bin")]).model();
    let data = files(&[("w.bin", &[0.5, -0.25, 2.0]), ("b.bin", &[0.125])]);
    for end in 0..whole.len() {
        if let Ok(gathered) = gather(&whole[..end], &data) {
            wire::check(&gathered).unwrap();
        }
    }
}
