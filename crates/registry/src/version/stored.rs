//! A version as a snapshot keeps it. Its name and its number are those of its place; what it has like the version before it
//! is written once.

use std::borrow::Cow;
use std::sync::Arc;

use schema::{Fingerprint, ModelName, ServiceName, Timestamp};
use serde::{Deserialize, Serialize};

use super::{ModelVersion, Origin, PinnedFile, Servable};
use crate::model::stored::{Pairs, digest, owned, pairs};

/// See [`crate::model::stored`] for what its texts and its order mean.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct StoredVersion<'a> {
    /// Source, run, page about the run, logged model.
    origin: [&'a str; 4],
    #[serde(borrow)]
    files: Vec<(&'a str, [u8; 32], u64)>,
    servable: Option<StoredServable<'a>>,
    description: Option<&'a str>,
    metadata: Pairs<'a>,
    tags: Pairs<'a>,
    registered_at: i64,
    registered_by: &'a str,
}

#[derive(Debug, Serialize, Deserialize)]
struct StoredServable<'a> {
    digest: [u8; 32],
    size_bytes: u64,
    /// JSON; none where it is that of the version before.
    #[serde(borrow)]
    signature: Option<Cow<'a, str>>,
    service: &'a str,
    service_version: u32,
    service_fingerprint: [u8; 32],
}

impl<'a> StoredVersion<'a> {
    pub(crate) fn of(version: &'a ModelVersion, before: Option<&ModelVersion>) -> Self {
        let ModelVersion {
            name: _,
            version: _,
            origin,
            files,
            servable,
            description,
            metadata,
            tags,
            registered_at,
            registered_by,
        } = version;
        let Origin { source, run_id, run_link, model_id } = origin;
        let file = |PinnedFile { path, digest: print, size_bytes }: &'a PinnedFile| {
            (path.as_str(), digest(print), *size_bytes)
        };
        let before = before.and_then(|before| before.servable.as_ref());
        Self {
            origin: [source, run_id, run_link, model_id],
            files: files.iter().map(file).collect(),
            servable: servable.as_ref().map(|servable| StoredServable::of(servable, before)),
            description: description.as_deref(),
            metadata: pairs(metadata),
            tags: pairs(tags),
            registered_at: registered_at.as_nanos(),
            registered_by,
        }
    }

    pub(crate) fn version(
        self,
        name: &ModelName,
        number: u32,
        before: Option<&ModelVersion>,
    ) -> Result<ModelVersion, String> {
        let [source, run_id, run_link, model_id] = self.origin.map(str::to_owned);
        let file = |(path, print, size_bytes): (&str, _, _)| {
            let (path, digest) = (path.to_owned(), Fingerprint::from_bytes(print));
            PinnedFile { path, digest, size_bytes }
        };
        let before = before.and_then(|before| before.servable.as_ref());
        Ok(ModelVersion {
            name: name.clone(),
            version: number,
            origin: Origin { source, run_id, run_link, model_id },
            files: self.files.into_iter().map(file).collect(),
            servable: self.servable.map(|servable| servable.servable(before)).transpose()?,
            description: self.description.map(str::to_owned),
            metadata: owned(&self.metadata),
            tags: owned(&self.tags),
            registered_at: Timestamp::from_nanos(self.registered_at),
            registered_by: self.registered_by.to_owned(),
        })
    }
}

impl<'a> StoredServable<'a> {
    fn of(servable: &'a Servable, before: Option<&Servable>) -> Self {
        let Servable { digest: print, size_bytes, signature, service, service_version, service_fingerprint } = servable;
        let is_as_before = before.is_some_and(|before| before.signature == *signature);
        // Names, types and numbers: there is nothing that JSON could not write.
        let text = || Cow::Owned(serde_json::to_string(&**signature).unwrap_or_default());
        Self {
            digest: digest(print),
            size_bytes: *size_bytes,
            signature: (!is_as_before).then(text),
            service: service.as_str(),
            service_version: *service_version,
            service_fingerprint: digest(service_fingerprint),
        }
    }

    fn servable(self, before: Option<&Servable>) -> Result<Servable, String> {
        let signature = match (self.signature, before) {
            (Some(text), _) => Arc::new(serde_json::from_str(&text).map_err(|why| why.to_string())?),
            (None, Some(before)) => Arc::clone(&before.signature),
            (None, None) => return Err("a version has the signature of none".to_owned()),
        };
        let service = match before.filter(|before| before.service.as_str() == self.service) {
            Some(before) => before.service.clone(),
            None => ServiceName::new(self.service).map_err(|why| why.to_string())?,
        };
        Ok(Servable {
            digest: Fingerprint::from_bytes(self.digest),
            size_bytes: self.size_bytes,
            signature,
            service,
            service_version: self.service_version,
            service_fingerprint: Fingerprint::from_bytes(self.service_fingerprint),
        })
    }
}
