//! The words of webhooks: who is told what happens to models.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
#[expect(missing_docs, reason = "the help texts are the documentation")]
pub enum WebhookCommand {
    /// All webhooks, newest first.
    List,
    /// A webhook, and how far it was told.
    ///
    /// Example: plumb webhook show 5f0c1e5e-3b7a-4d52-9a51-0c9c5bd1e0aa
    Show(WebhookIdArgs),
    /// What became of the last messages, newest first.
    Deliveries(WebhookDeliveriesArgs),
    /// Make a webhook: it is told what happens from now on, by `plumb serve`.
    ///
    /// Example: plumb webhook create ci --url `https://ci.example.com/hook` --topic `model_version.transitioned`
    Create(WebhookCreateArgs),
    /// Take a webhook away, with what is remembered of it.
    Delete(WebhookIdArgs),
    /// Tell a disabled webhook again what happens from now on.
    Enable(WebhookIdArgs),
    /// Tell a webhook nothing, until it is enabled.
    Disable(WebhookIdArgs),
    /// Send an example to a webhook, once and now. Exit status 1 when it is not taken.
    Test(WebhookTestArgs),
}

#[derive(Debug, Args)]
#[expect(missing_docs, reason = "the help texts are the documentation")]
pub struct WebhookIdArgs {
    /// The webhook's id.
    pub id: String,
}

#[derive(Debug, Args)]
#[expect(missing_docs, reason = "the help texts are the documentation")]
pub struct WebhookDeliveriesArgs {
    /// The webhook's id.
    pub id: String,
    /// No more than these.
    #[arg(long, default_value_t = 20)]
    pub limit: u32,
}

#[derive(Debug, Args)]
#[expect(missing_docs, reason = "the help texts are the documentation")]
pub struct WebhookCreateArgs {
    /// For people: 1 to 63 letters, digits, `.`, `_` and `-`.
    pub name: String,
    /// Where messages go.
    #[arg(long)]
    pub url: String,
    /// What it is told, as `model_version.created`; repeat for several.
    #[arg(long = "topic", value_name = "TOPIC", required = true)]
    pub topics: Vec<String>,
    /// For people.
    #[arg(long)]
    pub description: Option<String>,
    /// A file with the secret that messages are signed with, `-` for the standard input. An end of line at its end is not
    /// of it.
    ///
    /// Other users of the machine see command lines, so the secret cannot stand there.
    #[arg(long, value_name = "FILE")]
    pub secret_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[expect(missing_docs, reason = "the help texts are the documentation")]
pub struct WebhookTestArgs {
    /// The webhook's id.
    pub id: String,
    /// What it is an example of; the first that the webhook is told of unless given.
    #[arg(long)]
    pub topic: Option<String>,
}
