//! `pg.query` with a file of statements: the list of who asked to be erased.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use engine::step::Observation;
use lab::wire::{Cut, Wire};
use model::step_error::ErrorClass;
use serde_json::{Value, json};
use shown::case;

use crate::common::{Lab, attempt, host, observe, refusal, run};

const SAMPLE: &str = "create table users (id int primary key, name text);
    insert into users select n, 'user ' || n from generate_series(1, 5) n;
    create table letters (id int, of int references users on delete cascade);
    insert into letters values (1, 1), (2, 1), (3, 4)";

const LIST: &str = "-- who asked to be erased\n\
    delete from users where id = 1;\n\
    update users set name = 'erased; 4' where id = 4;\n\n\
    /* counted; last */ select count(*) as left_over from users;\n";

fn lab() -> Lab {
    Lab::with(SAMPLE, true)
}

fn with(file: &Path) -> Value {
    json!({"connection": "lms", "file": file, "read_only": false})
}

fn users(lab: &Lab) -> String {
    lab.one("select string_agg(id || name, ',' order by id) from users")
}

const BEFORE: &str = "1user 1,2user 2,3user 3,4user 4,5user 5";
const AFTER: &str = "2user 2,3user 3,4erased; 4,5user 5";

#[tokio::test]
async fn a_list_is_played_in_one_transaction_and_its_checksum_is_recorded() {
    let lab = lab();
    let (file, ctx) = (lab.file("erasures.sql", LIST), lab.attempt(1));
    assert_eq!(observe("pg.query", &with(&file), &ctx).await, Observation::NotDone);
    let output = run("pg.query", &with(&file), &ctx).await.unwrap();
    let sum = steps::store::hex(<sha2::Sha256 as sha2::Digest>::digest(LIST));
    assert_eq!(
        output,
        json!({"rows": [{"left_over": 4}], "row_count": 3, "value": 4, "truncated": false,
               "file_sha256": sum})
    );
    let expected = json!({"path": file, "sha256": sum, "statements": 3});
    assert_eq!(ctx.fact("file"), Some(expected));
    assert_eq!(users(&lab), AFTER);
    // The file may be another one when somebody looks.
    lab.file("erasures.sql", "select 1");
    assert_eq!(observe("pg.query", &with(&file), &ctx).await, Observation::Done(output));
}

#[tokio::test]
async fn when_one_statement_fails_nothing_was_changed() {
    let lab = lab();
    let file = lab.file("erasures.sql", format!("{LIST}delete from user;\n"));
    let error = run("pg.query", &with(&file), &lab.attempt(1)).await.unwrap_err();
    assert_eq!((error.code.as_str(), error.class), ("RB0510", ErrorClass::Permanent));
    let place = format!("statement 4 (line 6) of `{}`: ", file.display());
    assert!(error.message.starts_with(&place), "{}", error.message);
    assert_eq!(users(&lab), BEFORE);
}

#[tokio::test]
async fn a_list_that_only_reads_cannot_write() {
    let lab = lab();
    let file = lab.file("erasures.sql", LIST);
    let reads = json!({"connection": "lms", "file": file});
    let error = run("pg.query", &reads, &lab.attempt(1)).await.unwrap_err();
    assert!(error.message.contains("read-only transaction"), "{}", error.message);
    assert_eq!(users(&lab), BEFORE);
    let file = lab.file("counts.sql", "select count(*) as a from users; select $1::int as b");
    let several = json!({"connection": "lms", "file": file, "params": [7]});
    let error = run("pg.query", &several, &lab.attempt(1)).await.unwrap_err();
    assert_eq!(error.code, "RB0550");
    lab.file("counts.sql", "select $1::int as b;\n");
    let output = run("pg.query", &several, &lab.attempt(1)).await.unwrap();
    assert_eq!(output["value"], json!(7));
}

#[tokio::test]
async fn a_file_that_does_not_do_is_refused_before_anything_is_sent() {
    let lab = lab();
    // Nobody listens there: whoever asks the server first fails otherwise.
    let nowhere = attempt(&host("postgresql://nobody@127.0.0.1:1/none", true), 1);
    let missing = lab.folder().join("none.sql");
    let error = run("pg.query", &with(&missing), &nowhere).await.unwrap_err();
    assert_eq!((error.code.as_str(), error.class), ("RB0650", ErrorClass::Permanent));
    let open = lab.file("open.sql", LIST);
    fs::set_permissions(&open, fs::Permissions::from_mode(0o666)).unwrap();
    let leaves = lab.file("leaves.sql", "delete from users;\n/* a */ COMMIT;\nselect 1");
    for (file, why) in [
        (lab.file("empty.sql", "-- nobody\n"), "it holds no statement"),
        (lab.file("latin.sql", b"select '\xe9'"), "it is not UTF-8"),
        (leaves.clone(), "the statement on line 2 ends the transaction"),
        (lab.folder().to_owned(), "it is not a file"),
        (open, "everybody may write to"),
    ] {
        let error = run("pg.query", &with(&file), &nowhere).await.unwrap_err();
        assert_eq!((error.code.as_str(), error.class), ("RB0760", ErrorClass::Permanent));
        assert!(error.message.contains(why), "{}", error.message);
    }
    let unnamed = run("pg.query", &with(Path::new("")), &nowhere).await.unwrap_err();
    assert!(unnamed.message.ends_with("no path is given"), "{}", unnamed.message);
    case("RB0760", run("pg.query", &with(&leaves), &nowhere).await.unwrap_err().told());
    assert_eq!(users(&lab), BEFORE);
}

#[test]
fn one_of_text_and_file_is_given() {
    for (with, why) in [
        (json!({"connection": "lms"}), "neither `sql` nor `file` is given"),
        (json!({"connection": "lms", "sql": "select 1", "file": "/a"}), "`sql` is given as well"),
        (json!({"connection": "lms", "file": "erasures.sql"}), "is not an absolute path"),
    ] {
        let refused = refusal("pg.query", &with);
        assert!(refused.contains(why), "{refused}");
    }
}

#[tokio::test]
async fn after_a_lost_answer_to_commit_the_list_is_known_to_be_played_or_not() {
    for (cut, left) in [(Cut::After, AFTER), (Cut::Before, BEFORE)] {
        let lab = lab();
        let wire = Wire::to(lab.cluster.port()).unwrap();
        wire.cut_at("COMMIT", cut);
        let ctx = attempt(&host(&lab.url_by(wire.port()), true), 1);
        let with = with(&lab.file("erasures.sql", LIST));
        let error = run("pg.query", &with, &ctx).await.unwrap_err();
        assert_eq!((error.code.as_str(), error.class), ("RB0505", ErrorClass::Ambiguous));
        wire.mend();
        let seen = observe("pg.query", &with, &ctx).await;
        if cut == Cut::After {
            let Observation::Done(output) = seen else { panic!("{seen:?}") };
            assert_eq!(output["rows"], json!([{"left_over": 4}]));
        } else {
            assert_eq!(seen, Observation::NotDone);
        }
        assert_eq!(users(&lab), left);
    }
}
