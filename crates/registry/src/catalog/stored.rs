//! A catalog as the bytes of a snapshot: what is not of models, then each model by itself behind its length, so that they
//! are read on all cores, and no second copy of all of them is in memory.

use std::borrow::Cow;
use std::sync::Arc;

use imbl::OrdMap;
use schema::Fingerprint;
use serde::{Deserialize, Serialize};

use super::Catalog;
use crate::model::{Model, StoredModel};
use crate::seq::Seq;

/// Bytes that say how long a model is, as a u64 LE.
const LENGTH: usize = 8;

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
        let Self { seq, head, definitions, definitions_seq, models, names: _, deleted_models, training_sets } = self;
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
            let at = bytes.len();
            bytes.extend_from_slice(&[0; LENGTH]);
            bytes = postcard::to_extend(&StoredModel::of(model), bytes).map_err(|why| why.to_string())?;
            let length = u64::try_from(bytes.len() - at - LENGTH).map_err(|why| why.to_string())?;
            bytes[at..at + LENGTH].copy_from_slice(&length.to_le_bytes());
        }
        Ok(bytes)
    }

    /// The catalog that [`Self::to_stored`] wrote.
    ///
    /// # Errors
    /// Why the bytes are none, in words.
    pub(crate) fn from_stored(bytes: &[u8]) -> Result<Self, String> {
        let (stored, mut rest): (StoredHead<'_>, _) =
            postcard::take_from_bytes(bytes).map_err(|why| why.to_string())?;
        let mut all = Vec::new();
        while let Some((length, after)) = rest.split_first_chunk::<LENGTH>() {
            let length = usize::try_from(u64::from_le_bytes(*length)).map_err(|why| why.to_string())?;
            let (model, after) = after.split_at_checked(length).ok_or("it is cut off")?;
            all.push(model);
            rest = after;
        }
        let mut all = models(&all)?;
        let n_deleted = all.len().checked_sub(stored.n_models).ok_or("it has too few models")?;
        let deleted = all.split_off(stored.n_models);
        let models: OrdMap<_, _> = all.into_iter().map(|model| (model.name.clone(), model)).collect();
        let named = |model: &Arc<Model>| (model.id, model.name.clone());
        let names = models.values().map(named).collect();
        let deleted_models: OrdMap<_, _> = deleted.into_iter().map(|model| (model.id, model)).collect();
        let mut training_sets = OrdMap::new();
        for text in &stored.training_sets {
            let set: crate::training_set::TrainingSet = serde_json::from_str(text).map_err(|why| why.to_string())?;
            training_sets.insert(set.path.clone(), Arc::new(set));
        }
        let n_deleted = (n_deleted == stored.n_deleted).then_some(n_deleted);
        if !rest.is_empty() || (models.len(), Some(deleted_models.len())) != (stored.n_models, n_deleted) {
            return Err("it has something else than it says".to_owned());
        }
        Ok(Self {
            seq: Seq(stored.seq),
            head: Fingerprint::from_bytes(stored.head),
            definitions: Arc::new(serde_json::from_str(&stored.definitions).map_err(|why| why.to_string())?),
            definitions_seq: Seq(stored.definitions_seq),
            models,
            names,
            deleted_models,
            training_sets,
        })
    }
}

/// The models of these bytes, in the same order. What takes long of a start is this, so all cores take part.
fn models(stored: &[&[u8]]) -> Result<Vec<Arc<Model>>, String> {
    let n_threads = std::thread::available_parallelism().map_or(1, usize::from);
    let share = stored.len().div_ceil(n_threads).max(1);
    std::thread::scope(|scope| {
        let started: Vec<_> = stored
            .chunks(share)
            .map(|share| scope.spawn(|| share.iter().map(|bytes| model(bytes)).collect()))
            .collect();
        let mut all = Vec::with_capacity(stored.len());
        for thread in started {
            let models: Result<Vec<_>, String> =
                thread.join().map_err(|_panic| "a model could not be read".to_owned())?;
            all.extend(models?);
        }
        Ok(all)
    })
}

fn model(bytes: &[u8]) -> Result<Arc<Model>, String> {
    let stored: StoredModel<'_> = postcard::from_bytes(bytes).map_err(|why| why.to_string())?;
    stored.model().map(Arc::new)
}
