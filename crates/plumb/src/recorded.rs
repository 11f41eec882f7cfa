//! Training sets as the registry's log records them, so that a plan and an erasure can name them.

use featurestore::CompiledService;
use featurestore::training::lineage::Lineage;
use registry::{EntityColumns, TrainingSet};

/// What is recorded of a training set: of a file under its path, of an answer under a name of its own and its protocol.
pub fn recorded(
    path: String,
    answered: Option<String>,
    compiled: &CompiledService,
    lineage: &Lineage,
    n_rows: u64,
) -> TrainingSet {
    let service = &compiled.service;
    let mut keys: Vec<EntityColumns> = Vec::new();
    for used in &compiled.views {
        let columns = used.view.keys().iter().zip(&used.keys);
        let entity = used.view.entity.name.to_string();
        let columns = columns.map(|(own, column)| (own.name.to_string(), column.name.to_string())).collect();
        let found = EntityColumns { entity, columns };
        if !keys.contains(&found) {
            keys.push(found);
        }
    }
    TrainingSet {
        path,
        answered,
        id: lineage.id(),
        n_rows,
        service: service.name.clone(),
        service_version: service.version,
        service_fingerprint: service.fingerprint,
        views: service.views().into_iter().cloned().collect(),
        keys,
    }
}
