//! What is refused because of the order of a plan: what is missing before a step, or after it.

mod kinds;

use indexmap::IndexMap;
use kinds::Kinds;
use model::diagnostic::{Diagnostic, Severity};
use model::plan::Source;
use model::runbook::Runbook;
use model::sources::Sources;

const HEAD: &str = "version: 1
name: test
connections: {prod: {}, scratch: {protected: false}}
params: {flag: {type: boolean, default: true}, wait: {type: duration, required: true}}
vars: {used: \"{{ params.flag }} {{ params.wait }}\"}
";

/// Short for what the steps of these tests are.
const WORDS: [(&str, &str); 8] = [
    ("ASK", "uses: fake.approve, with: {prompt: x}"),
    ("WIPE", "uses: fake.drop, with: {connection: prod}"),
    ("LOOK", "uses: fake.play, with: {plays: [verify]}"),
    ("FENCE", "uses: fake.play, with: {plays: [fence]}"),
    ("PROMOTE", "uses: fake.play, with: {plays: [promote, prove_writable]}"),
    ("MOVE", "uses: fake.play, with: {plays: [move_traffic]}"),
    ("PRUNE", "uses: fake.play, with: {plays: [prune], effect: destructive}"),
    ("PROVE", "uses: fake.play, with: {plays: [prove_set]}"),
];

fn written_out(text: &str) -> String {
    WORDS.iter().fold(text.to_owned(), |text, (word, meaning)| text.replace(word, meaning))
}

/// The one file beside the runbook: `part.yaml`.
struct Beside(String);

impl Sources for Beside {
    fn top(&self) -> &'static str {
        "top.yaml"
    }

    fn read(&self, _path: &str) -> Result<String, String> {
        Ok(self.0.clone())
    }

    fn shown(&self, path: &str) -> String {
        path.to_owned()
    }
}

/// What is said in the way of the rules on safety: code, severity, message.
fn said_beside(text: &str, part: &str) -> Vec<String> {
    let beside = Beside(written_out(part));
    let checked = Runbook::check_with(&written_out(text), &Kinds, &beside);
    let ours = |one: &&Diagnostic| ("RB0310".."RB0320").contains(&one.code);
    let others = checked.problems.iter().filter(|one| !ours(one));
    let errors: Vec<_> = others.filter(|one| one.severity == Severity::Error).collect();
    assert!(errors.is_empty(), "{text}\n{errors:#?}");
    let told = |one: &Diagnostic| format!("{} {}: {}", one.code, one.severity.word(), one.message);
    checked.problems.iter().filter(ours).map(told).collect()
}

fn said(rest: &str) -> Vec<String> {
    said_beside(&format!("{HEAD}{rest}\n"), "")
}

/// Each list of steps, and what is said of it.
fn table(rows: &[(&[&str], &[&str])]) {
    for (steps, expected) in rows {
        let text = format!("steps:\n  - {{{}}}", steps.join("}\n  - {"));
        assert_eq!(said(&text), *expected, "{text}");
    }
}

const UNASKED: &str =
    "RB0310 error: `wipe` changes the protected connection `prod`, and no person says so before";
const PERHAPS: &str =
    "RB0310 warning: `wipe` changes the protected connection `prod`, and `ask` may be skipped";
const UNSEEN: &str =
    "RB0315 warning: `wipe` destroys something, and nothing looks at the result afterwards";

