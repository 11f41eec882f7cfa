//! Stories and laws, told over the whole product: one binary, one harness.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a story stops where something is not as told, and it starts processes with the environment it has"
)]

mod harness;

mod bad_input;
mod feast;
mod first_ten_minutes;
mod killed;
mod plumb_line;
mod pushes;
mod skew;
mod sources;
mod switching;
mod trips;
mod typed;
mod types;
mod vanished;
