//! The codes of the steps: `RB05xx` PostgreSQL, `RB06xx` stores and files, `RB07xx` HTTP, messages,
//! commands and people.

mod application;
mod aws;
mod fencing;
mod moment;
mod names;
mod rds;
mod rows;
mod standby;
mod table;

use model::codes::CodeInfo;

/// Every code of this crate, by family; in order within each.
pub const ALL: &[&[CodeInfo]] = &[
    CODES,
    table::CODES,
    rows::CODES,
    moment::CODES,
    fencing::CODES,
    standby::CODES,
    application::CODES,
    aws::CODES,
    names::CODES,
    rds::CODES,
];

const CODES: &[CodeInfo] = &[
    CodeInfo::new(
        "RB0500",
        "a connection cannot be resolved",
        "A part of the connection (URL, port, `sslmode`) is not what libpq understands.",
        "connections: {prod: {url: \"postgresql://db:port/lms\"}}",
    ),
    CodeInfo::new(
        "RB0501",
        "the server cannot be reached",
        "No connection could be made. Nothing was done. Check that the server runs, and host, port and network.",
        "connections: {prod: {host: no-such-host}}",
    ),
    CodeInfo::new(
        "RB0502",
        "the server refuses the login",
        "Check the role, the password and `pg_hba.conf`.",
        "connections: {prod: {user: nobody}}",
    ),
    CodeInfo::new(
        "RB0503",
        "there is no such database",
        "Check the connection's `dbname`.",
        "connections: {prod: {dbname: lsm}}",
    ),
    CodeInfo::new(
        "RB0504",
        "the server takes no connection now",
        "It is starting, stopping, or has no free connection. Nothing was done.",
        "psql: FATAL: sorry, too many clients already",
    ),
    CodeInfo::new(
        "RB0505",
        "the connection was lost",
        "A statement was on its way, so it may have happened. What wrote is observed before anything else.",
        "the server was restarted while `pg.query` wrote",
    ),
    CodeInfo::new(
        "RB0506",
        "the transaction collided with another",
        "A serialization failure or a deadlock: nothing was applied, another attempt may pass.",
        "SQLSTATE 40001",
    ),
    CodeInfo::new(
        "RB0507",
        "the server lacks resources",
        "Disk, memory or locks ran out on the server, or its storage failed.",
        "SQLSTATE 53100",
    ),
    CodeInfo::new(
        "RB0508",
        "a lock was not granted in time",
        "Another session holds it, or waits for it before us: the message names the tables and the \
         server processes where they can be read. See `pg_locks`, or raise `lock_timeout`.",
        "SQLSTATE 55P03",
    ),
    CodeInfo::new(
        "RB0509",
        "the role lacks a privilege",
        "Grant what the message names. A backup role needs `pg_read_all_data` and `BYPASSRLS`, and \
         SELECT on each large object, which `pg_read_all_data` need not cover; a superuser needs \
         nothing more.",
        "SQLSTATE 42501",
    ),
    CodeInfo::new(
        "RB0510",
        "the server refuses a statement",
        "The message is the server's, with its SQLSTATE. Nothing was applied.",
        "with: {connection: prod, sql: selekt 1}",
    ),
    CodeInfo::new(
        "RB0511",
        "a statement was cancelled on the server",
        "Somebody else, or a `statement_timeout`, cancelled it. Nothing was applied.",
        "SQLSTATE 57014",
    ),
    CodeInfo::new(
        "RB0512",
        "no TLS connection could be made",
        "Check `sslmode`, `sslrootcert` and the server's certificate.",
        "connections: {prod: {sslmode: verify-full}}",
    ),
    CodeInfo::new(
        "RB0513",
        "the password file could not be written",
        "Programs of PostgreSQL get the password through a private file in the step's scratch folder. Check its disk.",
        "a full disk under the state folder",
    ),
    CodeInfo::new(
        "RB0514",
        "a client program is missing its version or is too old",
        "PostgreSQL's programs may not be older than the server.",
        "pg_dump 13 against a server 15",
    ),
    CodeInfo::new(
        "RB0515",
        "rows could not be compressed",
        "The compressor failed while a table was dumped.",
        "memory ran out on this machine",
    ),
    CodeInfo::new(
        "RB0516",
        "an object could not be staged",
        "A restore writes some objects to its scratch folder first. Check its disk.",
        "a full disk under the state folder",
    ),
    CodeInfo::new(
        "RB0517",
        "a client program failed",
        "Its exit status was not 0, or its output broke off. The step's log holds all it printed.",
        "pg_dump: error: query failed",
    ),
    CodeInfo::new(
        "RB0518",
        "the connection goes through a transaction pooler",
        "Snapshots and locks do not survive a pooler. Use the direct address of the server.",
        "connections: {prod: {port: 6432}}",
    ),
    CodeInfo::new(
        "RB0519",
        "rows were counted twice with two results",
        "What was copied differs from what was counted. An index or a table may be corrupt: check with `pg_amcheck`.",
        "`public.orders`: 41999 rows were copied, SQL counts 42000",
    ),
    CodeInfo::new(
        "RB0520",
        "the target database exists",
        "A restore never touches an existing database. Choose another name.",
        "with: {connection: target, database: lms}",
    ),
    CodeInfo::new(
        "RB0521",
        "there is no such table",
        "A table that the input names does not exist, or holds no rows of its own.",
        "with: {tables: [no_such_table]}",
    ),
    CodeInfo::new(
        "RB0522",
        "a copy differs from its manifest",
        "Each difference is named by object. The set is not proven; do not rely on it.",
        "table `public.orders`: 41999 rows, the manifest says 42000",
    ),
    CodeInfo::new(
        "RB0523",
        "this is not the place that was meant",
        "The server is not the expected one.",
        "with: {connection: prod, expect: {primary: true}}",
    ),
    CodeInfo::new(
        "RB0524",
        "the scratch connection is protected",
        "A scratch database is made and dropped again, which a protected connection never allows. Name another connection, one that says `protected: false`.",
        "with: {store: backups, database: lms, scratch: prod}",
    ),
    CodeInfo::new(
        "RB0525",
        "the servers are not primary and standby of one cluster",
        "Check the connections: a standby is in recovery, its primary is not, and both have one \
         system identifier.",
        "with: {connection: prod, primary: standby}",
    ),
    CodeInfo::new(
        "RB0526",
        "a standby is too far behind",
        "See `pg_stat_replication` on the primary and the standby's log. Give it time with `wait`, \
         or decide how much may be lost and raise `max_bytes` or `max_lag`.",
        "with: {connection: standby, max_bytes: 0B}",
    ),
    CodeInfo::new(
        "RB0550",
        "parameters and placeholders differ in number",
        "A query has as many `params` as it has `$1`, `$2` ...",
        "with: {sql: select $1, params: []}",
    ),
    CodeInfo::new(
        "RB0551",
        "two columns of one name",
        "Rows are mappings by column name. Rename one with `AS`.",
        "with: {sql: \"select 1 as a, 2 as a\"}",
    ),
    CodeInfo::new(
        "RB0555",
        "an assertion does not hold",
        "The message says what was expected and what was found.",
        "with: {query: select count(*) from users, expect: {min: 1}}",
    ),
    CodeInfo::new(
        "RB0560",
        "the database exists already",
        "And this step of this run did not make it. Choose another name, or drop it first.",
        "uses: pg.create_database",
    ),
    CodeInfo::new(
        "RB0561",
        "a database vanished after it was made",
        "Somebody dropped it. See the server's log.",
        "uses: pg.create_database",
    ),
    CodeInfo::new(
        "RB0562",
        "there is no database to drop",
        "Set `if_exists: true` when that is fine.",
        "uses: pg.drop_database",
    ),
    CodeInfo::new(
        "RB0563",
        "a protected connection keeps its databases",
        "Repeat the name in `confirm`, or declare the connection scratch with `protected: false`.",
        "uses: pg.drop_database",
    ),
    CodeInfo::new(
        "RB0570",
        "a server was not ready in time",
        "The error says what was missing last. Nothing was changed.",
        "with: {connection: prod, writable: true, timeout: 1s}",
    ),
    CodeInfo::new(
        "RB0571",
        "the extension amcheck is missing",
        "A superuser runs `CREATE EXTENSION amcheck;` in that database once. It comes with PostgreSQL (`postgresql-contrib` on some systems).",
        "uses: pg.amcheck",
    ),
    CodeInfo::new(
        "RB0572",
        "a database is damaged",
        "`pg.amcheck` found what cannot be right. Stop writing to the database and keep a copy of its files before anything else. A damaged index is mended by `REINDEX`, a damaged table by a restore.",
        "uses: pg.amcheck",
    ),
    CodeInfo::new(
        "RB0573",
        "there is no such table to check",
        "Write it as `schema.table`. A view has no rows of its own that could be damaged.",
        "with: {connection: prod, tables: [public.no_such_table]}",
    ),
    CodeInfo::new(
        "RB0590",
        "a set of this format cannot be restored that way",
        "SQL text is run as it is: who owns what cannot be left out of it. Restore a set of another format, or provide the roles.",
        "with: {backup: <a set of format plain>, no_owner: true}",
    ),
    CodeInfo::new(
        "RB0591",
        "the text of the schema cannot be written",
        "The folder of `schema_file` must exist and be writable. No set was written.",
        "with: {schema_only: true, format: plain, schema_file: /no/such/folder/schema.sql}",
    ),
    CodeInfo::new(
        "RB0600",
        "the URL of a store is not valid",
        "A store is `file:///` and an absolute path, or `s3://bucket/folder`.",
        "stores: {backups: {url: backups}}",
    ),
    CodeInfo::new(
        "RB0601",
        "a path leads out of the store",
        "Paths in a store have no `..`, no part that starts with a dot, and go through no symbolic link.",
        "with: {store: backups, from: ../etc/passwd}",
    ),
    CodeInfo::new(
        "RB0602",
        "there is no such object in the store",
        "Check the path and the store's `url`.",
        "with: {store: backups, from: missing}",
    ),
    CodeInfo::new(
        "RB0603",
        "an object is never overwritten",
        "Something else has that path already.",
        "uses: store.put",
    ),
    CodeInfo::new("RB0604", "the store is full", "Free space, then resume.", "a full disk"),
    CodeInfo::new(
        "RB0605",
        "the store refuses access",
        "Let the account that runs `runbook` read and write it.",
        "a store of another user",
    ),
    CodeInfo::new(
        "RB0606",
        "a small object is not small",
        "A manifest or a proof is larger than any can be: it is damaged or not ours.",
        "a manifest of 1 GB",
    ),
    CodeInfo::new(
        "RB0607",
        "the store failed",
        "The system's error is among the causes. Another attempt may pass.",
        "an input/output error",
    ),
    CodeInfo::new(
        "RB0610",
        "no backup set fits",
        "No set of that database, id or time is in the store. `runbook backups list` shows what there is.",
        "with: {backup: latest}",
    ),
    CodeInfo::new(
        "RB0611",
        "no fitting set is proven",
        "There are sets, and none is proven. Prove one with `pg.verify_backup`, or name one by its id.",
        "with: {backup: latest}",
    ),
    CodeInfo::new(
        "RB0612",
        "a manifest is not one of this set",
        "It does not read, or belongs to another set or database.",
        "a manifest copied from elsewhere",
    ),
    CodeInfo::new(
        "RB0613",
        "an object of a set is damaged",
        "Its bytes are not those that the manifest names. Use another set.",
        "a flipped bit",
    ),
    CodeInfo::new(
        "RB0614",
        "an object of a set is missing",
        "The manifest names it and the store has it not. Use another set.",
        "a deleted object",
    ),
    CodeInfo::new(
        "RB0615",
        "a set that is not of the whole database",
        "`pg.restore` was given the id of a set of some tables, or of definitions. Restored, it would \
         pass for the database. Name another set, or say `partial: true`.",
        "{uses: pg.restore, with: {backup: 20261120T020000Z-7k3m9q2x5w8r1t4v, database: copy}}",
    ),
    CodeInfo::new(
        "RB0640",
        "a recipient of age is none",
        "`age-keygen -y` prints the recipient of an identity: `age1...`.",
        "stores: {backups: {encrypt: {age: [\"{{ params.key }}\"]}}}",
    ),
    CodeInfo::new(
        "RB0641",
        "there is no key for what is encrypted",
        "Nothing was done. The message names the recipients: give the key of one of them, for a set under `decrypt` of the store.",
        "stores: {backups: {url: ..., encrypt: {age: [age1...]}}}",
    ),
    CodeInfo::new(
        "RB0642",
        "the key does not fit",
        "Nothing was done. What is encrypted was encrypted for others, or the passphrase is wrong.",
        "decrypt: {identity: \"{{ secrets.another_key }}\"}",
    ),
    CodeInfo::new(
        "RB0643",
        "`gpg` could not encrypt",
        "Most often it does not have the public key of a recipient: import it into the keyring.",
        "encrypt: {gpg: [nobody@example.org]}",
    ),
    CodeInfo::new(
        "RB0645",
        "an encrypted file is damaged",
        "It was changed or cut since it was encrypted. Nothing was written.",
        "uses: file.decrypt",
    ),
    CodeInfo::new(
        "RB0650",
        "a local file cannot be read",
        "Check the path and its permissions.",
        "with: {path: /no/such/file}",
    ),
    CodeInfo::new(
        "RB0651",
        "a path is not that of a file",
        "It names no file, or its folder cannot be named.",
        "with: {to: /}",
    ),
    CodeInfo::new(
        "RB0652",
        "a file is not the expected one",
        "Both checksums are in the message.",
        "uses: file.checksum",
    ),
    CodeInfo::new(
        "RB0661",
        "more sets would go than allowed",
        "Nothing was removed. Look at the reasons in the step's log; then raise `max_delete` or mend the policy.",
        "with: {max_delete: 2}",
    ),
    CodeInfo::new(
        "RB0662",
        "pruning stopped half-way",
        "What is gone is gone; the next attempt judges afresh and removes the rest.",
        "a run cancelled while it pruned",
    ),
    CodeInfo::new(
        "RB0680",
        "the backups of a store are not what is asked for",
        "The error names every check that does not hold, and what was found.",
        "with: {store: backups, max_age: 25h}",
    ),
    CodeInfo::new(
        "RB0681",
        "an object of a set is damaged",
        "It has not the SHA-256 of the set's manifest, so it was not copied. Copy another set, and prove this one to see what is wrong with it.",
        "uses: store.copy",
    ),
    CodeInfo::new(
        "RB0682",
        "something else is where a copy goes",
        "Objects are never overwritten. See who wrote it, and remove it when it is of no use.",
        "uses: store.copy",
    ),
    CodeInfo::new(
        "RB0683",
        "a copy of a set is damaged",
        "It was whole once, and an object of it is missing or cut. Remove it, and copy the set again.",
        "uses: store.copy",
    ),
    CodeInfo::new(
        "RB0701",
        "a server cannot be reached",
        "Nothing was sent. Check the address, the name service and the network.",
        "uses: http.check",
    ),
    CodeInfo::new(
        "RB0702",
        "a request cannot be made",
        "The URL or a header is not valid.",
        "with: {url: hooks/T000}",
    ),
    CodeInfo::new(
        "RB0703",
        "no answer came",
        "The request may have been worked on. A message is then `delivered: unknown`.",
        "a server that dies while it answers",
    ),
    CodeInfo::new(
        "RB0704",
        "a request was refused",
        "A status from 300 to 499: a wrong or revoked address. It is not sent again.",
        "a revoked Slack webhook",
    ),
    CodeInfo::new(
        "RB0705",
        "a server takes no more requests now",
        "Status 429, or 503 with `Retry-After`. The step waits as asked, at most 30 s, and may be retried.",
        "HTTP 429",
    ),
    CodeInfo::new(
        "RB0706",
        "the answer is not Slack's",
        "Only status 200 with the body `ok` confirms a message.",
        "with: {webhook: \"https://example.com\"}",
    ),
    CodeInfo::new(
        "RB0707",
        "an answer is not as expected",
        "The message names what was expected and what was found.",
        "with: {expect: {status: [200]}}",
    ),
    CodeInfo::new(
        "RB0708",
        "the HTTP client could not be set up",
        "TLS could not be initialised on this machine. See the causes.",
        "no usable root certificates",
    ),
    CodeInfo::new(
        "RB0720",
        "a command failed",
        "Its exit status is not one of `exit_codes`. The step's log has its output.",
        "with: {argv: [\"false\"]}",
    ),
    CodeInfo::new(
        "RB0721",
        "a command was killed",
        "It was ended by a signal, so nobody knows what it had done, unless the step is `idempotent`.",
        "kill -9 of the command",
    ),
    CodeInfo::new(
        "RB0722",
        "a command was stopped before its end",
        "The run was cancelled or a timeout passed while it worked.",
        "runbook cancel",
    ),
    CodeInfo::new(
        "RB0740",
        "nobody can be asked here",
        "An approval is asked for by the run itself. Answer with `runbook approve`, then `runbook resume`.",
        "uses: human.approve",
    ),
    CodeInfo::new(
        "RB0741",
        "a server failed on a request",
        "It answered with a status from 500 on, so it may have carried the request out or not.",
        "HTTP/1.1 502 Bad Gateway",
    ),
    CodeInfo::new(
        "RB0742",
        "an answer lacks a value that is captured",
        "The request was carried out, and its answer is not what `capture` expects.",
        "with: {method: POST, capture: {id: /no/such/field}}",
    ),
    CodeInfo::new(
        "RB0750",
        "a folder is not a work tree of Git",
        "Clone the repository there. Git refuses a work tree that belongs to another account.",
        "with: {repository: /srv/no-clone}",
    ),
    CodeInfo::new(
        "RB0751",
        "git refused",
        "The causes are what it said. Nothing was committed.",
        "uses: git.commit",
    ),
    CodeInfo::new(
        "RB0752",
        "another branch is checked out",
        "A commit goes to the branch that is checked out, so the step refuses any other than `branch`, and none at all.",
        "with: {branch: schema-snapshots}",
    ),
    CodeInfo::new(
        "RB0753",
        "a push failed",
        "The commit is in the work tree, and the remote does not have it. A push that would lose commits of others is refused: bring the work tree up to date, and run again.",
        "! [rejected] (fetch first)",
    ),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use engine::files;

    use super::*;

    fn used_in(folder: &Path, used: &mut BTreeSet<String>) {
        for name in files::list(folder).unwrap() {
            let path = folder.join(&name);
            if files::facts(&path).unwrap().is_dir() {
                used_in(&path, used);
            } else if name != "codes.rs" {
                let text = files::read_text(&path).unwrap();
                let codes =
                    text.match_indices("\"RB0").filter_map(|(at, _)| text.get(at + 1..at + 7));
                used.extend(codes.map(str::to_owned));
            }
        }
    }

    #[test]
    fn every_code_in_the_sources_has_an_entry_and_every_entry_is_used() {
        let mut used = BTreeSet::new();
        used_in(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut used);
        // `RB04xx` are the engine's; steps only compare with them.
        used.retain(|code| !code.starts_with("RB04"));
        let listed = ALL.iter().copied().flatten();
        let listed: BTreeSet<_> = listed.map(|info| info.code.to_owned()).collect();
        assert_eq!(used, listed);
    }

    #[test]
    fn codes_are_unique_and_in_order() {
        let in_order =
            |family: &&[CodeInfo]| family.windows(2).all(|pair| pair[0].code < pair[1].code);
        assert!(ALL.iter().all(in_order));
        let all: Vec<_> = ALL.iter().copied().flatten().map(|info| info.code).collect();
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
    }
}
