//! One file a command.

pub(crate) mod answer;
pub(crate) mod approvers;
pub(crate) mod archive;
pub(crate) mod backups;
pub(crate) mod completions;
pub(crate) mod explain;
pub(crate) mod graph;
pub(crate) mod init;
pub(crate) mod lab;
pub(crate) mod logs;
pub(crate) mod man;
pub(crate) mod plan;
pub(crate) mod preflight;
pub(crate) mod report;
pub(crate) mod request;
pub(crate) mod run;
pub(crate) mod schema;
pub(crate) mod status;
pub(crate) mod steps;
pub(crate) mod validate;
