//! Who must agree before a version serves, and who may let one serve that failed its checks.

use schema::ModelName;
use schema::applied::model::PromotionPolicy;

use super::models::{is_registered, within};
use crate::approval::COMMENT_MAX;
use crate::catalog::Catalog;
use crate::error::RegistryError;
use crate::event::EventBody;
use crate::model::Model;

impl Catalog {
    pub(super) fn decide_approval(
        &self,
        name: &ModelName,
        version: u32,
        comment: Option<&String>,
        actor: &str,
    ) -> Result<Option<EventBody>, RegistryError> {
        let (model, state) = self.find(name, version)?;
        is_registered(state)?;
        if let Some(comment) = comment {
            within("comment", comment, COMMENT_MAX)?;
        }
        if let Some(policy) = self.policy(name)
            && !policy.may_approve(actor)
        {
            let (model, approvers) = (name.clone(), policy.approvers.clone());
            return Err(RegistryError::MayNotApprove { actor: actor.to_owned(), model, approvers });
        }
        if model.approvals_of(version).any(|approval| approval.actor == actor) {
            return Ok(None);
        }
        Ok(Some(EventBody::Approved { model: name.clone(), version, comment: comment.cloned() }))
    }

    /// Who approved a version that is to serve, in order.
    ///
    /// # Errors
    /// They are too few.
    pub(super) fn approved(&self, model: &Model, version: u32) -> Result<Vec<String>, RegistryError> {
        self.approved_for(&model.name, model, version)
    }

    /// As [`Self::approved`], for a version that is to serve under `name`.
    pub(super) fn approved_for(
        &self,
        name: &ModelName,
        model: &Model,
        version: u32,
    ) -> Result<Vec<String>, RegistryError> {
        let policy = self.policy(name);
        let counts = |actor: &str| policy.is_none_or(|policy| policy.may_approve(actor));
        // Whoever may no longer approve has not approved.
        let by: Vec<String> =
            model.approvals_of(version).map(|approval| approval.actor.clone()).filter(|actor| counts(actor)).collect();
        let Some(policy) = policy else { return Ok(by) };
        let needed = usize::try_from(policy.approvals).unwrap_or(usize::MAX);
        if by.len() >= needed {
            return Ok(by);
        }
        let others = policy.approvers.iter().filter(|person| !by.contains(person)).cloned().collect();
        let name = model.name.clone();
        Err(RegistryError::NotApproved { model: name, version, needed, by, others })
    }

    /// That `actor` may let a version of a model serve whatever its checks say, for this reason.
    pub(super) fn may_override(&self, name: &ModelName, actor: &str, reason: &str) -> Result<(), RegistryError> {
        if reason.trim().is_empty() {
            return Err(RegistryError::NoReason);
        }
        within("reason", reason, COMMENT_MAX)?;
        let approvers = self.policy(name).map(|policy| policy.approvers.clone()).unwrap_or_default();
        if approvers.iter().any(|person| person == actor) {
            return Ok(());
        }
        Err(RegistryError::MayNotOverride { actor: actor.to_owned(), model: name.clone(), approvers })
    }

    /// The same where nobody needs to approve anything.
    pub(super) fn without_approvals(&self) -> Self {
        let mut open = self.clone();
        open.change_definitions(|definitions| {
            definitions.models.values_mut().for_each(|model| model.promotion.approvals = 0);
        });
        open
    }

    fn policy(&self, name: &ModelName) -> Option<&PromotionPolicy> {
        Some(&self.definitions().model(name.as_str())?.promotion)
    }
}

/// What was decided, marked for ever as an override.
pub(super) fn overridden(body: EventBody, reason: &str) -> EventBody {
    match body {
        EventBody::Transitioned(mut transition) => {
            transition.overridden = Some(reason.to_owned());
            EventBody::Transitioned(transition)
        }
        EventBody::AliasMoved { model, alias, from, to, evidence, approved_by, .. } => {
            let overridden = Some(reason.to_owned());
            EventBody::AliasMoved { model, alias, from, to, evidence, approved_by, overridden }
        }
        EventBody::ModelRenamed { model, to, evidence, approved_by, .. } => {
            let overridden = Some(reason.to_owned());
            EventBody::ModelRenamed { model, to, evidence, approved_by, overridden }
        }
        // Nothing else is checked, so there is nothing to override.
        other => other,
    }
}
