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
];
