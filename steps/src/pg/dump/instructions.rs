//! `RESTORE.txt`: how to restore the set with PostgreSQL's own programs and zstd.

use std::fmt::Write;

use model::set::layout::{BLOBS, CUSTOM, DIRECTORY, GLOBALS, RESTORE, SCHEMA};
use model::set::manifest::{FileKind, Format, Manifest, Scope, Table, TableData};

use super::sealed::{self, archive};
use crate::pg::restore::partial;
use crate::pg::{settings, sql};

/// The text for one set, before its own entry is added to the manifest.
pub(super) fn instructions(manifest: &Manifest) -> String {
    let mut text = heading(manifest);
    let has = |kind| manifest.files.iter().any(|file| file.kind == kind);
    line(&mut text, "set -euo pipefail");
    line(&mut text, "DB=${DB:?name of the new database}");
    line(&mut text, "\n# 1. Are the objects what was written?");
    line(&mut text, &check(manifest));
    sealed::open_archives(&mut text, manifest);
    if has(FileKind::Globals) {
        line(&mut text, "\n# 2. Roles, on a server that does not have them (no passwords):");
        let globals = archive(manifest, GLOBALS);
        line(&mut text, &format!("# psql -X -d postgres -f {globals}"));
    }
    match manifest.format {
        Format::Objects => objects(&mut text, manifest),
        Format::Custom | Format::Directory | Format::Plain => whole(&mut text, manifest),
    }
    database_settings(&mut text, manifest);
    line(&mut text, "vacuumdb --analyze-only -d \"$DB\"");
    text
}

/// Definitions and rows as objects of their own.
fn objects(text: &mut String, manifest: &Manifest) {
    let has = |kind| manifest.files.iter().any(|file| file.kind == kind);
    let schema = archive(manifest, SCHEMA);
    line(text, "\n# 3. An empty database and its definitions");
    line(text, &create(manifest));
    line(text, &format!("pg_restore --section=pre-data --exit-on-error -d \"$DB\" {schema}"));
    line(text, "\n# 4. Rows");
    let encoding = if manifest.server.encoding == "SQL_ASCII" { "SQL_ASCII" } else { "UTF8" };
    line(text, &format!("export PGCLIENTENCODING={encoding}"));
    line(text, PINNED);
    for table in &manifest.contents.tables {
        rows(text, manifest, table);
    }
    if has(FileKind::Blobs) {
        line(text, "\n# 5. Large objects");
        let blobs = archive(manifest, BLOBS);
        line(text, &format!("pg_restore --exit-on-error -d \"$DB\" {blobs}"));
    }
    positions(text, manifest);
    line(text, "\n# 7. Indexes, constraints, triggers, materialized views; statistics");
    line(text, "unset PGOPTIONS PGCLIENTENCODING");
    let list = without_needy(manifest, &schema);
    line(
        text,
        &format!("pg_restore --section=post-data --exit-on-error{list} -d \"$DB\" {schema}"),
    );
    foreign_keys(text, manifest);
}

/// Everything by `pg_dump` in one of its own formats.
fn whole(text: &mut String, manifest: &Manifest) {
    line(text, "\n# 3. An empty database");
    line(text, &create(manifest));
    line(text, "\n# 4. Everything in it");
    if manifest.format == Format::Plain {
        let dump = manifest.files.iter().find(|file| file.kind == FileKind::Dump);
        let dump = dump.expect("a set of this format has its dump");
        let unpack = match dump.plain_path().rsplit_once('.') {
            Some((_, "zst")) => "zstd -dcq",
            Some((_, "gz")) => "gzip -dc",
            _ => "cat",
        };
        let read = sealed::read(manifest, &dump.path, unpack);
        let psql = "psql -X -q -v ON_ERROR_STOP=1 -d \"$DB\"";
        line(text, &format!("{read} | {psql} -o /dev/null"));
    } else {
        let name = if manifest.format == Format::Directory { DIRECTORY } else { CUSTOM };
        let archive = archive(manifest, name);
        let list = without_needy(manifest, &archive);
        // Several at once may leave an index of a partitioned table invalid: see `partitions.rs`.
        line(
            text,
            "# JOBS=4 is faster; then look for indexes with `indisvalid = false` in `pg_index`.",
        );
        let jobs = "--jobs=\"${JOBS:-1}\"";
        line(text, &format!("pg_restore --exit-on-error {jobs}{list} -d \"$DB\" {archive}"));
        foreign_keys(text, manifest);
    }
    positions(text, manifest);
}

