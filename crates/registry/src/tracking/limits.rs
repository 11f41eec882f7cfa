//! What may be written: MLflow's own limits, checked before anything is stored.

use super::{Batch, Metric, Pair, TrackingError};

/// Characters of the key of a metric, parameter or tag.
pub const KEY_CHARS_MAX: usize = 250;
/// Characters of a parameter's value.
pub const PARAM_CHARS_MAX: usize = 6_000;
/// Characters of the value of a run's tag.
pub const TAG_CHARS_MAX: usize = 8_000;
/// Characters of an experiment's name.
pub const EXPERIMENT_NAME_CHARS_MAX: usize = 500;
/// Characters of the name of a run or a logged model.
pub const NAME_CHARS_MAX: usize = 500;
/// Characters of the name of a data set.
pub const DATASET_NAME_CHARS_MAX: usize = 500;
/// Characters of the digest of a data set.
pub const DATASET_DIGEST_CHARS_MAX: usize = 36;
/// Metrics of one batch.
pub const METRICS_MAX: usize = 1_000;
/// Parameters of one batch.
pub const PARAMS_MAX: usize = 100;
/// Tags of one batch.
pub const TAGS_MAX: usize = 100;
/// Metrics, parameters and tags of one batch together.
pub const ENTRIES_MAX: usize = 1_000;
/// Bytes of a request that holds a batch.
pub const BATCH_BYTES_MAX: usize = 1_000_000;

/// Checks that `key` can name a `what`: word characters, `/ . - :` and spaces, and no path that stands for another.
///
/// # Errors
/// [`TrackingError::Invalid`].
pub fn key(what: &str, key: &str) -> Result<(), TrackingError> {
    length(&format!("the key of a {what}"), key, KEY_CHARS_MAX)?;
    let shown = key.escape_debug();
    if key.is_empty() {
        return Err(TrackingError::Invalid(format!("the key of a {what} is empty")));
    }
    if !key.chars().all(|c| c.is_alphanumeric() || "_/.-: ".contains(c)) {
        return Err(TrackingError::Invalid(format!(
            "invalid {what} name `{shown}`: names may only contain alphanumerics, underscores, dashes, periods, spaces, \
             colons and slashes"
        )));
    }
    let is_plain = key == "/" || key.split('/').all(|part| !matches!(part, "" | "." | ".."));
    if !is_plain || key.starts_with("..") || key == "/" {
        return Err(TrackingError::Invalid(format!(
            "invalid {what} name `{shown}`: as a path it would be another one"
        )));
    }
    Ok(())
}

/// Checks a text's length.
///
/// # Errors
/// [`TrackingError::Invalid`].
pub fn length(what: &str, text: &str, chars_max: usize) -> Result<(), TrackingError> {
    // Counted only where it could be too long.
    if text.len() <= chars_max || text.chars().count() <= chars_max {
        return Ok(());
    }
    let begin: String = text.chars().take(20).collect();
    let begin = begin.escape_debug();
    Err(TrackingError::Invalid(format!("{what} has more than {chars_max} characters: `{begin}...`")))
}

/// Checks parameters: of different keys.
///
/// # Errors
/// [`TrackingError::Invalid`].
pub fn params(params: &[Pair]) -> Result<(), TrackingError> {
    for (name, value) in params {
        key("param", name)?;
        length(&format!("the value of param `{name}`"), value, PARAM_CHARS_MAX)?;
    }
    let mut sorted: Vec<&Pair> = params.iter().collect();
    sorted.sort();
    match sorted.windows(2).find(|two| two[0].0 == two[1].0) {
        Some(two) => {
            Err(TrackingError::Invalid(format!("duplicate parameter keys have been submitted: `{}`", two[0].0)))
        }
        None => Ok(()),
    }
}

/// Checks tags.
///
/// # Errors
/// [`TrackingError::Invalid`].
pub fn tags(tags: &[Pair]) -> Result<(), TrackingError> {
    for (name, value) in tags {
        key("tag", name)?;
        length(&format!("the value of tag `{name}`"), value, TAG_CHARS_MAX)?;
    }
    Ok(())
}

/// Checks a point.
///
/// # Errors
/// [`TrackingError::Invalid`].
pub fn metric(metric: &Metric) -> Result<(), TrackingError> {
    key("metric", &metric.key)?;
    if metric.at_ms < 0 {
        let Metric { key, at_ms, .. } = metric;
        return Err(TrackingError::Invalid(format!("the timestamp {at_ms} of metric `{key}` is negative")));
    }
    if let Some((name, digest)) = &metric.dataset {
        length("the name of a dataset", name, DATASET_NAME_CHARS_MAX)?;
        length("the digest of a dataset", digest, DATASET_DIGEST_CHARS_MAX)?;
    }
    Ok(())
}

