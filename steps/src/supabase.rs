//! Steps on Supabase's Management API.

mod api;
pub mod list_backups;
pub mod restore_pitr;
