//! Effects and the one loop: the driver, executors, journal, locks, secrets and processes.

pub mod clock;
pub mod context;
pub mod driver;
pub mod environment;
pub mod error;
pub mod executor;
pub mod files;
pub mod inbox;
pub mod journal;
pub mod lock;
pub mod log;
pub mod memory_host;
pub mod modes;
pub mod orphans;
pub mod preflight;
pub mod process;
pub mod random;
pub mod redact;
pub mod register;
pub mod registry;
pub mod rendering;
pub mod secrets;
pub mod session;
pub mod settings;
pub mod state_folder;
pub mod step;
