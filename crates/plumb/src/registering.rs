//! What serving needs of a model file: its signature, and the feature service whose rows it eats.

use std::str::FromStr;
use std::sync::Arc;

use registry::{Catalog, Servable};
use schema::yaml::suggest;
use schema::{ErrorKind, FeatureService, Fingerprint};
use serving::Fleet;
use serving::onnx::inspect::{ModelFile, inspect};
use serving::onnx::tensors::InputPlan;

use crate::failure::Failure;

/// The key under which a model file, or a tag of its version, names its feature service.
pub const SERVICE: &str = "plumb.service";
/// The key under which a model file says which meaning of that service it was trained on.
const SERVICE_FINGERPRINT: &str = "plumb.service_fingerprint";

/// Reads a model file.
///
/// # Errors
/// It is no ONNX model that can be served.
pub fn read(fleet: &Fleet, shown: &str, bytes: &[u8]) -> Result<ModelFile, Failure> {
    inspect(&fleet.runtime()?, bytes).map_err(|why| {
        let failure = Failure::from(why);
        Failure { message: format!("`{shown}`: {}", failure.message), ..failure }
    })
}

/// What serves a model file on the feature service that is named, or on the one that the file names.
///
/// # Errors
/// Nobody names one, it is not applied, or the file does not fit it.
pub fn fit(
    catalog: &Catalog,
    shown: &str,
    file: &ModelFile,
    bytes: &[u8],
    service: Option<&str>,
) -> Result<Servable, Failure> {
    let service = service_of(catalog, service, file)?;
    InputPlan::fit(&file.signature, &service.columns).map_err(|why| {
        Failure::invalid(format!("`{shown}` does not fit feature service `{}`: {why}", service.name)).code("misfit")
    })?;
    Ok(Servable {
        digest: Fingerprint::of_bytes(bytes),
        size_bytes: bytes.len() as u64,
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
    file: &ModelFile,
) -> Result<&'c FeatureService, Failure> {
    let definitions = catalog.definitions();
    let inside = file.metadata.get(SERVICE_FINGERPRINT);
    let inside = inside
        .map(|text| Fingerprint::from_str(text))
        .transpose()
        .map_err(|why| Failure::invalid(format!("the file's metadata `{SERVICE_FINGERPRINT}`: {why}")))?;
    let named = service.or(file.metadata.get(SERVICE).map(String::as_str));
    let Some(named) = named else {
        return Err(Failure::invalid("the file does not say which feature service it was trained on")
            .hint("name it: --service NAME"));
    };
    let known = definitions.services.keys().map(schema::ServiceName::as_str);
    let unknown = || {
        Failure::new(ErrorKind::NotFound, format!("feature service `{named}` is not applied"))
            .hint(suggest(named, known.clone()))
    };
    let current = definitions.current_service(named);
    let Some(inside) = inside else { return current.ok_or_else(unknown) };
    if let Some(found) = definitions.service_by_fingerprint(named, &inside)
        && (service.is_none() || found.name.as_str() == named)
    {
        return Ok(found);
    }
    let current = current.ok_or_else(unknown)?;
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
