//! What is said of object stores, and how patient we are with them.
//!
//! Credentials come by each store's usual chain, from settings that are handed in: nothing here reads the environment.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::{BackoffConfig, ClientOptions, ObjectStore, RetryConfig};

/// What is said of object stores.
#[derive(Debug, Clone, Default)]
pub struct StorageConfig {
    /// For `s3://`.
    pub s3: Settings,
    /// For `gs://`.
    pub gcs: Settings,
    /// For `az://` and `abfss://`.
    pub azure: Settings,
    /// How long to wait.
    pub patience: Patience,
}

/// Limits of what is waited for.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// For a whole listing: `plan` waits for no more.
    pub listing: Duration,
    /// For one request; objects are fetched in pieces of 8 MiB, each a request.
    pub request: Duration,
    /// How often a request is made again that failed by no fault of ours.
    pub retries: usize,
}

impl Default for Patience {
    fn default() -> Self {
        Self { listing: Duration::from_secs(10), request: Duration::from_secs(30), retries: 3 }
    }
}

/// A kind of object store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Amazon S3, and whatever speaks its protocol.
    S3,
    /// Google Cloud Storage.
    Gcs,
    /// Azure Blob Storage.
    Azure,
}

impl Scheme {
    /// The store of a URL's scheme.
    pub fn parse(scheme: &str) -> Option<Self> {
        match scheme {
            "s3" | "s3a" => Some(Self::S3),
            "gs" | "gcs" => Some(Self::Gcs),
            "az" | "azure" | "abfs" | "abfss" => Some(Self::Azure),
            _ => None,
        }
    }

    fn knows(self, name: &str) -> bool {
        match self {
            Self::S3 => AmazonS3ConfigKey::from_str(name).is_ok(),
            Self::Gcs => GoogleConfigKey::from_str(name).is_ok(),
            Self::Azure => AzureConfigKey::from_str(name).is_ok(),
        }
    }
}

/// Settings of one kind of store by their names; secrets among them, so values are never printed.
#[derive(Clone, Default)]
pub struct Settings(BTreeMap<String, String>);

impl Settings {
    /// Sets `name`, for example `region` or `aws_region`; whether the store has such a setting.
    pub fn set(&mut self, scheme: Scheme, name: &str, value: &str) -> bool {
        let known = scheme.knows(name);
        if known {
            self.0.insert(name.to_owned(), value.to_owned());
        }
        known
    }

    /// Values of which nothing says that they may be printed. Those of a few letters would be found in any text.
    fn secrets(&self) -> impl Iterator<Item = &str> {
        const PLAIN: [&str; 14] = [
            "endpoint",
            "endpoint_url",
            "service_account",
            "application_credentials",
            "region",
            "allow_http",
            "virtual_hosted_style_request",
            "skip_signature",
            "request_payer",
            "base_url",
            "account_name",
            "use_emulator",
            "use_azure_cli",
            "tenant_id",
        ];
        const LETTERS_MIN: usize = 8;
        let is_plain = |name: &str| PLAIN.iter().any(|plain| name.ends_with(plain));
        self.0
            .iter()
            .filter(move |(name, _)| !is_plain(name))
            .map(|(_, value)| value.as_str())
            .filter(|value| value.len() >= LETTERS_MIN)
    }

    fn each<K: FromStr>(&self) -> impl Iterator<Item = (K, &str)> {
        self.0.iter().filter_map(|(name, value)| Some((name.parse().ok()?, value.as_str())))
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl StorageConfig {
    /// The settings of one kind of store.
    pub fn settings_mut(&mut self, scheme: Scheme) -> &mut Settings {
        match scheme {
            Scheme::S3 => &mut self.s3,
            Scheme::Gcs => &mut self.gcs,
            Scheme::Azure => &mut self.azure,
        }
    }

    /// Texts that no message may hold: keys, passwords, tokens.
    pub(crate) fn secrets(&self) -> Vec<String> {
        let all = [&self.s3, &self.gcs, &self.azure];
        all.into_iter().flat_map(Settings::secrets).map(ToOwned::to_owned).collect()
    }

    /// The store of a bucket; `authority` is what stands between `://` and the next slash.
    ///
    /// # Errors
    /// The settings do not fit together.
    pub fn store(&self, scheme: Scheme, authority: &str) -> object_store::Result<Arc<dyn ObjectStore>> {
        let retry = RetryConfig {
            backoff: BackoffConfig {
                init_backoff: Duration::from_millis(100),
                max_backoff: Duration::from_secs(2),
                base: 2.0,
            },
            max_retries: self.patience.retries,
            // Beyond five minutes the credentials of the first try may have expired.
            retry_timeout: self
                .patience
                .request
                .saturating_mul(u32::try_from(self.patience.retries).unwrap_or(u32::MAX).saturating_add(1))
                .min(Duration::from_secs(300)),
        };
        let client = ClientOptions::new()
            .with_timeout(self.patience.request)
            .with_connect_timeout(self.patience.request.min(Duration::from_secs(5)));
        Ok(match scheme {
            Scheme::S3 => {
                let empty = AmazonS3Builder::new().with_client_options(client).with_retry(retry);
                let all =
                    self.s3.each::<AmazonS3ConfigKey>().fold(empty, |s3, (key, value)| s3.with_config(key, value));
                Arc::new(all.with_bucket_name(authority).build()?)
            }
            Scheme::Gcs => {
                let empty = GoogleCloudStorageBuilder::new().with_client_options(client).with_retry(retry);
                let all =
                    self.gcs.each::<GoogleConfigKey>().fold(empty, |gcs, (key, value)| gcs.with_config(key, value));
                Arc::new(all.with_bucket_name(authority).build()?)
            }
            Scheme::Azure => {
                let empty = MicrosoftAzureBuilder::new().with_client_options(client).with_retry(retry);
                let all =
                    self.azure.each::<AzureConfigKey>().fold(empty, |az, (key, value)| az.with_config(key, value));
                // With an account in it the URL says more than the settings.
                let named = match authority.contains('@') {
                    true => all.with_url(format!("abfss://{authority}")),
                    false => all.with_container_name(authority),
                };
                Arc::new(named.build()?)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_printed_is_known_and_all_else_is_a_secret() {
        let mut config = StorageConfig::default();
        let mut set = |scheme: Scheme, name: &str, value: &str| {
            assert!(config.settings_mut(scheme).set(scheme, name, value), "{name}");
        };
        set(Scheme::S3, "aws_region", "eu-central-1");
        set(Scheme::S3, "endpoint", "http://127.0.0.1:9000");
        set(Scheme::S3, "secret_access_key", "a long secret");
        set(Scheme::S3, "aws_session_token", "a long token");
        set(Scheme::S3, "access_key_id", "short");
        set(Scheme::Azure, "account_name", "our account");
        set(Scheme::Azure, "sas_token", "sig=of an azure");
        assert_eq!(config.secrets(), ["a long token", "a long secret", "sig=of an azure"]);
        assert!(!format!("{config:?}").contains("long"), "{config:?}");
        assert!(!config.settings_mut(Scheme::S3).set(Scheme::S3, "password", "there is no such setting"));
    }
}
