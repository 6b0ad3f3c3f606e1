//! Runs from plan to end over a file journal, with steps that do as they are told.
#![expect(clippy::disallowed_methods, reason = "tests look at the files that runs leave")]
#![expect(clippy::unwrap_used, reason = "tests unwrap")]

mod crash;
mod driver;
mod ground;
mod groups;
mod kept;
mod said;
mod stages;
mod time;
