//! The language as a whole: text to diagnostics and to a plan.
#![expect(clippy::disallowed_methods, reason = "tests read golden files and measure time")]

mod kinds;

use std::path::Path;

use indexmap::IndexMap;
use kinds::Kinds;
use model::diagnostic::{Diagnostic, SourceText, render};
use model::ids::StepId;
use model::plan::{Plan, Source};
use model::runbook::Runbook;
use proptest::prelude::*;
use serde_json::{Value, json};

const HEAD: &str = "version: 1\nname: test\n";

fn codes(text: &str) -> Vec<&'static str> {
    Runbook::check(text, &Kinds).problems.iter().map(|problem| problem.code).collect()
}

fn source() -> Source {
    Source { file: "a.yaml".to_owned(), sha256: String::new() }
}

fn plan(text: &str, given: &[(&str, Value)]) -> Result<Plan, Vec<Diagnostic>> {
    let checked = Runbook::check(text, &Kinds);
    let runbook = checked.runbook.unwrap_or_else(|| panic!("{:#?}", checked.problems));
    let given: IndexMap<_, _> =
        given.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    runbook.plan(&Kinds, &given, source())
}

fn needs(plan: &Plan) -> Vec<Vec<&str>> {
    plan.steps.iter().map(|step| step.needs.iter().map(StepId::as_str).collect()).collect()
}

/// Every file in `golden/` gives exactly the text beside it. `GOLDEN=write` writes the texts.
#[test]
fn golden_diagnostics() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut seen = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        seen += 1;
        let file = path.file_name().unwrap().to_str().unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let problems = Runbook::check(&text, &Kinds).problems;
        let shown = render(&problems, &SourceText::new(file, &text), false);
        let beside = path.with_extension("txt");
        if std::env::var_os("GOLDEN").is_some() {
            std::fs::write(&beside, &shown).unwrap();
        }
        assert_eq!(shown, std::fs::read_to_string(&beside).unwrap(), "{file}");
    }
    assert!(seen >= 8, "only {seen} golden files");
}

