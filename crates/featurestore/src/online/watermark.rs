//! How far a view version was materialized, kept in the online store itself: losing the store loses both, so a
//! watermark never vouches for rows that are gone.
//!
//! It is an ordinary cell under a key that no entity has, so every store keeps it without knowing it.

use schema::{EntityKey, RowOrder, Timestamp, ViewId};

use super::{At, Cell, OnlineError, OnlineRow, OnlineStore};

/// Keys of entities start with their format byte, which is never zero.
const KEY: &[u8] = b"\0watermark";

/// The newest watermark of a view version: the writer's present when it was set, and its text.
///
/// # Errors
/// What the store fails with.
pub async fn get_watermark(store: &dyn OnlineStore, view: &ViewId) -> Result<Option<(Timestamp, String)>, OnlineError> {
    Ok(newest(store, view).await?.map(|(order, text)| (order.event_time, text)))
}

/// Sets the watermark of a view version. Call it when all it vouches for is durable. The one with the greatest `at`
/// stays; of several at one instant (a fixed clock), the last.
///
/// # Errors
/// What the store fails with.
pub async fn put_watermark(
    store: &dyn OnlineStore,
    view: &ViewId,
    at: Timestamp,
    text: &str,
) -> Result<(), OnlineError> {
    let sequence = match newest(store, view).await? {
        Some((order, found)) if order.event_time == at && found == text => return Ok(()),
        // Two writers at one instant may take the same number; then the greater text stays. Both vouch for what is
        // there.
        Some((order, _)) if order.event_time == at => order.sequence + 1,
        _ => 0,
    };
    let order = RowOrder { event_time: at, created_time: None, sequence };
    let row = OnlineRow { order, visible_from: at, deleted: false, payload: text.as_bytes().into() };
    store.put_many(view, &[(EntityKey::from_bytes(KEY), Cell::of([&row], at))], at).await?;
    Ok(())
}

async fn newest(store: &dyn OnlineStore, view: &ViewId) -> Result<Option<(RowOrder, String)>, OnlineError> {
    let key = EntityKey::from_bytes(KEY);
    let found = store.get_many(std::slice::from_ref(view), std::slice::from_ref(&key)).await?;
    let Some(At::Row(step)) = found.get(0, 0).map(|cell| cell.at(Timestamp::MAX)) else { return Ok(None) };
    Ok(Some((step.order(), String::from_utf8_lossy(step.payload()).into_owned())))
}