#[test]
fn protected_data_is_destroyed_after_an_approval() {
    let look = "id: look, needs: [wipe], if: always(), LOOK";
    table(&[
        (&["id: ask, ASK", "id: wipe, WIPE", look], &[]),
        (&["id: wipe, WIPE", look], &[UNASKED]),
        (&["id: ask, ASK", "id: a, uses: fake.play", "id: wipe, WIPE", look], &[]),
        // Asked beside it, or after it, is not asked before it.
        (&["id: ask, ASK", "id: wipe, needs: [], WIPE", look], &[UNASKED]),
        (&["id: ask, needs: [wipe], ASK", "id: wipe, needs: [], WIPE", look], &[UNASKED]),
        // A rejection must stop it.
        (&["id: ask, continue_on: {failure: true}, ASK", "id: wipe, WIPE", look], &[UNASKED]),
        (&["id: ask, ASK", "id: wipe, if: always(), WIPE", look], &[UNASKED]),
        (&["id: ask, ASK", "id: wipe, if: \"succeeded('ask') and always()\", WIPE", look], &[]),
        (
            &[
                "id: ask, ASK",
                "id: a, uses: fake.play",
                "id: wipe, if: \"always() and succeeded('a')\", WIPE",
                look,
            ],
            &[],
        ),
        // A step that runs after it although something failed does not weaken it.
        (&["id: ask, ASK", "id: a, if: always(), uses: fake.play", "id: wipe, WIPE", look], &[]),
        // Asked in some runs only.
        (&["id: ask, if: params.flag, ASK", "id: wipe, WIPE", look], &[PERHAPS]),
        (&["id: ask, if: always(), ASK", "id: wipe, WIPE", look], &[]),
        (
            &[
                "id: ask, if: params.flag, ASK",
                "id: wipe, if: \"params.flag and true\", WIPE",
                look,
            ],
            &[],
        ),
        (
            &["id: ask, if: params.flag, ASK", "id: wipe, if: params.flag or true, WIPE", look],
            &[PERHAPS],
        ),
        // What may be changed freely, and what can be put back.
        (&["id: a, uses: fake.drop, with: {connection: scratch}"], &[]),
        (&["id: a, uses: fake.play, with: {effect: reversible, changes: prod}"], &[]),
        (
            &[
                "id: a, uses: fake.play, with: {effect: irreversible, changes: prod, plays: [verify]}",
            ],
            &[
                "RB0310 error: `a` changes the protected connection `prod`, and no person says so before",
            ],
        ),
    ]);
}

#[test]
fn handlers_undos_and_items_are_judged_too() {
    let undo = "undo: {uses: fake.drop, with: {connection: prod}}";
    let unasked = |step: &str| UNASKED.replace("wipe", step);
    let make = format!("id: make, uses: fake.play, {undo}");
    table(&[
        (&["id: ask, ASK", &make], &[]),
        (&[&make], &[&unasked("make.undo")]),
        (&["id: ask, if: params.flag, ASK", &format!("{make}, if: params.flag")], &[]),
    ]);
    let handler = "steps: [{id: ask, ASK}]\nhandlers: {exit: [{id: clean, WIPE}]}";
    assert_eq!(said(handler), [unasked("clean")]);
    // The items of a `foreach` are told of once.
    let items = "foreach: {items: [a, b], as: item}";
    table(&[(&[&format!("id: wipe, {items}, WIPE")], &[UNASKED, UNSEEN])]);
    let ask = format!("id: ask, {items}, ASK");
    table(&[(&[&ask, &format!("id: wipe, {items}, WIPE"), "id: look, LOOK"], &[])]);
}

#[test]
fn an_included_runbook_is_judged_where_it_stands() {
    let part = "version: 1\nname: part\nconnections: {prod: {}}\nsteps:\n  - {id: wipe, WIPE}\n";
    let include = "{id: part, uses: runbook.include, with: {file: part.yaml}}";
    let beside = |steps: &str| said_beside(&format!("{HEAD}steps: [{steps}]\n"), part);
    assert_eq!(beside(&format!("{{id: ask, ASK}}, {include}, {{id: look, LOOK}}")), [""; 0]);
    assert_eq!(beside(include), [UNASKED, UNSEEN]);
    // Whether a connection is protected, its own runbook says.
    let scratch = part.replace("prod: {}", "prod: {protected: false}");
    assert_eq!(said_beside(&format!("{HEAD}steps: [{include}]\n"), &scratch), [""; 0]);
}

#[test]
fn drills_and_ungraceful_runs_are_judged_as_they_are() {
    let steps = "steps:
  - {id: ask, ASK}
  - {id: fence, ungraceful: skip, FENCE}
  - {id: promote, PROMOTE}
  - {id: wipe, WIPE}
  - {id: look, LOOK}
";
    let unfenced = "RB0311 error: with `--ungraceful`: `promote` makes a new primary, and nothing shuts out the old one before";
    assert_eq!(said(steps), [unfenced]);
    let reason = "ungraceful: {with: {plays: [promote, unfenced, prove_writable]}}, PROMOTE";
    let graceful = steps.replace("PROMOTE", reason);
    assert_eq!(said(&graceful), [unfenced.replace("error", "warning")]);
    let drill = |drill: &str| {
        said(&format!("{}drill: {{{drill}}}\n", steps.replace("ungraceful: skip, ", "")))
    };
    assert_eq!(
        drill("replace: {ask: {uses: fake.play}}"),
        [UNASKED.replace(": `", ": in a drill: `")]
    );
    assert_eq!(
        drill("replace: {ask: {uses: fake.play}}, connections: {prod: {protected: false}}"),
        [""; 0]
    );
    assert_eq!(drill("skip: [wipe, look]"), [""; 0], "what is left out is not judged");
    assert_eq!(drill("skip: [look]"), [UNSEEN.replace(": `", ": in a drill: `")]);
}

