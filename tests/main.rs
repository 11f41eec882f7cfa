//! Stories and laws, told over the whole product: one binary, one harness.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a story stops where something is not as told, and it starts processes with the environment it has"
)]

mod harness;

mod aggregates;
mod applying;
mod approving;
mod bad_days;
mod bad_input;
mod between_steps;
mod bounded_memory;
mod broken_models;
mod buckets;
mod clocks;
mod contract_words;
mod doctor;
mod erasing;
mod every_error;
mod faulty;
mod faulty_disk;
mod feast;
mod first_ten_minutes;
mod formats;
mod full_disk;
mod hostile;
mod hosts;
mod invariants;
mod killed;
mod long_log;
mod measured;
mod model_files;
mod models;
mod nine_scenarios;
mod older;
mod one_round_trip;
mod personal;
mod plumb_line;
mod predictions;
mod pushes;
mod racing;
mod registry_log;
mod removing;
mod scoring;
mod secrets;
mod skew;
mod sources;
mod squares;
mod streamed_sets;
mod switching;
mod tables;
mod ties;
mod training_sets;
mod trips;
mod typed;
mod types;
mod vanished;
mod ways_around;
mod webhooks;
