//! How a run is conducted: handlers, undo, drills and what else stands around the steps.

mod kinds;

use indexmap::IndexMap;
use kinds::Kinds;
use model::ids::StepId;
use model::plan::{Occasion, Plan, PlanStep, Role, Source};
use model::runbook::Runbook;
use serde_json::Value;

const HEAD: &str = "version: 1
name: test
connections: {prod: {}}
stores: {s: {url: \"file:///s\"}}
steps:
  - {id: dump, uses: fake.dump, with: {connection: prod, store: s}}
  - {id: load, uses: fake.dump, with: {connection: prod, store: s}}
";

/// The problems with their codes and the text they point at.
fn problems(text: &str) -> Vec<(&'static str, String, String)> {
    let problems = Runbook::check(text, &Kinds).problems;
    let place = |span: std::ops::Range<usize>| text.get(span).unwrap_or_default().to_owned();
    problems.into_iter().map(|one| (one.code, place(one.span), one.message)).collect()
}

/// A code, the text it points at, and the message.
type Expected<'a> = (&'a str, &'a str, &'a str);

/// Each text added to the runbook above has exactly these problems.
fn table(rows: &[(&str, &[Expected<'_>])]) {
    for (text, expected) in rows {
        let text = format!("{HEAD}{text}\n");
        let found = problems(&text);
        let found: Vec<_> = found
            .iter()
            .map(|(code, place, message)| (*code, place.as_str(), message.as_str()))
            .collect();
        assert_eq!(found, *expected, "{text}");
    }
}

fn plan(text: &str) -> Plan {
    let checked = Runbook::check(text, &Kinds);
    let runbook = checked.runbook.unwrap_or_else(|| panic!("{:#?}", checked.problems));
    let source = Source { file: "a.yaml".to_owned(), sha256: String::new() };
    let given: IndexMap<String, Value> = IndexMap::new();
    runbook.plan(&Kinds, &given, source).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

fn step<'p>(plan: &'p Plan, id: &str) -> &'p PlanStep {
    plan.steps.iter().find(|step| step.id.as_str() == id).expect("the plan has the step")
}

fn ids(steps: &[StepId]) -> Vec<&str> {
    steps.iter().map(StepId::as_str).collect()
}

const UNDONE: &str = "  - id: swap
    uses: fake.command
    with: {argv: [x]}
    undo: {uses: fake.command, with: {argv: [\"{{ steps.dump.outputs.path }}\"]}, timeout: 5m}
rollback: ask
handlers:
  exit: [{id: bye, uses: fake.command, with: {argv: [x]}}]
  failure:
    - {id: alarm, uses: fake.notify, with: {webhook: x, text: \"{{ run.failed_step }}\"}}
    - {id: also, uses: fake.command, with: {argv: [\"{{ steps.dump.outputs.path | default('none') }}\"]}}
    - {id: apart, uses: fake.command, needs: [alarm], if: \"failed('dump')\", with: {argv: [x]}}
";

#[test]
fn undos_and_handlers_are_steps_behind_those_of_the_runbook() {
    let plan = plan(&format!("{HEAD}{UNDONE}"));
    let all: Vec<_> = plan.steps.iter().map(|step| step.id.as_str()).collect();
    let handlers = ["failure.alarm", "failure.also", "failure.apart", "exit.bye"];
    assert_eq!(all, [&["dump", "load", "swap", "swap.undo"], &handlers[..]].concat());
    let undo = step(&plan, "swap.undo");
    assert_eq!(undo.role, Role::Undo("swap".parse().unwrap()));
    assert_eq!(ids(&undo.needs), ["swap"]);
    assert_eq!(ids(&undo.references), ["dump"]);
    assert_eq!(undo.timeout.unwrap().to_string(), "5m");
    for (id, occasion, needs, references) in [
        ("failure.alarm", Occasion::Failure, vec![], vec![]),
        ("failure.also", Occasion::Failure, vec!["failure.alarm"], vec!["dump"]),
        ("failure.apart", Occasion::Failure, vec!["failure.alarm"], vec!["dump"]),
        ("exit.bye", Occasion::Exit, vec![], vec![]),
    ] {
        let step = step(&plan, id);
        assert_eq!(step.role, Role::Handler(occasion), "{id}");
        assert_eq!((ids(&step.needs), ids(&step.references)), (needs, references), "{id}");
    }
    assert!(plan.steps[..3].iter().all(|step| step.role == Role::Main));
}

#[test]
fn what_a_handler_may_not_do() {
    let handler = |rest: &str| format!("handlers: {{failure: [{{id: a, {rest}}}]}}");
    let notify = |rest: &str, text: &str| {
        handler(&format!("{rest}uses: fake.notify, with: {{webhook: x, text: \"{text}\"}}"))
    };
    table(&[
        (
            &notify("", "{{ steps.dump.outputs.path }}"),
            &[(
                "RB0223",
                "\"{{ steps.dump.outputs.path }}\"",
                "`steps.dump.outputs.path` does not exist when `dump` has not succeeded",
            )],
        ),
        (&notify("", "{{ steps.dump.outputs.path | default('?') }}"), &[]),
        (&notify("", "{{ steps.dump.status }}"), &[]),
        (
            &notify("restores_service: true, ", "x"),
            &[(
                "RB0280",
                "restores_service",
                "`restores_service` has no meaning in a step of a handler",
            )],
        ),
        (
            &notify("needs: [dump], ", "x"),
            &[("RB0210", "dump", "`needs` names `dump`, which is no step of this handler")],
        ),
        (
            "handlers: {failures: []}",
            &[("RB0201", "failures", "unknown key `failures` in `handlers`")],
        ),
        (
            "handlers: {failure: {id: a}}",
            &[("RB0203", "{id: a}", "`failure` is a list of steps, not a mapping")],
        ),
        (
            &handler("uses: fake.approve, with: {prompt: x}"),
            &[("RB0284", "fake.approve", "`fake.approve` in a handler")],
        ),
        (
            &handler("uses: fake.drop, with: {connection: prod}"),
            &[("RB0286", "fake.drop", "`fake.drop` destroys something in a handler")],
        ),
    ]);
}

#[test]
fn what_an_undo_may_read() {
    let undo = |id: &str| {
        format!("{{uses: fake.command, with: {{argv: [\"{{{{ steps.{id}.outputs.path }}}}\"]}}}}")
    };
    let first = |id: &str| {
        format!(
            "  - {{id: a, uses: fake.dump, with: {{connection: prod, store: s}}, undo: {}}}
  - {{id: b, uses: fake.dump, with: {{connection: prod, store: s}}}}
  - {{id: c, needs: [], uses: fake.dump, if: \"true\", with: {{connection: prod, store: s}}, undo: {}}}",
            undo(id),
            undo("c")
        )
    };
    let refused = |id: &'static str| {
        vec![(
            "RB0281",
            format!("steps.{id}.outputs.path"),
            format!("`{id}` may not have run when `a` is undone"),
        )]
    };
    for (id, expected) in
        [("a", vec![]), ("dump", vec![]), ("b", refused("b")), ("c", refused("c"))]
    {
        assert_eq!(problems(&format!("{HEAD}{}\n", first(id))), expected, "{id}");
    }
    table(&[
        (
            "  - {id: a, uses: fake.command, with: {argv: [x]}, undo: {uses: fake.command, needs: [dump], with: {argv: [x]}}}",
            &[("RB0280", "needs", "`needs` has no meaning in an `undo`")],
        ),
        (
            "rollback: on_failure",
            &[("RB0285", "rollback", "`rollback`, and no step has an `undo`")],
        ),
        ("rollback: never", &[]),
        ("rollback: always", &[("RB0203", "always", "unknown value `always`")]),
    ]);
}

#[test]
fn what_a_failure_may_leave_out_needs_a_default() {
    let step = "  - {id: a, continue_on: {failure: true}, slow_after: 5m, uses: fake.dump, with: {connection: prod, store: s}}";
    let reads = |text: &str| {
        format!("{step}\n  - {{id: b, uses: fake.command, with: {{argv: [\"{text}\"]}}}}")
    };
    table(&[
        (
            &reads("{{ steps.a.outputs.path }}"),
            &[(
                "RB0223",
                "\"{{ steps.a.outputs.path }}\"",
                "`steps.a.outputs.path` does not exist when `a` has failed",
            )],
        ),
        (&reads("{{ steps.a.outputs.path | default('') }}"), &[]),
        (
            "  - {id: b, continue_on: {failures: true}, uses: fake.command, with: {argv: [x]}}",
            &[
                ("RB0201", "failures", "unknown key `failures` in `continue_on`"),
                ("RB0202", "failures", "`continue_on` needs `failure`"),
            ],
        ),
    ]);
    let plan = plan(&format!("{HEAD}{step}\n"));
    assert!(plan.steps[2].continue_on_failure);
    assert_eq!(plan.steps[2].slow_after.unwrap().to_string(), "5m");
}

#[test]
fn milestones_are_named_once_and_lie_before_the_end() {
    let step = |id: &str, milestone: &str| {
        format!(
            "  - {{id: {id}, uses: fake.command, with: {{argv: [x]}}, milestone: {milestone}}}\n"
        )
    };
    let two = |one: &str, two: &str| {
        format!("{}{}objectives: {{rto: 10m}}", step("a", one), step("b", two))
    };
    table(&[
        (&two("{name: core, rto: 10m}", "{name: all}"), &[]),
        (
            &two("{name: core}", "{name: core}"),
            &[("RB0293", "core", "two milestones have the name `core`")],
        ),
        (
            &two("{name: core, rto: 11m}", "{rto: 5m}"),
            &[
                ("RB0294", "11m", "the milestone `core` may come later than the RTO, 10m"),
                ("RB0202", "rto", "a milestone needs `name`"),
            ],
        ),
    ]);
}
