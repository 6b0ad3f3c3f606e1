//! Steps that work on a PostgreSQL database, and what they share.

pub mod catalogue;
pub mod classify;
pub mod connection;
mod copy;
pub mod dump;
mod environment;
pub mod identify;
mod jobs;
pub mod manifest;
mod meter;
pub mod pgpass;
mod pieces;
mod programs;
pub mod restore;
pub mod settings;
pub mod sql;
pub mod target;
mod tls;
pub mod verify;
