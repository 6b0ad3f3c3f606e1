//! `pg.mask` on a real server: what is masked, what stays as it was, and where old values hide.

use std::fs;

use engine::step::Observation;
use lab::wire::{Cut, Wire};
use model::step_error::{ErrorClass, StepError};
use serde_json::{Value, json};
use shown::case;

use crate::common::{Lab, attempt, host, observe, refusal, run};

/// People with addresses, and everything that would keep or copy them.
const SAMPLE: &str = r#"
create schema lms;
create table lms.users (id int primary key, email varchar(80) unique, phone text, born date,
  note jsonb default '{}', mail_domain text generated always as (split_part(email, '@', 2)) stored);
insert into lms.users (id, email, phone, born, note)
  select n, 'person' || n || '@mail.example', case when n % 3 > 0 then '+49 30 ' || n end,
    '1980-01-01'::date + n, jsonb_build_object('of', n) from generate_series(1, 60) n;
create table lms.audit (was text);
create function lms.audit() returns trigger language plpgsql as
  'begin insert into lms.audit values (old.email); return new; end';
create trigger keeps_old after update on lms.users for each row execute function lms.audit();
create trigger always_on after update on lms.users for each row execute function lms.audit();
alter table lms.users enable always trigger always_on;
create trigger was_off after update on lms.users for each row execute function lms.audit();
alter table lms.users disable trigger was_off;
create rule copies as on update to lms.users do also insert into lms.audit values (old.phone);
create materialized view lms.mails as select email from lms.users;
create materialized view lms.mail_count as select count(distinct email) as n from lms.mails;
create table lms.logins (email varchar(80) references lms.users (email) on update cascade
  deferrable initially deferred);
insert into lms.logins select email from lms.users where id < 10;
create table lms."Old Users" (mail text, at int) partition by range (at);
create table lms.old_1 partition of lms."Old Users" for values from (0) to (10);
create table lms.old_2 partition of lms."Old Users" for values from (10) to (20);
create trigger keeps_old after update on lms.old_1 for each row execute function lms.audit();
insert into lms."Old Users" select 'old' || n || '@mail.example', n from generate_series(0, 19) n;
analyze;
"#;

fn lab() -> Lab {
    Lab::with(SAMPLE, false)
}

fn with() -> Value {
    json!({
        "connection": "lms",
        "columns": [
            {"table": "lms.users", "column": "email", "with": "'user' || id || '@example.invalid'"},
            {"table": "lms.users", "column": "phone", "with": "'+00' -- unreachable"},
            {"table": "lms.users", "column": "note", "with": "'{}'"},
        ],
        "rules": ["lms.\"Old Users\".mail = md5(mail)"],
        "require": ["*.email", "lms.users.*", "*mail*"],
        "keep": ["lms.users.id", "lms.users.born", "lms.logins.email"],
        "not_system_identifier": "1",
    })
}

fn changed(key: &str, value: Value) -> Value {
    let mut with = with();
    with[key] = value;
    with
}

/// Everything that could hold an old address, as text: rows, statistics, views.
fn dumped(lab: &Lab) -> String {
    let dump = lab.cluster.command("pg_dump").args(["-d", &lab.cluster.url("lms")]).output();
    let statistics =
        lab.one("select string_agg(s::text, ' ') from pg_stats s where schemaname = 'lms'");
    let views = lab.one("select string_agg(email, ' ') from lms.mails");
    format!("{}{statistics}{views}", String::from_utf8(dump.unwrap().stdout).unwrap())
}

/// The states of triggers and rules.
fn switches(lab: &Lab) -> String {
    lab.one(
        "select string_agg(of || name || state, ' ' order by of, name) from (
           select tgrelid::regclass::text of, tgname::text name, tgenabled::text state
           from pg_trigger where not tgisinternal
           union all select ev_class::regclass::text, rulename::text, ev_enabled::text
           from pg_rewrite where rulename = 'copies') them",
    )
}

