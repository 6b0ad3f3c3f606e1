//! Steps that run a program of the user's.

pub mod run;
pub(crate) mod started;
