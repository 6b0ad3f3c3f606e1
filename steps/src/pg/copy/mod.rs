//! Rows on their way: COPY text between a server and an object of a set, hashed and compressed
//! as it streams. What is in memory does not grow with the table.

mod digest;
mod open_set;
mod pack;
mod parts;
mod place;
mod queue;
mod rows_in;
mod rows_out;
mod unpack;

pub(super) use self::digest::hash_rows;
pub(super) use self::open_set::OpenSet;
pub(super) use self::pack::{Packed, Packing, pack_rows, pack_stream};
pub(super) use self::parts::CopyParts;
pub(super) use self::place::Place;
pub(super) use self::rows_in::receive;
pub(super) use self::rows_out::RowSource;
pub(super) use self::unpack::{
    Checked, Fault, newlines, read_rows, read_text, read_through, save, send_text,
};

/// Bytes of rows that travel together between tasks.
const BATCH: usize = 256 * 1024;

/// Batches that wait between two stages.
const WAITING: usize = 4;
