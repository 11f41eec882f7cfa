//! A feature service ready to run: its view versions with their expressions compiled and their row codecs made.

use std::sync::Arc;

use schema::{AppliedDefinitions, FeatureService, FeatureView, ViewId};
use transform::{ComputedFeatures, ExprError};

use crate::codec::RowCodec;

/// A service and everything that answering it needs; made once, shared by training and serving.
#[derive(Debug, Clone)]
pub struct CompiledService {
    /// The service.
    pub service: FeatureService,
    /// Its views, in the order of [`FeatureService::views`].
    pub views: Vec<Arc<CompiledView>>,
    /// For each column of the service, the view it comes from and the feature's position among that view's features,
    /// stored ones first.
    pub sources: Vec<(usize, usize)>,
}

/// One view version, compiled.
#[derive(Debug)]
pub struct CompiledView {
    /// The view version.
    pub view: FeatureView,
    /// Its computed features.
    pub computed: ComputedFeatures,
    /// How its stored rows are packed.
    pub codec: RowCodec,
}

/// Why a service cannot run.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// It pins a view version that the definitions do not hold.
    #[error("feature service `{service}` pins feature view `{view}`, which is not applied")]
    NoView {
        /// The service.
        service: String,
        /// The view version.
        view: ViewId,
    },
    /// It names a feature that the view version does not have.
    #[error("feature view `{view}` has no feature `{feature}`")]
    NoFeature {
        /// The view version.
        view: ViewId,
        /// The feature.
        feature: String,
    },
    /// An expression does not compile.
    #[error("feature view `{view}`")]
    Expr {
        /// The view version.
        view: ViewId,
        /// Why.
        #[source]
        source: ExprError,
    },
}

impl CompiledView {
    /// Compiles one view version.
    ///
    /// # Errors
    /// [`CompileError::Expr`]; definitions are checked before they are applied, so not in practice.
    pub fn new(view: FeatureView) -> Result<Self, CompileError> {
        let computed =
            ComputedFeatures::compile(&view).map_err(|source| CompileError::Expr { view: view.id.clone(), source })?;
        let codec = RowCodec::new(view.definition.features.iter().map(|f| f.dtype));
        Ok(Self { view, computed, codec })
    }
}

impl CompiledService {
    /// Compiles a service over the view versions that it pins.
    ///
    /// # Errors
    /// [`CompileError`] if the definitions lack what it pins.
    pub fn new(service: &FeatureService, definitions: &AppliedDefinitions) -> Result<Self, CompileError> {
        let ids = service.views();
        let find = |id: &ViewId| {
            let missing = || CompileError::NoView { service: service.name.to_string(), view: id.clone() };
            CompiledView::new(definitions.view(id).ok_or_else(missing)?.clone()).map(Arc::new)
        };
        let views = ids.iter().map(|id| find(id)).collect::<Result<Vec<_>, _>>()?;
        let source = |column: &schema::ServiceColumn| {
            let at = ids.iter().position(|id| **id == column.view).unwrap_or_default();
            let position = views[at].view.definition.feature_names().position(|name| *name == column.feature);
            let missing = || CompileError::NoFeature { view: column.view.clone(), feature: column.feature.to_string() };
            Ok((at, position.ok_or_else(missing)?))
        };
        let sources = service.columns.iter().map(source).collect::<Result<Vec<_>, CompileError>>()?;
        Ok(Self { service: service.clone(), views, sources })
    }
}
