//! Steps that only order time: wait, and pass values on.

pub mod pass;
pub mod wait;
