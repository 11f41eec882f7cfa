//! A tree of files, and what its keeper does to it.

use std::fs;
use std::io::Read;
use std::os::unix::fs::symlink;

use super::*;

fn path(text: &str) -> TreePath {
    TreePath::parse(text).unwrap()
}

fn put(tree: &ArtifactTree, at: &str, bytes: &[u8]) -> Result<(), TreeError> {
    let mut draft = tree.draft(&path(at))?;
    draft.write(bytes).unwrap();
    tree.keep(draft, &path(at))
}

fn get(tree: &ArtifactTree, at: &str) -> Result<String, TreeError> {
    let mut text = String::new();
    tree.open(&path(at))?.read_to_string(&mut text).unwrap();
    Ok(text)
}

/// `name` for folders, `name=size` for files.
fn shown(entries: Vec<Entry>) -> String {
    let one = |entry: Entry| entry.size_bytes.map_or(entry.name.clone(), |size| format!("{}={size}", entry.name));
    entries.into_iter().map(one).collect::<Vec<_>>().join(" ")
}

#[test]
fn what_is_put_is_listed_read_replaced_and_removed() {
    let dir = tempfile::tempdir().unwrap();
    let tree = ArtifactTree::at(dir.path()).unwrap();
    put(&tree, "0/run/artifacts/model/MLmodel", b"one").unwrap();
    put(&tree, "0/run/artifacts/model/data/w.bin", b"12345").unwrap();
    put(&tree, "0/run/artifacts/a", b"").unwrap();
    assert_eq!(shown(tree.list(&path("0/run/artifacts")).unwrap()), "a=0 model");
    assert_eq!(shown(tree.list(&path("0/run/artifacts/a")).unwrap()), "", "a file is no folder");
    assert_eq!(shown(tree.list(&path("nowhere")).unwrap()), "");
    assert_eq!(shown(tree.list(&path("")).unwrap()), "0");
    assert_eq!(
        shown(tree.files_below(&path("0")).unwrap()),
        "run/artifacts/a=0 run/artifacts/model/MLmodel=3 run/artifacts/model/data/w.bin=5"
    );
    assert_eq!(shown(tree.files_below(&path("0/run/artifacts/model/MLmodel")).unwrap()), "MLmodel=3");
    assert!(matches!(tree.files_below(&path("1")), Err(TreeError::Missing { .. })));

    // Who reads goes on with what was there.
    let mut before = tree.open(&path("0/run/artifacts/model/MLmodel")).unwrap();
    put(&tree, "0/run/artifacts/model/MLmodel", b"two!").unwrap();
    let mut text = String::new();
    before.read_to_string(&mut text).unwrap();
    assert_eq!((text.as_str(), get(&tree, "0/run/artifacts/model/MLmodel").unwrap().as_str()), ("one", "two!"));

    tree.remove(&path("0/run/artifacts/model")).unwrap();
    tree.remove(&path("0/run/artifacts/model")).unwrap();
    assert_eq!(shown(tree.files_below(&path("0")).unwrap()), "run/artifacts/a=0");
    assert!(matches!(tree.remove(&path("")), Err(TreeError::Path)), "the root stays");
    assert!(matches!(tree.draft(&path("")), Err(TreeError::Path)));
    assert_eq!(fs::read_dir(dir.path().join("drafts")).unwrap().count(), 0);
}

#[test]
fn a_file_is_no_folder_and_a_folder_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let tree = ArtifactTree::at(dir.path()).unwrap();
    put(&tree, "a/b", b"file").unwrap();
    for (at, found) in [("a", "is a folder"), ("a/b/c", "is a file, not a folder")] {
        let why = put(&tree, at, b"x").unwrap_err();
        assert!(why.to_string().ends_with(found), "{why}");
        assert_eq!(why.kind(), ErrorKind::Invalid);
    }
    assert!(matches!(tree.open(&path("a")), Err(TreeError::Kind { .. })));
    assert!(matches!(tree.open(&path("a/c")), Err(TreeError::Missing { .. })));
    assert_eq!(get(&tree, "a/b").unwrap(), "file");
    assert_eq!(fs::read_dir(dir.path().join("drafts")).unwrap().count(), 0);
}

#[test]
fn links_lead_nowhere() {
    let (dir, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::write(outside.path().join("secret"), "mine").unwrap();
    let tree = ArtifactTree::at(dir.path()).unwrap();
    put(&tree, "a/b", b"file").unwrap();
    symlink(outside.path(), dir.path().join("tree/a/out")).unwrap();
    symlink(outside.path().join("secret"), dir.path().join("tree/a/secret")).unwrap();
    for at in ["a/out/secret", "a/secret"] {
        assert!(matches!(tree.open(&path(at)), Err(TreeError::Missing { .. })), "{at}");
    }
    assert!(put(&tree, "a/out/new", b"x").is_err());
    assert_eq!(shown(tree.list(&path("a")).unwrap()), "b=4");
    assert_eq!(shown(tree.list(&path("a/out")).unwrap()), "");
    assert_eq!(shown(tree.files_below(&path("")).unwrap()), "a/b=4");
    // A file takes the place of a link, not of what it leads to.
    put(&tree, "a/secret", b"ours").unwrap();
    tree.remove(&path("a")).unwrap();
    assert_eq!(fs::read_to_string(outside.path().join("secret")).unwrap(), "mine");
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
}

#[test]
fn drafts_of_the_dead_are_swept_and_those_of_the_living_are_not() {
    let dir = tempfile::tempdir().unwrap();
    let tree = ArtifactTree::at(dir.path()).unwrap();
    let mut draft = tree.draft(&path("a")).unwrap();
    draft.write(b"whole").unwrap();
    fs::write(dir.path().join("drafts/7-0"), b"of a process that was killed").unwrap();
    let other = ArtifactTree::at(dir.path()).unwrap();
    assert_eq!(fs::read_dir(dir.path().join("drafts")).unwrap().count(), 1);
    assert_eq!(shown(other.list(&path("")).unwrap()), "");
    tree.keep(draft, &path("a")).unwrap();
    assert_eq!(get(&other, "a").unwrap(), "whole");
    drop(tree.draft(&path("b")).unwrap());
    assert_eq!(fs::read_dir(dir.path().join("drafts")).unwrap().count(), 0);
}

#[test]
fn many_writers_of_one_path_leave_one_whole_file() {
    let dir = tempfile::tempdir().unwrap();
    let tree = ArtifactTree::at(dir.path()).unwrap();
    std::thread::scope(|scope| {
        for n in 0..4_u8 {
            let tree = &tree;
            scope.spawn(move || (0..8).for_each(|_| put(tree, "deep/down/f", &vec![n; 50_000]).unwrap()));
        }
    });
    let mut bytes = Vec::new();
    tree.open(&path("deep/down/f")).unwrap().read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes.len(), 50_000);
    assert!(bytes.iter().all(|byte| *byte == bytes[0]));
}
