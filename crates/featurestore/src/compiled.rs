//! A feature service ready to run: its view versions with their expressions compiled and their row codecs made.

use std::sync::Arc;

use schema::applied::{InputSource, OnDemandUse};
use schema::definitions::{JoinKey, RequestField};
use schema::{AppliedDefinitions, FeatureService, FeatureView, OnDemandView, ViewId, ViewUse};
use transform::{ComputedFeatures, ExprError, OnDemandFeatures};

use crate::codec::RowCodec;
use crate::retrieve::{RoundTrip, round_trips};

/// A service and everything that answering it needs; made once, shared by training and serving.
#[derive(Debug, Clone)]
pub struct CompiledService {
    /// The service.
    pub service: FeatureService,
    /// Its views, in the order of [`FeatureService::view_uses`]: one view by two keys is there twice.
    pub views: Vec<Arc<CompiledView>>,
    /// Its on-demand views; what one reads stands before it.
    pub on_demand: Vec<Arc<CompiledOnDemand>>,
    /// The fields of the request that its on-demand views read, each once.
    pub fields: Vec<RequestField>,
    /// For each column of the service, where it comes from.
    pub sources: Vec<ColumnSource>,
    /// Which of its views are read together.
    pub round_trips: Vec<RoundTrip>,
}

/// One use of a view version, compiled.
#[derive(Debug)]
pub struct CompiledView {
    /// What answers and logs call it.
    pub name: String,
    /// The view version.
    pub view: FeatureView,
    /// Its join keys as requests and spines name them, in the entity's order.
    pub keys: Vec<JoinKey>,
    /// Its computed features.
    pub computed: ComputedFeatures,
    /// How its stored rows are packed.
    pub codec: RowCodec,
}

/// One use of an on-demand view version, compiled.
#[derive(Debug)]
pub struct CompiledOnDemand {
    /// What answers call it.
    pub name: String,
    /// The on-demand view version.
    pub view: OnDemandView,
    /// Where each input comes from; on-demand views only from earlier ones.
    pub inputs: Vec<ColumnSource>,
    /// Where each of its request fields stands among [`CompiledService::fields`].
    pub fields: Vec<usize>,
    /// Its features.
    pub features: OnDemandFeatures,
}

/// Where a column of a service, or an input of an on-demand view, comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnSource {
    /// A feature view: its place among [`CompiledService::views`], and the feature's among its features, stored ones
    /// first.
    Stored {
        /// The view.
        view: usize,
        /// The feature.
        feature: usize,
    },
    /// An on-demand view: its place among [`CompiledService::on_demand`], and the feature's among its features.
    OnDemand {
        /// The on-demand view.
        view: usize,
        /// The feature.
        feature: usize,
    },
}

impl CompiledService {
    /// The features that a feature is made of, one step back; of a stored one none.
    pub fn inputs(&self, of: ColumnSource) -> Vec<ColumnSource> {
        match of {
            ColumnSource::Stored { view, feature } => {
                let compiled = &self.views[view];
                let n_stored = compiled.view.definition.features.len();
                let Some(computed) = feature.checked_sub(n_stored) else { return Vec::new() };
                let stored = compiled.computed.reads(computed).into_iter().filter(|place| *place < n_stored);
                stored.map(|feature| ColumnSource::Stored { view, feature }).collect()
            }
            ColumnSource::OnDemand { view, feature } => {
                let compiled = &self.on_demand[view];
                let reads = compiled.features.reads(feature);
                reads.into_iter().filter_map(|place| compiled.inputs.get(place).copied()).collect()
            }
        }
    }

    /// A feature's name for people, `view:feature`, whether the service has it or only reads it.
    pub fn reference(&self, of: ColumnSource) -> String {
        let name = |feature: Option<&schema::FeatureName>| feature.map(ToString::to_string).unwrap_or_default();
        match of {
            ColumnSource::Stored { view, feature } => {
                let CompiledView { name: view, view: FeatureView { definition, .. }, .. } = &*self.views[view];
                let stored = definition.features.iter().map(|feature| &feature.name);
                let mut all = stored.chain(definition.computed.iter().map(|feature| &feature.name));
                format!("{view}:{}", name(all.nth(feature)))
            }
            ColumnSource::OnDemand { view, feature } => {
                let CompiledOnDemand { name: view, view: OnDemandView { definition, .. }, .. } = &*self.on_demand[view];
                format!("{view}:{}", name(definition.features.get(feature).map(|feature| &feature.name)))
            }
        }
    }

    /// Whether the definitions mark a column as personal.
    pub fn is_personal(&self, column: usize) -> bool {
        match self.sources.get(column) {
            None => false,
            Some(ColumnSource::Stored { view, feature }) => {
                let definition = &self.views[*view].view.definition;
                let stored = definition.features.get(*feature).map(|feature| feature.pii);
                let computed =
                    || feature.checked_sub(definition.features.len()).and_then(|at| definition.computed.get(at));
                stored.or_else(|| computed().map(|feature| feature.pii)).unwrap_or(false)
            }
            Some(ColumnSource::OnDemand { view, feature }) => {
                self.on_demand[*view].view.definition.features.get(*feature).is_some_and(|feature| feature.pii)
            }
        }
    }

    /// Whether a join key, as requests and spines name it, or a field of the request is personal.
    pub fn is_personal_input(&self, name: &str) -> bool {
        let has_key = |view: &&Arc<CompiledView>| view.keys.iter().any(|key| key.name.as_str() == name);
        self.views.iter().filter(has_key).any(|view| view.view.entity.pii)
            || self.fields.iter().any(|field| field.pii && field.name.as_str() == name)
    }
}

