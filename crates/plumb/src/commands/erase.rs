//! `plumb erase`: all that is known of a person goes, everywhere, and it is proved.
//!
//! First the tombstone, so that nothing comes back; then place after place; then every place is searched again, and the
//! certificate says what was found, what was removed and what is left. Every step may be repeated: after a kill at any
//! moment the same command completes what was begun, and the certificate has the counts of the first search.

mod certificate;
mod places;

use std::collections::BTreeSet;
use std::io::{BufRead, IsTerminal};
use std::process::ExitCode;

use featurestore::OnlineStore;
use featurestore::erase::{Subject, Tombstone, Tombstones};
use featurestore::offline::lease::Lease;
use featurestore::offline::snapshot;
use featurestore::offline::source::forget;
use featurestore::online::marks::Marks;
use registry::Catalog;
use schema::yaml::suggest;
use schema::{Clock, EntityKey, FeatureView, Fingerprint};
use serde_json::json;

use crate::cli::{EraseArgs, Format};
use crate::commands::materialize::lease;
use crate::commands::values::{Lists, whole};
use crate::config::OnlineConfig;
use crate::failure::Failure;
use crate::output;
use crate::project::Project;
use certificate::Certificate;
pub use certificate::unfinished;
use places::{Kind, Place, Search};

/// What may hold a person's rows where no search of ours gets to.
const BEYOND: [&str; 3] = [
    "backups and copies of the project's folder; of Redis its dumps, append-only files and replicas that are behind",
    "answers that were given: features, predictions, replay tokens, training sets that were copied away",
    "logs of other programs",
];

/// Erases the subjects that the arguments name.
///
/// # Errors
/// No view has such a key; a store cannot be read or written.
pub async fn erase(project: &Project, format: Format, args: &EraseArgs) -> Result<ExitCode, Failure> {
    let catalog = project.registry.catalog();
    let subjects = subjects_of(&args.entities)?;
    for subject in &subjects {
        known(&catalog, subject)?;
    }
    if args.allow_again {
        return allow_again(project, format, &catalog, &subjects).await;
    }
    let mut certificates = Vec::with_capacity(subjects.len());
    for subject in &subjects {
        let search = Search::new(project, &catalog, subject);
        if args.dry_run {
            let online = project.online().await?;
            let places = search.run(online.as_ref()).await?;
            certificates.push(Certificate::dry(&project.config.project, subject, places));
            continue;
        }
        if !args.yes {
            ask(project, &search, subject).await?;
        }
        certificates.push(one(project, &search, subject, args.rewrite_sources).await?);
    }
    for (subject, certificate) in subjects.iter().zip(&certificates) {
        if let Some((name, text)) = lists_of(subject)
            && certificate.is_of_nobody()
        {
            output::note(&format!(
                "nothing is known of `{name}={text}`, which is one value; for several write --entity {name}=.. again"
            ));
        }
    }
    let complete = certificates.iter().all(|certificate| args.dry_run || certificate.complete);
    let json =
        json!({ "dry_run": args.dry_run, "complete": complete, "erased": certificates, "never_searched": BEYOND });
    output::answer(format, &json, || {
        let told: String = certificates.iter().map(ToString::to_string).collect();
        told + &BEYOND.map(|beyond| format!("never searched: {beyond}\n")).concat()
    });
    if complete { Ok(ExitCode::SUCCESS) } else { Ok(ExitCode::FAILURE) }
}

/// `--entity user_id=1 --entity user_id=2` names two subjects, `--entity user_id=1 --entity shop_id=7` one.
fn subjects_of(entities: &[String]) -> Result<Vec<Subject>, Failure> {
    subjects(&whole(entities, "--entity user_id=42")?)
}

/// One subject for each row of the lists.
pub(super) fn subjects(lists: &Lists) -> Result<Vec<Subject>, Failure> {
    let n = lists.first().map_or(0, |(_, values)| values.len());
    if let Some((key, values)) = lists.iter().find(|(_, values)| values.len() != n) {
        let message = format!("`{key}` has {} values and `{}` {n}", values.len(), lists[0].0);
        return Err(Failure::invalid(message).code("unequal_lists").hint("name a value of each key for each subject"));
    }
    if let Some((key, _)) = lists.iter().find(|(_, values)| values.iter().any(String::is_empty)) {
        let message = format!("`{key}=` names no key and value");
        return Err(Failure::invalid(message).hint(format!("write --entity {key}=42")));
    }
    let part = |row: usize| lists.iter().map(|(key, values)| (key.clone(), values[row].clone())).collect();
    Ok((0..n).map(|row| Subject::new(part(row))).collect())
}

/// That some view has such keys: a misspelt name must not look like a person of whom nothing is known.
fn known(catalog: &Catalog, subject: &Subject) -> Result<(), Failure> {
    let views = || catalog.definitions().views.values().flat_map(|versions| &versions.all);
    if views().any(|view| subject.in_view(view).is_some()) {
        return Ok(());
    }
    let names = subject.names();
    let has = |view: &&FeatureView| names.iter().all(|name| view.keys().iter().any(|key| key.name.as_str() == name));
    if let Some(view) = views().find(has) {
        let types: Vec<String> = view.keys().iter().map(|key| format!("{} {}", key.name, key.dtype)).collect();
        let message = format!("the value of {} is none of the key's type", said(&names));
        let mut hint = format!("the join keys are {}", types.join(", "));
        if let Some((name, _)) = lists_of(subject) {
            hint += &format!("; a value is taken whole: for several write --entity {name}=1 --entity {name}=2");
        }
        return Err(Failure::invalid(message).code("wrong_key_type").hint(hint));
    }
    let keys: BTreeSet<&str> = views().flat_map(FeatureView::keys).map(|key| key.name.as_str()).collect();
    let unknown = names.iter().find(|name| !keys.contains(name.as_str())).unwrap_or(&names[0]);
    let message = format!("no feature view has the join keys {} together", said(&names));
    Err(Failure::invalid(message).code("unknown_join_key").hint(suggest(unknown, keys)))
}

