//! `foreach` and `runbook.include`: what the steps of a text become in its plan.
#![expect(clippy::unwrap_used, reason = "in a test, a panic is the message")]

mod kinds;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use indexmap::IndexMap;
use kinds::Kinds;
use model::diagnostic::{Diagnostic, render};
use model::ids::StepId;
use model::plan::{Plan, Source};
use model::preview::preview;
use model::run::state::RunState;
use model::runbook::{Checked, Runbook};
use model::sources::Sources;
use proptest::prelude::*;
use serde_json::{Value, json};

const HEAD: &str =
    "version: 1\nname: test\nconnections: {prod: {}}\nstores: {s: {url: \"file:///s\"}}\n";

/// The files beside a runbook.
struct Files<'a>(BTreeMap<&'a str, String>);

impl Sources for Files<'_> {
    fn top(&self) -> &'static str {
        "top.yaml"
    }

    fn read(&self, path: &str) -> Result<String, String> {
        self.0.get(path).cloned().ok_or_else(|| "no such file".to_owned())
    }

    fn shown(&self, path: &str) -> String {
        path.to_owned()
    }
}

fn checked(text: &str, files: &[(&str, &str)]) -> Checked {
    let files = files.iter().map(|(path, text)| (*path, (*text).to_owned())).collect();
    Runbook::check_with(text, &Kinds, &Files(files))
}

fn source() -> Source {
    Source { file: "top.yaml".to_owned(), sha256: String::new() }
}

fn planned(checked: &Checked, given: &[(&str, Value)]) -> Result<Plan, Vec<Diagnostic>> {
    let runbook = checked.runbook.as_ref().unwrap_or_else(|| panic!("{:#?}", checked.problems));
    let given: IndexMap<_, _> =
        given.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    runbook.plan(&Kinds, &given, source())
}

fn plan(text: &str, files: &[(&str, &str)]) -> Plan {
    planned(&checked(text, files), &[]).unwrap()
}

fn codes(text: &str, files: &[(&str, &str)]) -> Vec<&'static str> {
    checked(text, files).problems.iter().map(|problem| problem.code).collect()
}

/// Each step with what it needs: `d: c`.
fn order(plan: &Plan) -> Vec<String> {
    let needs = |ids: &[StepId]| ids.iter().map(StepId::as_str).collect::<Vec<_>>().join(" ");
    plan.steps.iter().map(|step| format!("{}: {}", step.id, needs(&step.needs))).collect()
}

const DUMP: &str = "uses: fake.dump, with: {connection: prod, store: s, tables: [\"{{ table }}\"]}";
const RUN: &str = "uses: fake.command, with: {argv: [x]}";

#[test]
fn the_step_after_a_foreach_waits_for_all_items_and_needs_may_name_one() {
    for (steps, expected) in [
        (
            format!(
                "  - {{id: d, foreach: {{items: [users, A-b], as: table}}, {DUMP}}}\n  - {{id: z, {RUN}}}\n"
            ),
            vec!["d.users: ", "d.a_b: ", "z: d.users d.a_b"],
        ),
        (
            format!(
                "  - {{id: a, {RUN}}}\n  - {{id: d, foreach: {{items: [users, b], as: table}}, {DUMP}}}\n  - {{id: z, needs: [d.b], {RUN}}}\n  - {{id: y, needs: [a, d], {RUN}}}\n"
            ),
            vec!["a: ", "d.users: a", "d.b: a", "z: d.b", "y: a d.users d.b"],
        ),
        (
            format!(
                "  - {{id: d, foreach: {{items: [u, v], as: table}}, {DUMP}}}\n  - {{id: e, foreach: {{items: [1, 2], as: table}}, {DUMP}}}\n"
            ),
            vec!["d.u: ", "d.v: ", "e.item_1: d.u d.v", "e.item_2: d.u d.v"],
        ),
    ] {
        assert_eq!(order(&plan(&format!("{HEAD}steps:\n{steps}"), &[])), expected);
    }
}