/// The files of a table hold a text.
fn files_hold(lab: &Lab, table: &str, text: &str) -> bool {
    lab.cluster.execute("lms", "checkpoint").unwrap();
    let path = lab.one(&format!("select pg_relation_filepath('{table}')"));
    let directory = lab.one("show data_directory");
    let bytes = fs::read(std::path::Path::new(&directory).join(path)).unwrap();
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

#[tokio::test]
async fn old_values_are_gone_from_rows_views_keys_statistics_and_files() {
    let lab = lab();
    let (before, ctx) = (switches(&lab), lab.attempt(1));
    assert!(files_hold(&lab, "lms.users", "person7@mail.example"));
    assert_eq!(observe("pg.mask", &with(), &ctx).await, Observation::NotDone);
    let output = run("pg.mask", &with(), &ctx).await.unwrap();
    assert_eq!(
        output,
        json!({
            "columns": [
                {"column": "lms.users.email", "rows": 60, "constant": false},
                {"column": "lms.users.phone", "rows": 40, "constant": true},
                {"column": "lms.users.note", "rows": 60, "constant": true},
                {"column": "lms.Old Users.mail", "rows": 20, "constant": false},
            ],
            "rows": 80,
            "changed": ["lms.\"Old Users\"", "lms.logins", "lms.old_1", "lms.old_2", "lms.users"],
            "refreshed": ["lms.mails", "lms.mail_count"],
            "triggers": 4,
            "rewritten": true,
        })
    );
    let dumped = dumped(&lab);
    for old in ["mail.example", "+49", "\"of\""] {
        let left: Vec<_> = dumped.lines().filter(|line| line.contains(old)).collect();
        assert_eq!(left, Vec::<&str>::new(), "{old}");
    }
    assert_eq!(switches(&lab), before, "triggers are as they were");
    assert_eq!(lab.one("select count(*) from lms.audit"), "0");
    assert_eq!(lab.one("select count(*) from lms.users where phone is null"), "20");
    assert_eq!(lab.one("select count(*) from lms.logins natural join lms.users"), "9");
    for table in ["lms.users", "lms.logins", "lms.old_1", "lms.old_2", "lms.mails"] {
        assert!(!files_hold(&lab, table, "mail.example"), "the files of {table} hold old values");
    }
    assert_eq!(observe("pg.mask", &with(), &ctx).await, Observation::Done(output));
}

#[tokio::test]
async fn without_a_rewrite_the_statistics_are_made_anew_and_the_files_are_not() {
    let lab = lab();
    let output = run("pg.mask", &changed("rewrite", json!(false)), &lab.attempt(1)).await.unwrap();
    assert_eq!(output["rewritten"], false);
    assert!(!dumped(&lab).contains("mail.example"));
    assert!(files_hold(&lab, "lms.users", "mail.example"), "so the default is a rewrite");
}

#[tokio::test]
async fn triggers_fire_when_the_plan_says_so() {
    let lab = lab();
    let mut with = mask("phone", "'+00'");
    with["triggers"] = json!("fire");
    let output = run("pg.mask", &with, &lab.attempt(1)).await;
    assert_eq!(output.unwrap()["triggers"], 0);
    assert!(lab.one("select count(*) from lms.audit").parse::<u32>().unwrap() > 0);
}

async fn refused(lab: &Lab, with: &Value) -> StepError {
    let before = lab.one("select md5(string_agg(u::text, ',' order by id)) from lms.users u");
    let error = run("pg.mask", with, &lab.attempt(1)).await.unwrap_err();
    let after = lab.one("select md5(string_agg(u::text, ',' order by id)) from lms.users u");
    assert_eq!(before, after, "nothing was changed");
    error
}

fn mask(column: &str, with: &str) -> Value {
    json!({"connection": "lms",
           "columns": [{"table": "lms.users", "column": column, "with": with}]})
}

#[tokio::test]
async fn what_cannot_be_masked_is_refused_by_name() {
    let lab = lab();
    for (column, with, code, why) in [
        (
            "e_mail",
            "null",
            "RB0764",
            "`lms.users.e_mail` cannot be masked: there is no such column",
        ),
        ("mail_domain", "null", "RB0764", "it is generated"),
        ("email", "md5(id || $1)", "RB0764", "is not one expression"),
        ("email", "nobody", "RB0510", "the mask of `lms.users.email`: column \"nobody\""),
        ("born", "'yesterday night'", "RB0510", "invalid input syntax for type date"),
        ("email", "repeat('x', 90)", "RB0510", "mask `lms.users`: value too long"),
        ("email", "'same'", "RB0510", "duplicate key value violates unique constraint"),
        ("email", "(select phone from lms.users)", "RB0510", "more than one row"),
        ("email", "lower(email)", "RB0766", "leaves old values in 60 of 60 rows"),
        ("email", "case when id = 7 then email else 'user' || id end", "RB0766", "1 of 60"),
        ("phone", "'+49 30 ' || (61 - id)", "RB0766", "leaves old values in 20 of 40 rows"),
    ] {
        let error = refused(&lab, &mask(column, with)).await;
        assert_eq!((error.code.as_str(), error.class), (code, ErrorClass::Permanent), "{error}");
        assert!(error.message.contains(why), "{with}: {}", error.message);
    }
    let unknown = json!({"connection": "lms", "rules": ["lms.nobody.email = null"]});
    case("RB0764", refused(&lab, &unknown).await.told());
    case("RB0766", refused(&lab, &mask("email", "lower(email)")).await.told());
    // A shuffle is a mask when the plan says so.
    let mut shuffle = mask("phone", "'+49 30 ' || (61 - id)");
    shuffle["columns"][0]["allow_unchanged"] = json!(true);
    run("pg.mask", &shuffle, &lab.attempt(2)).await.unwrap();
}

#[test]
fn an_expression_cannot_leave_its_column() {
    for with in ["null; drop table lms.users", "null) where (true", "null), email = (phone"] {
        let refused = refusal("pg.mask", &mask("phone", with));
        assert!(refused.contains("is not one SQL expression"), "{refused}");
    }
}

#[tokio::test]
async fn an_assignment_in_an_expression_is_no_expression() {
    let lab = lab();
    let error = refused(&lab, &mask("phone", "null, email = phone")).await;
    assert_eq!(error.code, "RB0510", "a row is no text: {}", error.message);
    let row = refused(&lab, &mask("phone", "null, 'x'")).await;
    assert_eq!(row.code, "RB0510", "{}", row.message);
}

#[tokio::test]
async fn a_new_column_that_a_pattern_names_stops_the_mask() {
    let lab = lab();
    lab.cluster.execute("lms", "alter table lms.users add work_email text").unwrap();
    let error = refused(&lab, &with()).await;
    assert_eq!(error.code, "RB0765");
    assert!(error.message.ends_with("without a mask: `lms.users.work_email`"), "{}", error.message);
    case("RB0765", error.told());
}

#[tokio::test]
async fn production_is_not_masked() {
    let lab = lab();
    let identifier = lab.one("select system_identifier::text from pg_control_system()");
    let error = refused(&lab, &changed("not_system_identifier", json!(identifier))).await;
    assert_eq!(error.code, "RB0763");
    assert!(error.message.ends_with("it is production's"), "{}", error.message);
    let protected = attempt(&host(&lab.cluster.url("lms"), true), 1);
    let error = run("pg.mask", &with(), &protected).await.unwrap_err();
    case("RB0763", error.told());
    // A role that is not told who the server is.
    let sql = "revoke execute on function pg_control_system() from public;
        create role masker login password 'm' ; grant all on schema lms to masker;
        alter table lms.users owner to masker";
    lab.cluster.execute("lms", sql).unwrap();
    let url = lab.cluster.url("lms").replace("postgres:", "masker:");
    let url = url.replace(&format!(":{}@", lab.cluster.password()), ":m@");
    let ctx = attempt(&host(&url, false), 1);
    let error = run("pg.mask", &with(), &ctx).await.unwrap_err();
    assert_eq!((error.code.as_str(), error.class), ("RB0763", ErrorClass::NeedsOperator));
}

/// A policy hides rows from the role that masks: no row may stay as it was, unseen.
#[tokio::test]
async fn rows_that_a_policy_hides_are_an_error_and_not_left_out() {
    let lab = lab();
    let sql = "create role masker login password 'm'; grant all on schema lms to masker;
        grant all on all tables in schema lms to masker; alter table lms.users enable row level security;
        create policy half on lms.users using (id % 2 = 0)";
    lab.cluster.execute("lms", sql).unwrap();
    let url = lab.cluster.url("lms").replace("postgres:", "masker:");
    let url = url.replace(&format!(":{}@", lab.cluster.password()), ":m@");
    let with =
        json!({"connection": "lms", "rules": ["lms.users.phone = '+00'"], "triggers": "fire"});
    let error = run("pg.mask", &with, &attempt(&host(&url, false), 1)).await.unwrap_err();
    assert!(error.message.contains("row-level security"), "{}", error.message);
}

#[tokio::test]
async fn after_a_lost_commit_the_masks_are_known_to_be_in_place_and_not_put_twice() {
    for (cut, rows) in [(Cut::After, "60"), (Cut::Before, "0")] {
        let lab = lab();
        let wire = Wire::to(lab.cluster.port()).unwrap();
        wire.cut_at("COMMIT", cut);
        let host = host(&lab.url_by(wire.port()), false);
        let ctx = attempt(&host, 1);
        let error = run("pg.mask", &with(), &ctx).await.unwrap_err();
        assert_eq!((error.code.as_str(), error.class), ("RB0505", ErrorClass::Ambiguous));
        wire.mend();
        let masked = "select count(*) from lms.users where email like '%@example.invalid'";
        // Committed or not: the files are not rewritten yet, so there is something left to do.
        assert_eq!(observe("pg.mask", &with(), &ctx).await, Observation::NotDone);
        assert_eq!(lab.one(masked), rows);
        let old = "select mail from lms.\"Old Users\" where at = 7";
        let once = lab.one(old);
        let output = run("pg.mask", &with(), &attempt(&host, 2)).await.unwrap();
        assert_eq!(output["columns"][0]["rows"], 60);
        assert_eq!(lab.one(masked), "60");
        if cut == Cut::After {
            assert_eq!(lab.one(old), once, "a hash is not hashed again");
        }
        let seen = observe("pg.mask", &with(), &attempt(&host, 2)).await;
        assert_eq!(seen, Observation::Done(output));
        assert!(!files_hold(&lab, "lms.users", "mail.example"));
    }
}

#[tokio::test]
async fn a_rewrite_that_is_cut_off_is_taken_up_again() {
    let lab = lab();
    let wire = Wire::to(lab.cluster.port()).unwrap();
    wire.cut_at("VACUUM", Cut::Before);
    let host = host(&lab.url_by(wire.port()), false);
    let error = run("pg.mask", &with(), &attempt(&host, 1)).await.unwrap_err();
    assert_eq!((error.code.as_str(), error.class), ("RB0767", ErrorClass::Ambiguous));
    case("RB0767", error.told());
    wire.mend();
    let ctx = attempt(&host, 2);
    assert_eq!(observe("pg.mask", &with(), &ctx).await, Observation::NotDone);
    assert_eq!(run("pg.mask", &with(), &ctx).await.unwrap()["rewritten"], true);
    assert!(!files_hold(&lab, "lms.users", "mail.example"));
    assert!(matches!(observe("pg.mask", &with(), &ctx).await, Observation::Done(_)));
}