/// With the rows of some tables only, what needs the rows of others cannot be restored.
fn without_needy(manifest: &Manifest, archive: &str) -> String {
    match manifest.contents.scope {
        Scope::Full | Scope::Definitions => String::new(),
        Scope::Tables(_) => format!(
            " -L <(pg_restore -l {archive} | grep -v 'FK CONSTRAINT\\|MATERIALIZED VIEW DATA')"
        ),
    }
}

/// The foreign keys between those tables.
fn foreign_keys(text: &mut String, manifest: &Manifest) {
    if matches!(manifest.contents.scope, Scope::Tables(_)) {
        for statement in partial::foreign_keys(&manifest.contents.objects) {
            line(text, &psql(&statement));
        }
    }
}

/// The settings under which the rows were read, and those that the database itself has not yet.
const PINNED: &str = "export PGOPTIONS='-c search_path=pg_catalog -c DateStyle=ISO,YMD \
-c IntervalStyle=postgres -c row_security=off'";

/// Every object but this text itself, whose hash is not known while it is written.
fn check(manifest: &Manifest) -> String {
    let sums: String = manifest
        .files
        .iter()
        .fold(String::new(), |text, file| text + &format!("{}  {}\n", file.sha256, file.path));
    format!("sha256sum --check --quiet <<'SUMS'\n{sums}SUMS")
}

pub(super) fn line(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}

fn heading(manifest: &Manifest) -> String {
    let server = &manifest.server;
    format!(
        "# {RESTORE}: backup set {set} of database {database}\n\
         # PostgreSQL {version}, snapshot {time}, written by runbook {runbook}\n\
         #\n\
         # Run the commands below in this folder, top to bottom (DB=<new name> bash {RESTORE}), with the\n\
         # client programs of PostgreSQL {major} or newer, zstd, and PGHOST, PGPORT and PGUSER set.\n\n",
        set = manifest.set,
        database = shell_comment(&manifest.database),
        version = shell_comment(&server.version),
        time = server.snapshot_time,
        runbook = manifest.runbook,
        major = server.version_num / 10_000,
    )
}

/// A name in a comment cannot end its line.
pub(super) fn shell_comment(text: &str) -> String {
    text.replace(['\n', '\r'], " ")
}

/// `text` as one word of a shell.
pub(super) fn word(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// A command of `psql` that runs one statement.
fn psql(statement: &str) -> String {
    format!("psql -X -q -v ON_ERROR_STOP=1 -d \"$DB\" -c {}", word(statement))
}

fn create(manifest: &Manifest) -> String {
    let server = &manifest.server;
    let mut command = format!(
        "createdb --template=template0 --encoding={} --lc-collate={} --lc-ctype={}",
        word(&server.encoding),
        word(&server.collate),
        word(&server.ctype)
    );
    if let (Some(locale), "icu") = (&server.locale, server.locale_provider.as_str()) {
        let _ = write!(command, " --locale-provider=icu --icu-locale={}", word(locale));
    }
    command + " \"$DB\""
}

fn rows(text: &mut String, manifest: &Manifest, table: &Table) {
    if table.data == TableData::None {
        return;
    }
    let name = sql::qualified(&table.schema, &table.name);
    let columns = sql::identifiers(table.columns.iter().map(String::as_str));
    let columns = if columns.is_empty() { columns } else { format!(" ({columns})") };
    for part in &table.parts {
        let copy = psql(&format!("COPY {name}{columns} FROM STDIN"));
        let read = sealed::read(manifest, &part.file, "zstd -dcq");
        line(text, &format!("{read} | {copy}"));
    }
}

fn positions(text: &mut String, manifest: &Manifest) {
    if manifest.contents.sequences.is_empty() {
        return;
    }
    line(text, "\n# 6. Positions of sequences");
    for sequence in &manifest.contents.sequences {
        let name = sql::literal(&sql::qualified(&sequence.schema, &sequence.name));
        let (value, is_called) = (sequence.last_value, sequence.is_called);
        line(text, &psql(&format!("SELECT pg_catalog.setval({name}, {value}, {is_called})")));
    }
}

fn database_settings(text: &mut String, manifest: &Manifest) {
    let statements: Vec<String> = settings::settings(&manifest.contents.objects)
        .iter()
        .map(|setting| setting.statement(":\"db\""))
        .collect();
    if statements.is_empty() {
        return;
    }
    line(text, "\n# 8. Settings of the database");
    for statement in statements {
        let command = word(&statement);
        line(
            text,
            &format!("psql -X -q -v ON_ERROR_STOP=1 -v db=\"$DB\" -d \"$DB\" <<< {command}"),
        );
    }
}