const LISTED: &str = "params: {tables: {type: list, default: []}}
steps:
  - {id: a, uses: fake.command, with: {argv: [x]}}
  - id: d
    name: \"Dump {{ table }}\"
    foreach: {items: \"{{ params.tables }}\", as: table, max_parallel: 2}
    uses: fake.dump
    with: {connection: prod, store: s, tables: [\"{{ table }}\"], label: \"{{ table }}\"}
    undo: {uses: fake.command, with: {argv: [rm, \"{{ table }}\"]}}
  - id: z
    uses: fake.command
    with: {argv: [\"{% for o in steps.d.outputs %}{{ o.path }} {% endfor %}\"]}
";

#[test]
fn the_items_of_a_parameter_are_those_of_the_run() {
    let checked = checked(&format!("{HEAD}{LISTED}"), &[]);
    let full = planned(&checked, &[("tables", json!("public.users, orders"))]).unwrap();
    let mut expected =
        vec!["a: ", "d.public_users: a", "d.orders: a", "z: d.public_users d.orders"];
    let main: Vec<String> = order(&full).into_iter().take(4).collect();
    assert_eq!(main, expected);
    assert_eq!(full.steps[1].name.as_deref(), Some("Dump public.users"));
    assert_eq!(full.steps[1].footprint.writes, ["a set labelled `public.users`"]);
    let item = full.steps[1].item.as_ref().unwrap();
    assert_eq!((item.name.as_str(), &item.value), ("table", &json!("public.users")));
    let undo = full.steps.iter().find(|step| step.id.as_str() == "d.orders.undo").unwrap();
    assert_eq!(undo.item.as_ref().unwrap().value, json!("orders"));
    assert_eq!(undo.item.as_ref().unwrap().group.as_str(), "d");
    let group = &full.groups[&"d".parse::<StepId>().unwrap()];
    assert_eq!((group.steps.len(), group.max_parallel), (2, Some(2)));
    let shown = preview(&full);
    assert_eq!(shown.steps[1].with["tables"], json!(["public.users"]));

    let empty = planned(&checked, &[]).unwrap();
    expected = vec!["a: ", "z: a"];
    assert_eq!(order(&empty), expected);
    assert_eq!(empty.steps[1].references[0].as_str(), "d");
    assert!(empty.groups[&"d".parse::<StepId>().unwrap()].steps.is_empty());

    let same = planned(&checked, &[("tables", json!("a-b,a_b"))]).unwrap_err();
    assert_eq!(same.iter().map(|problem| problem.code).collect::<Vec<_>>(), ["RB0262"]);
}

#[test]
fn all_items_together_are_at_most_a_thousand() {
    let steps = |first: usize, second: usize| {
        let step = |id: &str, most: usize| {
            format!(
                "  - {{id: {id}, foreach: {{items: \"{{{{ range({most}) }}}}\", as: n}}, {RUN}}}\n"
            )
        };
        format!("version: 1\nname: test\nsteps:\n{}{}", step("a", first), step("b", second))
    };
    assert_eq!(plan(&steps(500, 500), &[]).steps.len(), 1_000);
    assert_eq!(codes(&steps(500, 501), &[]), ["RB0263"]);
}

const INNER: &str = "version: 1
name: inner
params: {region: {type: string}, n: {type: integer, default: 1}}
vars: {label: \"to-{{ params.region }}\"}
secrets: {url: {env: INNER}}
connections: {prod: {url: \"{{ secrets.url }}\"}}
stores: {s: {url: \"file:///inner\"}}
steps:
  - {id: first, uses: fake.dump, with: {connection: prod, store: s, label: \"{{ vars.label }}\"}}
  - {id: left, needs: [first], if: \"succeeded('first')\", uses: fake.command, with: {argv: [\"{{ steps.first.outputs.path }}\"]}}
  - {id: right, needs: [first], uses: fake.command, with: {argv: [x]}}
";

#[test]
fn an_included_runbook_keeps_its_own_names() {
    let text = format!(
        "{HEAD}params: {{where: {{type: string, default: west}}}}
steps:
  - {{id: a, {RUN}}}
  - {{id: back, phase: execute, uses: runbook.include, with: {{file: parts/inner.yaml, params: {{region: \"{{{{ params.where }}}}\"}}}}}}
  - {{id: z, uses: fake.dump, with: {{connection: prod, store: s, label: \"{{{{ steps.back.first.outputs.path }}}}\"}}}}
  - {{id: y, needs: [back.first], {RUN}}}
"
    );
    let plan = plan(&text, &[("parts/inner.yaml", INNER)]);
    assert_eq!(
        order(&plan),
        [
            "a: ",
            "back.first: a",
            "back.left: back.first",
            "back.right: back.first",
            "z: back.left back.right back.first",
            "y: back.first"
        ]
    );
    let first = &plan.steps[1];
    assert_eq!((first.scope.as_deref(), first.phase.as_deref()), (Some("back"), Some("execute")));
    assert_eq!(first.secrets, ["back.url"]);
    assert_eq!(first.footprint.connections[0].name, "back.prod");
    assert_eq!(first.footprint.stores, ["back.s"]);
    assert_eq!(plan.steps[2].condition.as_deref(), Some("succeeded('back.first')"));
    assert_eq!(plan.connections.keys().collect::<Vec<_>>(), ["prod", "back.prod"]);
    assert_eq!(plan.secrets.keys().collect::<Vec<_>>(), ["back.url"]);
    assert_eq!(plan.stores["back.s"].url, "file:///inner");
    let included = &plan.included["back"];
    assert_eq!(included.source.file, "parts/inner.yaml");
    assert_eq!(included.source.sha256.len(), 64);
    assert_eq!(serde_json::to_value(&included.params).unwrap(), json!({"region": "west", "n": 1}));
    assert_eq!(preview(&plan).steps[1].with["label"], json!("to-west"));
    let again: Plan = serde_json::from_value(serde_json::to_value(&plan).unwrap()).unwrap();
    assert_eq!(again, plan);
}

#[test]
fn problems_of_an_included_runbook_are_told_once_with_the_way_to_it() {
    let text = "version: 1
name: test
steps:
  - {id: a, uses: runbook.include, with: {file: b.yaml}}
  - {id: c, uses: runbook.include, with: {file: b.yaml}}
";
    let inner = "version: 1\nname: b\nsteps:\n  - {id: x, uses: fake.command, with: {argv: [x]}, wiht: {}}\n";
    let checked = checked(text, &[("b.yaml", inner)]);
    let shown = render(&checked.problems, &checked.source("top.yaml", text), false);
    let unknown_key = "error[RB0201]: unknown key `wiht` in a step
 --> b.yaml:4:52
  |
4 |   - {id: x, uses: fake.command, with: {argv: [x]}, wiht: {}}
  |                                                    ^^^^
note: included at top.yaml:4
help: did you mean `with`?
";
    assert!(shown.starts_with(unknown_key), "{shown}");
    assert_eq!(shown.matches("unknown key").count(), 1, "{shown}");
}

#[test]
fn inclusions_end() {
    let include = |file: &str| {
        format!(
            "version: 1\nname: test\nsteps:\n  - {{id: a, uses: runbook.include, with: {{file: {file}}}}}\n"
        )
    };
    let files: Vec<(String, String)> =
        (0..20).map(|n| (format!("f{n}.yaml"), include(&format!("f{}.yaml", n + 1)))).collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    assert_eq!(codes(&include("f0.yaml"), &files), ["RB0267"], "too deep");
    let (a, b) = (include("b.yaml"), include("top.yaml"));
    assert_eq!(codes(&include("a.yaml"), &[("a.yaml", &a), ("b.yaml", &b)]), ["RB0267"]);
    let own = checked(&include("top.yaml"), &[]);
    assert_eq!(own.problems[0].message, "`top.yaml` includes `top.yaml`");
}

const PERHAPS: &str = "params: {away: {type: boolean, default: false}, where: {type: string, default: \"\"}}
steps:
  - {id: a, uses: fake.command, with: {argv: [x]}}
  - {id: back, if: params.away, uses: runbook.include, with: {file: in.yaml, params: {region: \"{{ params.where }}\"}}}
  - {id: z, uses: fake.command, with: {argv: [x]}}
  - {id: y, needs: [back], uses: fake.command, with: {argv: [x]}}
";

/// [`INNER`], which takes no empty region.
fn strict() -> String {
    INNER.replace("{type: string}", "{type: string, pattern: \".+\"}")
}

#[test]
fn an_inclusion_with_an_if_is_part_of_the_plan_when_the_parameters_say_so() {
    let strict = strict();
    let checked = checked(&format!("{HEAD}{PERHAPS}"), &[("in.yaml", &strict)]);
    assert!(checked.problems.iter().all(|problem| !problem.is_error()), "{:#?}", checked.problems);
    let without = planned(&checked, &[]).unwrap();
    assert_eq!(order(&without), ["a: ", "z: a", "y: a"]);
    assert!(without.included.is_empty() && !without.stores.contains_key("back.s"));
    let with = [("away", json!(true)), ("where", json!("west"))];
    let whole = planned(&checked, &with).unwrap();
    let ends = "back.left back.right";
    assert_eq!(order(&whole)[4..], [format!("z: {ends}"), format!("y: {ends}")]);
    assert_eq!(whole.included["back"].params["region"], json!("west"));
    let refused = planned(&checked, &with[..1]).unwrap_err();
    assert_eq!(refused[0].code, "RB0268", "the empty region counts once it is used: {refused:#?}");
}

#[test]
fn what_is_perhaps_not_included_is_read_and_waited_for_inside_only() {
    let strict = strict();
    let reading = PERHAPS.replace("argv: [x]", "argv: [\"{{ steps.back.first.outputs.path }}\"]");
    for (text, code) in [
        (PERHAPS.replace("needs: [back]", "needs: [back.first]"), "RB0210"),
        (reading.replacen("{{ steps.back.first.outputs.path }}", "x", 1), "RB0221"),
    ] {
        let found = checked(&format!("{HEAD}{text}"), &[("in.yaml", &strict)]).problems;
        let problem = found.iter().find(|problem| problem.is_error()).unwrap();
        assert_eq!(problem.code, code, "{problem:#?}");
        assert_eq!(problem.why.as_deref(), Some("it belongs to an inclusion that has an `if`"));
    }
    // A mistake in the condition is no reason to complain of what it guards.
    let misspelt = PERHAPS.replace("params.away", "params.awry");
    assert_eq!(codes(&format!("{HEAD}{misspelt}"), &[("in.yaml", &strict)]), ["RB0221"]);
    // A mistake inside is told although the defaults leave the inclusion out.
    let wrong = strict.replace("fake.dump", "fake.damp");
    let found = codes(&format!("{HEAD}{PERHAPS}"), &[("in.yaml", &wrong)]);
    assert_eq!(found, ["RB0207"]);
}

#[test]
fn what_an_inclusion_cannot_take_is_refused() {
    for (step, code) in [
        ("with: {file: in.yaml}", "RB0268"),
        ("with: {file: in.yaml, params: {region: west, m: 1}}", "RB0268"),
        ("with: {file: in.yaml, params: {region: west, n: many}}", "RB0268"),
        ("with: {file: in.yaml, params: {region: \"{{ vars.x }}\"}}", "RB0261"),
        ("with: {file: ../in.yaml, params: {region: west}}", "RB0266"),
        ("with: {file: other.yaml, params: {region: west}}", "RB0266"),
        ("with: {file: \"{{ run.name }}\", params: {region: west}}", "RB0265"),
        ("with: {file: in.yaml, params: {region: west}}, if: \"failed()\"", "RB0225"),
        ("with: {file: in.yaml, params: {region: west}}, if: \"vars.x == 'west'\"", "RB0261"),
        ("with: {file: in.yaml, params: {region: west}}, if: params.none", "RB0221"),
        ("with: {file: in.yaml, params: {region: west}}, if: \"'perhaps'\"", "RB0225"),
        ("with: {file: in.yaml, params: {region: west}}, retry: {limit: 1}", "RB0265"),
        ("with: {fil: in.yaml}", "RB0201"),
    ] {
        let text = format!(
            "version: 1\nname: test\nvars: {{x: west}}\nsteps:\n  - {{id: a, uses: runbook.include, {step}}}\n  - {{id: b, uses: fake.command, with: {{argv: [\"{{{{ vars.x }}}}\"]}}}}\n"
        );
        let found = codes(&text, &[("in.yaml", INNER)]);
        assert!(found.contains(&code), "{step}: {found:?}");
    }
}

/// A runbook of steps that are plain, made of items, or another runbook.
fn any_runbook(depth: u32) -> BoxedStrategy<(String, Vec<(String, String)>)> {
    let step = prop_oneof![
        3 => Just(None),
        2 => (1usize..4).prop_map(Some),
    ];
    let steps = prop::collection::vec((step, any::<bool>(), any::<prop::sample::Index>()), 1..6);
    if depth == 0 {
        return steps.prop_map(|steps| (text_of(&steps, &[]), Vec::new())).boxed();
    }
    let inner = prop::collection::vec(any_runbook(depth - 1), 0..3);
    (steps, inner)
        .prop_map(move |(steps, inner)| {
            let mut files = Vec::new();
            let mut names = Vec::new();
            for (at, (text, below)) in inner.into_iter().enumerate() {
                let folder = format!("d{at}");
                let of = |(path, text)| (format!("{folder}/{path}"), text);
                files.extend(below.into_iter().map(of));
                names.push(format!("{folder}/in.yaml"));
                files.push((format!("{folder}/in.yaml"), text));
            }
            (text_of(&steps, &names), files)
        })
        .boxed()
}

fn text_of(steps: &[(Option<usize>, bool, prop::sample::Index)], inner: &[String]) -> String {
    let mut text = "version: 1\nname: test\nsteps:\n".to_owned();
    for (at, (items, explicit, earlier)) in steps.iter().enumerate() {
        let needs = match (*explicit, at) {
            (true, 1..) => format!(", needs: [s{}]", earlier.index(at)),
            _ => String::new(),
        };
        let reads = if at == 0 { "x".to_owned() } else { read(steps, earlier.index(at)) };
        let foreach = items.map_or_else(String::new, |items| {
            let items: Vec<String> = (0..items).map(|item| format!("i{item}")).collect();
            format!(", foreach: {{items: [{}], as: it}}", items.join(", "))
        });
        writeln!(
            text,
            "  - {{id: s{at}{needs}{foreach}, uses: fake.command, with: {{argv: [\"{reads}\"]}}}}"
        )
        .unwrap();
    }
    for (at, file) in inner.iter().enumerate() {
        writeln!(text, "  - {{id: p{at}, uses: runbook.include, with: {{file: {file}}}}}").unwrap();
        writeln!(
            text,
            "  - {{id: q{at}, uses: fake.command, with: {{argv: [\"{{{{ steps.p{at}.s0.outputs | json }}}}\"]}}}}"
        )
        .unwrap();
    }
    text
}

fn read(steps: &[(Option<usize>, bool, prop::sample::Index)], at: usize) -> String {
    match steps[at].0 {
        None => format!("{{{{ steps.s{at}.outputs | json }}}}"),
        Some(_) => format!("{{% for o in steps.s{at}.outputs %}}{{{{ o | json }}}}{{% endfor %}}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Ids are unique, every reference is a step or a group, and what is read runs before.
    #[test]
    fn what_is_spread_out_is_a_plan((text, files) in any_runbook(2)) {
        let files: Vec<(&str, &str)> = files.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        let checked = checked(&text, &files);
        prop_assert!(checked.runbook.is_some(), "{:#?}\n{}", checked.problems, text);
        let plan = planned(&checked, &[]).unwrap();
        let ids: BTreeSet<&str> = plan.steps.iter().map(|step| step.id.as_str()).collect();
        prop_assert_eq!(ids.len(), plan.steps.len());
        for step in &plan.steps {
            for read in &step.references {
                let group = plan.groups.get(read).map(|group| group.steps.clone());
                for one in group.unwrap_or_else(|| vec![read.clone()]) {
                    prop_assert!(step.needs.contains(&one), "{} reads {one}", step.id);
                }
            }
        }
        // The run refuses circles and needs that are no steps.
        let created = json!({
            "run": "01JD0000000000000000000000", "tool": "t", "mode": "plan", "starter": "s",
            "started_at": "2026-01-01T00:00:00Z", "unattended": true, "vars": {}, "plan": plan,
        });
        let created: model::run::event::RunCreated = serde_json::from_value(created).unwrap();
        let created = model::run::event::Event::RunCreated(Box::new(created));
        let begun = RunState::new().apply("2026-01-01T00:00:00Z".parse().unwrap(), &created);
        prop_assert!(begun.is_ok(), "{:?}", begun);
    }
}
