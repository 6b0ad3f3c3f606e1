//! How tables are cut into objects.

use model::set::manifest::{Blocks, TableData};

use crate::pg::catalogue::SizedTable;

/// Objects of one table; more would make folders unwieldy.
const MOST_PARTS: u64 = 9_999;

/// One object to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Piece {
    /// The table's place in the list.
    pub(super) table: usize,
    /// The number of the part, from 1.
    pub(super) number: u32,
    /// Its blocks; all when absent.
    pub(super) blocks: Option<Blocks>,
    /// An estimate of its bytes.
    pub(super) bytes: u64,
}

/// The pieces of all tables whose rows are wanted, biggest first: whoever is free takes the next,
/// so the last ones are small and the connections end together. Without `part_size`, tables stay
/// whole.
pub(super) fn pieces(tables: &[SizedTable], part_size: Option<u64>) -> Vec<Piece> {
    let wanted = tables.iter().enumerate().filter(|(_, sized)| sized.table.data != TableData::None);
    let mut pieces: Vec<Piece> =
        wanted.flat_map(|(index, sized)| cut(index, sized, part_size)).collect();
    pieces.sort_by_key(|piece| std::cmp::Reverse(piece.bytes));
    pieces
}

fn cut(index: usize, sized: &SizedTable, part_size: Option<u64>) -> Vec<Piece> {
    let part_size = part_size.filter(|_| sized.table.data == TableData::All).unwrap_or(u64::MAX);
    let count = sized.bytes.div_ceil(part_size.max(1)).clamp(1, MOST_PARTS);
    let blocks = u64::from(sized.blocks);
    let count = count.min(blocks).max(1);
    // The last part has no end: it also holds what was appended since the size was asked for.
    let edge =
        |part: u64| u32::try_from(blocks * part / count).expect("blocks are counted in 32 bits");
    (0..count)
        .map(|part| Piece {
            table: index,
            number: u32::try_from(part + 1).expect("there are few parts"),
            blocks: (count > 1).then(|| Blocks {
                from: edge(part),
                to: (part + 1 < count).then(|| edge(part + 1)),
            }),
            bytes: sized.bytes / count,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use model::set::manifest::{Table, TableKind};
    use proptest::prelude::*;

    use super::*;

    fn sized(bytes: u64, blocks: u32, data: TableData) -> SizedTable {
        let table = Table {
            schema: "public".to_owned(),
            name: "a".to_owned(),
            kind: TableKind::Table,
            data,
            columns: Vec::new(),
            rows: None,
            hash: None,
            parts: Vec::new(),
        };
        SizedTable { table, blocks, bytes }
    }

    #[test]
    fn small_and_filtered_tables_stay_whole_and_so_does_all_without_a_size() {
        let (extension, filter) = ("x".to_owned(), String::new());
        let config = TableData::ExtensionConfig { extension, filter };
        let tables = [
            sized(1 << 40, 9_000, config),
            sized(0, 0, TableData::All),
            sized(1 << 30, 0, TableData::All),
            sized(1000, 9, TableData::All),
        ];
        for pieces in [pieces(&tables, Some(1000)), pieces(&tables, None)] {
            assert_eq!(pieces.len(), 4);
            assert!(pieces.iter().all(|piece| (piece.blocks, piece.number) == (None, 1)));
            assert_eq!(pieces[0].table, 0, "the biggest first");
        }
    }

    #[test]
    fn what_is_excluded_has_no_piece() {
        assert_eq!(pieces(&[sized(100, 9, TableData::None)], Some(10)), []);
    }

    proptest! {
        #[test]
        fn parts_cover_every_block_once(
            bytes in 0u64..1 << 42, blocks in 0u32.., size in 1u64..1 << 34,
        ) {
            let mut pieces = pieces(&[sized(bytes, blocks, TableData::All)], Some(size));
            pieces.sort_by_key(|piece| piece.number);
            prop_assert!(pieces.len() <= usize::try_from(MOST_PARTS).unwrap());
            if pieces.len() == 1 {
                prop_assert_eq!(pieces[0].blocks, None);
                return Ok(());
            }
            let ranges: Vec<_> = pieces.iter().map(|piece| piece.blocks.unwrap()).collect();
            prop_assert_eq!(ranges[0].from, 0);
            for pair in ranges.windows(2) {
                prop_assert_eq!(pair[0].to, Some(pair[1].from));
                prop_assert!(pair[0].from < pair[1].from);
            }
            prop_assert_eq!(ranges.last().unwrap().to, None);
        }
    }
}