const UNFENCED: &str =
    "RB0311 error: `promote` makes a new primary, and nothing shuts out the old one before";
const TOO_EARLY: &str = "RB0312 error: `dns` sends people to another server, and nothing proves before that a server takes writes";

#[test]
fn a_new_primary_comes_after_a_fence_and_traffic_after_its_proof() {
    let bare = "id: promote, uses: fake.play, with: {plays: [promote]}";
    let proof = "id: proof, uses: fake.play, with: {plays: [prove_writable]}";
    table(&[
        (&["id: fence, FENCE", "id: promote, PROMOTE", "id: dns, MOVE"], &[]),
        (&["id: promote, PROMOTE", "id: fence, FENCE"], &[UNFENCED]),
        (
            &["id: fence, if: params.flag, FENCE", "id: promote, PROMOTE"],
            &["RB0311 warning: `promote` makes a new primary, and `fence` may be skipped"],
        ),
        (&["id: fence, continue_on: {failure: true}, FENCE", "id: promote, PROMOTE"], &[UNFENCED]),
        (
            &["id: promote, uses: fake.play, with: {plays: [promote, unfenced]}"],
            &[&UNFENCED.replace("error", "warning")],
        ),
        (&["id: fence, FENCE", "id: dns, MOVE", "id: promote, PROMOTE"], &[TOO_EARLY]),
        (&["id: fence, FENCE", bare, "id: dns, MOVE"], &[TOO_EARLY]),
        (&["id: fence, FENCE", bare, proof, "id: dns, MOVE"], &[]),
        (&["id: fence, FENCE", bare, proof, "id: dns, needs: [promote], MOVE"], &[TOO_EARLY]),
        (
            &[
                "id: fence, FENCE",
                bare,
                &proof.replace("proof,", "proof, if: params.flag,"),
                "id: dns, MOVE",
            ],
            &["RB0312 warning: `dns` sends people to another server, and `proof` may be skipped"],
        ),
        // Where nothing is promoted, traffic goes where its author wants it.
        (&["id: dns, MOVE"], &[]),
    ]);
    // What a step takes back stands behind what it did.
    let undo = "undo: {uses: fake.play, with: {plays: [move_traffic]}}";
    table(&[(
        &["id: fence, FENCE", "id: promote, PROMOTE", &format!("id: dns, {undo}, MOVE")],
        &[],
    )]);
}

#[test]
fn old_sets_go_after_a_proof_and_what_destroys_is_looked_at() {
    let unproven = "RB0313 warning: `prune` removes backup sets, and none is proved before";
    table(&[
        (&["id: prove, PROVE", "id: prune, PRUNE"], &[]),
        (&["id: prune, PRUNE", "id: prove, PROVE"], &[unproven]),
        (&["id: prove, continue_on: {failure: true}, PROVE", "id: prune, PRUNE"], &[unproven]),
        (
            &["id: prove, if: params.flag, PROVE", "id: prune, PRUNE"],
            &["RB0313 warning: `prune` removes backup sets, and `prove` may be skipped"],
        ),
        (&["id: ask, ASK", "id: wipe, WIPE"], &[UNSEEN]),
        (&["id: ask, ASK", "id: wipe, WIPE", "id: look, needs: [ask], LOOK"], &[UNSEEN]),
        (
            &["id: ask, ASK", "id: wipe, WIPE", "id: look, if: params.flag, LOOK"],
            &["RB0315 warning: `wipe` destroys something, and `look` may be skipped"],
        ),
        (
            &["id: ask, ASK", "id: wipe, if: params.flag, WIPE", "id: look, if: params.flag, LOOK"],
            &[],
        ),
        (&["id: ask, ASK", "id: wipe, WIPE", "id: look, continue_on: {failure: true}, LOOK"], &[]),
        (&["id: wipe, uses: fake.play, with: {effect: destructive}"], &[UNSEEN]),
        (&["id: tell, uses: fake.play, with: {effect: irreversible}"], &[]),
    ]);
}

