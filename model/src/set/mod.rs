//! A backup set: its identifier, its layout in a store, its manifest, and how two manifests
//! compare. These are formats that outlive a release; `docs/formats/set.md` describes them.

pub mod catalogue;
pub mod compare;
pub mod difference;
pub mod id;
pub mod layout;
pub mod manifest;
pub mod row_hash;
mod text_number;

pub use catalogue::{CatalogueObject, Category};
pub use compare::{Comparison, compare};
pub use difference::{Checked, Difference, DifferenceKind};
pub use id::SetId;
pub use manifest::{Contents, Manifest};
pub use row_hash::RowHash;
