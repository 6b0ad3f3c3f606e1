//! Backup stores.