/// A runbook with these objectives and steps.
fn timed(rto: &str, steps: &[&str]) -> Vec<String> {
    let steps = steps.join("}\n  - {");
    let rto = if rto.is_empty() { String::new() } else { format!("objectives: {{rto: {rto}}}\n") };
    said(&format!("{rto}steps:\n  - {{{steps}}}"))
}

#[test]
fn waits_and_limits_leave_room_for_the_objectives() {
    let wait = |id: &str, lasts: &str, rest: &str| {
        format!("id: {id}, uses: fake.play, with: {{lasts: {lasts}}}{rest}")
    };
    let (a, b) = (wait("a", "6m", ""), wait("b", "5m", ""));
    let certain = ["RB0316 error: the waits of this runbook take 11m, longer than the RTO, 10m"];
    assert_eq!(timed("10m", &[&a, &b]), certain);
    assert_eq!(timed("11m", &[&a, &b]), [""; 0]);
    assert_eq!(timed("", &[&a, &b]), [""; 0]);
    assert_eq!(timed("10m", &[&a, &wait("b", "5m", ", needs: []")]), [""; 0], "beside each other");
    // Only what is on the way to the service counts.
    assert_eq!(timed("10m", &[&wait("a", "6m", ", restores_service: true"), &b]), [""; 0]);
    assert_eq!(timed("10m", &[&a, &wait("b", "5m", ", restores_service: true")]), certain);
    // What may be skipped is not certain, and allowed all the same.
    let perhaps =
        ["RB0317 warning: the limits of this runbook add up to 11m, longer than the RTO, 10m"];
    assert_eq!(timed("10m", &[&a, &wait("b", "5m", ", if: params.flag")]), perhaps);
    // Limits: the deadline over all attempts, else the nearest of the others.
    let limited =
        |rest: &str, with: &str| format!("id: b, uses: fake.play, with: {{{with}}}{rest}");
    assert_eq!(timed("10m", &[&a, &limited(", timeout: 5m", "")]), perhaps);
    assert_eq!(timed("10m", &[&a, &limited(", timeout: 1m, deadline: 5m", "")]), perhaps);
    assert_eq!(timed("10m", &[&a, &limited("", "gives_up_after: 5m")]), perhaps);
    assert_eq!(timed("10m", &[&a, &limited(", timeout: 4m", "gives_up_after: 5m")]), [""; 0]);
    assert_eq!(timed("10m", &[&a, &limited("", "")]), [""; 0], "no limit, nothing known");
    // Milestones.
    let core = wait("b", "5m", ", milestone: {name: core, rto: 10m}");
    let of_core = "RB0316 error: the waits of this runbook take 11m, longer than the RTO of the milestone `core`, 10m";
    assert_eq!(timed("", &[&a, &core]), [of_core]);
    assert_eq!(timed("1h", &[&core, &wait("a", "6m", "")]), [""; 0]);
}

#[test]
fn a_wait_that_is_not_known_yet_counts_for_nothing() {
    let of_step = [
        "id: a, uses: fake.play",
        "id: b, uses: fake.play, with: {lasts: \"{{ steps.a.outputs.lasts }}\"}",
    ];
    assert_eq!(timed("10m", &of_step), [""; 0]);
    let of_param = ["id: a, uses: fake.play, with: {lasts: \"{{ params.wait }}\"}"];
    assert_eq!(timed("10s", &of_param), [""; 0]);
    // It is judged as soon as it is known.
    let text = format!("{HEAD}objectives: {{rto: 10s}}\nsteps:\n  - {{{}}}\n", of_param[0]);
    let runbook = Runbook::check(&text, &Kinds).runbook.unwrap();
    let plan = |wait: &str| {
        let given = IndexMap::from([("wait".to_owned(), wait.into())]);
        let source = Source { file: "a.yaml".to_owned(), sha256: String::new() };
        runbook.plan(&Kinds, &given, source)
    };
    assert_eq!(plan("10s").unwrap().steps[0].footprint.lasts, "10s".parse().ok());
    let codes = |problems: Vec<Diagnostic>| problems.iter().map(|one| one.code).collect::<Vec<_>>();
    assert_eq!(plan("11s").map_err(codes), Err(vec!["RB0316"]));
}

