//! Every fault at every request of a failover that changes something.

use jiff::Timestamp;
use lab::site::Asked;

use super::scene::{EAST, Scene};
use super::{Probes, in_order};
use crate::bed::Ended;

/// The requests of `dr-failover` that change something.
const CHANGES: [&str; 5] = [
    "ModifyDBInstance",
    "PromoteReadReplica",
    "PutParameter",
    "ChangeResourceRecordSets",
    "CreateDBSnapshot",
];

/// A failover in which each of these changes meets a fault ends done, or clearly failed, or in doubt
/// and resolvable; and whatever it is, the laboratory's log and the probes saw one promotion, one
/// primary and no early name. Gives the changes that met it: one that ends the run is the last.
#[track_caller]
fn met_by(fault: &str, actions: &[&'static str], times: u32) -> Vec<&'static str> {
    let scene = Scene::new();
    let probes = Probes::start(&scene);
    for &action in actions {
        let (action, times) = (Some(action.to_owned()), Some(times));
        scene.site.begin(&Asked { action, times, ..Asked::new(fault) }).unwrap();
    }
    let ended = scene.fail_over(Timestamp::now(), &[], &[]);
    probes.saw_one_primary();
    in_order(&scene);
    it_is_clear(&scene, &ended);
    let standing = scene.site.disasters();
    let untouched = |action: &&&'static str| {
        !standing.iter().any(|it| it["args"]["action"] == **action && it["args"]["times"] == times)
    };
    let met: Vec<_> = actions.iter().filter(untouched).copied().collect();
    assert!(!met.is_empty(), "{fault} met none of {actions:?}: {ended:?}");
    met
}

#[track_caller]
fn it_is_clear(scene: &Scene, ended: &Ended) {
    match ended.status {
        Some(0) => {
            assert_eq!(scene.effects_of("Promoted").len(), 1, "{ended:?}");
            assert_eq!(scene.account()["lost"], 0, "{ended:?}");
            let unmade = |change: &&str| scene.effects_of(change).is_empty();
            assert!(!CHANGES.iter().any(unmade), "{ended:?}");
        }
        Some(1) => assert!(ended.stderr.contains("FAILED [RB"), "{ended:?}"),
        Some(5) => {
            let report = scene.report();
            let step = report["steps"].as_array().unwrap().iter();
            let step = step.filter(|step| step["status"] == "in_doubt").count();
            assert_eq!(step, 1, "{ended:?}");
            let shown = scene.run(&["status", "--exit-code"], &[]).expect(5);
            assert!(shown.stdout.contains("runbook resolve"), "{}", shown.stdout);
        }
        _ => panic!("{ended:?}"),
    }
}

#[track_caller]
fn met_everywhere(fault: &str, times: u32) {
    let mut left = CHANGES.to_vec();
    while !left.is_empty() {
        let met = met_by(fault, &left, times);
        left.retain(|change| !met.contains(change));
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

#[test]
fn a_change_without_valid_credentials_is_not_made() {
    met_everywhere("credentials-expired", 1);
}

/// A failover while that goes on.
#[track_caller]
fn during(asked: &Asked, params: &[&str]) -> (Scene, Ended) {
    let scene = Scene::new();
    let probes = Probes::start(&scene);
    scene.site.begin(asked).unwrap();
    let ended = scene.fail_over(Timestamp::now(), &[], params);
    probes.saw_one_primary();
    in_order(&scene);
    it_is_clear(&scene, &ended);
    (scene, ended)
}

#[test]
fn a_promotion_that_takes_long_is_waited_for() {
    let asked = Asked { seconds: Some(6.0), ..Asked::new("slow-promote") };
    let (_, ended) = during(&asked, &[]);
    assert_eq!(ended.status, Some(0), "{ended:?}");
}

#[test]
fn names_that_stay_where_they_were_fail_the_run_after_the_promotion() {
    let (scene, ended) = during(&Asked::new("dns-stale"), &["names_within=3s"]);
    assert_eq!(ended.status, Some(1), "{ended:?}");
    assert_eq!(scene.effects_of("Promoted").len(), 1, "{ended:?}");
    assert!(ended.stderr.contains("FAILED [RB0585]"), "{ended:?}");
}

#[test]
fn a_channel_that_is_down_holds_nothing_up() {
    let (scene, ended) = during(&Asked::new("slack-down"), &[]);
    assert_eq!(ended.status, Some(0), "{ended:?}");
    assert!(ended.stderr.contains("delivered=unknown"), "{ended:?}");
    assert_eq!(scene.account()["lost"], 0);
}

#[test]
fn a_replica_that_does_not_get_everything_is_not_promoted() {
    // The first is seen before the old primary is shut in, the second after it.
    for (fault, undone) in [("partition", 4), ("lag", 1)] {
        let (scene, ended) = during(&Asked::new(fault), &["catch_up=2s"]);
        assert_eq!(ended.status, Some(1), "{fault}: {ended:?}");
        assert_eq!(scene.effects_of("PromoteReadReplica"), Vec::<usize>::new(), "{fault}");
        // The failover is called off, and the application goes on where it was; the run stays failed.
        scene.run(&["undo", &scene.newest(), "--yes"], &[]).expect(undone);
        let given_back = scene.effects_of("ModifyDBInstance").len() / 2;
        assert_eq!(given_back, usize::from(undone == 1), "{fault}");
        scene.sql("PRIMARY_DATABASE_URL", "INSERT INTO probe VALUES (1)");
    }
}

#[test]
fn a_full_bucket_takes_no_set() {
    let scene = Scene::new();
    scene.site.begin(&Asked::new("disk-full")).unwrap();
    let ended = scene.run(&["run", "runbooks/daily-backup.yaml"], &[]);
    assert_eq!(ended.status, Some(1), "{ended:?}");
    let listed = scene.aws(EAST, &["s3", "ls", "--recursive", "s3://lab-backups/"]);
    assert!(!listed.contains("/manifest.json"), "{listed}");
    scene.site.end("disk-full").unwrap();
    scene.run(&["run", "runbooks/daily-backup.yaml"], &[]).expect(0);
}
