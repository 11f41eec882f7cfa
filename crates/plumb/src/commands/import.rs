//! `plumb import`: definitions of other systems as ours.

use std::path::Path;
use std::process::ExitCode;

use prost::Message;
use schema::definitions::{Definitions, File};
use schema::{ErrorKind, yaml::list};

use crate::cli::{Format, ImportFeastArgs};
use crate::failure::Failure;
use crate::feast::import::{Imported, import, projects};
use crate::feast::messages::core::Registry;
use crate::output;

/// Prints the definitions of a Feast registry file. Exit status 1 when something of it is left out, all of which is named.
///
/// # Errors
/// The file cannot be read, is no registry, or holds several projects and none was named.
pub fn feast(format: Format, args: &ImportFeastArgs) -> Result<ExitCode, Failure> {
    let registry = read(&args.file)?;
    let Imported { yaml, left_out } = import(&registry, project(&registry, args.feast_project.as_deref())?);
    // What is printed must be what `apply` reads.
    let file = File { path: "imported.yaml".to_owned(), text: yaml.clone() };
    Definitions::read(&[file]).map_err(|mistakes| Failure {
        hint: Some("the registry holds something that the import does not know; please report it".to_owned()),
        ..Failure::from(mistakes)
    })?;
    output::answer(format, &serde_json::json!({ "yaml": yaml, "left_out": left_out }), || yaml.clone());
    if format == Format::Table {
        for object in &left_out {
            output::note(&output::printable(&format!("left out: {object}")));
        }
    }
    Ok(if left_out.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn read(path: &Path) -> Result<Registry, Failure> {
    let shown = path.display();
    let bytes = std::fs::read(path).map_err(|why| {
        Failure::new(ErrorKind::NotFound, format!("reading `{shown}`: {why}"))
            .hint("name Feast's registry file, which feature_store.yaml calls `registry`")
    })?;
    let no_registry = |why: String| {
        Failure::invalid(format!("`{shown}` is no registry file of Feast: {why}"))
            .hint("a SQL registry is no file: dump it with FeatureStore(...).registry.proto().SerializeToString()")
    };
    let registry = Registry::decode(bytes.as_slice()).map_err(|why| no_registry(why.to_string()))?;
    if registry.registry_schema_version != "1" {
        return Err(no_registry(format!("its schema version is {:?}, not \"1\"", registry.registry_schema_version)));
    }
    Ok(registry)
}

fn project<'a>(registry: &'a Registry, named: Option<&'a str>) -> Result<&'a str, Failure> {
    let known: Vec<&str> = projects(registry).into_iter().collect();
    match (named, known.as_slice()) {
        (Some(name), _) if known.contains(&name) => Ok(name),
        (None, [only]) => Ok(only),
        (Some(name), _) => Err(Failure::new(ErrorKind::NotFound, format!("the registry has no project `{name}`"))
            .hint(format!("it has {}", list(&known)))),
        (None, []) => Err(Failure::invalid("the registry is empty")),
        (None, _) => Err(Failure::invalid(format!("the registry holds {}", list(&known)))
            .hint("choose one with --feast-project NAME")),
    }
}
