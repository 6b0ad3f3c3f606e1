//! Promotion and standbys: `RB0552` to `RB0569`.

use model::codes::CodeInfo;

pub(super) const CODES: &[CodeInfo] = &[
    CodeInfo::new(
        "RB0552",
        "nothing covers the promotion",
        "The old primary is not known to have stopped writing, and nobody accepted that it may go on; or it was \
         seen to commit. Two primaries lose data. Fence the old one, or give a reason in `accept_unreachable` or \
         `without_fence`, which is recorded.",
        "uses: pg.promote, with: {connection: standby, fence: {outcome: impossible_unreachable, proof: no route}}",
    ),
    CodeInfo::new(
        "RB0553",
        "nobody can tell what a promotion would lose",
        "The standby does not stream and how far its primary had written is not known, so that a bound in bytes \
         cannot be checked. Give `expected_lsn`, or bound the loss in time with `max_lag`.",
        "uses: pg.promote, with: {connection: standby, without_fence: the building burns}",
    ),
    CodeInfo::new(
        "RB0554",
        "a promotion would lose more than allowed",
        "The old primary had written more than the standby has received. Let the standby catch up while its primary \
         lives; else raise the bound knowingly, or promote another standby.",
        "uses: pg.promote, with: {connection: standby, max_bytes: 0B}",
    ),
    CodeInfo::new(
        "RB0556",
        "the promotion has not ended in time",
        "The standby was told to promote and replays what it has received first. It is looked at again; it is never \
         told a second time while that goes on.",
        "uses: pg.promote, with: {connection: standby, timeout: 1s}",
    ),
    CodeInfo::new(
        "RB0557",
        "the server is not what was announced",
        "Before a promotion the step writes down the system identifier and the timeline; afterwards the server had \
         others. Somebody promoted or replaced it. Find out which server has the newest data before anything else.",
        "a standby that was promoted and rebuilt while `pg.promote` was interrupted",
    ),
    CodeInfo::new(
        "RB0558",
        "the promoted server takes no writes",
        "It is a primary, and a row could not be committed and read back: new transactions are read-only, or a \
         commit waits for a standby that is missing. Put that right and resume: it is proved again, never promoted \
         again.",
        "default_transaction_read_only = on",
    ),
    CodeInfo::new(
        "RB0559",
        "the server's files cannot be seen to",
        "PostgreSQL refuses to run as root, and its files must belong to the account that runs it. Name that account \
         as `run_as` and let root run the step, or run it as that account.",
        "server: {data_directory: /var/lib/postgresql/15/main, run_as: root}",
    ),
    CodeInfo::new(
        "RB0564",
        "no standby can be made in that folder",
        "It holds something, the folder it would lie in does not exist, or the disk is too small. Nothing was changed.",
        "uses: pg.create_standby, with: {server: {data_directory: /var/lib/postgresql}}",
    ),
    CodeInfo::new(
        "RB0565",
        "the server cannot serve a standby",
        "It is no primary, lacks `wal_level` or `max_wal_senders`, has a standby or a slot in use of that name, or the \
         role may not replicate. Nothing was changed.",
        "max_wal_senders = 0",
    ),
    CodeInfo::new(
        "RB0566",
        "the new standby does not stream",
        "Its files are whole and it will never start as a primary, but it does not start, or does not stream. The \
         message ends with its log. The next attempt goes on from there.",
        "server: {data_directory: /srv/pg, settings: {port: \"1\"}}",
    ),
    CodeInfo::new(
        "RB0567",
        "the server to rewind runs",
        "`pg.rewind_rejoin` changes the files of a stopped server. Nothing was changed. Stop it, and make sure that \
         nobody needs what it holds.",
        "uses: pg.rewind_rejoin, with: {server: {data_directory: /var/lib/postgresql/15/main}}",
    ),
    CodeInfo::new(
        "RB0568",
        "the server cannot be rewound",
        "It is of another cluster or another line of timelines, has neither `wal_log_hints` nor data checksums, \
         without which nothing tells which pages changed, or lacks its own WAL since before the fork. Nothing was changed. Make a new standby in an empty folder.",
        "wal_log_hints = off",
    ),
    CodeInfo::new(
        "RB0569",
        "the rewind failed",
        "`pg_rewind` broke off, and the server's files may be half of one server and half of another. It was not \
         started. What only it had is kept in `save`. Make a new standby in an empty folder.",
        "the new primary was restarted during the rewind",
    ),
];
