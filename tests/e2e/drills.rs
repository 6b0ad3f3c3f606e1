//! The shipped runbooks of the month, the quarter and the year: what people rehearse.

use serde_json::Value;

use crate::bed::{Bed, Ended, of_type};

fn bed() -> Bed {
    Bed::with(&lab::sample::application(300))
}

fn backed_up(bed: &Bed) {
    bed.runbook(&["run", "runbooks/daily-backup.yaml"]).expect(0);
}

/// Ticks every item of the list and lets the run go on.
fn signed(bed: &Bed, step: &str, items: usize) -> Ended {
    let run = bed.runs().pop().unwrap();
    for item in 1..=items {
        let (item, note) = (item.to_string(), format!("seen {item}"));
        let tick = ["approve", &run, step, "--as", "dana", "--item", &item, "--note", &note];
        bed.runbook(&tick).expect(0);
    }
    bed.runbook(&["resume", &run])
}

fn report(bed: &Bed) -> Value {
    let run = bed.runs().pop().unwrap();
    let printed = bed.runbook(&["report", &run, "--format", "json"]).expect(0);
    serde_json::from_str(&printed.stdout).unwrap()
}

#[test]
fn a_drawn_set_is_restored_compared_and_signed() {
    let bed = bed();
    backed_up(&bed);
    bed.cluster.execute("app", "delete from billing.payments").unwrap();
    backed_up(&bed);
    let before = bed.databases();
    bed.shipped("quarterly-recovery-test", &["source=app", "slack=true"]).expect(5);
    assert_eq!(bed.databases(), before, "nothing is left behind while people are asked");

    let draw = bed.output("draw");
    let mut oldest_first: Vec<_> = bed.sets();
    oldest_first.sort();
    let number = usize::try_from(draw["seed"].as_u64().unwrap() % 2).unwrap();
    assert_eq!(draw["chosen"], oldest_first[number].as_str(), "{draw}");
    assert_eq!(bed.output("restore")["set"], draw["chosen"]);
    assert_eq!(bed.output("same")["differences"], 0);
    assert_eq!(bed.output("sound")["passed"], true);
    assert!(bed.texts().pop().unwrap().contains("WAITS at record"), "{:?}", bed.texts());

    signed(&bed, "record", 3).expect(0);
    assert_eq!(bed.output("record")["participants"], serde_json::json!(["dana"]));
    assert_eq!(bed.output("record")["items"][0]["note"], "seen 1");
    assert!(bed.texts().pop().unwrap().contains("was restored and is what it was"));
    let report = report(&bed);
    assert_eq!(report["rto"]["ended_by"], "check");
    assert_eq!(report["rpo"]["reported_by"], "restore", "{}", report["rpo"]);
    assert_eq!(report["objectives"][0]["met"], true, "{report}");
}

#[test]
fn a_set_that_does_not_restore_is_found_out() {
    let bed = bed();
    let params = ["source=app", "slack=true", "attended=false"];
    let ended = bed.shipped("quarterly-recovery-test", &params).expect(1);
    assert!(ended.stderr.contains("[RB0611]"), "no set at all: {}", ended.stderr);

    backed_up(&bed);
    let set = bed.store().join("sets/app").join(&bed.sets()[0]);
    let damaged =
        files(&set.join("data")).into_iter().max_by_key(|it| it.metadata().unwrap().len());
    let damaged = damaged.unwrap();
    let mut bytes = std::fs::read(&damaged).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&damaged, bytes).unwrap();
    let before = bed.databases();
    bed.shipped("quarterly-recovery-test", &params).expect(1);
    assert_eq!(bed.databases(), before);
    let said = bed.texts().pop().unwrap();
    assert!(said.contains("FAILED at restore"), "{said}");
}

/// The files in a folder and below it.
fn files(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[test]
fn what_a_drill_loses_is_noticed_and_comes_back() {
    let bed = bed();
    backed_up(&bed);
    let before = bed.databases();
    let rows = "select count(*) from lms.users";
    let users = bed.cluster.query_one("app", rows).unwrap();
    let params = ["source=app", "slack=true", "attended=false"];
    bed.shipped("monthly-drill", &[&params[..], &["table=lms.lessons"]].concat()).expect(0);
    let seen = bed.output("seen");
    assert!(seen["differences"].as_u64().unwrap() > 0, "{seen}");
    let back = bed.output("rows_back");
    assert!(back["only_there"].as_u64().unwrap() > 0, "rows of one table were lost: {back}");
    assert_eq!(bed.output("rows_whole")["value"], 0, "and are back in place");
    assert_eq!(bed.output("same")["differences"], 0);
    assert_eq!(bed.output("recover")["set"], bed.sets()[0].as_str());
    assert_eq!(bed.databases(), before, "both databases are gone");
    assert_eq!(bed.cluster.query_one("app", rows).unwrap(), users, "production is untouched");
    assert!(bed.texts()[0].contains("what was lost of app is back"), "{:?}", bed.texts());
    let told = report(&bed);
    assert_eq!(told["rto"]["ended_by"], "check");
    assert_eq!(told["rpo"]["reported_by"], "recover", "{}", told["rpo"]);

    // Some rows are a loss, too.
    let rows =
        "damage=delete from billing.payments where id in (select id from billing.payments limit 3)";
    bed.shipped("monthly-drill", &[&params[..], &[rows]].concat()).expect(0);
    let seen = bed.output("seen");
    assert!(seen["difference_messages"].to_string().contains("billing.payments"), "{seen}");

    // A drill in which nothing is lost has shown nothing.
    bed.shipped("monthly-drill", &[&params[..], &["damage=select 1"]].concat()).expect(1);
    let said = bed.texts().pop().unwrap();
    assert!(said.contains("monthly-drill FAILED at noticed"), "{said}");
    assert_eq!(bed.databases(), before);
}

#[test]
fn a_year_is_backed_up_restored_lost_and_reviewed() {
    let bed = bed();
    let validated = bed.runbook(&["validate", "runbooks/annual-exercise.yaml"]).expect(0);
    assert_eq!(validated.stderr, "", "what is included is warned of only where it is left out");
    let before = bed.databases();
    let params = ["source=app", "slack=true", "table=lms.lessons"];
    bed.shipped("annual-exercise", &params).expect(5);
    let set = bed.sets().pop().unwrap();
    for step in ["backup.dump", "backup.verify", "restore.restore", "drill.recover"] {
        assert_eq!(bed.output(step)["set"], set.as_str(), "{step}");
    }
    assert_eq!(bed.output("drill.same")["differences"], 0);
    assert_eq!(bed.output("drill.rows_whole")["value"], 0);
    assert_eq!(bed.databases(), before);
    signed(&bed, "review", 6).expect(0);
    assert_eq!(bed.output("review")["participants"], serde_json::json!(["dana"]));
    let journal = bed.journal();
    let skipped = of_type(&journal, "step_skipped");
    let skipped: Vec<_> = skipped.iter().filter_map(|it| it["data"]["step"].as_str()).collect();
    assert!(skipped.contains(&"drill.record"), "one list at the end: {skipped:?}");
    let told = report(&bed);
    assert_eq!(told["rto"]["ended_by"], "drill.check");
    assert_eq!(told["rpo"]["reported_by"], "drill.recover", "{}", told["rpo"]);
}
