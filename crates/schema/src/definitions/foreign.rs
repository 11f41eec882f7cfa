//! YAML files of a project's folder that are other programs', and left alone.
//!
//! Docker, mkdocs, Feast and others keep YAML beside ours. A file is theirs if no document of it has anything of a
//! definition: a key of ours, a key that is nearly `kind`, or a list of such. So a slip in a definition stays a mistake,
//! and whoever leaves out everything that makes one is told so by `plan` and `doctor`, which name these files
//! (docs/decisions/0053).

use saphyr::MarkedYaml;

use super::File;
use super::read::{KINDS, is_yaml};
use crate::yaml::{Node, documents};

/// What Feast calls its own configuration.
const FEASTS: [&str; 2] = ["feature_store.yaml", "feature_store.yml"];
/// Fields of definitions that hardly anything else has.
const OURS: [&str; 13] = [
    "kind",
    "entity",
    "join_key",
    "join_keys",
    "source",
    "event_time",
    "created_time",
    "field_mapping",
    "features",
    "inputs",
    "ttl",
    "on_error",
    "migrate_from",
];
/// Kubernetes' field: its manifests have a `kind` too.
const KUBERNETES: &str = "apiVersion";

/// The paths of those among `files` that are other programs'.
pub fn foreign(files: &[File]) -> Vec<&str> {
    files.iter().filter(|file| is_yaml(&file.path) && is_foreign(file)).map(|file| file.path.as_str()).collect()
}

pub(super) fn is_foreign(file: &File) -> bool {
    let name = file.path.rsplit('/').next().unwrap_or_default();
    if FEASTS.contains(&name) {
        return true;
    }
    match documents(&file.path, &file.text) {
        Ok(parsed) => {
            let written: Vec<&MarkedYaml<'_>> =
                parsed.iter().filter(|document| !Node::new(&file.path, document).is_null()).collect();
            !written.is_empty() && !written.iter().any(|document| is_ours(Node::new(&file.path, document)))
        }
        // A template of another program's: what would be a definition names its kind.
        Err(_) => !file.text.contains("kind"),
    }
}

fn is_ours(document: Node<'_>) -> bool {
    if document.is_list() {
        return document.items(&mut Vec::new()).into_iter().any(is_ours);
    }
    let fields = document.entries(&mut Vec::new());
    let key = |node: Node<'_>| node.text(&mut Vec::new()).unwrap_or_default();
    let of_kubernetes = fields.iter().any(|(name, _)| key(*name) == KUBERNETES);
    fields.iter().any(|(name, value)| {
        let name = key(*name);
        if of_kubernetes {
            return name == "kind" && KINDS.contains(&key(*value).as_str());
        }
        OURS.contains(&name.as_str()) || strsim::damerau_levenshtein(&name.to_lowercase(), "kind") <= 1
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Definitions;

    #[track_caller]
    fn check(path: &str, text: &str, is_theirs: bool) {
        let file = File { path: path.to_owned(), text: text.to_owned() };
        assert_eq!(is_foreign(&file), is_theirs, "{path}: {text}");
        let read = Definitions::read(&[file]);
        assert_eq!(read.is_ok(), is_theirs, "{path}: {text}: {read:?}");
    }

    #[test]
    fn files_of_other_programs_are_left_alone() {
        let feast = "project: shop\nprovider: local\nregistry: data/registry.db\nonline_store: {type: sqlite}\n";
        check("repo/feature_store.yaml", feast, true);
        check("feature_store.yml", "kind: of Feast's\n", true);
        check("docker-compose.yml", "services:\n  db: {image: postgres}\nvolumes: {data: }\n", true);
        check("mkdocs.yml", "site_name: x\nnav:\n  - Home: index.md\n", true);
        check("dbt/schema.yml", "version: 2\nmodels:\n  - name: orders\nsources: []\n", true);
        check("playbook.yml", "- hosts: all\n  tasks: []\n", true);
        check("deploy.yaml", "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x}\n", true);
        check("chart.yaml", "name: {{ .Values.name }}\n", true);
    }

    #[test]
    fn a_slip_in_a_definition_is_a_mistake() {
        for text in [
            "knd: entity\nname: user\n",
            "Kind: entity\nname: user\n",
            "kinds: entity\nname: user\n",
            "kind: entiti\nname: user\n",
            "name: user\njoin_key: user_id\ntype: int64\n",
            "name: features\nentity: user\n",
            "- kind: entity\n  name: user\n",
            "apiVersion: v1\nkind: entity\nname: user\n",
            // Of a file that is ours, all documents are.
            "{kind: entity, name: user, join_key: user_id, type: int64}\n---\nservices: {}\n",
            "kind: entity\n\tname: user\n",
        ] {
            check("features.yaml", text, false);
        }
    }
}
