//! Stories and laws, told over the whole product: one binary, one harness.
#![expect(missing_docs, reason = "each story says what it is about")]

mod harness;

mod bad_input;
mod first_ten_minutes;
mod killed;
mod plumb_line;
mod skew;
mod switching;
