//! Effects and the one loop: the driver, executors, journal, locks, secrets and processes.

pub mod context;
pub mod memory_host;
pub mod process;
pub mod registry;
pub mod settings;
pub mod step;
