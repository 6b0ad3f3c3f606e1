//! Restoring rows: `RB0540` to `RB0549`, `RB0664` to `RB0669`.

use model::codes::CodeInfo;

pub(super) const CODES: &[CodeInfo] = &[
    CodeInfo::new(
        "RB0540",
        "the rows cannot be chosen like that",
        "`where` is one SQL expression that is true or false for a row, with one of `params` for each `$1`, `$2` ...; `keys` have a value for each column of the table's key. Nothing was read.",
        "with: {where: \"true; delete from users\"}",
    ),
    CodeInfo::new(
        "RB0541",
        "no row is as asked for",
        "The predicate is true for no row, or there is no row with one of the keys. An empty bundle is never written, because bringing it back would look like a success.",
        "with: {where: \"id = 4711\"} on a copy that has no such row",
    ),
    CodeInfo::new(
        "RB0542",
        "more rows belong together than `max_rows` allows",
        "The chosen rows, those that hang on them and those that they need are more than expected. See the counts per table: choose fewer rows, leave tables out with `exclude`, say `children: false`, or raise `max_rows`.",
        "with: {where: \"true\", max_rows: 1000}",
    ),
    CodeInfo::new(
        "RB0543",
        "rows of the table cannot be told apart",
        "Rows are compared and brought back by their key. The table has neither a primary key nor a unique key whose columns are all `NOT NULL`.",
        "create table logins (who int references users, at timestamptz)",
    ),
    CodeInfo::new(
        "RB0544",
        "a bundle of rows cannot be written or read",
        "The folder is missing, is not private, holds the bundle of another run, or its files are not what `rows.json` says.",
        "with: {from: /var/backups/rows/none}",
    ),
    CodeInfo::new(
        "RB0545",
        "the target's tables are not those the rows come from",
        "A table or a column is missing, a column became generated or has another type, a column was added that needs a value, or the key is another one. Nothing was changed. Bring the rows into a copy of the older schema, migrate it, and extract them again.",
        "alter table users add column tenant int not null",
    ),
    CodeInfo::new(
        "RB0546",
        "a row is there already, and differs",
        "A row of the bundle has the key of a row in the target with other contents: it was changed since, or the key was used again. Nothing was changed. Say `on_conflict: skip` to keep the target's row, or `overwrite_if_unchanged_since`.",
        "on_conflict: fail, and somebody registered again under the old id",
    ),
    CodeInfo::new(
        "RB0547",
        "a row would hang on another parent than it had",
        "The row that rows of the bundle reference is in the target, with the same key and other contents: a key that was used again, or the same row changed since. Nothing was changed. See which columns differ; when it is the right parent all the same, say `parents: attach`.",
        "orders of customer 7, and customer 7 is somebody else now",
    ),
    CodeInfo::new(
        "RB0548",
        "what was written is not what the bundle says",
        "A trigger, a rule or a default of the target changed a row while it was written. Everything was rolled back. Say `triggers: disable` when the rows are to come back as they were.",
        "a trigger that sets `updated_at` to now",
    ),
    CodeInfo::new(
        "RB0549",
        "the target refuses a row",
        "A constraint of the target does not admit a row: a unique key that another row has now, a reference to a row that is not there, a check. Everything was rolled back.",
        "the e-mail address of a deleted user was registered again",
    ),
    CodeInfo::new(
        "RB0664",
        "rows were changed since they were brought back",
        "The undo takes back only what is still as the restore left it. Everything was left as it is. See the rows; `on_conflict: skip` takes back the others and leaves these.",
        "a restored order was shipped meanwhile",
    ),
];
