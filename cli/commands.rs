//! One file a command.

pub(crate) mod backups;
pub(crate) mod completions;
pub(crate) mod explain;
pub(crate) mod logs;
pub(crate) mod plan;
pub(crate) mod report;
pub(crate) mod request;
pub(crate) mod run;
pub(crate) mod schema;
pub(crate) mod status;
pub(crate) mod steps;
pub(crate) mod validate;