#[test]
fn a_time_has_a_zone_wherever_it_is_written() {
    let codes = |text: &str| -> Vec<&str> {
        let beside = Beside("version: 1\nname: part\nparams: {at: {type: timestamp, required: true}}\nvars: {used: \"{{ params.at }}\"}\nsteps: [{id: a, uses: fake.play}]\n".to_owned());
        let text = format!("version: 1\nname: test\n{text}\n");
        let problems = Runbook::check_with(&text, &Kinds, &beside).problems;
        problems.iter().filter(|one| one.is_error()).map(|one| one.code).collect()
    };
    let places: [&dyn Fn(&str) -> String; 5] = [
        &|time| {
            format!(
                "params: {{at: {{type: timestamp, default: \"{time}\"}}}}\nsteps: [{{id: a, uses: fake.play}}]"
            )
        },
        &|time| {
            format!(
                "params: {{at: {{type: timestamp, required: true, enum: [\"{time}\"]}}}}\nsteps: [{{id: a, uses: fake.play}}]"
            )
        },
        &|time| format!("steps: [{{id: a, uses: fake.play, with: {{until: \"{time}\"}}}}]"),
        &|time| {
            format!(
                "params: {{at: {{type: string, default: \"{time}\"}}}}\nsteps: [{{id: a, uses: fake.play, with: {{until: \"{{{{ params.at }}}}\"}}}}]"
            )
        },
        &|time| {
            format!(
                "steps: [{{id: a, uses: runbook.include, with: {{file: part.yaml, params: {{at: \"{time}\"}}}}}}]"
            )
        },
    ];
    for place in places {
        for zoned in ["2026-11-20T02:00:00Z", "2026-11-20 02:00:00+01:00", "2026-11-20T02:00-05"] {
            assert_eq!(codes(&place(zoned)), [""; 0], "{}", place(zoned));
        }
        for bare in ["2026-11-20T02:00:00", "2026-11-20 02:00", "2026-11-20"] {
            assert_eq!(codes(&place(bare)), ["RB0314"], "{}", place(bare));
        }
        assert_ne!(codes(&place("yesterday")), ["RB0314"], "{}", place("yesterday"));
    }
    let drill = "params: {at: {type: timestamp, required: true}}\nvars: {u: \"{{ params.at }}\"}\nsteps: [{id: a, uses: fake.play}]\ndrill: {params: {at: \"2026-11-20T02:00\"}}";
    assert_eq!(codes(drill), ["RB0314"]);
    let text = "version: 1\nname: a\nparams: {at: {type: timestamp, required: true}}\nsteps: [{id: a, uses: fake.play}]\n";
    let runbook = Runbook::check(text, &Kinds).runbook.unwrap();
    let given = IndexMap::from([("at".to_owned(), "2026-11-20T02:00".into())]);
    let source = Source { file: "a.yaml".to_owned(), sha256: String::new() };
    assert_eq!(runbook.plan(&Kinds, &given, source).unwrap_err()[0].code, "RB0314");
    let file = runbook.read_params("at: 2026-11-20T02:00:00\n").unwrap_err();
    assert_eq!(file[0].code, "RB0314");
}

/// Steps that could not be checked might give what is missing, so nothing is said that depends
/// on them.
#[test]
fn what_could_not_be_checked_is_not_blamed() {
    let text = written_out(&format!(
        "{HEAD}steps:\n  - {{id: ask, uses: fake.aprove}}\n  - {{id: wipe, WIPE}}\n  - {{id: b, uses: fake.lok}}\n"
    ));
    let codes: Vec<_> = Runbook::check(&text, &Kinds).problems.iter().map(|one| one.code).collect();
    assert_eq!(codes, ["RB0207", "RB0207"]);
    let cycle = written_out(
        "version: 1\nname: a\nconnections: {prod: {}}\nsteps:\n  - {id: a, needs: [b], WIPE}\n  - {id: b, needs: [a], LOOK}\n",
    );
    let codes: Vec<_> =
        Runbook::check(&cycle, &Kinds).problems.iter().map(|one| one.code).collect();
    assert_eq!(codes, ["RB0211"]);
}
