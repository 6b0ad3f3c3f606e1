//! Steps that work on a PostgreSQL database, and what they share.

pub mod amcheck;
mod asked;
pub mod assert;
pub mod catalogue;
pub mod classify;
mod commit;
pub mod connection;
mod copy;
pub mod create_database;
pub mod drop_database;
pub mod dump;
mod environment;
pub mod identify;
mod jobs;
pub mod manifest;
mod meter;
pub mod pgpass;
mod pieces;
mod programs;
pub mod query;
pub mod restore;
pub mod settings;
pub mod sql;
pub mod target;
mod tls;
pub mod verify;
pub mod wait_ready;
