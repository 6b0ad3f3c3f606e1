//! Restoring tables: `RB0530` to `RB0539`.

use model::codes::CodeInfo;

pub(super) const CODES: &[CodeInfo] = &[
    CodeInfo::new(
        "RB0530",
        "the set is of another database",
        "A set goes into the database it was made of. Say `source` when another one is meant. Nothing was done.",
        "a set of `billing` named for a connection to `lms`",
    ),
    CodeInfo::new(
        "RB0531",
        "the target is not the server it should be",
        "The plan names the system identifier of the server that may be changed. Look at where the \
         connection leads with `pg.identify`. Nothing was done.",
        "`DATABASE_URL` of the test server in a shell that was thought to be production's",
    ),
    CodeInfo::new(
        "RB0532",
        "the set and the table do not fit",
        "The set has no such table, no rows of it, or its columns have other names or types. Choose a \
         set of the table as it is now, or restore the set aside and bring the rows over by SQL. \
         Nothing was changed.",
        "a migration added a column after the backup",
    ),
    CodeInfo::new(
        "RB0533",
        "the table cannot be restored in place",
        "It is partitioned, a partition, foreign or an extension's; it has triggers that never \
         rest; or `merge` finds no primary key. Restore the set aside with `pg.restore`. Nothing was \
         changed.",
        "`pg.restore_table` of a partitioned table",
    ),
    CodeInfo::new(
        "RB0534",
        "the rows would break a constraint",
        "Rows elsewhere refer to rows that would go, or the restored rows to rows that are not there. \
         Restore the tables together, use `merge`, or take care of those rows first. The transaction \
         was rolled back: nothing was changed.",
        "an order is only here, and its payments refer to it",
    ),
    CodeInfo::new(
        "RB0535",
        "more rows would be removed than were approved",
        "Rows came in between the numbers that were shown and the exchange. Stop who writes, look \
         again, and approve the new numbers; or use `merge`. Nothing was changed.",
        "`removes_at_most: 3`, and five rows are only in the table",
    ),
    CodeInfo::new(
        "RB0536",
        "the server lacks room for the restore",
        "The rows of the set, the former rows and what is written do not fit on the server's \
         disk. Free space, or restore aside. Nothing was done.",
        "a table of 40 GB on a disk with 30 GB free",
    ),
    CodeInfo::new(
        "RB0537",
        "former rows are not as this needs them",
        "The run keeps no former rows of the table (they were brought back or released), or keeps some \
         already. Nothing was changed.",
        "`pg.swap_back` twice",
    ),
    CodeInfo::new(
        "RB0538",
        "rows were changed since they were exchanged",
        "Bringing the former rows back would lose those changes. `force: true` does it and keeps what \
         it replaces. Nothing was changed.",
        "an order came in after the restore, before its undo",
    ),
    CodeInfo::new(
        "RB0539",
        "the staging schema is not as it should be",
        "It belongs to somebody else, or does not hold as many rows as the manifest counts. The tables \
         were not touched.",
        "`staging: public`",
    ),
];
