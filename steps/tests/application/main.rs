//! Steps of the application side, run as the driver runs them: files of SQL, containers, masks and
//! managed services.
#![expect(clippy::disallowed_methods, reason = "tests look at what lies behind the steps")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;
mod files;
mod mask;
mod supabase;
