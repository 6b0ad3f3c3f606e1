//! Applications, masks and managed services: `RB0760` to `RB0789`.

use model::codes::CodeInfo;

pub(super) const CODES: &[CodeInfo] = &[
    CodeInfo::new(
        "RB0760",
        "a file of SQL cannot be run",
        "Nothing was sent. The message says what is wrong with the file: no path, no statement, a \
         statement that ends the transaction, or permissions that let anybody change it.",
        "with: {connection: prod, file: /srv/erasures.sql, read_only: false}",
    ),
    CodeInfo::new(
        "RB0761",
        "a program was not started in a container",
        "`docker` says why: the container is gone or paused, it has no such program, or the engine \
         does not answer. Nothing was run.",
        "uses: docker.exec",
    ),
    CodeInfo::new(
        "RB0762",
        "docker lost a program on the way",
        "The connection to the engine broke, so the program may have run to its end, in part, or \
         still run in the container. Look there; then `runbook resolve`.",
        "uses: docker.exec",
    ),
    CodeInfo::new(
        "RB0763",
        "a database is not masked because it may be production's",
        "The connection is protected, or its server is the one that `not_system_identifier` names. \
         Masks are for copies. Nothing was changed.",
        "uses: pg.mask",
    ),
    CodeInfo::new(
        "RB0764",
        "a column cannot be masked",
        "There is no such table or column, it is generated, or its mask is not one expression. \
         Nothing was changed.",
        "with: {columns: [{table: lms.users, column: e_mail, with: \"null\"}]}",
    ),
    CodeInfo::new(
        "RB0765",
        "a required column has no mask",
        "`require` names columns by pattern. Give each of them a mask, or name it under `keep` when \
         it holds nothing of a person. Nothing was changed.",
        "with: {require: [\"*.email\"]}",
    ),
    CodeInfo::new(
        "RB0766",
        "a mask leaves old values",
        "Some rows would keep the value they had, or a value of another row is found again. \
         Nothing was changed.",
        "with: {columns: [{table: lms.users, column: email, with: lower(email)}]}",
    ),
    CodeInfo::new(
        "RB0767",
        "the values are masked and the files are not rewritten",
        "The masks are committed; dead rows and statistics may still hold old values. Resume: the \
         tables are rewritten then, and nothing is masked twice.",
        "uses: pg.mask",
    ),
    CodeInfo::new(
        "RB0768",
        "a Supabase project cannot be restored to that moment",
        "It is not up, has no point-in-time recovery, or the moment is outside of its reach; the \
         message says from when to when that is. Nothing was asked for.",
        "uses: supabase.restore_pitr",
    ),
    CodeInfo::new(
        "RB0769",
        "the end of a Supabase restore is unknown",
        "The request may have been carried out. It is never sent again by itself: the project's \
         status and the mark in its database are looked at. Look at Supabase's dashboard; then \
         `runbook resolve`.",
        "uses: supabase.restore_pitr",
    ),
    CodeInfo::new(
        "RB0770",
        "a Supabase restore failed",
        "The project's status says so. Ask Supabase's support; the backup set that was taken before \
         is in your own store.",
        "uses: supabase.restore_pitr",
    ),
];
