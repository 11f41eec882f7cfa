//! Feature maths: pure, columnar, synchronous. No clock, no IO, no async.
//!
//! There is one implementation of every feature computation, and it is here: training and serving both import it, which
//! is half of why they agree. The other half is the point-in-time join.

pub mod cast;
pub mod computed;
pub mod depth;
pub mod expr;
mod exprs;
pub mod fill;
pub mod on_demand;

pub use computed::ComputedFeatures;
pub use expr::{CompiledExpr, ExprError};
pub use on_demand::OnDemandFeatures;
