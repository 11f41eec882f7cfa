//! Replay tokens: a text in every online answer that says what reproduces it offline, and tells whether it does.
//!
//! A token fixes everything that an answer depends on: the instant (what was known is fixed by it too, for online both are
//! one), the definitions, the entities, and for each view the state of the data and the event times of the rows that were
//! found. In place of the values it holds a digest of each row and of each feature, so that replaying finds where the
//! first difference is. `token` is the layout, `digest` how values are digested.

mod digest;
mod token;

use std::sync::Arc;

use featurestore::compiled::ColumnSource;
use featurestore::online::Served;
use featurestore::retrieve::EntityRows;
use featurestore::{CompiledService, FeatureRows};
use registry::Seq;
use schema::{AppliedDefinitions, FeatureView, Timestamp};

use crate::http::services::{self, Reference, ServiceError};

pub use digest::Digests;
pub use token::{Asked, MalformedToken, Token, ViewState};

/// What tokens of one compiled request begin with; made once.
#[derive(Debug)]
pub struct Replayable {
    frame: token::Frame,
}

impl Replayable {
    /// For a service under the definitions of a sequence number.
    pub fn new(compiled: &CompiledService, definitions: Seq) -> Self {
        Self { frame: token::Frame::new(definitions.0, &asked(compiled), compiled) }
    }

    /// The token of an answer.
    pub fn token(
        &self,
        compiled: &CompiledService,
        entities: &EntityRows,
        as_of: Timestamp,
        rows: &FeatureRows,
        served: &[Option<Arc<Served>>],
    ) -> String {
        token::write(&self.frame, compiled, entities, as_of, rows, served)
    }
}

/// The first bytes of a view's fingerprint, as tokens hold them.
pub fn meaning(view: &FeatureView) -> [u8; 8] {
    token::meaning(view)
}

/// What a service is asked for by.
fn asked(compiled: &CompiledService) -> Asked {
    let service = &compiled.service;
    if service.version > 0 {
        return Asked::Service { name: service.name.to_string(), version: service.version };
    }
    let reference = |(column, source): (&schema::ServiceColumn, &ColumnSource)| match source {
        ColumnSource::Stored { .. } => format!("{}:{}", column.view, column.feature),
        // Of on-demand views only the current version can be asked for.
        ColumnSource::OnDemand { .. } => format!("{}:{}", column.view.name, column.feature),
    };
    Asked::Features(service.columns.iter().zip(&compiled.sources).map(reference).collect())
}

impl Asked {
    /// The service that was asked for, compiled over what is applied now.
    ///
    /// # Errors
    /// It is no longer applied.
    pub fn compile(&self, definitions: &AppliedDefinitions) -> Result<CompiledService, ServiceError> {
        match self {
            Self::Service { name, version } => services::versioned(definitions, name, *version),
            Self::Features(references) => {
                let references = references.iter().map(|text| Reference::parse(text)).collect::<Result<Vec<_>, _>>()?;
                services::named(definitions, &references)
            }
        }
    }
}
