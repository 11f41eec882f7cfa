//! The words of bringing features online and asking for them.

use clap::{Args, Subcommand};

#[derive(Debug, Args)]
#[expect(missing_docs, reason = "the help texts are the documentation")]
pub struct ReplayArgs {
    /// `replay_token` of an answer of features, or one of `prediction_ids` of a prediction.
    #[arg(value_name = "TOKEN|ID")]
    pub token: String,
    /// Show values of features that are marked `pii: true`, which are masked otherwise.
    #[arg(long)]
    pub show_pii: bool,
}

#[derive(Debug, Args)]
#[expect(missing_docs, reason = "the help texts are the documentation")]
pub struct ExplainArgs {
    /// One of `prediction_ids` of an answer.
    pub id: String,
    /// Show values of keys and features that are marked `pii: true`, which are masked otherwise.
    #[arg(long)]
    pub show_pii: bool,
}

#[derive(Debug, Args)]
#[expect(missing_docs, reason = "the help texts are the documentation")]
pub struct MaterializeArgs {
    /// Feature views; every view version in use unless given.
    pub views: Vec<String>,
    /// Build everything again beside what is online, then switch at once.
    #[arg(long, conflicts_with = "rollback")]
    pub fresh: bool,
    /// Go back to what was online before the last switch.
    #[arg(long, requires = "views")]
    pub rollback: bool,
    /// Only rows of event times from here on, for this run; the next one without a range brings online all that arrived.
    #[arg(long, value_name = "TIME", conflicts_with_all = ["fresh", "rollback"])]
    pub from: Option<schema::Timestamp>,
    /// Only rows of event times before this.
    #[arg(long, value_name = "TIME", conflicts_with_all = ["fresh", "rollback"])]
    pub to: Option<schema::Timestamp>,
    /// How many views at a time.
    #[arg(long, default_value = "1", value_name = "N")]
    pub jobs: std::num::NonZeroUsize,
}

#[derive(Debug, Subcommand)]
#[expect(missing_docs, reason = "the help texts are the documentation")]
pub enum FeaturesCommand {
    /// The features of some entities, online.
    ///
    /// Example: plumb features get --service `churn_v1` --entity `user_id=1,2,3`
    Get(FeaturesGetArgs),
    /// Why a feature view answers what it answers for one entity: the rows, their files, which counts, what is online.
    ///
    /// Exit status 1 when the online store and history name different rows.
    ///
    /// Example: plumb features explain `user_features` --entity `user_id=4`
    Explain(FeaturesExplainArgs),
}

#[derive(Debug, Args)]
#[expect(missing_docs, reason = "the help texts are the documentation")]
pub struct FeaturesExplainArgs {
    /// The feature view, or one of its versions: view@v2.
    pub view: String,
    /// Join key and value: `user_id=4`. The value is taken whole; bytes are hexadecimal. Repeat for more keys.
    #[arg(long = "entity", value_name = "KEY=VALUE", required = true)]
    pub entities: Vec<String>,
    /// The instant; now unless given.
    #[arg(long, value_name = "TIME")]
    pub as_of: Option<String>,
}

#[derive(Debug, Args)]
#[expect(missing_docs, reason = "the help texts are the documentation")]
pub struct FeaturesGetArgs {
    /// Features as view:feature.
    #[arg(value_name = "VIEW:FEATURE", required_unless_present = "service", conflicts_with = "service")]
    pub features: Vec<String>,
    /// A feature service in place of single features, or one of its versions: name@v2.
    #[arg(long)]
    pub service: Option<String>,
    /// Answer in this service version: rows of the service are migrated to it, as `migrate_from` declares.
    #[arg(long = "as", value_name = "SERVICE@vN", requires = "service")]
    pub answer_as: Option<String>,
    /// Join key and values: `user_id=1,2,3`. Repeat for more keys. A value with commas stands in quotes, as CSV has it, and a
    /// quote inside them is doubled: `name="Smith, Anna",Smith`. Spaces count; bytes are hexadecimal.
    #[arg(long = "entity", value_name = "KEY=VALUES", required = true)]
    pub entities: Vec<String>,
    /// Show values of features that are marked `pii: true`, which are masked otherwise.
    #[arg(long)]
    pub show_pii: bool,
    /// Field of the request, for on-demand views: one value for every row, or one a row: `amount=12.5,3`. Quotes
    /// as for `--entity`. Repeat for more fields.
    #[arg(long = "context", value_name = "FIELD=VALUES")]
    pub context: Vec<String>,
    /// The instant; now unless given.
    #[arg(long, value_name = "TIME")]
    pub as_of: Option<String>,
}