/// Checks a batch.
///
/// # Errors
/// [`TrackingError::Invalid`].
pub fn batch(batch: &Batch) -> Result<(), TrackingError> {
    let count = |what: &str, n: usize, max: usize| {
        let message = || format!("a batch logging request can contain at most {max} {what}, got {n}");
        if n <= max { Ok(()) } else { Err(TrackingError::Invalid(message())) }
    };
    count("metrics", batch.metrics.len(), METRICS_MAX)?;
    count("params", batch.params.len(), PARAMS_MAX)?;
    count("tags", batch.tags.len(), TAGS_MAX)?;
    let all = batch.metrics.len() + batch.params.len() + batch.tags.len();
    count("metrics, params and tags in all", all, ENTRIES_MAX)?;
    batch.metrics.iter().try_for_each(metric)?;
    params(&batch.params)?;
    tags(&batch.tags)
}

/// Checks the name of an experiment.
///
/// # Errors
/// [`TrackingError::Invalid`].
pub fn experiment_name(name: &str) -> Result<(), TrackingError> {
    if name.trim().is_empty() {
        return Err(TrackingError::Invalid("the name of an experiment is empty".to_owned()));
    }
    length("the name of an experiment", name, EXPERIMENT_NAME_CHARS_MAX)
}

/// Checks the name of a logged model, which stands in addresses.
///
/// # Errors
/// [`TrackingError::Invalid`].
pub fn logged_model_name(name: &str) -> Result<(), TrackingError> {
    length("the name of a logged model", name, NAME_CHARS_MAX)?;
    match name.chars().find(|c| "/:.%\"'".contains(*c)) {
        Some(c) => Err(TrackingError::Invalid(format!(
            "invalid model name `{}`: it must be non-empty and have none of / : . % \" ', but has `{c}`",
            name.escape_debug()
        ))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(result: Result<(), TrackingError>, with: &str) {
        let why = result.unwrap_err();
        assert_eq!(why.kind(), schema::ErrorKind::Invalid);
        assert!(why.to_string().contains(with), "{why}");
    }

    #[test]
    fn keys_are_words_with_a_few_signs() {
        for fine in
            ["loss", "val/loss", "a.b-c: d", "größe", "mlflow.source.git.commit", &"k".repeat(250), "a/..b", ".x"]
        {
            key("tag", fine).unwrap();
        }
        for wrong in [
            "", "a\nb", "a\0", "a#b", "a\\b", "/", "/a", "a/", "a//b", ".", "..", "../a", "a/../b", "./a", "..a",
            "a\"b",
        ] {
            key("tag", wrong).unwrap_err();
        }
        refused(key("tag", &"k".repeat(251)), "more than 250 characters");
    }

    #[test]
    fn lengths_are_of_characters() {
        let param = |n| params(&[("a".to_owned(), "ü".repeat(n))]);
        param(6_000).unwrap();
        refused(param(6_001), "more than 6000");
        refused(tags(&[("a".to_owned(), "x".repeat(8_001))]), "more than 8000");
        refused(experiment_name(" "), "empty");
        refused(experiment_name(&"x".repeat(501)), "more than 500");
    }

    #[test]
    fn a_batch_has_limits_of_each_kind_and_of_all() {
        let pairs = |n: usize| (0..n).map(|i| (format!("k{i}"), String::new())).collect::<Vec<_>>();
        let point = Metric { key: "m".to_owned(), value: 0.0, at_ms: 0, step: 0, model: None, dataset: None };
        let full = Batch { metrics: vec![point; 1_000], ..Batch::default() };
        batch(&full).unwrap();
        refused(batch(&Batch { tags: pairs(1), ..full.clone() }), "in all, got 1001");
        refused(batch(&Batch { metrics: [&full.metrics[..], &full.metrics[..1]].concat(), ..full }), "1000 metrics");
        refused(batch(&Batch { params: pairs(101), ..Batch::default() }), "100 params, got 101");
        refused(batch(&Batch { tags: pairs(101), ..Batch::default() }), "100 tags, got 101");
        let twice =
            vec![("a".to_owned(), "1".to_owned()), ("b".to_owned(), "1".to_owned()), ("a".to_owned(), "1".to_owned())];
        refused(
            batch(&Batch { params: twice, ..Batch::default() }),
            "duplicate parameter keys have been submitted: `a`",
        );
    }

    #[test]
    fn a_logged_models_name_can_stand_in_an_address() {
        logged_model_name("my model_1-x").unwrap();
        for wrong in ["a/b", "a:b", "a.b", "a%b", "a\"b", "a'b"] {
            refused(logged_model_name(wrong), "invalid model name");
        }
    }
}
