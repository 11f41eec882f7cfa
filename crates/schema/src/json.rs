//! JSON texts in one spelling, and cells of columns as JSON: what answers, logs and `json` features are written with.
//!
//! Canonical: no white space, the names of an object in the order of their bytes, none twice; integers with all their
//! digits whatever their size; other numbers as the shortest text of the nearest float64. So equal values are equal
//! texts. What JSON lacks is a text: `"NaN"`, `"Infinity"`, `"-Infinity"`; a decimal, a time, a date, a duration (ISO
//! 8601); bytes are hexadecimal.

mod cell;
mod read;
mod text;

pub use cell::{Cell, Float, Shown};
pub use read::{read, read_column};
pub use text::{JsonError, canonical};
