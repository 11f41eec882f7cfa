//! The words of labels: what came of predictions.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
#[expect(missing_docs, reason = "the help texts are the documentation")]
pub enum LabelCommand {
    /// Take labels from a file: by prediction id, or by the keys of a model's entities and a time. The same again changes
    /// nothing.
    ///
    /// Example: plumb label add purchased outcomes.parquet --value bought --at `bought_at` --model churn
    Add(LabelAddArgs),
    /// What labels there are.
    List,
    /// Write the logged predictions of a model with what came of them.
    ///
    /// Example: plumb label join churn purchased --within 30d --to joined.parquet
    Join(LabelJoinArgs),
}

#[derive(Debug, Args)]
#[expect(missing_docs, reason = "the help texts are the documentation")]
pub struct LabelAddArgs {
    /// What is told: purchased.
    pub label: String,
    /// A Parquet file. With a column `prediction_id`, or with the model's keys and a time.
    pub file: PathBuf,
    /// The column of the values: numbers, truth values or texts.
    #[arg(long, default_value = "value", value_name = "COLUMN")]
    pub value: String,
    /// The column of the instants at which it happened: `at` unless given, which labels of predictions may do without.
    #[arg(long, value_name = "COLUMN")]
    pub at: Option<String>,
    /// The model that predicted for these entities.
    #[arg(long)]
    pub model: Option<String>,
}

#[derive(Debug, Args)]
#[expect(missing_docs, reason = "the help texts are the documentation")]
pub struct LabelJoinArgs {
    /// The model.
    pub model: String,
    /// The label.
    pub label: String,
    /// How long after a prediction a label of its entity counts; one of the prediction's own id always does.
    #[arg(long, default_value = "30d", value_name = "TIME", value_parser = schema::Ttl::parse)]
    pub within: schema::Ttl,
    /// A Parquet file.
    #[arg(long, value_name = "FILE")]
    pub to: PathBuf,
}
