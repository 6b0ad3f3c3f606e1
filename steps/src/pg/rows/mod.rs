//! Some rows of a database: taken out with what belongs to them, brought back, and taken back.

mod asking;
mod bundle;
mod choose;
mod closure;
mod counts;
pub mod extract;
mod judge;
mod order;
pub mod restore;
mod sequences;
mod shape;
mod staged;
mod target;
mod triggers;
mod undo;
mod write;

use model::rows::Table;

/// `schema.table`, for people to read.
fn told(table: &Table) -> String {
    format!("{}.{}", table.schema, table.name)
}
