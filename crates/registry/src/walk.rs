//! Reading a log from its start, page by page: how far it holds, and what held then. Memory is that of the catalog.

use schema::Timestamp;

use crate::catalog::Catalog;
use crate::event::Event;
use crate::log::LogError;
use crate::seq::Seq;
use crate::store::{PAGE, RegistryStore, StoreError};

/// How far a walk came.
#[derive(Debug)]
pub struct Walk {
    /// What the events say that were walked over, all of them good.
    pub catalog: Catalog,
    /// When the last of them was written; `None` before the first.
    pub at: Option<Timestamp>,
    /// What stopped the walk, if the log did.
    pub fault: Option<LogError>,
}

impl Walk {
    /// The last good event.
    pub fn last_good(&self) -> Seq {
        self.catalog.seq()
    }

    /// # Errors
    /// What stopped it.
    pub fn whole(self) -> Result<Catalog, LogError> {
        match self.fault {
            Some(fault) => Err(fault),
            None => Ok(self.catalog),
        }
    }
}

/// Walks until `stop` says of an event that it is too late, until the log ends, or until something is wrong with it.
///
/// # Errors
/// The store cannot be read. A log that is torn or edited is no such error: see [`Walk::fault`].
pub async fn walk(store: &dyn RegistryStore, mut stop: impl FnMut(&Event) -> bool + Send) -> Result<Walk, StoreError> {
    let mut walked = Walk { catalog: Catalog::default(), at: None, fault: None };
    loop {
        let page = match store.read_page(walked.last_good(), PAGE).await {
            // A place that the store itself cannot read as text.
            Err(StoreError::Log(fault)) => return Ok(Walk { fault: Some(fault), ..walked }),
            page => page?,
        };
        if page.is_empty() {
            return Ok(walked);
        }
        for stored in page {
            let event = match stored.event() {
                Ok(event) if stop(&event) => return Ok(walked),
                Ok(event) => event,
                Err(fault) => return Ok(Walk { fault: Some(fault), ..walked }),
            };
            if let Err(fault) = walked.catalog.apply(&event) {
                return Ok(Walk { fault: Some(fault), ..walked });
            }
            walked.at = Some(event.at);
        }
    }
}

/// What held at `time`: all events before the first that was written later. Writers have clocks of their own, so an event
/// may be dated before the one it follows; it came later all the same.
///
/// # Errors
/// As [`walk`].
pub async fn as_of(store: &dyn RegistryStore, time: Timestamp) -> Result<Walk, StoreError> {
    walk(store, |event| event.at > time).await
}
