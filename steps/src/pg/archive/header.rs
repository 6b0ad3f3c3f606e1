//! What a WAL segment says of itself on its first page, and `pg_control` of its cluster. Servers
//! write both in the byte order of their machine, which all machines that are served share.
//! `XLogLongPageHeaderData`, `ControlFileData` of PostgreSQL's sources.

use std::io::Read;
use std::path::Path;

use engine::files;
use model::step_error::StepError;
use model::wal::{Segment, WalName};

/// Bytes of the header of a segment's first page.
pub(super) const HEADER: usize = 40;

/// `XLP_LONG_HEADER` of `xlp_info`.
const LONG: u16 = 0x0002;

/// What a segment says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    /// The cluster's system identifier.
    pub(super) system_identifier: u64,
}

fn number(bytes: &[u8], at: usize, length: usize) -> u64 {
    let mut word = [0; 8];
    word[..length].copy_from_slice(&bytes[at..at + length]);
    u64::from_le_bytes(word)
}

/// Reads the header of a segment, which must be the one that its name says.
pub(super) fn read(first: &[u8], segment: &Segment, length: u64) -> Result<Header, String> {
    if first.len() < HEADER {
        return Err(format!("it has {length} bytes only"));
    }
    let info = u16::try_from(number(first, 2, 2)).unwrap_or_default();
    let (timeline, address) = (number(first, 4, 4), number(first, 8, 8));
    let (system_identifier, size) = (number(first, 24, 8), number(first, 32, 4));
    if info & LONG == 0 || !size.is_power_of_two() || !(1 << 20..=1 << 30).contains(&size) {
        return Err("its first page is not that of a WAL segment".to_owned());
    }
    if length != size {
        return Err(format!("it has {length} bytes, and its first page says {size}"));
    }
    let start = segment.start(size);
    if address != start.0 {
        let found = model::wal::Lsn(address);
        return Err(format!("its first page is that of {found}, its name says {start}"));
    }
    // A segment in which a timeline began holds pages of the one before.
    if timeline > u64::from(segment.timeline) {
        return Err(format!("its first page is of timeline {timeline}"));
    }
    Ok(Header { system_identifier })
}

/// The system identifier of the cluster in whose `pg_wal` a file lies.
pub fn system_identifier_in(file: &Path) -> Option<u64> {
    let wal = file.parent()?;
    let data = wal.parent()?;
    let mut first = [0; 8];
    let control = data.join("global/pg_control");
    files::open_existing(&control).ok()?.read_exact(&mut first).ok()?;
    Some(u64::from_le_bytes(first))
}

/// The file that is pushed is not what its name says.
pub(super) fn not_that(name: &WalName, why: &str) -> StepError {
    let message = format!("the file is not the WAL file `{name}` of this cluster: {why}");
    StepError::permanent("RB0593", message)
        .hint("let the server itself call `archive_command`, with `%p` as it is")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(timeline: u32, address: u64, identifier: u64, size: u32) -> Vec<u8> {
        let mut page = vec![0x10, 0xD1, 0x02, 0x00];
        page.extend(timeline.to_le_bytes());
        page.extend(address.to_le_bytes());
        page.extend([0; 8]);
        page.extend(identifier.to_le_bytes());
        page.extend(size.to_le_bytes());
        page.extend(8192_u32.to_le_bytes());
        page
    }

    #[test]
    fn a_segment_is_the_one_that_its_name_says() {
        let (size, segment) = (16 << 20, Segment { timeline: 2, log: 0, seg: 3 });
        let read = |page: Vec<u8>, length| read(&page, &segment, length);
        let right = page(1, 3 * size, 77, 16 << 20);
        assert_eq!(read(right.clone(), size), Ok(Header { system_identifier: 77 }));
        for (page, length, why) in [
            (vec![0; 12], 12, "it has 12 bytes only"),
            (vec![0; HEADER], size, "its first page is not that of a WAL segment"),
            (right, 5, "it has 5 bytes, and its first page says 16777216"),
            (
                page(1, 4 * size, 77, 16 << 20),
                size,
                "its first page is that of 0/4000000, its name says 0/3000000",
            ),
            (page(3, 3 * size, 77, 16 << 20), size, "its first page is of timeline 3"),
        ] {
            assert_eq!(read(page, length), Err(why.to_owned()));
        }
    }
}
