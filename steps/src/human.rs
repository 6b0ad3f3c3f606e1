//! Steps that a person does.

pub mod approve;
