//! What an event has to say, topic by topic. Pure: the body of a message is a function of its event.

use schema::Timestamp;
use serde_json::{Value, json};

use super::Topic;
use crate::catalog::Catalog;
use crate::event::{Event, EventBody};
use crate::model::Model;
use crate::search::{IS_PROMPT, is_prompt};
use crate::tag::Tags;
use crate::version::ModelVersion;

/// Tags by which MLflow knows prompts; it does not show them in messages.
const PROMPT_TYPE: &str = "_mlflow_prompt_type";
const PROMPT_TEXT: &str = "mlflow.prompt.text";

/// One message of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Who is told.
    pub topic: Topic,
    /// What.
    pub data: Value,
}

/// What is to be known of an event's model, which the event does not say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct About {
    /// It is one of MLflow's prompts.
    pub is_prompt: bool,
    /// The event made it.
    pub is_new: bool,
}

impl About {
    /// As far as a later catalog knows it. Of a model that has another name by now, it takes it for no prompt.
    pub fn of(event: &Event, catalog: &Catalog) -> Self {
        let Some(name) = event.body.model() else { return Self::default() };
        let deleted = catalog.deleted_models().filter(|model| model.name == *name);
        let named = catalog.model(name.as_str()).into_iter().chain(deleted);
        let model = named.filter(|model| model.id <= event.seq).max_by_key(|model| model.id);
        let says = |model: &Model| Self { is_prompt: is_prompt(&model.tags), is_new: model.id == event.seq };
        model.map(says).unwrap_or_default()
    }
}

impl Message {
    /// What is sent: the same text each time.
    pub fn body(&self, at: Timestamp) -> String {
        json!({
            "entity": self.topic.entity(), "action": self.topic.action(), "timestamp": time(at), "data": self.data,
        })
        .to_string()
    }

    /// What is sent to try a hook out.
    pub fn example(topic: Topic) -> Self {
        let (name, version, key, value) = ("example_model", "1", "example_key", "example_value");
        let tags = json!({ key: value });
        let data = match topic {
            Topic::ModelCreated | Topic::PromptCreated => {
                json!({ "name": name, "tags": tags, "description": "An example" })
            }
            Topic::VersionCreated => json!({
                "name": name, "version": version, "source": "models:/m-0123", "run_id": "0123456789abcdef", "tags": tags,
                "description": "An example",
            }),
            Topic::PromptVersionCreated => json!({
                "name": name, "version": version, "template": "Hello {{name}}!", "tags": tags, "description": "An example",
            }),
            Topic::VersionTagSet | Topic::PromptVersionTagSet => {
                json!({ "name": name, "version": version, "key": key, "value": value })
            }
            Topic::VersionTagDeleted | Topic::PromptVersionTagDeleted => {
                json!({ "name": name, "version": version, "key": key })
            }
            Topic::PromptTagSet => json!({ "name": name, "key": key, "value": value }),
            Topic::PromptTagDeleted => json!({ "name": name, "key": key }),
            Topic::AliasCreated | Topic::PromptAliasCreated => {
                json!({ "name": name, "alias": "example_alias", "version": version })
            }
            Topic::AliasDeleted | Topic::PromptAliasDeleted => json!({ "name": name, "alias": "example_alias" }),
            Topic::BudgetExceeded => json!({
                "budget_policy_id": "bp-0123", "budget_unit": "USD", "budget_amount": 100.0, "current_spend": 105.5,
                "duration_unit": "MONTHS", "duration_value": 1, "target_scope": "GLOBAL", "workspace": "default",
                "target_value": null, "window_start": 1_704_067_200_000_i64,
            }),
            Topic::ModelRenamed => {
                json!({ "name": name, "new_name": "other_model", "approved_by": [], "overridden": null, "by": "ann", "event": 1 })
            }
            Topic::ModelDeleted | Topic::ModelRestored => json!({ "name": name, "by": "ann", "event": 1 }),
            Topic::VersionDeleted | Topic::VersionRestored => {
                json!({ "name": name, "version": version, "by": "ann", "event": 1 })
            }
            Topic::VersionTransitioned => json!({
                "name": name, "version": version, "from_stage": "Staging", "to_stage": "Production",
                "archived_versions": [], "approved_by": [], "overridden": null, "by": "ann", "event": 1,
            }),
            Topic::VersionApproved => {
                json!({ "name": name, "version": version, "comment": null, "by": "ann", "event": 1 })
            }
            Topic::PromotionRefused => {
                json!({ "name": name, "version": version, "to_stage": "Production", "alias": null, "by": "ann", "event": 1 })
            }
            Topic::PromotionOverridden => json!({
                "name": name, "version": version, "to_stage": "Production", "alias": null, "reason": "An example",
                "by": "ann", "event": 1,
            }),
        };
        Self { topic, data }
    }
}

