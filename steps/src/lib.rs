//! The typed steps, one file each, and the [`STEPS`] slice from which the schema, the pages,
//! `runbook steps`, completions and the compliance tests come.

use engine::registry::{DynStep, Registry};

pub mod pg;
pub mod store;

/// Every step kind, in the order of the documentation.
pub static STEPS: &[&dyn DynStep] = &[];

/// The registry of [`STEPS`].
pub const REGISTRY: Registry = Registry(STEPS);
