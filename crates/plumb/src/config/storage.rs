//! `storage: {s3: {...}, gcs: {...}, azure: {...}}`: object stores, on top of what the environment says of them.

use std::time::Duration;

use ::storage::{Patience, Scheme, StorageConfig};
use schema::yaml::{Fields, Mistake};

/// What may be said of each store; its other settings come from the environment alone.
const S3: [&str; 9] = [
    "endpoint",
    "region",
    "access_key_id",
    "secret_access_key",
    "session_token",
    "allow_http",
    "virtual_hosted_style_request",
    "skip_signature",
    "request_payer",
];
const GCS: [&str; 6] =
    ["service_account", "service_account_key", "application_credentials", "base_url", "allow_http", "skip_signature"];
const AZURE: [&str; 11] = [
    "account_name",
    "access_key",
    "sas_token",
    "client_id",
    "client_secret",
    "tenant_id",
    "endpoint",
    "allow_http",
    "use_emulator",
    "use_azure_cli",
    "skip_signature",
];

/// Reads `storage`; `environment` is every variable.
pub(super) fn read(
    fields: &mut Fields<'_>,
    environment: &[(String, String)],
    mistakes: &mut Vec<Mistake>,
) -> StorageConfig {
    let mut config = StorageConfig::default();
    for (name, value) in environment {
        for (prefix, scheme) in [("AWS_", Scheme::S3), ("GOOGLE_", Scheme::Gcs), ("AZURE_", Scheme::Azure)] {
            if name.starts_with(prefix) {
                // Variables of these tools that the store has no setting for are somebody else's.
                config.settings_mut(scheme).set(scheme, &name.to_ascii_lowercase(), value);
            }
        }
    }
    let Some(node) = fields.optional("storage") else { return config };
    let mut inner = node.fields("the `storage` setting", mistakes);
    let stores: [(&'static str, Scheme, &[&'static str]); 3] =
        [("s3", Scheme::S3, &S3), ("gcs", Scheme::Gcs, &GCS), ("azure", Scheme::Azure, &AZURE)];
    for (name, scheme, names) in stores {
        let Some(node) = inner.optional(name) else { continue };
        let mut said = node.fields("an object store", mistakes);
        for name in names {
            if let Some(value) = said.optional(name).and_then(|node| node.setting(mistakes)) {
                config.settings_mut(scheme).set(scheme, name, &value);
            }
        }
        said.finish(mistakes);
    }
    let mut wait = |name: &'static str, default: Duration| {
        let limit = inner.optional(name).and_then(|node| node.parse(mistakes, schema::Ttl::parse));
        limit.map_or(default, |limit| Duration::from_nanos(limit.as_nanos().unsigned_abs()))
    };
    let usual = Patience::default();
    let (listing, request) = (wait("listing_timeout", usual.listing), wait("request_timeout", usual.request));
    let retries = inner.optional("retries").and_then(|node| node.count(mistakes));
    let retries = retries.map_or(usual.retries, |n| usize::try_from(n).unwrap_or(usize::MAX));
    config.patience = Patience { listing, request, retries };
    inner.finish(mistakes);
    config
}
