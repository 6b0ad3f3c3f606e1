//! `RESTORE.txt`: how to restore a base backup with PostgreSQL's own programs, tar and zstd.

use model::base::{BaseKind, BaseManifest, DATA, RESTORE};

/// The text for one base backup, before its own entry is added to the manifest.
pub(super) fn instructions(manifest: &BaseManifest) -> String {
    let sums: String =
        manifest.files.iter().map(|file| format!("{}  {}\n", file.sha256, file.path)).collect();
    let unpack = match manifest.kind {
        BaseKind::Full => format!("zstd -dcq {DATA} | tar -x -C \"$DATA\"\n"),
        BaseKind::Incremental => incremental(manifest),
    };
    let size = manifest.server.segment_bytes;
    let wal = model::wal::Segment::of(manifest.timeline, manifest.start_lsn.0 / size, size);
    format!(
        "# {RESTORE}: base backup {base} of cluster {cluster}\n\
         # PostgreSQL {version}, {started} to {finished}, timeline {timeline}, WAL from {wal}\n\
         # written by runbook {runbook}\n\
         #\n\
         # Run the commands below in this folder as the account of the server (bash {RESTORE}), with\n\
         # the programs of PostgreSQL {major} on PATH, tar and zstd. DATA is an empty folder, ARCHIVE\n\
         # the folder wal/{cluster} of the store that holds the archive, TARGET a time with a zone.\n\
         set -euo pipefail\n\
         DATA=${{DATA:?an empty folder for the cluster}}\n\
         ARCHIVE=${{ARCHIVE:?the folder wal/{cluster} of the archive}}\n\
         TARGET=${{TARGET:?a time with a zone, such as 2026-11-20 02:00:00+00}}\n\
         PORT=${{PORT:-5499}}\n\
         \n# 1. Are the objects what was written?\n\
         sha256sum --check --quiet <<'SUMS'\n{sums}SUMS\n\
         \n# 2. The data folder\n{unpack}chmod 0700 \"$DATA\"\n\
         \n# 3. Recovery to the moment, then a pause: nothing is archived, nobody but this machine gets in\n\
         mv -f \"$DATA/postgresql.auto.conf\" \"$DATA/postgresql.auto.conf.before\"\n\
         cat > \"$DATA/postgresql.auto.conf\" <<CONF\n\
         restore_command = 'd=\\$(echo %f | cut -c1-8); test -f \"$ARCHIVE/\\$d/%f.zst\" && zstd -dcq \"$ARCHIVE/\\$d/%f.zst\" > \"%p\"'\n\
         recovery_target_time = '$TARGET'\n\
         recovery_target_action = pause\n\
         archive_mode = off\n\
         shared_preload_libraries = ''\n\
         max_logical_replication_workers = 0\n\
         listen_addresses = ''\n\
         unix_socket_directories = '$DATA'\n\
         port = $PORT\n\
         CONF\n\
         # The cluster's own settings, where its package keeps them elsewhere:\n\
         test -f \"$DATA/postgresql.conf\" || touch \"$DATA/postgresql.conf\" \"$DATA/pg_ident.conf\"\n\
         test -f \"$DATA/pg_hba.conf\" || echo 'local all all trust' > \"$DATA/pg_hba.conf\"\n\
         touch \"$DATA/recovery.signal\"\n\
         pg_ctl start -w -D \"$DATA\" -l \"$DATA/recovery.log\"\n\
         \n# 4. Look, with psql -h \"$DATA\" -p \"$PORT\" -d postgres; then\n\
         #    SELECT pg_wal_replay_resume();   to open the cluster at that moment, or\n\
         #    pg_ctl stop -D \"$DATA\"           to leave it\n",
        base = manifest.base,
        cluster = manifest.server.system_identifier,
        version = manifest.server.version,
        started = manifest.started,
        finished = manifest.finished,
        timeline = manifest.timeline,
        runbook = manifest.runbook,
        major = manifest.server.version_num / 10_000,
    )
}

/// What an incremental backup holds is nothing by itself.
fn incremental(manifest: &BaseManifest) -> String {
    let parent = manifest.parent.as_ref().map(ToString::to_string).unwrap_or_default();
    format!(
        "# It holds what changed since base backup {parent}. Unpack that one and all it builds on in\n\
         # the same way, each into a folder of its own, and name them, the full one first:\n\
         CHAIN=${{CHAIN:?the folders of the base backups it builds on, the full one first}}\n\
         mkdir \"$DATA.increment\"\n\
         zstd -dcq {DATA} | tar -x -C \"$DATA.increment\"\n\
         pg_combinebackup -o \"$DATA\" $CHAIN \"$DATA.increment\"\n"
    )
}
