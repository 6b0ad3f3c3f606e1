//! Steps that work in a container.

pub mod exec;
