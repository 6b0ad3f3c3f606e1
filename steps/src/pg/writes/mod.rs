//! Blocking an application's writes with what does not replicate: a standby that is promoted
//! takes writes at once. Locked roles and databases (`NOLOGIN`, `ALLOW_CONNECTIONS false`) and
//! settings of roles and databases lie in the catalogue and would come along.

pub mod block;
mod drain;
mod hba;
mod mark;
mod probe;
mod quiet;
mod server;
pub mod unblock;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How writes are blocked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// `default_transaction_read_only` for the whole server. It holds for every client that does
    /// not ask for a writing transaction itself: a drain, not a fence.
    ReadOnly,
    /// `reject` lines in the server's `pg_hba.conf`, and the sessions of those roles ended. It
    /// holds for every role but superusers.
    PgHba,
}

impl Method {
    fn name(self) -> &'static str {
        match self {
            Self::ReadOnly => "read_only",
            Self::PgHba => "pg_hba",
        }
    }
}
