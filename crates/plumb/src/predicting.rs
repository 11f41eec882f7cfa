//! Predictions for rows of Arrow, as a file or a request has them: what is asked of a model, and what it said.
//!
//! Nothing is computed here: the rows go the way of every other prediction, through the scorer. What came of predictions comes
//! in by the same ways, [`outcomes`].

pub mod answers;
pub mod file;
pub mod outcomes;
pub mod table;
