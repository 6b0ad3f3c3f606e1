//! The archive of WAL: what `archive_command` puts into a store and `restore_command` takes out of
//! it. Nothing in it is ever overwritten. `docs/formats/base.md` describes it.

mod archiver;
pub mod check;
mod contents;
mod fetch;
mod header;
mod object;
mod push;
mod scan;

pub use self::contents::{Contents, clusters, contents, history};
pub use self::fetch::fetch;
pub use self::header::system_identifier_in;
pub use self::push::{Pushed, push};
pub(super) use self::scan::{End, Scanned, Sought, scan_end, scan_for};
