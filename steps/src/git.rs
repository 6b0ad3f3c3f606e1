//! Steps that work on a Git repository.

pub mod commit;
mod repository;