#[test]
fn order_is_that_of_the_text_unless_needs_or_references_say_otherwise() {
    let text = format!(
        "{HEAD}connections: {{prod: {{}}}}\nstores: {{s: {{url: \"file:///s\"}}}}
steps:
  - {{id: a, uses: fake.dump, with: {{connection: prod, store: s}}}}
  - {{id: b, uses: fake.command, with: {{argv: [x]}}}}
  - {{id: c, uses: fake.command, needs: [], with: {{argv: [\"{{{{ steps.a.outputs.path }}}}\"]}}}}
  - {{id: d, uses: fake.command, needs: [b], if: \"steps.a.outputs.rows > 0 and succeeded('c')\", with: {{argv: [x]}}}}
"
    );
    let plan = plan(&text, &[]).unwrap();
    assert_eq!(needs(&plan), [vec![], vec!["a"], vec!["a"], vec!["b", "c", "a"]]);
    assert_eq!(plan.steps[2].references.len(), 1);
    assert_eq!(plan.steps[0].kind_version, 3);
    assert_eq!(plan.steps[1].retry.limit, 0);
    assert_eq!(plan.steps[0].retry.limit, 2);
}

const PARAMS: &str = "version: 1
name: test
params:
  table: {type: string, required: true, pattern: \"^[a-z]+$\"}
  jobs: {type: integer, default: 2, min: 1, max: 8}
  wait: {type: duration, default: 90s}
  tables: {type: list, default: [a, b]}
  at: {type: timestamp, required: false}
secrets: {hook: {env: HOOK}, url: {env: URL}}
vars: {label: \"daily-{{ params.table }}\"}
connections: {prod: {url: \"{{ secrets.url }}\"}}
stores: {backups: {url: \"file:///b\"}}
steps:
  - id: dump
    uses: fake.dump
    with: {connection: prod, store: backups, tables: \"{{ params.tables }}\", jobs: \"{{ params.jobs }}\", label: \"{{ vars.label }}\"}
  - id: tell
    uses: fake.notify
    with: {webhook: \"{{ secrets.hook }}\", text: \"{{ params.table }} at {{ params.at }}\", wait: \"{{ params.wait }}\"}
";

#[test]
fn parameters_are_bound_by_type() {
    let bound =
        plan(PARAMS, &[("table", json!("users")), ("jobs", json!("4")), ("tables", json!("x, y"))])
            .unwrap();
    assert_eq!(
        serde_json::to_value(&bound.params).unwrap(),
        json!({"table": "users", "jobs": 4, "wait": "1m30s", "tables": ["x", "y"], "at": null})
    );
    assert_eq!(bound.steps[0].secrets, ["url"]);
    assert_eq!(bound.steps[1].secrets, ["hook"]);
    assert_eq!(bound.steps[0].with["jobs"], json!("{{ params.jobs }}"));
    assert_eq!(bound.steps[0].footprint.writes, ["a set labelled `daily-users`"]);
}

#[test]
fn wrong_parameters_are_all_named() {
    let problems = plan(PARAMS, &[("jobs", json!("many")), ("tabel", json!("x"))]).unwrap_err();
    let found: Vec<_> = problems.iter().map(|p| (p.code, p.message.as_str())).collect();
    assert_eq!(
        found,
        [
            ("RB0302", "unknown parameter `tabel`"),
            ("RB0301", "the parameter `table` has no value"),
            ("RB0303", "the parameter `jobs`: expected a whole number, found the text `many`"),
        ]
    );
    assert_eq!(problems[0].span, model::diagnostic::NOWHERE);
    assert_eq!(&PARAMS[problems[1].span.clone()], "table");
    assert_eq!(problems[1].help.as_deref(), Some("give it with `-p table=...`"));
    for (name, value, reason) in [
        ("jobs", json!(9), "the parameter `jobs`: `9` is more than the most, `8`"),
        ("jobs", json!(0), "the parameter `jobs`: `0` is less than the least, `1`"),
        ("table", json!("A"), "the parameter `table`: `A` does not match `^[a-z]+$`"),
        (
            "at",
            json!("2026-01-01T00:00:00"),
            "the parameter `at`: `2026-01-01T00:00:00` is not a time with a zone",
        ),
    ] {
        let given = [("table", json!("users")), (name, value)];
        assert_eq!(plan(PARAMS, &given).unwrap_err()[0].message, reason);
    }
}

#[test]
fn limits_and_targets_that_cannot_work_are_refused() {
    let step = |rest: &str| {
        format!("steps:\n  - {{id: a, uses: fake.command, with: {{argv: [x]}}, {rest}}}\n")
    };
    for (text, place, message) in [
        (
            "params: {n: {type: integer, min: 9, max: 2}}".to_owned(),
            "2",
            "`max` is less than `min`, so that no value is allowed",
        ),
        (step("timeout: 0s"), "0s", "`timeout` must be above 0"),
        (step("stall_timeout: 0s"), "0s", "`stall_timeout` must be above 0"),
        (step("deadline: 0s"), "0s", "`deadline` must be above 0"),
        (
            step("timeout: 2m, deadline: 1m"),
            "1m",
            "the `deadline` is shorter than the `timeout`, 2m",
        ),
        (
            step("retry: {limit: 0, interval: 10s, max_interval: 5s}"),
            "5s",
            "`max_interval` is shorter than `interval`",
        ),
        (step("retry: {limit: 0, backoff: 0.5}"), "0.5", "`backoff` is from 1.0 to 100.0"),
        (step("retry: {limit: 0, jitter: 2}"), "2", "`jitter` is from 0.0 to 1.0"),
        (
            "connections: {c: {url: \"mysql://x\"}}".to_owned(),
            "\"mysql://x\"",
            "`url` is not one of PostgreSQL",
        ),
        ("connections: {c: {port: 0}}".to_owned(), "0", "`0` is not a port"),
        ("connections: {c: {port: db}}".to_owned(), "db", "`db` is not a port"),
        (
            "connections: {c: {url: \"postgres://x\", host: y}}".to_owned(),
            "host",
            "`host` beside `url`: it is unclear which one leads to the server",
        ),
        (
            "stores: {s: {url: \"s3://b\"}}".to_owned(),
            "\"s3://b\"",
            "`s3://b` is not a store's URL",
        ),
    ] {
        let steps = if text.starts_with("steps") { String::new() } else { step("timeout: 1m") };
        let text = format!("{HEAD}{text}\n{steps}");
        let problems = Runbook::check(&text, &Kinds).problems;
        let errors: Vec<_> = problems.iter().filter(|problem| problem.is_error()).collect();
        assert_eq!(errors.len(), 1, "{text}: {errors:#?}");
        assert_eq!((&text[errors[0].span.clone()], errors[0].message.as_str()), (place, message));
    }
    let text = format!(
        "{HEAD}connections: {{c: {{url: \"postgresql://x\", dbname: y}}}}\n{}",
        step("timeout: 1m, deadline: 1m")
    );
    assert_eq!(codes(&text), ["RB0240"]);
}

const TARGETS: &str = "connections: {prod: {}}\nstores: {s: {url: \"file:///s\"}}\n";

fn dump_after_dump(with: &str) -> String {
    format!(
        "{HEAD}{TARGETS}steps:
  - {{id: d, uses: fake.dump, with: {{connection: prod, store: s}}}}
  - {{id: e, uses: fake.dump, with: {{{with}}}}}\n"
    )
}

#[test]
fn a_plan_names_no_made_up_object() {
    let text =
        |label: &str| dump_after_dump(&format!("connection: prod, store: s, label: \"{label}\""));
    let writes = |label: &str| plan(&text(label), &[]).unwrap().steps[1].footprint.writes.clone();
    for label in ["{{ steps.d.outputs.path }}", "x-{{ steps.d.outputs.path }}"] {
        assert_eq!(writes(label), ["a set labelled `(known after d)`"]);
    }
    // A kind that refuses the marker still does not show the example.
    let strict = text("{{ steps.d.outputs.path }}").replace("label:", "jobs: 3, label:");
    let plan = plan(&strict, &[]).unwrap();
    assert_eq!(plan.steps[1].footprint.writes, ["a set labelled `(known after d)`"]);
}

#[test]
fn a_connection_is_known_before_the_run() {
    let text = dump_after_dump("connection: \"{{ steps.d.outputs.tags.a }}\", store: s")
        .replace("prod: {}", "prod: {}, b: {}");
    let problems = Runbook::check(&text, &Kinds).problems;
    let found: Vec<_> = problems.iter().map(|p| (p.code, p.message.as_str())).collect();
    assert_eq!(found, [("RB0230", "the connection is known only during the run")]);
}

#[test]
fn a_key_of_an_open_mapping_fits_any_type() {
    for with in [
        "connection: prod, store: s, label: \"{{ steps.d.outputs.tags.any }}\"",
        "connection: prod, store: s, jobs: \"{{ steps.d.outputs.tags.any }}\"",
        "connection: prod, store: s, jobs: \"{{ steps.d.outputs.tags.any + 1 }}\"",
        "connection: prod, store: s, tables: \"{{ steps.d.outputs.tags.any.deep }}\"",
        "connection: prod, store: s, tables: [\"x{{ steps.d.outputs.tags.any }}\"]",
    ] {
        assert_eq!(codes(&dump_after_dump(with)), [] as [&str; 0], "{with}");
        assert_eq!(plan(&dump_after_dump(with), &[]).unwrap().steps.len(), 2);
    }
    let flag = dump_after_dump("connection: prod, store: s")
        .replace("id: e,", "id: e, if: steps.d.outputs.tags.any,");
    assert_eq!(codes(&flag), [] as [&str; 0]);
    let upper =
        dump_after_dump("connection: prod, store: s, label: \"{{ steps.d.outputs.other }}\"");
    assert_eq!(codes(&upper), ["RB0222"]);
}

#[test]
fn one_wrong_value_hides_no_other() {
    let found = |with: &str| -> Vec<_> {
        let problems = Runbook::check(&dump_after_dump(with), &Kinds).problems;
        problems.into_iter().map(|problem| (problem.code, problem.message)).collect()
    };
    let problem = |code, message: &str| (code, message.to_owned());
    assert_eq!(
        found("jobs: two, lable: x, connection: nope, store: nada"),
        [
            problem("RB0208", "expected a whole number, found `two`"),
            problem("RB0201", "unknown key `lable`"),
            problem("RB0230", "unknown connection `nope`"),
            problem("RB0231", "unknown store `nada`"),
        ]
    );
    assert_eq!(
        found("jobs: 99, store: nada"),
        [
            problem("RB0202", "in `with` of `e`, `connection` is missing"),
            problem("RB0208", "`jobs` is at most 64"),
            problem("RB0231", "unknown store `nada`"),
        ]
    );
    assert_eq!(
        found("conection: prod, store: s, tables: {a: b}, label: [x]"),
        [
            problem("RB0201", "unknown key `conection`"),
            problem("RB0208", "expected a list, found a mapping"),
            problem("RB0208", "expected text, found a list"),
        ]
    );
}

#[test]
fn a_misspelt_function_of_a_condition_is_recognised() {
    let text = |condition: &str| {
        format!(
            "{HEAD}steps: [{{id: a, uses: fake.command, if: \"{condition}\", with: {{argv: [x]}}}}]\n"
        )
    };
    let help = |condition: &str| Runbook::check(&text(condition), &Kinds).problems[0].help.clone();
    assert_eq!(help("succeded()").as_deref(), Some("did you mean `succeeded`?"));
    assert_eq!(
        help("perhaps()").as_deref(),
        Some("known: `params`, `vars`, `run`, `secrets`, `steps`, `succeeded`, `failed`, `always`")
    );
}

#[test]
fn a_bound_value_is_checked_where_it_is_used() {
    let text = PARAMS.replace("max: 8", "max: 100");
    let given = [("table", json!("users")), ("jobs", json!(80))];
    let problems = plan(&text, &given).unwrap_err();
    assert_eq!(problems.len(), 1);
    assert_eq!(
        (problems[0].code, problems[0].message.as_str()),
        ("RB0208", "`jobs` is at most 64")
    );
    assert_eq!(&text[problems[0].span.clone()], "\"{{ params.jobs }}\"");
}

#[test]
fn a_sample_of_a_required_parameter_is_never_blamed() {
    let text = format!(
        "{HEAD}params: {{level: {{type: string}}}}\nconnections: {{c: {{protected: false}}}}
steps:\n  - {{id: a, uses: fake.verify, with: {{scratch: c, level: \"{{{{ params.level }}}}\"}}}}\n"
    );
    assert_eq!(codes(&text), [] as [&str; 0]);
    assert_eq!(plan(&text, &[("level", json!("readable"))]).unwrap().steps.len(), 1);
    let problems = plan(&text, &[("level", json!("readabel"))]).unwrap_err();
    assert_eq!(problems[0].help.as_deref(), Some("did you mean `readable`?"));
}

fn chained(steps: usize) -> String {
    let head = format!(
        "{HEAD}connections: {{prod: {{}}}}\nstores: {{s: {{url: \"file:///s\"}}}}\nsteps:\n"
    );
    let step = |at: usize| {
        let label = match at.checked_sub(1) {
            None => "first".to_owned(),
            Some(before) => {
                format!("{{{{ steps.s{before}.outputs.path | default('x') | basename }}}}")
            }
        };
        format!(
            "  - id: s{at}\n    uses: fake.dump\n    if: \"{at} >= 0\"\n    \
             with: {{connection: prod, store: s, label: \"{label}\"}}\n"
        )
    };
    head + &(0..steps).map(step).collect::<String>()
}

#[test]
fn ten_thousand_steps_are_checked_in_linear_time() {
    let once = |text: &str, steps| {
        let start = std::time::Instant::now();
        let checked = Runbook::check(text, &Kinds);
        let elapsed = start.elapsed();
        assert_eq!(checked.problems, []);
        assert_eq!(checked.runbook.unwrap().step_count(), steps);
        elapsed
    };
    let best = |steps| {
        let text = chained(steps);
        (0..3).map(|_| once(&text, steps)).min().unwrap()
    };
    let (small, large) = (best(1_000), best(10_000));
    println!("{small:?} for 1,000 steps, {large:?} for 10,000");
    assert!(large < small * 30, "{small:?} for 1,000 steps, {large:?} for 10,000");
}

fn all_spans_are_inside(text: &str) -> Result<(), TestCaseError> {
    for problem in Runbook::check(text, &Kinds).problems {
        prop_assert!(text.get(problem.span.clone()).is_some(), "{:?}", problem);
        let also = problem.also.map_or(0..0, |(span, _)| span);
        prop_assert!(text.get(also).is_some());
    }
    Ok(())
}

proptest! {
    #[test]
    fn no_text_makes_the_check_panic(text in "\\PC{0,200}") {
        all_spans_are_inside(&text)?;
    }

    #[test]
    fn no_damage_makes_the_check_panic(
        start in 0..PARAMS.len(), length in 0..40_usize, put in "([a-z]{0,4}|[-:{}\\[\\]\"',|>\n é]){0,4}"
    ) {
        let end = (start + length).min(PARAMS.len());
        all_spans_are_inside(&format!("{}{put}{}", &PARAMS[..start], &PARAMS[end..]))?;
    }
}

fn schema_accepts(text: &str) -> bool {
    let schema = model::schema::runbook(&Kinds);
    let instance = model::document::parse(text).expect("the text is YAML").to_json();
    jsonschema::draft202012::new(&schema).expect("the schema is one").is_valid(&instance)
}

#[test]
fn the_schema_is_one_and_accepts_what_the_check_accepts() {
    let schema = model::schema::runbook(&Kinds);
    assert!(jsonschema::draft202012::meta::is_valid(&schema));
    assert!(schema_accepts(PARAMS));
    let text = format!("{HEAD}steps:\n  - {{id: a, uses: fake.notify, with: {{webhook: x, text: y");
    for (rest, accepted) in [
        (", wait: 5m, loud: true}}", true),
        (", wait: \"{{ params.x }}\", loud: \"{{ params.x }}\"}}", true),
        (", wait: 5}}", false),
        (", loud: \"yes\"}}", false),
        (", lout: true}}", false),
        ("}, timeout: 5m, retry: {limit: 2}}", true),
        ("}, timeuot: 5m}", false),
        ("}, retry: {limt: 2}}", false),
    ] {
        assert_eq!(schema_accepts(&format!("{text}{rest}\n")), accepted, "{rest}");
    }
}

#[test]
fn the_schema_refuses_what_the_check_refuses() {
    for text in [
        "version: 2\nname: a\nsteps: [{id: a, uses: fake.command, with: {argv: [x]}}]\n",
        "version: 1\nname: a\nsteps: []\n",
        "version: 1\nname: a\nsteps: [{id: a, uses: fake.nothing}]\n",
        "version: 1\nname: a\nsteps: [{id: a, uses: fake.dump}]\n",
        "version: 1\nname: a\nnmae: b\nsteps: [{id: a, uses: fake.command, with: {argv: [x]}}]\n",
        "version: 1\nname: a\nsecrets: {b: {}}\nsteps: [{id: a, uses: fake.command, with: {argv: [x]}}]\n",
    ] {
        assert!(!schema_accepts(text), "{text}");
        assert!(Runbook::check(text, &Kinds).runbook.is_none(), "{text}");
    }
}
