//! Archives, base backups and moments in time: `RB0592` to `RB0599`, `RB0620` to `RB0639`.

use model::codes::CodeInfo;

pub(super) const CODES: &[CodeInfo] = &[
    CodeInfo::new(
        "RB0592",
        "a name that no server archives",
        "The archive takes WAL segments, partial segments, backup labels and timeline histories, under the \
         names that the server gives them. Hand `%p` and `%f` over as they are.",
        "runbook archive push --store file:///wal notes.txt",
    ),
    CodeInfo::new(
        "RB0593",
        "a WAL file that is not what its name says",
        "The first page of a segment names the cluster, the position and the size. Here they do not fit the \
         name, the file's length or `--cluster`, or nothing tells of which cluster the file is.",
        "runbook archive push --store file:///wal --cluster 1 pg_wal/000000010000000000000003",
    ),
    CodeInfo::new(
        "RB0594",
        "the archive holds another file of that name",
        "Nothing was changed: an archived file is never overwritten. Two servers archive under one identity, \
         such as a restored copy and its origin. The server that should not must get another store, or \
         `archive_mode = off`.",
        "a restored copy of the cluster archives into the same store",
    ),
    CodeInfo::new(
        "RB0595",
        "a file is not in the archive",
        "`runbook archive fetch` ends with exit status 1, by which the server learns how far the archive goes. \
         A server asks for files that do not exist all the time.",
        "runbook archive fetch --store file:///wal 00000002.history /tmp/it",
    ),
    CodeInfo::new(
        "RB0596",
        "an archived file is damaged",
        "Its size or SHA-256 is not what was archived. `runbook archive fetch` ends with exit status 126, on \
         which the server stops instead of taking the damage for the end of the archive. Bring the object \
         back from another copy of the archive.",
        "a bit of the object flipped",
    ),
    CodeInfo::new(
        "RB0597",
        "a WAL file cannot be read or written",
        "The operating system refused. The server tries again.",
        "a full disk under `pg_wal`",
    ),
    CodeInfo::new(
        "RB0598",
        "segments are missing from the archive",
        "What was written after a gap cannot be reached from a base backup before it, or there is no archive \
         of that cluster. Take a new base backup now; then look why the segments are missing.",
        "somebody removed a segment by hand",
    ),
    CodeInfo::new(
        "RB0599",
        "the archive falls behind",
        "The archiver fails or is off, or its last commit is older than `max_age`. All that was committed \
         since would be lost with the server.",
        "with: {connection: prod, store: backups, max_age: 15m}",
    ),
    CodeInfo::new(
        "RB0620",
        "a program of the server's version is missing",
        "Physical backups and recovery need PostgreSQL's own server programs of the same major version. \
         Install its package, or name the folder as `bin`.",
        "with: {connection: prod, store: backups, bin: /opt/pg14/bin}",
    ),
    CodeInfo::new(
        "RB0621",
        "tablespaces outside of the data folder",
        "A base backup holds the data folder only, so that a cluster with tablespaces elsewhere is refused \
         before anything is copied.",
        "CREATE TABLESPACE fast LOCATION '/ssd'",
    ),
    CodeInfo::new(
        "RB0622",
        "base backups cannot be encrypted",
        "The store encrypts what it holds, and neither base backups nor archived WAL can be. Name a store \
         without `encrypt`, on a disk or in a bucket that is encrypted itself.",
        "stores: {backups: {url: \"file:///backups\", encrypt: {age: [age1...]}}}",
    ),
    CodeInfo::new(
        "RB0623",
        "the copy of the cluster is not what the server sent",
        "`pg_verifybackup` compared every file with the SHA-256 that the server had sent. Nothing was stored.",
        "a disk that loses writes",
    ),
    CodeInfo::new(
        "RB0624",
        "an incremental backup whose chain is broken",
        "What it builds on is gone, of another cluster, or not older. A full backup builds on nothing.",
        "with: {connection: prod, store: backups, parent: 20200101T000000Z-00000000}",
    ),
    CodeInfo::new(
        "RB0625",
        "the server cannot make incremental backups",
        "They came with PostgreSQL 17 and need `summarize_wal = on`.",
        "with: {connection: prod, store: backups, parent: latest}",
    ),
    CodeInfo::new(
        "RB0626",
        "no base backup leads to the moment",
        "A base backup leads to moments after it had ended, never to one before. Choose a later moment, or an \
         older base backup; the message names those there are.",
        "target: {time: \"2020-01-01T00:00:00Z\"}",
    ),
    CodeInfo::new(
        "RB0627",
        "a folder that cannot be that of the instance",
        "Recovery makes a new data folder: it must not exist or be empty, and belong to the account of the \
         server. What is there is never written over.",
        "data_directory: /var/lib/postgresql/15/main",
    ),
    CodeInfo::new(
        "RB0628",
        "too little room for a copy of the cluster",
        "A base backup is staged and a recovery makes a whole cluster: both need as much room as the cluster \
         has. Nothing was begun. Free space, or name another folder.",
        "a cluster of 40 GB, a disk with 10 GB",
    ),
    CodeInfo::new(
        "RB0629",
        "a base backup is damaged",
        "One of its objects is missing or has another SHA-256 than its manifest says.",
        "a bit of `base.tar.zst` flipped",
    ),
    CodeInfo::new(
        "RB0630",
        "the moment lies beyond the archive",
        "Nothing is missing: the archive simply ends before the moment. Choose an earlier one, or `latest`. \
         If the server still runs, let it archive what it has written.",
        "target: {time: \"2099-01-01T00:00:00Z\"}",
    ),
    CodeInfo::new(
        "RB0631",
        "a segment on the way to the moment is missing",
        "The archive goes on after it, but no server gets past a gap. Bring the segment back, or choose a \
         moment before it.",
        "somebody removed a segment by hand",
    ),
    CodeInfo::new(
        "RB0632",
        "the moment is not in the archive",
        "No committed transaction of that number, no restore point of that name, or no such timeline lies \
         between the base backups and the end of the archive.",
        "target: {name: before the release}",
    ),
    CodeInfo::new(
        "RB0633",
        "the server's account cannot fetch from the archive",
        "The server calls `runbook archive fetch` as its own account, which must be allowed to run the program \
         and to read the archive. Nothing was unpacked.",
        "the archive belongs to root and is closed to others",
    ),
    CodeInfo::new(
        "RB0634",
        "the instance did not get to its moment",
        "The server of the instance ended or stopped elsewhere; its own words are given. What was unpacked is \
         used again by the next attempt.",
        "the port is taken",
    ),
    CodeInfo::new(
        "RB0635",
        "no instance that may be opened or removed",
        "Only what `pg.pitr` made is opened or removed, known by a mark in its folder, and one that was opened \
         is removed only with `force: true`.",
        "with: {action: discard, data_directory: /var/lib/postgresql/15/main}",
    ),
    CodeInfo::new(
        "RB0636",
        "an account that this machine does not have",
        "PostgreSQL refuses to run as root, so that root starts it as another account.",
        "with: {run_as: pg}",
    ),
    CodeInfo::new(
        "RB0638",
        "an opened instance that kept its timeline",
        "Opening a recovered cluster begins a new timeline. Where it did not, the instance cannot be told from \
         the cluster it comes from: do not use it.",
        "the server was opened by other means",
    ),
];
