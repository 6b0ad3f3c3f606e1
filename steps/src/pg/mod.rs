//! Steps that work on a PostgreSQL database, and what they share.

pub mod catalogue;
pub mod classify;
pub mod connection;
mod environment;
pub mod pgpass;
pub mod sql;
pub mod target;
mod tls;
