//! On-demand views as they are written.

use super::references::{Reference, alias, reference};
use super::{Mistakes, computed, dtype, list_of, name, pii, tags};
use crate::definitions::{OnDemand, RequestField};
use crate::dtype::Dtype;
use crate::yaml::{Mistake, Node};

pub(super) fn on_demand(node: Node<'_>, mistakes: &mut Mistakes) -> Option<(OnDemand, Vec<Reference>)> {
    let mut fields = node.fields("an on-demand view", mistakes);
    fields.optional("kind");
    let view_name = name(&mut fields, "name", mistakes);
    let views = list_of(&mut fields, "views", mistakes, alias);
    let inputs = list_of(&mut fields, "inputs", mistakes, reference);
    let request = list_of(&mut fields, "request", mistakes, request_field);
    let has_features = fields.required("features", mistakes).is_some();
    let features = list_of(&mut fields, "features", mistakes, computed);
    let description = fields.text("description", mistakes);
    let owner = fields.text("owner", mistakes);
    let tags = tags(&mut fields, mistakes);
    let place = fields.place().clone();
    fields.finish(mistakes);
    if has_features && features.is_empty() {
        mistakes.push(Mistake::new(&place, "the on-demand view has no features"));
    }
    // The inputs are written out once every view is read.
    let (name, unread) = (view_name?, Vec::new());
    let view = OnDemand { name, views, inputs: unread, request, features, description, owner, tags, place };
    Some((view, inputs))
}

fn request_field(node: Node<'_>, mistakes: &mut Mistakes) -> Option<RequestField> {
    let mut fields = node.fields("a request field", mistakes);
    let field_name = name(&mut fields, "name", mistakes);
    let dtype = dtype(&mut fields, "type", mistakes);
    let description = fields.text("description", mistakes);
    let pii = pii(&mut fields, mistakes);
    let place = fields.place().clone();
    fields.finish(mistakes);
    Some(RequestField { name: field_name?, dtype: dtype.unwrap_or(Dtype::String), description, pii, place })
}
