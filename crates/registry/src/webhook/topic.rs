//! What a hook can ask to be told: the names of MLflow, and ours beside them.

use std::fmt;

/// A kind of message. Its name is `entity.action`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names say it: see `ALL`")]
pub enum Topic {
    ModelCreated,
    VersionCreated,
    VersionTagSet,
    VersionTagDeleted,
    AliasCreated,
    AliasDeleted,
    PromptCreated,
    PromptVersionCreated,
    PromptTagSet,
    PromptTagDeleted,
    PromptVersionTagSet,
    PromptVersionTagDeleted,
    PromptAliasCreated,
    PromptAliasDeleted,
    /// Nobody sets budgets here, so nothing is ever said of them; MLflow's clients may ask all the same.
    BudgetExceeded,
    ModelRenamed,
    ModelDeleted,
    ModelRestored,
    VersionDeleted,
    VersionRestored,
    VersionTransitioned,
    VersionApproved,
    PromotionRefused,
    PromotionOverridden,
}

/// Every topic, its entity and its action; those of MLflow first.
const ALL: [(Topic, &str, &str); 24] = [
    (Topic::ModelCreated, "registered_model", "created"),
    (Topic::VersionCreated, "model_version", "created"),
    (Topic::VersionTagSet, "model_version_tag", "set"),
    (Topic::VersionTagDeleted, "model_version_tag", "deleted"),
    (Topic::AliasCreated, "model_version_alias", "created"),
    (Topic::AliasDeleted, "model_version_alias", "deleted"),
    (Topic::PromptCreated, "prompt", "created"),
    (Topic::PromptVersionCreated, "prompt_version", "created"),
    (Topic::PromptTagSet, "prompt_tag", "set"),
    (Topic::PromptTagDeleted, "prompt_tag", "deleted"),
    (Topic::PromptVersionTagSet, "prompt_version_tag", "set"),
    (Topic::PromptVersionTagDeleted, "prompt_version_tag", "deleted"),
    (Topic::PromptAliasCreated, "prompt_alias", "created"),
    (Topic::PromptAliasDeleted, "prompt_alias", "deleted"),
    (Topic::BudgetExceeded, "budget_policy", "exceeded"),
    (Topic::ModelRenamed, "registered_model", "renamed"),
    (Topic::ModelDeleted, "registered_model", "deleted"),
    (Topic::ModelRestored, "registered_model", "restored"),
    (Topic::VersionDeleted, "model_version", "deleted"),
    (Topic::VersionRestored, "model_version", "restored"),
    (Topic::VersionTransitioned, "model_version", "transitioned"),
    (Topic::VersionApproved, "model_version", "approved"),
    (Topic::PromotionRefused, "promotion", "refused"),
    (Topic::PromotionOverridden, "promotion", "overridden"),
];

/// How many of [`ALL`] are MLflow's.
const OF_MLFLOW: usize = 15;

impl Topic {
    /// Every topic.
    pub fn all() -> impl Iterator<Item = Self> {
        ALL.iter().map(|(topic, ..)| *topic)
    }

    /// The topic of a name: `model_version.created`.
    pub fn parse(name: &str) -> Option<Self> {
        let (entity, action) = name.split_once('.')?;
        Self::of(entity, action)
    }

    /// The topic of an entity and an action.
    pub fn of(entity: &str, action: &str) -> Option<Self> {
        ALL.iter().find(|(_, e, a)| (*e, *a) == (entity, action)).map(|(topic, ..)| *topic)
    }

    /// Whether MLflow has it. Its clients fail at any other name.
    pub fn is_of_mlflow(self) -> bool {
        ALL[..OF_MLFLOW].iter().any(|(topic, ..)| *topic == self)
    }

    /// What it is about: `model_version`.
    pub fn entity(self) -> &'static str {
        self.names().0
    }

    /// What happened to it: `created`.
    pub fn action(self) -> &'static str {
        self.names().1
    }

    fn names(self) -> (&'static str, &'static str) {
        ALL.iter().find(|(topic, ..)| *topic == self).map_or(("", ""), |(_, entity, action)| (*entity, *action))
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (entity, action) = self.names();
        write!(f, "{entity}.{action}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_topic_has_one_name_and_is_found_by_it() {
        for topic in Topic::all() {
            assert!(!topic.entity().is_empty(), "{topic:?} is in the table");
            assert_eq!(Topic::parse(&topic.to_string()), Some(topic));
            assert_eq!(Topic::all().filter(|other| *other == topic).count(), 1);
        }
        for none in ["", "model_version", "model_version.", "model_version.updated", "MODEL_VERSION.CREATED", "a.b.c"] {
            assert_eq!(Topic::parse(none), None, "{none}");
        }
    }

    #[test]
    fn what_mlflow_does_not_have_is_not_said_to_be_its() {
        let theirs: Vec<String> = Topic::all().filter(|topic| topic.is_of_mlflow()).map(|t| t.to_string()).collect();
        assert_eq!(theirs.len(), 15);
        assert!(theirs.contains(&"budget_policy.exceeded".to_owned()));
        for ours in ["model_version.transitioned", "registered_model.deleted", "promotion.refused"] {
            assert!(!Topic::parse(ours).unwrap().is_of_mlflow(), "{ours}");
        }
    }
}
