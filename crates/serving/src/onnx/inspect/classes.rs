//! The names of a classifier's classes, in the order of its probabilities, as its file has them.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::proto::{lossy, messages, numbers, text};
use crate::onnx::OnnxError;

/// The key of a version's metadata under which they are: a JSON list.
pub const CLASSES: &str = "plumb.classes";

/// The classes in a version's metadata. A list of other things than names is none.
pub fn read(metadata: &BTreeMap<String, String>) -> Option<Vec<String>> {
    let one = |class: &Json| match class {
        Json::String(text) => Some(text.clone()),
        Json::Number(_) | Json::Bool(_) => Some(class.to_string()),
        _ => None,
    };
    let list: Vec<Json> = serde_json::from_str(metadata.get(CLASSES)?).ok()?;
    list.iter().map(one).collect::<Option<Vec<_>>>().filter(|classes| !classes.is_empty())
}

/// Adds the classes that the classifier in the graph names, where the author wrote none into the metadata.
pub(crate) fn told(model: &[u8], metadata: &mut BTreeMap<String, String>) -> Result<(), OnnxError> {
    if !metadata.contains_key(CLASSES)
        && let Some(classes) = of_graph(model)?
    {
        metadata.insert(CLASSES.to_owned(), Json::from(classes).to_string());
    }
    Ok(())
}

/// What the classifiers of the outermost graph name, or the `ZipMap`s where there are any: they name the scores that are
/// answered. Where several name different classes, nobody knows whose the answer is.
fn of_graph(model: &[u8]) -> Result<Option<Vec<String>>, OnnxError> {
    let mut named = Vec::new();
    for graph in messages(model, 7)? {
        for node in messages(graph, 1)? {
            if text(node, 7)? == b"ai.onnx.ml"
                && let Some(classes) = of_node(node)?
            {
                named.push((text(node, 4)? == b"ZipMap", classes));
            }
        }
    }
    let zipped = named.iter().any(|(zips, _)| *zips);
    let mut named = named.into_iter().filter(|(zips, _)| *zips == zipped).map(|(_, classes)| classes);
    let first = named.next();
    Ok(first.filter(|first| named.all(|other| other == *first)))
}

/// `classlabels_strings`, or `classlabels_int64s`, which older operators call `classlabels_ints`.
fn of_node(node: &[u8]) -> Result<Option<Vec<String>>, OnnxError> {
    for attribute in messages(node, 5)? {
        let classes: Vec<String> = match text(attribute, 1)? {
            b"classlabels_strings" => messages(attribute, 9)?.into_iter().map(lossy).collect(),
            b"classlabels_int64s" | b"classlabels_ints" => {
                numbers(attribute, 8)?.iter().map(ToString::to_string).collect()
            }
            _ => continue,
        };
        // Both are there in some files, one of them empty.
        if !classes.is_empty() {
            return Ok(Some(classes));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::toy::{self, FLOAT, Graph, Node};

    fn of(nodes: Vec<Node>, said: Option<&str>) -> Option<Vec<String>> {
        let graph = nodes.into_iter().fold(Graph::new().input("x", FLOAT, &[-1, 2]), Graph::node);
        let graph = said.into_iter().fold(graph, |graph, said| graph.metadata(CLASSES, said));
        let model = graph.model();
        let mut metadata = super::super::metadata(&model).unwrap();
        told(&model, &mut metadata).unwrap();
        read(&metadata)
    }

    fn classifier(operator: &str) -> Node {
        Node::new(operator, &["x"], &["label", "p"]).domain("ai.onnx.ml")
    }

    #[test]
    fn a_classifier_names_its_classes() {
        let names = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        let ints = || classifier("TreeEnsembleClassifier").ints("classlabels_int64s", &[3, -1]);
        let texts = || {
            classifier("LinearClassifier").ints("classlabels_ints", &[]).texts("classlabels_strings", &["no", "yes"])
        };
        assert_eq!(of(vec![ints()], None), names(&["3", "-1"]));
        assert_eq!(of(vec![texts()], None), names(&["no", "yes"]));
        // The ZipMap behind a classifier says the same again; another classifier does not.
        assert_eq!(
            of(vec![texts(), classifier("ZipMap").texts("classlabels_strings", &["no", "yes"])], None),
            names(&["no", "yes"])
        );
        assert_eq!(of(vec![texts(), ints()], None), None);
        // Labels that a classifier numbers and a ZipMap calls by their names.
        assert_eq!(
            of(vec![ints(), classifier("ZipMap").texts("classlabels_strings", &["no", "yes"])], None),
            names(&["no", "yes"])
        );
        // The author knows better, in words or in numbers.
        assert_eq!(of(vec![texts()], Some(r#"["yes", "no"]"#)), names(&["yes", "no"]));
        assert_eq!(of(vec![texts()], Some("[1, 0]")), names(&["1", "0"]));
        assert_eq!(of(vec![texts()], Some("no list")), None);
        // Another domain's operator means something else by the word.
        assert_eq!(
            of(vec![Node::new("Mine", &["x"], &["y"]).domain("mine").ints("classlabels_int64s", &[1])], None),
            None
        );
        assert_eq!(of(vec![Node::new("Identity", &["x"], &["y"])], None), None);
    }

    #[test]
    fn the_runtime_tells_classes_too() {
        let node = classifier("LinearClassifier")
            .floats("coefficients", &[1.0, 0.0, 0.0, 1.0])
            .floats("intercepts", &[0.0, 0.0])
            .ints("classlabels_ints", &[7, 5]);
        let graph = Graph::new().input("x", FLOAT, &[-1, 2]).node(node);
        let graph = graph.output("label", toy::INT64, &[-1]).output("p", FLOAT, &[-1, 2]);
        let file = super::super::inspect(&toy::runtime(), &graph.model()).unwrap();
        assert_eq!(file.metadata[CLASSES], r#"["7","5"]"#);
    }
}
