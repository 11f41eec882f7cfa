//! Erasing what is known of a person, everywhere: what may never come back ([`tombstones`]) and which keys are meant
//! ([`subject`]).
//!
//! Files are rewritten without their rows ([`files`], [`text`]), or removed where their [`folders`] name them.
//!
//! The tombstone is written before anything is removed, and every way into and out of history asks for it, so whatever
//! happens to the process afterwards nothing reappears; removing may then be repeated until all of it is done. The online
//! stores remove keys by [`crate::OnlineStore::erase`], the log of pushes by [`crate::push::log::PushLog::erase`].

pub mod files;
pub mod folders;
pub mod subject;
pub mod text;
pub mod tombstones;

pub use files::Rows;
pub use folders::Folders;
pub use subject::{KeyMatch, Subject};
pub use tombstones::{KeyFilter, Tombstone, Tombstones};
