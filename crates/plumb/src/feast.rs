//! What Feast's protocols share, HTTP and gRPC alike: its types and its errors. Field numbers, names and rules are
//! those of Feast 0.67.

pub mod error;
pub mod import;
pub mod messages;
pub mod value_type;

/// What follows a view's name in the name of the source that pushes to it.
pub const PUSH_SOURCE: &str = "_push";
/// What follows it in the name of the source of its rows.
pub const ROWS_SOURCE: &str = "_rows";
/// The entity of views that have none.
pub const NO_ENTITY: &str = "__dummy";

pub use error::{Class, FeastError};
pub use value_type::ValueType;
