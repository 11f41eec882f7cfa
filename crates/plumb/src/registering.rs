//! What serving needs of a model: its signature, and the feature service whose rows it eats.
//!
//! A model is somebody else's program. It is read and run once in a process of its own, which is all that a model can
//! bring down: [`inspector`] starts it, [`worker`] is what it does.

pub mod abandoned;
pub mod given;
mod inspecting;
pub mod inspector;
pub mod ongoing;
pub mod worker;

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;

use registry::{Artifacts, Catalog, PinnedFile, Servable};
use schema::{ErrorKind, FeatureService, Fingerprint};
use serving::onnx::inspect::{self, ModelFile, classes};
use serving::onnx::plan::InputPlan;

use crate::failure::Failure;
use crate::http::services::service_hint;
pub use inspecting::Inspecting;
pub use inspector::{Inspector, Limits};
pub use ongoing::Ongoing;
pub use worker::Task;

/// The key under which a model file, or a tag of its version, names its feature service.
pub const SERVICE: &str = "plumb.service";
/// The key under which a model file says which meaning of that service it was trained on.
const SERVICE_FINGERPRINT: &str = "plumb.service_fingerprint";

/// What somebody wants to register: files that are kept, one of which is the model's graph.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// Its name for people.
    pub shown: &'a str,
    /// Its files.
    pub files: &'a [PinnedFile],
    /// The ONNX file among them.
    pub graph: &'a PinnedFile,
    /// The feature service that is named for it.
    pub service: Option<&'a str>,
    /// Whether it has none, whatever its file says: it answers tensors.
    pub without_service: bool,
}

/// Reads a model in a process of its own, and runs it there on a row of its feature service.
///
/// Blocks: takes its turn among others, then the time of loading it.
///
/// # Errors
/// It is no ONNX model that can be served, or does not end in time; the file names no feature service is not found out here.
pub fn read(
    inspector: &Inspector,
    artifacts: &Artifacts,
    catalog: &Catalog,
    candidate: Candidate<'_>,
) -> Result<ModelFile, Failure> {
    let Candidate { shown, files, graph, service, without_service } = candidate;
    let of_it = |failure: Failure| Failure { message: format!("`{shown}`: {}", failure.message), ..failure };
    let metadata = inspect::metadata(&artifacts.get(&graph.digest)?).map_err(|why| of_it(why.into()))?;
    // Who has no service is told so once it is known that the file is a model.
    let eaten = service_of(catalog, service, &metadata).ok().filter(|_| !without_service);
    let columns = eaten.map(|service| service.columns.clone());
    // That process has no credentials, and no network to use them on.
    artifacts.bring(files.iter().map(|file| file.digest))?;
    let task = Task { artifacts: artifacts.root().to_owned(), files: files.to_vec(), graph: graph.clone(), columns };
    inspector.inspect(&task).map_err(of_it)
}

/// Whether a model names the feature service that it is for. What is no model names none.
///
/// # Errors
/// The file is not kept as it was.
pub fn names_its_service(artifacts: &Artifacts, graph: &PinnedFile) -> Result<bool, Failure> {
    let said = inspect::metadata(&artifacts.get(&graph.digest)?);
    Ok(said.is_ok_and(|metadata| metadata.contains_key(SERVICE)))
}

/// What serves a model on the feature service that is named, or on the one that the file names.
///
/// # Errors
/// Nobody names one, it is not applied, or the file does not fit it.
pub fn fit(catalog: &Catalog, candidate: Candidate<'_>, file: &ModelFile) -> Result<Servable, Failure> {
    let Candidate { shown, graph, service, .. } = candidate;
    let service = service_of(catalog, service, &file.metadata)?;
    if let Some(said) = file.metadata.get(classes::CLASSES)
        && classes::read(&file.metadata).is_none()
    {
        let message = format!("the metadata `{}` of `{shown}` is `{}`", classes::CLASSES, said.escape_debug());
        return Err(
            Failure::invalid(message).hint("write a JSON list of the classes' names, in the order of the model")
        );
    }
    InputPlan::fit(&file.signature, &service.columns).map_err(|why| {
        Failure::invalid(format!("`{shown}` does not fit feature service `{}`: {why}", service.name)).code("misfit")
    })?;
    Ok(Servable {
        digest: graph.digest,
        size_bytes: graph.size_bytes,
        signature: Arc::new(file.signature.clone()),
        service: service.name.clone(),
        service_version: service.version,
        service_fingerprint: service.fingerprint,
    })
}

/// The service that a file is for: the one named, else the one that the file was trained on. Both must agree.
fn service_of<'c>(
    catalog: &'c Catalog,
    service: Option<&str>,
    metadata: &BTreeMap<String, String>,
) -> Result<&'c FeatureService, Failure> {
    let definitions = catalog.definitions();
    let inside = metadata.get(SERVICE_FINGERPRINT);
    let inside = inside
        .map(|text| Fingerprint::from_str(text))
        .transpose()
        .map_err(|why| Failure::invalid(format!("the file's metadata `{SERVICE_FINGERPRINT}`: {why}")))?;
    let named = service.or(metadata.get(SERVICE).map(String::as_str));
    let Some(named) = named else {
        return Err(Failure::invalid("the file does not say which feature service it was trained on")
            .hint("name it: --service NAME"));
    };
    let unknown = || {
        Failure::new(ErrorKind::NotFound, format!("feature service `{named}` is not applied"))
            .hint(service_hint(definitions, named))
    };
    let current = definitions.current_service(named);
    let Some(inside) = inside else { return current.ok_or_else(unknown) };
    if let Some(found) = definitions.service_by_fingerprint(named, &inside)
        && (service.is_none() || found.name.as_str() == named)
    {
        return Ok(found);
    }
    let current = current.ok_or_else(unknown)?;
    if let Some(said) = metadata.get(SERVICE).filter(|said| *said != named) {
        let said = said.escape_debug();
        let message = format!(
            "the file was trained on service `{said}` (fingerprint {}), not on `{named}`, whose applied version {} has fingerprint {}",
            inside.short(),
            current.version,
            current.fingerprint.short()
        );
        return Err(Failure::new(ErrorKind::Conflict, message)
            .code("other_service")
            .hint(format!("name that one: --service {said}, or leave --service out")));
    }
    let message = format!(
        "the file was trained on fingerprint {} of service `{named}`, whose applied version {} has {}",
        inside.short(),
        current.version,
        current.fingerprint.short()
    );
    Err(Failure::new(ErrorKind::Conflict, message)
        .code("other_service")
        .hint("apply the definitions it was trained on, or train it again on a training set of this service"))
}