impl ColumnSource {
    /// The feature view whose rows have the column's event times; an on-demand feature has none of its own.
    pub fn view(self) -> Option<usize> {
        match self {
            Self::Stored { view, .. } => Some(view),
            Self::OnDemand { .. } => None,
        }
    }
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
    /// A name that a request would have to use for two things; services that are applied are checked.
    #[error(
        "request field `{field}` of on-demand view `{view}` has the name of a join key, or of a field of another type"
    )]
    Clash {
        /// The on-demand view version.
        view: ViewId,
        /// The field.
        field: String,
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
    /// Compiles one use of a view version.
    ///
    /// # Errors
    /// [`CompileError::Expr`]; definitions are checked before they are applied, so not in practice.
    pub fn new(used: &ViewUse, view: FeatureView) -> Result<Self, CompileError> {
        let computed =
            ComputedFeatures::compile(&view).map_err(|source| CompileError::Expr { view: view.id.clone(), source })?;
        let codec = RowCodec::new(view.definition.features.iter().map(|f| f.dtype));
        Ok(Self { name: used.name.clone(), keys: used.keys(view.keys()), view, computed, codec })
    }

    fn source(&self, view: usize, feature: &str) -> Option<ColumnSource> {
        let feature = self.view.definition.feature_names().position(|name| name.as_str() == feature)?;
        Some(ColumnSource::Stored { view, feature })
    }
}

impl CompiledOnDemand {
    fn source(&self, view: usize, feature: &str) -> Option<ColumnSource> {
        let feature = self.view.definition.features.iter().position(|f| f.name.as_str() == feature)?;
        Some(ColumnSource::OnDemand { view, feature })
    }
}

impl CompiledService {
    /// Compiles a service over the view versions that it pins.
    ///
    /// # Errors
    /// [`CompileError`] if the definitions lack what it pins.
    pub fn new(service: &FeatureService, definitions: &AppliedDefinitions) -> Result<Self, CompileError> {
        let no_view = |view: &ViewId| CompileError::NoView { service: service.name.to_string(), view: view.clone() };
        let uses = service.view_uses();
        let compile = |used: &ViewUse| {
            let view = definitions.view(&used.view).ok_or_else(|| no_view(&used.view))?;
            let mut compiled = CompiledView::new(used, view.clone())?;
            if uses.iter().filter(|other| other.name == used.name).count() > 1 {
                // Two versions of one view, as only a request can ask for: each by its own name.
                compiled.name = used.view.to_string();
            }
            Ok(Arc::new(compiled))
        };
        let views = uses.iter().map(compile).collect::<Result<Vec<_>, _>>()?;
        let (on_demand, fields, sources) = (Vec::new(), Vec::new(), Vec::new());
        let round_trips = round_trips(&views);
        let mut compiled = Self { service: service.clone(), views, on_demand, fields, sources, round_trips };
        for used in &service.on_demand {
            let view = definitions.on_demand_view(&used.view).ok_or_else(|| no_view(&used.view))?;
            compiled.add_on_demand(used, view)?;
        }
        let source = |column: &schema::ServiceColumn| {
            let pinned = column.view.to_string();
            let versioned = || compiled.source(&pinned, column.feature.as_str());
            let source = compiled.source(column.use_name(), column.feature.as_str()).or_else(versioned);
            let feature = column.feature.to_string();
            source.ok_or_else(|| CompileError::NoFeature { view: column.view.clone(), feature })
        };
        compiled.sources = service.columns.iter().map(source).collect::<Result<_, CompileError>>()?;
        Ok(compiled)
    }

    fn add_on_demand(&mut self, used: &OnDemandUse, view: &OnDemandView) -> Result<(), CompileError> {
        let input = |input: &InputSource| {
            let (view, feature) = (used.view.clone(), format!("{}:{}", input.of, input.feature));
            let source = self.source(&input.of, input.feature.as_str());
            source.ok_or(CompileError::NoFeature { view, feature })
        };
        let inputs = used.inputs.iter().map(input).collect::<Result<_, _>>()?;
        let mut fields = Vec::with_capacity(view.definition.request.len());
        for field in &view.definition.request {
            let known = self.fields.iter().position(|known| known.name == field.name);
            if known.is_some_and(|at| self.fields[at].dtype != field.dtype) || self.key(field.name.as_str()).is_some() {
                return Err(CompileError::Clash { view: view.id.clone(), field: field.name.to_string() });
            }
            fields.push(known.unwrap_or(self.fields.len()));
            if known.is_none() {
                self.fields.push(field.clone());
            }
        }
        let features =
            OnDemandFeatures::compile(view).map_err(|source| CompileError::Expr { view: view.id.clone(), source })?;
        let (name, view) = (used.name.clone(), view.clone());
        self.on_demand.push(Arc::new(CompiledOnDemand { name, view, inputs, fields, features }));
        Ok(())
    }

    /// Where a feature of the use with this name comes from; names are unique among all uses.
    fn source(&self, name: &str, feature: &str) -> Option<ColumnSource> {
        if let Some(at) = self.views.iter().position(|view| view.name == name) {
            return self.views[at].source(at, feature);
        }
        let at = self.on_demand.iter().position(|view| view.name == name)?;
        self.on_demand[at].source(at, feature)
    }

    fn key(&self, name: &str) -> Option<&JoinKey> {
        self.views.iter().flat_map(|view| &view.keys).find(|key| key.name.as_str() == name)
    }

    /// The join keys that a request must name, each once, in order of first use.
    pub fn keys(&self) -> Vec<&JoinKey> {
        let mut keys: Vec<&JoinKey> = Vec::new();
        for key in self.views.iter().flat_map(|view| &view.keys) {
            if !keys.iter().any(|known| known.name == key.name) {
                keys.push(key);
            }
        }
        keys
    }
}