/// A name whose value could be meant as a list, and the value.
fn lists_of(subject: &Subject) -> Option<(String, &str)> {
    let mut texts = subject.names().into_iter().filter_map(|name| Some((subject.text(&name)?, name)));
    texts.find(|(text, _)| text.contains(',')).map(|(text, name)| (name, text))
}

async fn ask(project: &Project, search: &Search<'_>, subject: &Subject) -> Result<(), Failure> {
    if !std::io::stdin().is_terminal() {
        let message = "`erase` asks before it removes anything, and there is no terminal to ask on";
        return Err(Failure::invalid(message).hint("look with `plumb erase --dry-run`, then run `plumb erase --yes`"));
    }
    let online = project.online().await?;
    let places = search.run(online.as_ref()).await?;
    output::note(&Certificate::dry(&project.config.project, subject, places).to_string());
    output::note("erase all of this? it cannot be undone [y/N]");
    let mut line = String::new();
    let read = std::io::stdin().lock().read_line(&mut line);
    if read.is_err() || !matches!(line.trim(), "y" | "Y" | "yes") {
        return Err(Failure::new(schema::ErrorKind::Conflict, "nothing was erased").code("not_confirmed"));
    }
    Ok(())
}

async fn one(
    project: &Project,
    search: &Search<'_>,
    subject: &Subject,
    rewrite_sources: bool,
) -> Result<Certificate, Failure> {
    let tombstones = Tombstones::add(project.offline.folder(), &keys(search, subject), Clock::wall())?;
    let mut certificate = Certificate::begin(project, subject, &tombstones)?;
    // Whoever is bringing rows online read history before the tombstone was there: they finish first.
    let mut leases: Vec<Lease> = Vec::new();
    for view in search.views() {
        leases.push(lease(project, view)?);
    }
    {
        let online = project.online().await?;
        certificate.found(search.run(online.as_ref()).await?, project)?;
        search.remove(online.as_ref(), rewrite_sources).await?;
    }
    // The store is closed: its file can be written anew, unless a server has it open.
    let compacted = match &project.config.online {
        OnlineConfig::Embedded { path } => featurestore::online::embedded::compact(path)?,
        OnlineConfig::Redis(_) => true,
    };
    let online = project.online().await?;
    let mut left = search.run(online.as_ref()).await?;
    if !compacted {
        let mut place = Place::new(Kind::Online, "pages of the embedded store that are free".to_owned());
        place.note = Some("a server has the store open: stop it and run the same again".to_owned());
        place.unsearched = true;
        left.push(place);
    }
    certificate.finish(left, search.data_versions().await, project)?;
    drop(leases);
    Ok(certificate)
}

/// The subject's key as each view version would have it: types differ between versions.
fn keys(search: &Search<'_>, subject: &Subject) -> Vec<(Vec<String>, EntityKey)> {
    let mut keys: Vec<(Vec<String>, EntityKey)> = Vec::new();
    for key in search.views().iter().filter_map(|view| subject.key_in(view)) {
        if !keys.iter().any(|(_, known)| *known == key) {
            keys.push((subject.names(), key));
        }
    }
    keys
}

/// Lifts tombstones. What sources still hold of the key comes online with the next build, which is made due.
async fn allow_again(
    project: &Project,
    format: Format,
    catalog: &Catalog,
    subjects: &[Subject],
) -> Result<ExitCode, Failure> {
    let online = project.online().await?;
    let mut n_lifted = 0;
    for subject in subjects {
        let search = Search::new(project, catalog, subject);
        let tombstones = project.offline.tombstones()?;
        let digest = |(names, key): &(Vec<String>, EntityKey)| tombstones.digest(names, key.as_bytes());
        let digests: Vec<Fingerprint> = keys(&search, subject).iter().map(digest).collect();
        n_lifted += Tombstones::lift(project.offline.folder(), &digests)?;
        // Copies of what sources hold were made without them.
        for source in subject.sources(catalog.definitions()) {
            forget(project.offline.folder(), source)?;
        }
        for view in search.copied() {
            let _lease = lease(project, view)?;
            snapshot::forget(&project.offline.folder_of(view))?;
            build_is_due(online.as_ref(), view).await?;
        }
    }
    let json = json!({ "allowed_again": n_lifted });
    output::answer(format, &json, || match n_lifted {
        0 => "none of them was erased\n".to_owned(),
        n => format!("{n} keys may come again; what sources still hold of them comes with: plumb materialize\n"),
    });
    Ok(ExitCode::SUCCESS)
}

async fn build_is_due(online: &dyn OnlineStore, view: &FeatureView) -> Result<(), Failure> {
    let marks = Marks::read(online, view).await?;
    if marks.current.is_some() {
        marks.due().write(online, view).await?;
    }
    Ok(())
}

/// Names, quoted.
fn said(names: &[String]) -> String {
    schema::yaml::list(&names.iter().map(String::as_str).collect::<Vec<_>>())
}

/// What a tombstone is called in names of files and messages.
fn short(tombstones: &[Tombstone]) -> String {
    tombstones.first().map(|tombstone| tombstone.digest.short()).unwrap_or_default()
}
