//! In whose words answers are: those of the version that said them, of the version that a client speaks, and of the contract.
//!
//! There is one contract, in the words of the newest service version: its names of classes, its unit. What is compared is
//! adapted to it first, so tolerances, ranges and relations mean one thing at every version.

use schema::AppliedDefinitions;
use schema::ModelDefinition;
use schema::applied::Chain;
use schema::contract::AdapterPath;
use schema::migration::{MigrationError, ServiceVersion};

/// The adapters of every migration of a chain.
pub(crate) fn along(model: &ModelDefinition, chain: &Chain) -> AdapterPath {
    AdapterPath::of(chain.through.windows(2).filter_map(|step| match step {
        [from, to] => {
            let declared = model.adapters.iter().find(|known| known.from == *from && known.to == *to);
            declared.map(|known| known.adapter.clone())
        }
        _ => None,
    }))
}

/// What makes answers of a model on `own` answers in the contract's words: the longest way of adapters that starts there.
///
/// # Errors
/// [`MigrationError`], never for what is applied.
pub(crate) fn to_contract(
    model: Option<&ModelDefinition>,
    own: &ServiceVersion,
    definitions: &AppliedDefinitions,
) -> Result<AdapterPath, MigrationError> {
    let mut longest = AdapterPath::IDENTITY;
    let Some(model) = model.filter(|model| !model.adapters.is_empty()) else { return Ok(longest) };
    let (migrations, _) = definitions.migrations();
    for end in model.adapters.iter().map(|adapter| &adapter.to).filter(|end| *end != own) {
        let Some(chain) = migrations.between(own, end)? else { continue };
        let path = along(model, &chain);
        if path.n_steps() > longest.n_steps() {
            longest = path;
        }
    }
    Ok(longest)
}
