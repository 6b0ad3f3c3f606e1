//! Every fault at every request of a failover that changes something.

use jiff::Timestamp;
use lab::site::Asked;

use super::scene::Scene;
use super::{Probes, in_order};

/// The requests of `dr-failover` that change something.
const CHANGES: [&str; 5] = [
    "ModifyDBInstance",
    "PromoteReadReplica",
    "PutParameter",
    "ChangeResourceRecordSets",
    "CreateDBSnapshot",
];

/// A failover with a fault ends done, or clearly failed, or in doubt and resolvable; and whatever
/// it is, the laboratory's log and the probes saw one promotion, one primary and no early name.
#[track_caller]
fn met_by(fault: &str, action: &str, times: u32) {
    let scene = Scene::new();
    let probes = Probes::start(&scene);
    let (action_of, times_of) = (Some(action.to_owned()), Some(times));
    let asked = Asked { action: action_of, times: times_of, ..Asked::new(fault) };
    scene.site.begin(&asked).unwrap();
    let ended = scene.fail_over(Timestamp::now(), &[], &[]);
    let what = format!("{fault} at {action}: {ended:?}");
    probes.saw_one_primary();
    in_order(&scene);
    let report = scene.report();
    match ended.status {
        Some(0) => {
            assert_eq!(scene.effects_of("Promoted").len(), 1, "{what}");
            assert_eq!(scene.account()["lost"], 0, "{what}");
        }
        Some(1) => assert!(ended.stderr.contains("error"), "{what}"),
        Some(5) => {
            let step = report["steps"].as_array().unwrap().iter();
            let step = step.filter(|step| step["status"] == "in_doubt").count();
            assert_eq!(step, 1, "{what}");
            let shown = scene.run(&["status", "--exit-code"], &[]).expect(5);
            assert!(shown.stdout.contains("runbook resolve"), "{}", shown.stdout);
        }
        _ => panic!("{what}"),
    }
    assert!(!scene.effects_of(action).is_empty() || ended.status != Some(0), "{what}");
}

fn met_everywhere(fault: &str, times: u32) {
    for action in CHANGES {
        met_by(fault, action, times);
    }
}

#[test]
fn a_throttled_change_is_made_once() {
    met_everywhere("throttle", 2);
}

#[test]
fn a_change_whose_answer_is_lost_is_made_once() {
    met_everywhere("apply-then-drop", 1);
}

#[test]
fn a_change_that_is_answered_by_an_error_is_made_once() {
    met_everywhere("error-after-apply", 1);
}

#[test]
fn a_change_that_was_not_made_is_made_by_the_next_attempt_or_not_at_all() {
    met_everywhere("error-before-apply", 1);
}
