//! View versions: who uses each and whether what is online is what history says; what nothing uses, and what it holds.

use featurestore::offline::standing::Standing;
use featurestore::online::marks::Marks;
use featurestore::online::{OnlineStore, OnlineTable, TableSize};
use featurestore::{OfflineStore, OnlineError};
use registry::Catalog;
use schema::definitions::Source;
use schema::{FeatureView, ViewId};

use super::finding::{Findings, Level};
use super::online;
use super::sources::is_same;
use crate::commands::view::size;

const CHECK: &str = "view";

/// Looks.
pub(super) async fn look(
    offline: &OfflineStore,
    catalog: &Catalog,
    online: &online::Found,
    unreadable: &[Source],
    found: &mut Findings,
) {
    for view in catalog.definitions().views.values().flat_map(|versions| &versions.all) {
        let pins = catalog.pins(&view.id);
        let is_removed = catalog.definitions().is_removed(&view.id);
        let marks = match &online.store {
            Some(store) => Marks::read(store.as_ref(), view).await.map(Some),
            None => Ok(None),
        };
        let marks = match marks {
            Ok(marks) => marks,
            Err(why) => {
                found.failed(CHECK, view.id.to_string(), why);
                continue;
            }
        };
        if is_removed || pins.is_empty() {
            let held = held(offline, online.store.as_deref(), view, marks.as_ref()).await;
            match held {
                Ok(held) => unused(&view.id, is_removed, &held, found),
                Err(why) => found.failed(CHECK, view.id.to_string(), why),
            }
            continue;
        }
        if view.definition.online.feast().is_some() {
            found.add(Level::Ok, CHECK, view.id.to_string(), format!("Feast fills it; {}", used_by(&pins)));
            continue;
        }
        let is_current =
            catalog.definitions().current_view(view.id.name.as_str()).is_some_and(|current| current.id == view.id);
        let (marks, online_failed) = (marks.as_ref(), online.failed);
        let looked_at = Used { offline, view, pins: &pins, is_current, marks, online_failed };
        looked_at.look(unreadable.iter().any(|source| is_same(source, &view.source)), found).await;
    }
}

/// What a view version holds.
struct Held {
    offline_bytes: u64,
    n_generations: usize,
    /// Where the store can say it cheaply.
    online: Option<TableSize>,
}

async fn held(
    offline: &OfflineStore,
    store: Option<&dyn OnlineStore>,
    view: &FeatureView,
    marks: Option<&Marks>,
) -> Result<Held, OnlineError> {
    let known = marks.into_iter().flat_map(|marks| {
        let retired = marks.retired.iter().map(|retired| &retired.generation);
        [&marks.current, &marks.building].into_iter().flatten().chain(retired)
    });
    let numbers: Vec<u64> = known.map(|generation| generation.number).collect();
    let mut online = Some(TableSize::default());
    for number in &numbers {
        let Some(store) = store else { break };
        let size = store.size_of(&OnlineTable::generation(view, *number)).await?;
        online = online.zip(size).map(|(mut sum, size)| {
            sum += size;
            sum
        });
    }
    Ok(Held { offline_bytes: size(&offline.folder_of(view)), n_generations: numbers.len(), online })
}

fn unused(view: &ViewId, is_removed: bool, held: &Held, found: &mut Findings) {
    let Held { offline_bytes, n_generations, online } = held;
    let online = match (n_generations, online) {
        (0, _) => "nothing online".to_owned(),
        (n, Some(size)) => format!("{n} generations online, {} keys in {} bytes", size.n_keys, size.size_bytes),
        (n, None) => format!("{n} generations online"),
    };
    let holds = format!("{offline_bytes} bytes offline, {online}");
    match is_removed {
        true if *offline_bytes == 0 && *n_generations == 0 => {}
        true => {
            let says = format!("it was removed, and something of it is left: {holds}");
            found.advise(Level::Warning, CHECK, view.to_string(), says, format!("plumb view remove {view} --yes"));
        }
        false => {
            let says = format!("nothing uses it: {holds}");
            found.advise(Level::Warning, CHECK, view.to_string(), says, format!("plumb view remove {view}"));
        }
    }
}

/// A view version that something uses.
struct Used<'a> {
    offline: &'a OfflineStore,
    view: &'a FeatureView,
    pins: &'a [String],
    is_current: bool,
    marks: Option<&'a Marks>,
    online_failed: bool,
}

impl Used<'_> {
    async fn look(&self, is_unreadable: bool, found: &mut Findings) {
        let about = self.view.id.to_string();
        let used = used_by(self.pins);
        let leased = self.offline.is_leased(self.view);
        if self.online_failed {
            found.add(Level::Unknown, CHECK, about, format!("the online store does not say; {used}"));
            return;
        }
        if self.marks.is_some_and(|marks| marks.building.is_some()) {
            match leased {
                true => found.add(Level::Ok, CHECK, about.clone(), "a process is building a generation of it now"),
                false => {
                    let says =
                        "a generation of it was begun by a process that is no more; what answered before goes on";
                    found.advise(Level::Warning, CHECK, about.clone(), says, self.materialize());
                }
            }
        }
        if is_unreadable {
            let says = format!("its source cannot be read: what is online goes on; {used}");
            found.add(Level::Warning, CHECK, about, says);
            return;
        }
        let current = self.marks.and_then(|marks| marks.current.as_ref());
        let standing = match self.offline.standing(self.view, current.map(|current| &current.contents)).await {
            Ok(standing) => standing,
            Err(why) => return found.failed(CHECK, about, why),
        };
        let Some(current) = current else {
            let says = format!("it was never brought online; {used}");
            found.advise(Level::Warning, CHECK, about, says, self.materialize());
            return;
        };
        let behind = match standing {
            Standing::Current => {
                let says = format!("generation {} is what history says; {used}", current.number);
                found.add(Level::Ok, CHECK, about, says);
                return;
            }
            _ if current.contents.is_part() => "of its history only a range is online".to_owned(),
            Standing::Grew { arrived, n_pushed } => {
                format!("{arrived} and {n_pushed} pushed rows came since it was brought online")
            }
            Standing::Changed => "its source has changed since it was brought online".to_owned(),
            Standing::Unread { n_files } => {
                format!("of its source's {n_files} files some were never read as they are now")
            }
        };
        found.advise(Level::Warning, CHECK, about, format!("{behind}; {used}"), self.materialize());
    }

    fn materialize(&self) -> String {
        // By its name the current version is meant; without one all in use are.
        if self.is_current {
            format!("plumb materialize {}", self.view.id.name)
        } else {
            "plumb materialize".to_owned()
        }
    }
}

fn used_by(pins: &[String]) -> String {
    format!("used by {}", pins.join(", "))
}
