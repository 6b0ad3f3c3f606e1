//! `kill -9` at every journal record of a promotion, then `resume`: judged by the standby's own
//! log.

use std::os::unix::process::ExitStatusExt;

use crate::bed::{Bed, Ended};

const RUNBOOK: &str = "version: 1
name: promote
secrets: {standby_url: {env: STANDBY_DATABASE_URL}}
connections:
  standby: {url: \"{{ secrets.standby_url }}\"}
steps:
  - id: confirm
    uses: human.approve
    with: {prompt: Promote?, allow_self: true}
  - id: promote
    uses: pg.promote
    with: {connection: standby, without_fence: a test, max_bytes: 1GiB}
";

/// Promotes a fresh standby, with a kill on the way when `point` names one; gives the timelines
/// that its own log says it chose, and how many records the journal has.
fn promoted(bed: &Bed, point: Option<&str>) -> (Vec<String>, u64) {
    std::fs::remove_dir_all(bed.state()).ok();
    let standby = bed.cluster.standby("west").unwrap();
    let file = bed.write("promote.yaml", RUNBOOK);
    let command = |args: &[&str]| {
        let mut command = bed.command(args);
        command.env("STANDBY_DATABASE_URL", standby.url("app"));
        command
    };
    let run = ["run", &file, "--yes"];
    let mut first = command(&run);
    if let Some(point) = point {
        first.env("RUNBOOK_FAILPOINT", point);
    }
    let output = first.output().unwrap();
    if let Some(point) = point {
        assert_eq!(output.status.signal(), Some(9), "{point}: {}", Ended::of(output).stderr);
        let again = match bed.runs().pop() {
            Some(run) if !bed.journal().is_empty() => command(&["resume", &run]).output(),
            _ => command(&run).output(),
        };
        Ended::of(again.unwrap()).expect(0);
    } else {
        Ended::of(output).expect(0);
    }
    let left = "select count(*) from pg_largeobject_metadata";
    assert_eq!(standby.query_one("app", left).unwrap(), "0", "{point:?} leaves a row");
    assert_eq!(bed.output("promote")["timeline"], 2, "{point:?}");
    let log = std::fs::read_to_string(standby.log()).unwrap();
    let chosen = log.lines().filter_map(|line| line.split_once("selected new timeline ID: "));
    let records = bed.journal().last().and_then(|record| record["seq"].as_u64()).unwrap();
    (chosen.map(|(_, id)| id.to_owned()).collect(), records)
}

#[test]
fn killed_at_any_record_of_a_promotion_the_standby_is_promoted_exactly_once() {
    let bed = Bed::with("create table ledger (n int)");
    let (timelines, records) = promoted(&bed, None);
    assert_eq!(timelines, ["2"]);
    let journal = bed.journal();
    let begins = journal
        .iter()
        .find(|record| record["type"] == "step_started" && record["data"]["step"] == "promote");
    let begins = begins.and_then(|record| record["seq"].as_u64()).unwrap();
    assert!(records > begins + 3, "the promotion announces itself: {begins} of {records}");
    for seq in begins..=records {
        for side in ["before", "after"] {
            let point = format!("journal:{seq}:{side}");
            let (timelines, _) = promoted(&bed, Some(&point));
            assert_eq!(timelines, ["2"], "{point}");
        }
    }
}
