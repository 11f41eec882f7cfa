//! The Redis that Feast fills: read, never written. As long as a row is there it is served, so that the erasure is not
//! complete.

use schema::FeatureView;
use schema::error::chain;

use super::{Kind, Place, Search};

/// Searches it for every view version that is served from there.
pub(super) async fn places(search: &Search<'_>) -> Vec<Place> {
    let mut places: Vec<Place> = Vec::new();
    for view in search.views.iter().copied().filter(|view| view.definition.online.feast().is_some()) {
        places.push(one(search, view).await);
    }
    places
}

async fn one(search: &Search<'_>, view: &FeatureView) -> Place {
    let name = format!("{} in Feast's Redis", view.id);
    let unsearched = |why: String| Place::unsearched(Kind::Online, name.clone(), why);
    let Some(keys) = search.subject.in_view(view) else { return Place::new(Kind::Online, name) };
    let feast = match search.project.feast() {
        Ok(Some(feast)) => feast,
        Ok(None) => {
            return unsearched("plumb.yaml names no `feast:` any more: remove its rows where they are".to_owned());
        }
        Err(why) => return unsearched(why.to_string()),
    };
    match feast.count(view, &keys).await {
        Ok(0) => Place::new(Kind::Online, name),
        Ok(found) => {
            let mut place = Place::new(Kind::Online, name);
            place.found = found;
            place.note = Some("its rows are Feast's to remove; until then they are served".to_owned());
            place
        }
        Err(why) => unsearched(chain(&why)),
    }
}
