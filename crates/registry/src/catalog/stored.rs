//! A catalog as the bytes of a snapshot: what is not of models, then each model by itself, so that no second copy of all
//! of them is in memory.

use std::borrow::Cow;
use std::sync::Arc;

use imbl::OrdMap;
use schema::Fingerprint;
use serde::{Deserialize, Serialize};

use super::Catalog;
use crate::model::{Model, StoredModel};
use crate::seq::Seq;

/// What is not of models. Definitions and training sets are few and have a spelling already: JSON.
#[derive(Debug, Serialize, Deserialize)]
struct StoredHead<'a> {
    seq: u64,
    head: [u8; 32],
    definitions_seq: u64,
    #[serde(borrow)]
    definitions: Cow<'a, str>,
    training_sets: Vec<Cow<'a, str>>,
    n_models: usize,
    n_deleted: usize,
}

impl Catalog {
    /// Everything that [`Self::from_stored`] needs to give the same catalog.
    ///
    /// # Errors
    /// The encoder's, in words.
    pub(crate) fn to_stored(&self) -> Result<Vec<u8>, String> {
        let Self { seq, head, definitions, definitions_seq, models, deleted_models, training_sets } = self;
        let spelled = |json: serde_json::Result<String>| json.map(Cow::Owned).map_err(|why| why.to_string());
        let sets = training_sets.values().map(|set| spelled(serde_json::to_string(&**set)));
        let stored = StoredHead {
            seq: seq.0,
            head: *head.as_bytes(),
            definitions_seq: definitions_seq.0,
            definitions: spelled(serde_json::to_string(&**definitions))?,
            training_sets: sets.collect::<Result<_, _>>()?,
            n_models: models.len(),
            n_deleted: deleted_models.len(),
        };
        let mut bytes = postcard::to_stdvec(&stored).map_err(|why| why.to_string())?;
        for model in models.values().chain(deleted_models.values()) {
            bytes = postcard::to_extend(&StoredModel::of(model), bytes).map_err(|why| why.to_string())?;
        }
        Ok(bytes)
    }

    /// The catalog that [`Self::to_stored`] wrote.
    ///
    /// # Errors
    /// Why the bytes are none, in words.
    pub(crate) fn from_stored(bytes: &[u8]) -> Result<Self, String> {
        let (stored, mut rest): (StoredHead<'_>, _) = postcard::take_from_bytes(bytes).map_err(|why| why.to_string())?;
        let mut next = || -> Result<Arc<Model>, String> {
            let (model, after): (StoredModel<'_>, _) = postcard::take_from_bytes(rest).map_err(|why| why.to_string())?;
            rest = after;
            model.model().map(Arc::new)
        };
        let (mut models, mut deleted_models) = (OrdMap::new(), OrdMap::new());
        for _ in 0..stored.n_models {
            let model = next()?;
            models.insert(model.name.clone(), model);
        }
        for _ in 0..stored.n_deleted {
            let model = next()?;
            deleted_models.insert(model.id, model);
        }
        let mut training_sets = OrdMap::new();
        for text in &stored.training_sets {
            let set: crate::training_set::TrainingSet = serde_json::from_str(text).map_err(|why| why.to_string())?;
            training_sets.insert(set.path.clone(), Arc::new(set));
        }
        if !rest.is_empty() || (models.len(), deleted_models.len()) != (stored.n_models, stored.n_deleted) {
            return Err("it has something else than it says".to_owned());
        }
        Ok(Self {
            seq: Seq(stored.seq),
            head: Fingerprint::from_bytes(stored.head),
            definitions: Arc::new(serde_json::from_str(&stored.definitions).map_err(|why| why.to_string())?),
            definitions_seq: Seq(stored.definitions_seq),
            models,
            deleted_models,
            training_sets,
        })
    }
}