/// The messages of an event, in order. The topics of one event differ.
pub fn messages(event: &Event, about: About) -> Vec<Message> {
    // Who did it, and where it stands in the log: with every message that is ours.
    let (by, seq) = (&event.actor, event.seq);
    let prompt = |theirs: Topic, other: Topic| if about.is_prompt { theirs } else { other };
    let one = |topic: Topic, data: Value| vec![Message { topic, data }];
    match &event.body {
        EventBody::DefinitionsApplied { .. }
        | EventBody::ViewRemoved { .. }
        | EventBody::TrainingSetBuilt(_)
        | EventBody::RegistrationEnded(_)
        | EventBody::RegistrationFailed { .. }
        | EventBody::Described { .. } => Vec::new(),
        EventBody::ModelCreated { model, description, tags } => {
            let is_prompt = is_prompt(tags);
            let topic = if is_prompt { Topic::PromptCreated } else { Topic::ModelCreated };
            let description = description.as_deref().unwrap_or_default();
            one(topic, json!({ "name": model, "tags": shown(tags, is_prompt), "description": description }))
        }
        // Whoever creates a version has one from then on, as with MLflow's own server.
        EventBody::ModelVersionRegistered(version) | EventBody::RegistrationBegun(version) => {
            registered(version, about)
        }
        EventBody::Tagged { model, version: Some(version), key, value: Some(value) } => one(
            prompt(Topic::PromptVersionTagSet, Topic::VersionTagSet),
            json!({ "name": model, "version": version.to_string(), "key": key, "value": value }),
        ),
        EventBody::Tagged { model, version: Some(version), key, value: None } => one(
            prompt(Topic::PromptVersionTagDeleted, Topic::VersionTagDeleted),
            json!({ "name": model, "version": version.to_string(), "key": key }),
        ),
        // Of a model that is no prompt MLflow says nothing when it is tagged.
        EventBody::Tagged { version: None, .. } if !about.is_prompt => Vec::new(),
        EventBody::Tagged { model, version: None, key, value: Some(value) } => {
            one(Topic::PromptTagSet, json!({ "name": model, "key": key, "value": value }))
        }
        EventBody::Tagged { model, version: None, key, value: None } => {
            one(Topic::PromptTagDeleted, json!({ "name": model, "key": key }))
        }
        EventBody::AliasMoved { model, alias, to: None, .. } => {
            one(prompt(Topic::PromptAliasDeleted, Topic::AliasDeleted), json!({ "name": model, "alias": alias }))
        }
        EventBody::AliasMoved { model, alias, to: Some(to), overridden, .. } => {
            let version = to.to_string();
            let mut all = one(
                prompt(Topic::PromptAliasCreated, Topic::AliasCreated),
                json!({ "name": model, "alias": alias, "version": version }),
            );
            all.extend(overridden.as_ref().map(|reason| Message {
                topic: Topic::PromotionOverridden,
                data: json!({
                    "name": model, "version": version, "to_stage": null, "alias": alias, "reason": reason, "by": by,
                    "event": seq,
                }),
            }));
            all
        }
        EventBody::Transitioned(moved) => {
            let (model, version) = (&moved.model, moved.version.to_string());
            let archived: Vec<String> = moved.archived.iter().map(ToString::to_string).collect();
            let mut all = one(
                Topic::VersionTransitioned,
                json!({
                    "name": model, "version": version, "from_stage": moved.from.as_str(), "to_stage": moved.to.as_str(),
                    "archived_versions": archived, "approved_by": moved.approved_by, "overridden": moved.overridden,
                    "by": by, "event": seq,
                }),
            );
            all.extend(moved.overridden.as_ref().map(|reason| Message {
                topic: Topic::PromotionOverridden,
                data: json!({
                    "name": model, "version": version, "to_stage": moved.to.as_str(), "alias": null, "reason": reason,
                    "by": by, "event": seq,
                }),
            }));
            all
        }
        // What was checked stays here: a counterexample is nobody else's.
        EventBody::PromotionRefused { model, version, to, alias, evidence: _ } => one(
            Topic::PromotionRefused,
            json!({
                "name": model, "version": version.to_string(), "to_stage": alias.is_none().then(|| to.as_str()),
                "alias": alias, "by": by, "event": seq,
            }),
        ),
        EventBody::Approved { model, version, comment } => one(
            Topic::VersionApproved,
            json!({ "name": model, "version": version.to_string(), "comment": comment, "by": by, "event": seq }),
        ),
        EventBody::ModelRenamed { model, to, evidence: _, approved_by, overridden } => one(
            Topic::ModelRenamed,
            json!({
                "name": model, "new_name": to, "approved_by": approved_by, "overridden": overridden, "by": by, "event": seq,
            }),
        ),
        EventBody::ModelDeleted { model } => one(Topic::ModelDeleted, json!({ "name": model, "by": by, "event": seq })),
        EventBody::ModelRestored { model, id: _ } => {
            one(Topic::ModelRestored, json!({ "name": model, "by": by, "event": seq }))
        }
        EventBody::VersionDeleted { model, version, evidence: _ } => {
            one(Topic::VersionDeleted, json!({ "name": model, "version": version.to_string(), "by": by, "event": seq }))
        }
        EventBody::VersionRestored { model, version } => one(
            Topic::VersionRestored,
            json!({ "name": model, "version": version.to_string(), "by": by, "event": seq }),
        ),
    }
}

