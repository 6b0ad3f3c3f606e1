//! How a run is conducted: handlers, undo, drills and what else stands around the steps.

mod kinds;

use indexmap::IndexMap;
use jiff::civil::date;
use kinds::Kinds;
use model::diagnostic::Diagnostic;
use model::ids::StepId;
use model::plan::{LeftOut, Occasion, OnConflict, Plan, PlanStep, Role, Source};
use model::runbook::{Runbook, Variant};
use proptest::prelude::*;
use serde_json::{Value, json};

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
            &[
                (
                    "RB0310",
                    "fake.drop",
                    "`a` changes the protected connection `prod`, and no person says so before",
                ),
                ("RB0286", "fake.drop", "`fake.drop` destroys something in a handler"),
            ],
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

const DRILLED: &str = "version: 1
name: test
params: {table: {type: string, env: TABLE}, jobs: {type: integer, default: 2, max: 8}}
connections: {prod: {}}
stores: {s: {url: \"file:///s\"}}
steps:
  - {id: dump, uses: fake.dump, if: \"params.jobs > 0\", with: {connection: prod, store: s, label: \"{{ params.table }}\"}}
  - {id: ask, uses: fake.approve, needs: [dump], with: {prompt: sure}, milestone: {name: sure}}
  - {id: go, uses: fake.command, ungraceful: skip, with: {argv: [\"{{ params.jobs }}\"]}}
  - {id: end, uses: fake.notify, ungraceful: {with: {text: gone}}, with: {webhook: x, text: there}}
";

const DRILL: &str = "drill:
  params: {table: canary}
  replace: {ask: {uses: fake.command, with: {argv: [x]}}}
  skip: [end]
  connections: {prod: {dbname: other}}
";

fn variant(text: &str, variant: Variant, given: &[(&str, Value)]) -> Result<Plan, Vec<Diagnostic>> {
    let checked = Runbook::check(text, &Kinds);
    let runbook = checked.runbook.unwrap_or_else(|| panic!("{:#?}", checked.problems));
    let runbook = runbook.variant(variant).map_err(|problem| vec![*problem])?;
    let source = Source { file: "a.yaml".to_owned(), sha256: String::new() };
    let given = given.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    runbook.plan(&Kinds, &given, source)
}

const DRILL_ONLY: Variant = Variant { drill: true, ungraceful: false };
const UNGRACEFUL: Variant = Variant { drill: false, ungraceful: true };

#[test]
fn a_drill_has_other_parameters_connections_and_steps_in_the_same_order() {
    let text = format!("{DRILLED}{DRILL}");
    let live = variant(&text, Variant::default(), &[("table", json!("users"))]).unwrap();
    let drill = variant(&text, DRILL_ONLY, &[]).unwrap();
    let order = |plan: &Plan| -> Vec<(String, Vec<String>)> {
        let needs = |step: &PlanStep| step.needs.iter().map(ToString::to_string).collect();
        plan.steps.iter().map(|step| (step.id.to_string(), needs(step))).collect()
    };
    assert_eq!(order(&live), order(&drill));
    assert_eq!(drill.params["table"], json!("canary"));
    assert_eq!(drill.connections["prod"].dbname.as_deref(), Some("other"));
    let ask = step(&drill, "ask");
    assert_eq!((ask.uses.as_str(), &ask.with), ("fake.command", &json!({"argv": ["x"]})));
    assert_eq!(ask.milestone, step(&live, "ask").milestone);
    assert_eq!(step(&drill, "end").left_out, Some(LeftOut::Drill));
    assert!(drill.steps[..3].iter().all(|step| step.left_out.is_none()));
    // What the command line says goes before what the drill says.
    let given = variant(&text, DRILL_ONLY, &[("table", json!("orders"))]).unwrap();
    assert_eq!(given.params["table"], json!("orders"));
    let none = variant(DRILLED, DRILL_ONLY, &[]).unwrap_err();
    assert_eq!((none[0].code, none[0].message.as_str()), ("RB0296", "`test` has no drill"));
}

#[test]
fn an_ungraceful_run_leaves_out_or_changes_what_the_steps_say() {
    let plan = variant(DRILLED, UNGRACEFUL, &[("table", json!("users"))]).unwrap();
    assert_eq!(step(&plan, "go").left_out, Some(LeftOut::Ungraceful));
    assert_eq!(step(&plan, "end").with, json!({"webhook": "x", "text": "gone"}));
}

#[test]
fn both_variants_are_checked_and_what_they_share_is_told_once() {
    let text = |drill: &str| format!("{DRILLED}drill: {drill}\n");
    let rows: &[(&str, &[Expected<'_>])] = &[
        ("{replace: {ask: {uses: fake.approve, with: {prompt: x}}}}", &[]),
        ("{skip: [aks]}", &[("RB0283", "aks", "`drill` names `aks`, which is no step")]),
        (
            "{skip: [ask], replace: {ask: {uses: fake.approve, with: {prompt: x}}}}",
            &[("RB0283", "ask", "`ask` is both replaced and skipped")],
        ),
        (
            "{replace: {ask: {uses: fake.approve, needs: [dump], with: {prompt: x}}}}",
            &[("RB0280", "needs", "`needs` has no meaning in a replacement")],
        ),
        (
            "{params: {tabel: x, jobs: 9}}",
            &[
                ("RB0302", "tabel", "unknown parameter `tabel`"),
                ("RB0303", "9", "the parameter `jobs`: `9` is more than the most, `8`"),
            ],
        ),
        (
            "{stores: {t: {url: \"file:///t\"}}}",
            &[("RB0283", "t", "`drill` changes the store `t`, which is not declared")],
        ),
        (
            "{replace: {ask: {uses: fake.dump, with: {connection: nowhere, store: s}}}}",
            &[("RB0230", "nowhere", "in a drill: unknown connection `nowhere`")],
        ),
        ("{skips: [ask]}", &[("RB0201", "skips", "unknown key `skips` in `drill`")]),
    ];
    for (drill, expected) in rows {
        let found = problems(&text(drill));
        let found: Vec<_> = found
            .iter()
            .map(|(code, place, words)| (*code, place.as_str(), words.as_str()))
            .collect();
        assert_eq!(found, *expected, "{drill}");
    }
}

#[test]
fn a_replacement_gives_what_is_read_of_it() {
    let text = |reads: &str, drill: &str| {
        format!(
            "{HEAD}  - {{id: tell, uses: fake.command, with: {{argv: [\"{reads}\"]}}}}\ndrill: {drill}\n"
        )
    };
    let replaced = "{replace: {dump: {uses: fake.approve, with: {prompt: x}}}}";
    let (plain, with_default) =
        ("{{ steps.dump.outputs.path }}", "{{ steps.dump.outputs.path | default('') }}");
    assert_eq!(problems(&text(with_default, replaced)), []);
    let found = Runbook::check(&text(plain, replaced), &Kinds).problems;
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!(
        (found[0].code, found[0].message.as_str()),
        (
            "RB0282",
            "in a drill: `fake.approve`, which replaces `dump`, has no output `path`; `tell` reads it"
        )
    );
    let skipped = problems(&text(plain, "{skip: [dump]}"));
    assert_eq!(
        skipped[0].2,
        "in a drill: `steps.dump.outputs.path` does not exist when `dump` is skipped"
    );
    assert_eq!(problems(&text(with_default, "{skip: [dump]}")), []);
    assert_eq!(problems(&text(plain, "{skip: [dump, tell]}")), []);
}

#[test]
fn what_ungraceful_may_say() {
    let step = |ungraceful: &str| {
        format!(
            "  - {{id: a, ungraceful: {ungraceful}, uses: fake.notify, with: {{webhook: x, text: y}}}}"
        )
    };
    table(&[
        (&step("skip"), &[]),
        (&step("{with: {loud: true}}"), &[]),
        (
            &step("{with: {lout: true}}"),
            &[("RB0201", "lout", "with `--ungraceful`: unknown key `lout`")],
        ),
        (
            &step("{wiht: {}}"),
            &[
                ("RB0201", "wiht", "unknown key `wiht` in `ungraceful`"),
                ("RB0202", "wiht", "`ungraceful` needs `with`"),
            ],
        ),
        (
            &step("never"),
            &[("RB0203", "never", "`ungraceful` is `skip` or a mapping with `with`, not `never`")],
        ),
    ]);
}

#[test]
fn a_file_of_parameters_is_read_by_their_types() {
    let runbook = Runbook::check(DRILLED, &Kinds).runbook.unwrap();
    let read = |text: &str| runbook.read_params(text);
    assert_eq!(
        serde_json::to_value(read("table: 0600\njobs: 3\n").unwrap()).unwrap(),
        json!({"table": "0600", "jobs": 3})
    );
    assert_eq!(read("{\"jobs\": 4}").unwrap()["jobs"], json!(4));
    let text = "tabel: x\njobs: many\n";
    let problems = read(text).unwrap_err();
    let found: Vec<_> = problems.iter().map(|one| (one.code, &text[one.span.clone()])).collect();
    assert_eq!(found, [("RB0302", "tabel"), ("RB0303", "many")]);
    assert_eq!(problems[0].help.as_deref(), Some("did you mean `table`?"));
    assert_eq!(
        read("[a]").unwrap_err()[0].message,
        "parameters are a mapping from names, not a list"
    );
}

proptest! {
    /// What a drill or an ungraceful run would do changes nothing in a live one.
    #[test]
    fn a_live_plan_is_the_one_without_these_sections(
        count in 1..5_usize,
        skips in proptest::collection::vec(any::<bool>(), 5),
        replaces in proptest::collection::vec(any::<bool>(), 5),
        ungraceful in proptest::collection::vec(0..3_usize, 5),
    ) {
        let step = |at: usize, said: &str| {
            format!("  - {{id: s{at}, uses: fake.notify, with: {{webhook: x, text: t{at}}}{said}}}\n")
        };
        let said = ["", ", ungraceful: skip", ", ungraceful: {with: {text: other}}"];
        let plain: String = (0..count).map(|at| step(at, "")).collect();
        let full: String = (0..count).map(|at| step(at, said[ungraceful[at]])).collect();
        let picked = |flags: &[bool]| (0..count).filter(|at| flags[*at]).collect::<Vec<_>>();
        let replaced = picked(&replaces);
        let skip: Vec<_> = picked(&skips).into_iter().filter(|at| !replaced.contains(at)).collect();
        let skip: Vec<_> = skip.iter().map(|at| format!("s{at}")).collect();
        let replace: Vec<_> = replaced
            .iter()
            .map(|at| format!("s{at}: {{uses: fake.command, with: {{argv: [x]}}}}"))
            .collect();
        let head = "version: 1\nname: test\nsteps:\n";
        let drill = format!("drill: {{skip: [{}], replace: {{{}}}}}\n", skip.join(", "), replace.join(", "));
        let without = plan(&format!("{head}{plain}"));
        let with = format!("{head}{full}{drill}");
        prop_assert_eq!(&plan(&with), &without);
        let drilled = variant(&with, DRILL_ONLY, &[]).unwrap();
        for (at, step) in drilled.steps.iter().enumerate() {
            prop_assert_eq!(step.left_out.is_some(), skip.contains(&format!("s{at}")));
            prop_assert_eq!(step.uses == "fake.command", replaced.contains(&at));
        }
    }
}

#[test]
fn what_stands_around_the_steps_reaches_the_plan() {
    let text = format!(
        "{HEAD}concurrency: {{group: \"{{{{ run.name }}}}-{{{{ params.to }}}}\", on_conflict: queue}}
params: {{to: {{type: string, default: x}}}}
contacts: [{{role: DBA, name: Dana Ortiz, phone: \"+1 555 0100\"}}]
review: {{by: \"2027-02-01\", approved_by: dba}}
allowed_regions: [us-east-1]
schedule: [{{cron: \"0 2 * * *\", catchup: 6h}}, {{cron: \"*/5 * * * 1-5\", timezone: Europe/Berlin}}]
"
    );
    let plan = plan(&text);
    let group = plan.concurrency.as_ref().unwrap();
    assert_eq!((group.group.as_str(), group.on_conflict), ("test-x", OnConflict::Queue));
    assert_eq!(plan.contacts[0].phone.as_deref(), Some("+1 555 0100"));
    assert_eq!(plan.review.as_ref().unwrap().by, date(2027, 2, 1));
    assert_eq!(plan.allowed_regions, ["us-east-1"]);
    let zones: Vec<_> = plan.schedule.iter().map(|one| one.timezone.as_str()).collect();
    assert_eq!(zones, ["UTC", "Europe/Berlin"]);
    let runbook = Runbook::check(&text, &Kinds).runbook.unwrap();
    assert_eq!(runbook.overdue(date(2027, 2, 1)), None);
    let overdue = runbook.overdue(date(2027, 2, 2)).unwrap();
    assert_eq!((overdue.code, &text[overdue.span.clone()]), ("RB0291", "\"2027-02-01\""));
    assert_eq!(overdue.message, "the review of this runbook is overdue since 2027-02-01");
}

#[test]
fn what_cannot_stand_around_the_steps() {
    table(&[
        (
            "concurrency: {group: \"{{ run.id }}\"}",
            &[("RB0295", "run.id", "a group may not read `run.id`")],
        ),
        ("concurrency: {group: \"\"}", &[("RB0205", "\"\"", "the group has no name")]),
        (
            "concurrency: {group: a, on_conflict: wait}",
            &[("RB0203", "wait", "unknown value `wait`")],
        ),
        ("contacts: [{role: DBA}]", &[("RB0202", "role", "a contact needs `name`")]),
        ("review: {by: soon}", &[("RB0205", "soon", "`soon` is not a day")]),
        (
            "allowed_regions: []",
            &[("RB0205", "[]", "`allowed_regions` is empty, so that no step may act anywhere")],
        ),
        (
            "  - {id: far, uses: fake.fetch, with: {url: \"https://s3.eu-west-1.amazonaws.com/b\"}}
allowed_regions: [us-east-1]",
            &[(
                "RB0292",
                "\"https://s3.eu-west-1.amazonaws.com/b\"",
                "this is in `eu-west-1`, which is not an allowed region",
            )],
        ),
        (
            "drill: {connections: {prod: {host: db.x.eu-west-1.rds.amazonaws.com}}}
allowed_regions: [us-east-1]",
            &[(
                "RB0292",
                "db.x.eu-west-1.rds.amazonaws.com",
                "in a drill: this is in `eu-west-1`, which is not an allowed region",
            )],
        ),
    ]);
}

#[test]
fn a_schedule_starts_what_can_run_without_anybody() {
    let line = |line: &str| format!("schedule: [{{cron: {line}}}]");
    let asks =
        "  - {id: ask, uses: fake.approve, with: {prompt: sure}}\nschedule: [{cron: \"0 2 * * *\"";
    table(&[
        (&line("\"0 2 * * *\""), &[]),
        (&line("\"0 2 29 2 *\""), &[]),
        (
            &line("\"61 2 * * *\""),
            &[("RB0287", "\"61 2 * * *\"", "`61` cannot be the minute of a cron line")],
        ),
        (
            &line("\"0 2 * jam *\""),
            &[("RB0287", "\"0 2 * jam *\"", "`jam` cannot be the month of a cron line")],
        ),
        (
            &line("\"0 0 2 * * *\""),
            &[("RB0287", "\"0 0 2 * * *\"", "a cron line has five fields, not 6")],
        ),
        (&line("\"\""), &[("RB0287", "\"\"", "a cron line has five fields, not 0")]),
        (&line("\"0 0 30 2 *\""), &[("RB0288", "\"0 0 30 2 *\"", "`0 0 30 2 *` never comes")]),
        (
            &line("\"0 2 * * *\", timezone: Europe/Berln"),
            &[("RB0289", "Europe/Berln", "unknown time zone `Europe/Berln`")],
        ),
        (
            &line("\"0 2 * * *\", catchup: 800h"),
            &[("RB0205", "800h", "`catchup` is at most 31 days")],
        ),
        (
            &line("\"0 2 * * *\", mode: drill"),
            &[("RB0296", "\"0 2 * * *\"", "a scheduled drill, and no `drill`")],
        ),
        (
            &format!("{asks}}}]"),
            &[("RB0290", "\"0 2 * * *\"", "a scheduled run waits at `ask` until somebody comes")],
        ),
        (&format!("{asks}}}]").replace("prompt: sure", "prompt: sure, timeout: 5m"), &[]),
        (&format!("{asks}, mode: drill}}]\ndrill: {{skip: [ask]}}"), &[]),
        (
            "  - {id: say, uses: fake.command, with: {argv: [\"{{ params.what }}\"]}}
params: {what: {type: string}}
schedule: [{cron: \"0 2 * * *\"}]",
            &[("RB0290", "\"0 2 * * *\"", "a scheduled run has no value for the parameter `what`")],
        ),
    ]);
}

#[test]
fn only_a_handler_of_waits_knows_what_is_waited_for() {
    let handler = |on: &str| {
        format!(
            "handlers: {{{on}: [{{id: a, uses: fake.notify, with: {{webhook: x, text: \"{{{{ run.waiting_step }}}}: {{{{ run.waiting_reason }}}}\"}}}}]}}"
        )
    };
    table(&[
        (&handler("waiting"), &[]),
        (
            &handler("failure"),
            &[
                (
                    "RB0221",
                    "run.waiting_step",
                    "`run.waiting_step` is known only in a `waiting` handler",
                ),
                (
                    "RB0221",
                    "run.waiting_reason",
                    "`run.waiting_reason` is known only in a `waiting` handler",
                ),
            ],
        ),
        (
            "handlers: {exit: [{id: a, uses: fake.notify, with: {webhook: x, text: \"{{ run.status }} {{ run.failed_reason }}\"}}]}",
            &[],
        ),
    ]);
}

#[test]
fn the_schema_knows_every_key() {
    let schema = model::schema::runbook(&Kinds);
    let schema = jsonschema::draft202012::new(&schema).unwrap();
    let accepts = |text: &str| schema.is_valid(&model::document::parse(text).unwrap().to_json());
    let full = format!("{DRILLED}{DRILL}concurrency: {{group: a}}\ncontacts: [{{role: a, name: b}}]
review: {{by: \"2027-02-01\"}}\nallowed_regions: [a]\nschedule: [{{cron: \"0 2 * * *\", mode: drill}}]\n");
    assert!(accepts(&full));
    assert!(accepts(&format!("{HEAD}{UNDONE}")));
    for (from, to) in [
        ("skip: [end]", "skips: [end]"),
        ("uses: fake.command, with: {argv: [x]}", "uses: fake.command, needs: [a]"),
        ("uses: fake.command, with: {argv: [x]}", "uses: fake.command, with: {arg: [x]}"),
        ("ungraceful: skip", "ungraceful: never"),
        ("milestone: {name: sure}", "milestone: {nmae: sure}"),
        ("{role: a, name: b}", "{role: a, nam: b}"),
        ("mode: drill", "mode: both"),
    ] {
        assert!(full.contains(from) && !accepts(&full.replace(from, to)), "{to}");
    }
    let told = format!("{HEAD}{UNDONE}");
    for (from, to) in [
        ("exit:", "exits:"),
        ("{id: bye,", "{id: bye, restores_service: true,"),
        ("timeout: 5m}", "timeuot: 5m}"),
    ] {
        assert!(told.contains(from) && !accepts(&told.replace(from, to)), "{to}");
    }
}
