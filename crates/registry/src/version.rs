//! One version of a registered model, as it was when it was registered.

pub(crate) mod stored;

use std::collections::BTreeMap;
use std::sync::Arc;

use schema::signature::Signature;
use schema::{Fingerprint, ModelName, ServiceName, Timestamp};
use serde::{Deserialize, Serialize};

use crate::tag::Tags;

pub(crate) use stored::StoredVersion;

/// The name of a file that was registered alone.
pub const MODEL_FILE: &str = "model.onnx";

/// The name of a file of rows that later versions must answer alike: it says nothing of what the model is.
pub const GOLDEN_FILE: &str = "golden.json";

/// A model version. Nothing in it ever changes but the model's name: its stage, its tags and its description of today are
/// kept beside it, in [`crate::VersionState`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct ModelVersion {
    /// The model.
    pub name: ModelName,
    /// Its number, from 1 without gaps.
    pub version: u32,
    /// Where it comes from, as the registrant said.
    pub origin: Origin,
    /// The bytes that were kept of it, by path; empty for a version that is a reference and nothing more.
    pub files: Vec<PinnedFile>,
    /// What serving needs; `None` for a version that is kept and not served.
    pub servable: Option<Servable>,
    /// For people.
    pub description: Option<String>,
    /// What the model's file says of itself.
    pub metadata: BTreeMap<String, String>,
    /// As of its registration.
    pub tags: Tags,
    /// When it was registered.
    pub registered_at: Timestamp,
    /// Who registered it.
    pub registered_by: String,
}

/// Where a version comes from, in the words of whoever registered it: nothing here is read again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// A URI.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub source: String,
    /// The run that made it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub run_id: String,
    /// A page about that run.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub run_link: String,
    /// The logged model that it is.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub model_id: String,
}

impl Origin {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A file of a version, whose bytes are kept under their digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PinnedFile {
    /// Its place below the model's folder, with `/`.
    pub path: String,
    /// SHA-256 of its bytes, which is their name in [`crate::Artifacts`].
    pub digest: Fingerprint,
    /// Its length.
    pub size_bytes: u64,
}

/// What a version needs to be served: bytes, their signature, and the features they eat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Servable {
    /// SHA-256 of the ONNX file, which is its name in [`crate::Artifacts`].
    pub digest: Fingerprint,
    /// Length of the file.
    pub size_bytes: u64,
    /// What the model takes and gives.
    pub signature: Arc<Signature>,
    /// The feature service whose rows it eats.
    pub service: ServiceName,
    /// The version of that service.
    pub service_version: u32,
    /// The meaning of that service version. Serving refuses to pair the model with any other.
    pub service_fingerprint: Fingerprint,
}

/// The fields as written in events since the first one: a version that is served has all of the six.
#[derive(Serialize, Deserialize)]
struct Stored {
    name: ModelName,
    version: u32,
    #[serde(default, skip_serializing_if = "Origin::is_empty")]
    origin: Origin,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    files: Vec<PinnedFile>,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<Fingerprint>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signature: Option<Signature>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<ServiceName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_version: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_fingerprint: Option<Fingerprint>,
    description: Option<String>,
    metadata: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    tags: Tags,
    registered_at: Timestamp,
    registered_by: String,
}

impl From<ModelVersion> for Stored {
    fn from(from: ModelVersion) -> Self {
        let ModelVersion {
            name,
            version,
            origin,
            files,
            servable,
            description,
            metadata,
            tags,
            registered_at,
            registered_by,
        } = from;
        let mut stored = Self {
            name,
            version,
            origin,
            files,
            digest: None,
            size_bytes: None,
            signature: None,
            service: None,
            service_version: None,
            service_fingerprint: None,
            description,
            metadata,
            tags,
            registered_at,
            registered_by,
        };
        if let Some(servable) = servable {
            let Servable { digest, size_bytes, signature, service, service_version, service_fingerprint } = servable;
            (stored.digest, stored.size_bytes, stored.signature) =
                (Some(digest), Some(size_bytes), Some(Arc::unwrap_or_clone(signature)));
            (stored.service, stored.service_version) = (Some(service), Some(service_version));
            stored.service_fingerprint = Some(service_fingerprint);
        }
        stored
    }
}

impl TryFrom<Stored> for ModelVersion {
    type Error = String;
    fn try_from(stored: Stored) -> Result<Self, String> {
        let Stored { name, version, origin, files, description, metadata, tags, registered_at, registered_by, .. } =
            stored;
        let served = (stored.digest, stored.size_bytes, stored.signature);
        let service = (stored.service, stored.service_version, stored.service_fingerprint);
        let servable = match (served, service) {
            (
                (Some(digest), Some(size_bytes), Some(signature)),
                (Some(service), Some(service_version), Some(service_fingerprint)),
            ) => {
                let signature = Arc::new(signature);
                Some(Servable { digest, size_bytes, signature, service, service_version, service_fingerprint })
            }
            ((None, None, None), (None, None, None)) => None,
            _ => return Err(format!("version {version} of `{name}` has some of what serving needs, and not all")),
        };
        let version =
            Self { name, version, origin, files, servable, description, metadata, tags, registered_at, registered_by };
        Ok(version)
    }
}

impl ModelVersion {
    /// Shares what the version before has alike: a signature is most of a version's memory, and stays for many versions.
    pub(crate) fn share_with(&mut self, before: &Self) {
        if let (Some(ours), Some(theirs)) = (&mut self.servable, &before.servable)
            && ours.signature == theirs.signature
        {
            ours.signature = Arc::clone(&theirs.signature);
        }
    }

    /// Every file that was kept of it: of a version that was registered as one file, that file.
    pub fn pinned(&self) -> Vec<PinnedFile> {
        match (&self.files[..], &self.servable) {
            ([], Some(servable)) => {
                vec![servable.file()]
            }
            (files, _) => files.to_vec(),
        }
    }

    /// Whether it is made of these files, golden rows aside. A file that was registered alone has no list of files: it is
    /// the same wherever it is.
    pub(crate) fn is_made_of(&self, files: &[PinnedFile]) -> bool {
        fn model(files: &[PinnedFile]) -> BTreeMap<&str, &PinnedFile> {
            let model = files.iter().filter(|file| file.path != GOLDEN_FILE);
            model.map(|file| (file.path.as_str(), file)).collect()
        }
        files.is_empty() || model(&self.pinned()) == model(files)
    }
}

impl Servable {
    /// The ONNX file as one that was registered alone.
    pub fn file(&self) -> PinnedFile {
        PinnedFile { path: MODEL_FILE.to_owned(), digest: self.digest, size_bytes: self.size_bytes }
    }
}
