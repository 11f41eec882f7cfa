//! `plumb webhook ...`: who is told what happens to models. Telling is what `plumb serve` does.

use std::io::Read as _;
use std::path::Path;
use std::process::ExitCode;

use registry::webhook::{NewWebhook, Secret, Status, Topic, Webhook, WebhookChange};
use serde_json::{Value, json};

use crate::cli::{Format, WebhookCommand, WebhookCreateArgs};
use crate::failure::Failure;
use crate::output;
use crate::project::Project;
use crate::webhooks::{Webhooks, shown};

/// Runs one of the commands.
///
/// # Errors
/// What the command says.
pub async fn webhook(project: &Project, format: Format, command: WebhookCommand) -> Result<ExitCode, Failure> {
    let (webhooks, _courier) = project.webhooks()?;
    match command {
        WebhookCommand::List => list(&webhooks.all().await?, format),
        WebhookCommand::Show(args) => show(&webhooks.get(&args.id).await?, format),
        WebhookCommand::Deliveries(args) => {
            let rows: Vec<Value> =
                webhooks.deliveries(&args.id, args.limit).await?.iter().map(shown::delivery).collect();
            deliveries(&rows, format);
        }
        WebhookCommand::Create(args) => show(&create(&webhooks, args).await?, format),
        WebhookCommand::Delete(args) => {
            webhooks.delete(&args.id).await?;
            output::answer(format, &json!({ "deleted": args.id }), || format!("webhook `{}` is deleted\n", args.id));
        }
        WebhookCommand::Enable(args) => show(&turn(&webhooks, &args.id, Status::Active).await?, format),
        WebhookCommand::Disable(args) => show(&turn(&webhooks, &args.id, Status::Disabled).await?, format),
        WebhookCommand::Test(args) => {
            let topic = args.topic.as_deref().map(shown::topic).transpose()?;
            let tried = webhooks.try_out(&args.id, topic).await?;
            output::answer(format, &shown::tried(&tried), || match &tried.error {
                None => "it was taken\n".to_owned(),
                Some(why) => format!("it was NOT taken: {}\n", output::printable(why)),
            });
            return Ok(if tried.success { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn create(webhooks: &Webhooks, args: WebhookCreateArgs) -> Result<Webhook, Failure> {
    let WebhookCreateArgs { name, url, topics, description, secret_file } = args;
    let topics = topics.iter().map(|name| shown::topic(name)).collect::<Result<Vec<Topic>, _>>()?;
    let secret = secret_file.as_deref().map(secret).transpose()?.flatten();
    webhooks.create(NewWebhook { name, url, topics, description, status: Status::Active, secret }).await
}

fn secret(file: &Path) -> Result<Option<Secret>, Failure> {
    let failed = |why: std::io::Error| Failure::invalid(format!("reading the secret from `{}`: {why}", file.display()));
    let mut text = String::new();
    if file.as_os_str() == "-" {
        std::io::stdin().read_to_string(&mut text).map_err(failed)?;
    } else {
        text = std::fs::read_to_string(file).map_err(failed)?;
    }
    let text = text.strip_suffix('\n').unwrap_or(&text);
    let secret = Secret::new(text.strip_suffix('\r').unwrap_or(text));
    if secret.is_none() {
        let message = format!("the secret in `{}` is empty", file.display());
        return Err(Failure::invalid(message).hint("leave --secret-file out for a webhook that is not signed"));
    }
    Ok(secret)
}

async fn turn(webhooks: &Webhooks, id: &str, status: Status) -> Result<Webhook, Failure> {
    webhooks.change(id, WebhookChange { status: Some(status), ..WebhookChange::default() }).await
}

fn list(hooks: &[Webhook], format: Format) {
    let json: Vec<Value> = hooks.iter().map(shown::hook).collect();
    output::answer(format, &json!({ "webhooks": json }), || {
        let row = |hook: &Webhook| {
            [hook.id.clone(), hook.name.clone(), state(hook), topics(hook), output::printable(&hook.url)]
        };
        output::table(["ID", "NAME", "STATE", "TOPICS", "URL"], hooks.iter().map(row))
    });
}

fn show(hook: &Webhook, format: Format) {
    output::answer(format, &shown::hook(hook), || {
        let signed = if hook.secret.is_some() { "signed" } else { "not signed" };
        let description = hook.description.as_deref().map(|text| format!("  {}\n", output::printable(text)));
        format!(
            "webhook `{}` {}: {}, {signed}\n{}  {}\n  told of {}\n  done with the log up to event {}\n",
            hook.name,
            hook.id,
            state(hook),
            description.unwrap_or_default(),
            output::printable(&hook.url),
            topics(hook),
            hook.cursor
        )
    });
}

fn deliveries(rows: &[Value], format: Format) {
    output::answer(format, &json!({ "deliveries": rows }), || {
        let text = |row: &Value, key: &str| row[key].as_str().unwrap_or_default().to_owned();
        let line = |row: &Value| {
            let (event, attempts) = (row["event"].to_string(), row["attempts"].to_string());
            let why = output::printable(&text(row, "error"));
            [event, text(row, "topic"), text(row, "outcome"), attempts, text(row, "last_at"), why]
        };
        output::table(["EVENT", "TOPIC", "OUTCOME", "ATTEMPTS", "LAST", "WHY"], rows.iter().map(line))
    });
}

fn topics(hook: &Webhook) -> String {
    let names: Vec<String> = hook.topics.iter().map(|one| one.topic.to_string()).collect();
    names.join(", ")
}

fn state(hook: &Webhook) -> String {
    match (hook.status, hook.attempts) {
        (Status::Disabled, _) => "disabled".to_owned(),
        (Status::Active, 0) => "enabled".to_owned(),
        (Status::Active, n) => format!("failing, {n} attempts"),
    }
}
