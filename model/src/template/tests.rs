use serde_json::json;

use super::*;

fn rendered(text: &str) -> Result<Value, TemplateError> {
    let scope = json!({
        "params": {"jobs": 2, "table": "public.users", "list": ["a", "b"]},
        "run": {"stamp": "20261120T020000Z", "started_at": "2026-11-20T02:00:00Z"},
        "steps": {"dump": {"outputs": {"path": "/srv/x/users.dump", "bytes": 1_610_612_736_u64}}},
    });
    render(&json!(text), &scope)
}

#[test]
fn a_whole_expression_keeps_its_type() {
    assert_eq!(rendered("{{ params.jobs }}").unwrap(), json!(2));
    assert_eq!(rendered("{{params.list}}").unwrap(), json!(["a", "b"]));
    assert_eq!(rendered("{{- params.jobs + 1 -}}").unwrap(), json!(3));
    assert_eq!(rendered("{{ params.jobs }}{{ params.jobs }}").unwrap(), json!("22"));
    assert_eq!(rendered(" {{ params.jobs }}").unwrap(), json!(" 2"));
    assert_eq!(rendered("plain").unwrap(), json!("plain"));
}

#[test]
fn filters_do_what_their_page_says() {
    for (text, expected) in [
        ("{{ params.table | ident }}", "\"public\".\"users\""),
        ("{{ ['My.Schema', 't'] | ident }}", "\"My.Schema\".\"t\""),
        ("{{ run.stamp | date('%Y/%m') }}", "2026/11"),
        ("{{ run.started_at | date('%F %H:%M') }}", "2026-11-20 02:00"),
        ("{{ steps.dump.outputs.path | basename }}", "users.dump"),
        ("{{ steps.dump.outputs.bytes | bytes }}", "1.5 GiB"),
        ("{{ 1023 | bytes }}", "1023 B"),
        ("{{ params.list | json }}", "[\"a\",\"b\"]"),
        ("{{ params.missing | default('x') }}", "x"),
        ("{{ params.list | join('+') | upper }}", "A+B"),
        ("{{ 'a-b' | replace('-', '_') }}", "a_b"),
        ("{% for t in params.list %}<{{ t }}>{% endfor %}", "<a><b>"),
    ] {
        assert_eq!(rendered(text).unwrap(), json!(expected), "{text}");
    }
}

#[test]
fn undefined_names_are_errors_everywhere() {
    for text in ["{{ params.missing }}", "x {{ params.missing }}", "{{ nothing.at.all }}"] {
        assert!(rendered(text).unwrap_err().undefined, "{text}");
    }
    assert!(!rendered("{{ 1 | nosuch }}").unwrap_err().undefined);
}

#[test]
fn what_could_grow_or_load_is_refused() {
    let refused = [
        "{% set x = 1 %}{{ x }}",
        "{% macro f() %}{% endmacro %}",
        "{% include 'x' %}",
        "{{ debug() }}",
        "{% for a in range(1000) %}{% for b in range(1000) %}x{% endfor %}{% endfor %}",
        "{{ 'x' * 2000000 }}",
        "a{{ 'x' * 2000000 }}",
        "{{ 'x' * 2000000000 }}",
        "{{ ('x' * 2000) | replace('x', 'x' * 2000) }}",
    ];
    for text in refused {
        assert!(rendered(text).is_err(), "{text}");
    }
}

#[test]
fn references_carry_their_place() {
    let text = "a {{ steps.dump.outputs.path ~ params.x }}";
    let found = references(text).unwrap();
    assert_eq!(found.len(), 2);
    assert_eq!(found[1].root, "steps");
    assert_eq!(found[1].path, ["dump", "outputs", "path"]);
    assert_eq!(&text[found[1].span.clone()], "steps.dump.outputs.path");
    assert_eq!(&text[found[0].span.clone()], "params.x");
    assert!(references("{% for x in params.list %}{{ x }}{% endfor %}").unwrap().len() == 1);
}

#[test]
fn a_name_inside_a_longer_one_is_not_its_place() {
    let text = "{{ params.xy }}{{ params.x }}";
    let found = references(text).unwrap();
    assert_eq!(found[0].span, 18..26);
}

#[test]
fn errors_say_where_in_the_value() {
    let value = json!({"a": [1, "{{ params.nope }}"]});
    let error = render(&value, &json!({"params": {}})).unwrap_err();
    assert_eq!(error.path, ["a", "1"]);
}

struct OneFailed;

impl Results for OneFailed {
    fn succeeded(&self, step: Option<&str>) -> bool {
        step == Some("good")
    }

    fn failed(&self, step: Option<&str>) -> bool {
        step.is_none_or(|step| step == "bad")
    }
}

fn holds(text: &str) -> Result<bool, TemplateError> {
    condition(text, &json!({"params": {"jobs": 2}}), &OneFailed)
}

#[test]
fn conditions_ask_scope_and_results() {
    for (text, expected) in [
        ("params.jobs > 1", true),
        ("true", true),
        ("succeeded()", false),
        ("failed()", true),
        ("always()", true),
        ("succeeded('good') and failed(\"bad\")", true),
        ("failed('good') or params.jobs == 3", false),
    ] {
        assert_eq!(holds(text), Ok(expected), "{text}");
    }
}

#[test]
fn conditions_are_booleans_without_braces() {
    for text in ["params.jobs", "{{ true }}", "params.nope", "params.", "failed('g' ~ 'x')"] {
        assert!(holds(text).is_err(), "{text}");
    }
}

#[test]
fn only_failed_and_always_outlive_a_failure() {
    let outlives = |text| Condition::parse(text).unwrap().runs_after_failure();
    assert!(outlives("failed()") && outlives("always()") && outlives("failed('x') and true"));
    assert!(outlives("'a' == params.x or always ()") && outlives("not failed()"));
    for no in ["succeeded()", "params.failed > 0", "'failed()' == params.x", "not_failed()"] {
        assert!(!outlives(no), "{no}");
    }
    let condition = Condition::parse("failed('x') or params.jobs > 1").unwrap();
    assert_eq!(condition.asked_steps(), ["x"]);
    assert_eq!(condition.references().len(), 1);
}
