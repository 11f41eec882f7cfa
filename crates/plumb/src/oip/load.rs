//! What may be said of a model that is to be loaded: `config`, a `ModelConfig` as JSON text of which two fields count.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::{Map, Value as Json};
use serving::fleet::wanted::Policy;

use super::{BACKEND, PLATFORM, Refusal};

/// How a model is to be loaded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Load {
    /// In which versions.
    pub policy: Policy,
    /// The most rows of one request, if that is said.
    pub rows_max: Option<usize>,
}

/// Fields of a `ModelConfig` that change nothing here: a client may send back what it was told.
const TOLD: [&str; 12] = [
    "input",
    "output",
    "instance_group",
    "dynamic_batching",
    "model_transaction_policy",
    "default_model_filename",
    "parameters",
    "optimization",
    "model_warmup",
    "response_cache",
    "batch_input",
    "batch_output",
];

impl Load {
    /// Reads the parameters of a load of `model`: pairs of a key and the text of `config`, or nothing where the value is no
    /// text.
    ///
    /// # Errors
    /// In the words of Triton: what cannot be done is not done in part.
    pub fn read<'a>(
        model: &str,
        parameters: impl IntoIterator<Item = (&'a str, Option<&'a str>)>,
    ) -> Result<Self, Refusal> {
        let failed = |why: String| Refusal::invalid(format!("failed to load '{}', {why}", model.escape_debug()));
        let mut load = Self::default();
        for (key, value) in parameters {
            match (key, value) {
                ("config", Some(text)) => load = Self::of_config(model, text).map_err(failed)?,
                ("config", None) => return Err(failed("parameter 'config' is no text".to_owned())),
                (key, _) if key.starts_with("file:") => {
                    return Err(failed(
                        "files cannot be sent with a load: register them as a version of the model".to_owned(),
                    ));
                }
                (key, _) => return Err(failed(format!("there is no parameter '{}'", key.escape_debug()))),
            }
        }
        Ok(load)
    }

    fn of_config(model: &str, text: &str) -> Result<Self, String> {
        let config: Map<String, Json> =
            serde_json::from_str(text).map_err(|why| format!("parameter 'config' is no JSON object: {why}"))?;
        let mut load = Self::default();
        for (key, value) in config {
            match key.as_str() {
                "max_batch_size" => {
                    let rows = number(&value).ok_or("'max_batch_size' is no whole number from 0")?;
                    load.rows_max = Some(rows);
                }
                "version_policy" => load.policy = policy(value)?,
                "name" if value == model || value == "" => {}
                "backend" if value == BACKEND => {}
                "platform" if value == PLATFORM || value == "" => {}
                key @ ("name" | "backend" | "platform") => return Err(format!("'{key}' cannot be {value}")),
                key if TOLD.contains(&key) => {}
                key => return Err(format!("'{}' of a configuration is not supported", key.escape_debug())),
            }
        }
        Ok(load)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum VersionPolicy {
    Latest {
        #[serde(default)]
        num_versions: Json,
    },
    All {},
    Specific {
        versions: Vec<Json>,
    },
}

fn policy(value: Json) -> Result<Policy, String> {
    let policy = serde_json::from_value(value).map_err(|why| format!("'version_policy' is none: {why}"))?;
    Ok(match policy {
        VersionPolicy::Latest { num_versions: Json::Null } => Policy::Latest(1),
        VersionPolicy::Latest { num_versions } => {
            Policy::Latest(number(&num_versions).filter(|n| *n > 0).ok_or("'num_versions' is no whole number from 1")?)
        }
        VersionPolicy::All {} => Policy::All,
        VersionPolicy::Specific { versions } => {
            let numbers = versions.iter().map(|version| number(version).and_then(|n| u32::try_from(n).ok()));
            let numbers: Option<BTreeSet<u32>> = numbers.collect();
            Policy::Specific(numbers.ok_or("'versions' are no numbers")?)
        }
    })
}

/// A number, which clients send as a text too.
fn number(value: &Json) -> Option<usize> {
    match value {
        Json::Number(number) => usize::try_from(number.as_u64()?).ok(),
        Json::String(text) => text.parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(config: &str, want: Result<Load, &str>) {
        let found = Load::read("m", [("config", Some(config))]);
        match want {
            Ok(load) => assert_eq!(found, Ok(load)),
            Err(why) => {
                let found = found.unwrap_err().message;
                assert!(found.starts_with("failed to load 'm', ") && found.contains(why), "{found}");
            }
        }
    }

    #[test]
    fn a_configuration_says_versions_and_rows() {
        let rows = |rows| Load { rows_max: Some(rows), ..Load::default() };
        let policy = |policy| Load { policy, ..Load::default() };
        check(r#"{"max_batch_size":"16"}"#, Ok(rows(16)));
        check(r#"{"max_batch_size":16,"name":"m","backend":"onnxruntime","input":[]}"#, Ok(rows(16)));
        check(r#"{"version_policy":{"specific":{"versions":["2",3]}}}"#, Ok(policy(Policy::Specific([2, 3].into()))));
        check(r#"{"version_policy":{"latest":{"num_versions":2}}}"#, Ok(policy(Policy::Latest(2))));
        check(r#"{"version_policy":{"latest":{}}}"#, Ok(policy(Policy::Latest(1))));
        check(r#"{"version_policy":{"all":{}}}"#, Ok(policy(Policy::All)));
        assert_eq!(Load::read("m", []), Ok(Load::default()));
    }

    #[test]
    fn what_cannot_be_done_is_refused() {
        check(r#"{"max_batch_size":-1}"#, Err("'max_batch_size'"));
        check(r#"{"backend":"pytorch"}"#, Err("'backend' cannot be \"pytorch\""));
        check(r#"{"name":"other"}"#, Err("'name' cannot be"));
        check(r#"{"ensemble_scheduling":{}}"#, Err("'ensemble_scheduling' of a configuration is not supported"));
        check(r#"{"version_policy":{"first":{}}}"#, Err("'version_policy' is none"));
        check(r#"{"version_policy":{"specific":{"versions":["x"]}}}"#, Err("'versions' are no numbers"));
        check("[1]", Err("is no JSON object"));
        for key in ["file:1/model.onnx", "file:../../etc/passwd"] {
            let why = Load::read("m", [(key, None)]).unwrap_err().message;
            assert!(why.starts_with("failed to load 'm', files cannot be sent"), "{why}");
        }
        assert!(Load::read("m", [("other", None)]).is_err());
    }
}
