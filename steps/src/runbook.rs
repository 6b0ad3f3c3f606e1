//! Steps that stand for other runbooks.

pub mod include;