fn registered(version: &ModelVersion, about: About) -> Vec<Message> {
    let ModelVersion { name, version: number, origin, description, tags, .. } = version;
    let is_prompt = about.is_prompt || is_prompt(tags);
    let (number, tags_shown) = (number.to_string(), shown(tags, is_prompt));
    let mut all = Vec::new();
    if about.is_new {
        let topic = if is_prompt { Topic::PromptCreated } else { Topic::ModelCreated };
        all.push(Message { topic, data: json!({ "name": name, "tags": {}, "description": "" }) });
    }
    all.push(if is_prompt {
        let template = tags.get(PROMPT_TEXT);
        let data = json!({
            "name": name, "version": number, "template": template, "tags": tags_shown, "description": description,
        });
        Message { topic: Topic::PromptVersionCreated, data }
    } else {
        let run_id = Some(&origin.run_id).filter(|id| !id.is_empty());
        let data = json!({
            "name": name, "version": number, "source": origin.source, "run_id": run_id, "tags": tags_shown,
            "description": description,
        });
        Message { topic: Topic::VersionCreated, data }
    });
    all
}

/// The tags that are a user's own.
fn shown(tags: &Tags, is_prompt: bool) -> Value {
    let theirs = |key: &str| is_prompt && [IS_PROMPT, PROMPT_TYPE, PROMPT_TEXT].contains(&key);
    tags.iter().filter(|(key, _)| !theirs(key)).map(|(key, value)| (key.clone(), Value::from(value.clone()))).collect()
}

/// As Python writes and reads times: microseconds, and an offset in place of `Z`.
fn time(at: Timestamp) -> String {
    let whole = Timestamp::from_nanos(at.as_nanos().div_euclid(1_000) * 1_000);
    format!("{}+00:00", whole.to_string().trim_end_matches('Z'))
}

#[cfg(test)]
mod tests;
