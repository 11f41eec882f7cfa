//! Nulls replaced as a service's `fill` says.

use arrow::array::ArrayRef;
use transform::fill::fill;

use crate::compiled::CompiledService;
use crate::offline::OfflineError;

/// A service's columns as its model sees them.
///
/// # Errors
/// [`OfflineError::Spine`] never for checked definitions.
pub fn fill_all(compiled: &CompiledService, columns: &[ArrayRef]) -> Result<Vec<ArrayRef>, OfflineError> {
    let filled = compiled.service.columns.iter().zip(columns).map(|(service, column)| fill(column, service));
    filled.collect::<Result<_, _>>().map_err(|why| OfflineError::Spine {
        what: compiled.service.name.to_string(),
        why,
        hint: "check `fill` of the service".to_owned(),
    })
}

/// What a service fills with, by feature.
pub(super) fn fill_map(compiled: &CompiledService) -> serde_json::Map<String, serde_json::Value> {
    let constant = |value: &schema::Value| match value {
        schema::Value::Int(v) => serde_json::json!(v),
        schema::Value::Uint(v) => serde_json::json!(v),
        schema::Value::Float(v) => serde_json::json!(v),
        schema::Value::Bool(v) => serde_json::json!(v),
        other => serde_json::json!(other.to_string()),
    };
    let columns = compiled.service.columns.iter();
    columns.filter_map(|c| Some((c.name.to_string(), constant(c.fill.as_ref()?)))).collect()
}
