//! Blocked writes, fences and names: `RB0574` to `RB0589`.

use model::codes::CodeInfo;

pub(super) const CODES: &[CodeInfo] = &[
    CodeInfo::new(
        "RB0574",
        "writes cannot be blocked here",
        "Nothing was changed. The message says why: the role is no superuser (managed services have none), the server is a standby, or a setting of a role or a database would win over the server's.",
        "uses: pg.block_writes",
    ),
    CodeInfo::new(
        "RB0575",
        "another run blocks the writes of this server",
        "Its mark lies in the server's `postgresql.auto.conf`. Let that run end, or lift its block with a runbook that has `pg.unblock_writes`.",
        "uses: pg.block_writes",
    ),
    CodeInfo::new(
        "RB0576",
        "something still writes",
        "The block does not hold, and was lifted again. The causes name who writes or may write; a prepared transaction is ended by `COMMIT PREPARED` or `ROLLBACK PREPARED`.",
        "with: {connection: primary, method: read_only}",
    ),
    CodeInfo::new(
        "RB0577",
        "a probe proves nothing, or is not refused",
        "A probe must write before writes are blocked and be refused afterwards. Nothing is blocked.",
        "with: {connection: primary, method: read_only, probe: application}",
    ),
    CodeInfo::new(
        "RB0578",
        "the settings of a server cannot be changed",
        "The server does not read its settings again, or cannot read its `pg_hba.conf`. What was there before was put back.",
        "with: {connection: primary, method: pg_hba}",
    ),
    CodeInfo::new(
        "RB0579",
        "sessions do not end",
        "The server was told to end them, and they are still there. The causes name them. Another attempt may pass.",
        "uses: pg.terminate_connections",
    ),
    CodeInfo::new(
        "RB0580",
        "an old primary is not shut out",
        "It still runs, or would start again. Promote nothing: two servers that take writes lose data for good. The causes say what it still did, and all that was seen.",
        "uses: fence",
    ),
    CodeInfo::new(
        "RB0581",
        "nothing can tell whether an old primary runs",
        "It may be down, or only this machine may be cut off from it. Cut it off by other means, and say which in `accept_unreachable`; that is journaled.",
        "with: {connection: old_primary, method: command, argv: [\"true\"]}",
    ),
    CodeInfo::new(
        "RB0582",
        "a fence is about to stop the wrong server",
        "The connection leads to a standby, or to another cluster than the standby that takes over. Nothing was stopped.",
        "with: {connection: standby, standby: old_primary}",
    ),
    CodeInfo::new(
        "RB0585",
        "a name is not what is expected",
        "The causes name each server that says something else, and what it says.",
        "with: {name: db.example.com, expect: {equals: [192.0.2.20]}}",
    ),
    CodeInfo::new(
        "RB0586",
        "a name server does not answer",
        "It cannot be found or reached, refuses the question, or fails. What the others say is not enough.",
        "with: {name: db.example.com, servers: [192.0.2.53], expect: {absent: false}}",
    ),
];
