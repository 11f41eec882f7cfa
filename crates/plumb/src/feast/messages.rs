//! Feast's messages: the fields that we read or write, with their numbers. What we do not know is skipped when read.

pub mod core;
pub mod registry;
