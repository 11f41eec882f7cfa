//! `plumb skew`: what was served against history.

use std::process::ExitCode;

use serving::prediction_log::sample::KeySample;
use serving::skew::SkewReport;

use crate::cli::{Format, SkewArgs};
use crate::failure::Failure;
use crate::output;
use crate::project::Project;

/// Prints the report; exit status 1 when anything differs.
///
/// # Errors
/// The log or history cannot be read.
pub async fn skew(project: &Project, format: Format, args: &SkewArgs) -> Result<ExitCode, Failure> {
    let sample = KeySample::percent(args.sample).ok_or_else(|| {
        Failure::invalid(format!("--sample {}: no percentage", args.sample)).hint("give a number from 0 to 100")
    })?;
    let report = run(project, sample).await?;
    let json = serde_json::to_value(&report).map_err(|why| Failure::invalid(why.to_string()))?;
    output::answer(format, &json, || table(&report));
    Ok(if report.in_plumb { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

pub(super) async fn run(project: &Project, sample: KeySample) -> Result<SkewReport, Failure> {
    let catalog = project.registry.catalog();
    Ok(serving::skew::skew(&project.config.predictions, &project.offline, catalog.definitions(), sample).await?)
}

pub(super) fn table(report: &SkewReport) -> String {
    let mut rows = Vec::new();
    let mut examples = String::new();
    for service in &report.services {
        for f in &service.features {
            rows.push([
                format!("{} v{}", service.service, service.version),
                f.feature.clone(),
                f.compared.to_string(),
                f.equal.to_string(),
                f.stale.to_string(),
                f.mismatched.to_string(),
                f.missing.to_string(),
                f.extra.to_string(),
            ]);
            for e in &f.examples {
                let (row, offline, online) = (&e.row, &e.offline, &e.online);
                examples
                    .push_str(&format!("  {} of prediction {row}: offline {offline}, served {online}\n", f.feature));
            }
            if let Some(first) = &f.first_failing {
                examples.push_str(&format!("  {} differs first at {first}\n", f.feature));
            }
        }
    }
    let table =
        output::table(["SERVICE", "FEATURE", "COMPARED", "EQUAL", "STALE", "MISMATCHED", "MISSING", "EXTRA"], rows);
    let verdict = match report.predictions {
        0 => "no predictions are logged yet\n".to_owned(),
        n if examples.is_empty() => format!("in plumb: {n} predictions were served what history says\n"),
        n => format!("out of plumb: of {n} predictions, these were served something else:\n{examples}"),
    };
    let n_stale: usize = report.services.iter().flat_map(|service| &service.features).map(|f| f.stale).sum();
    let verdict = match n_stale {
        0 => verdict,
        n => format!(
            "{verdict}stale: {n} values were right by what had arrived when they were served; rows came since\n"
        ),
    };
    let unread: String = report.unreadable.iter().map(|why| format!("not compared: {why}\n")).collect();
    if report.predictions == 0 { format!("{verdict}{unread}") } else { format!("{table}{verdict}{unread}") }
}
