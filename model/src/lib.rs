//! The pure half of `runbook`: YAML text to a checked plan, events, state, decisions and
//! the formats that outlive a release. No I/O, no clock, no async runtime.

pub mod approval;
pub mod base;
pub mod catalog;
pub mod codes;
pub mod diagnostic;
pub mod document;
pub mod effect;
pub mod footprint;
pub mod graph;
pub mod hex;
pub mod ids;
pub mod journal;
pub mod manual;
pub mod node;
pub mod node_de;
pub mod plan;
pub mod preview;
pub mod proof;
pub mod region;
pub mod report;
pub mod retention;
pub mod rows;
pub mod run;
pub mod runbook;
pub mod s3_url;
pub mod schema;
pub mod secret;
pub mod set;
pub mod sources;
pub mod sql;
pub mod step_error;
pub mod suggest;
pub mod template;
pub mod units;
pub mod wal;
