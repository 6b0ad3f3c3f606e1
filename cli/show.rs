//! What people and programs see: consumers of events and values, none of which can change a run.

pub(crate) mod amount;
pub(crate) mod conduct;
pub(crate) mod contact;
pub(crate) mod fields;
pub(crate) mod kind;
pub(crate) mod lines;
pub(crate) mod live;
pub(crate) mod plan;
pub(crate) mod print;
pub(crate) mod question;
pub(crate) mod regions;
pub(crate) mod report;
pub(crate) mod stages;
pub(crate) mod stream;
pub(crate) mod table;
