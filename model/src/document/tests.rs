use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::node::Node;

fn codes(text: &str) -> Vec<&'static str> {
    parse(text).err().into_iter().flatten().map(|problem| problem.code).collect()
}

#[test]
fn scalars_keep_their_text_and_place() {
    let text = "mode: 0600\nversion: 1.10\nid: 012345678901\nname: \"42\"\nnone: ~\n";
    let node = parse(text).unwrap();
    assert_eq!(
        node.to_json(),
        json!({"mode": "0600", "version": "1.10", "id": "012345678901", "name": "42", "none": null})
    );
    let mode = node.get("mode").unwrap();
    assert_eq!(&text[mode.span.clone()], "0600");
    assert_eq!(&text[node.get("name").unwrap().span.clone()], "\"42\"");
}

#[test]
fn every_rule_of_the_document_has_its_code() {
    for (text, expected) in [
        ("a: 1\na: 2\n", code::DUPLICATE_KEY),
        ("a: !!str 1\n", code::TAG),
        ("a: &x {b: 1}\nc:\n  <<: *x\n", code::MERGE_KEY),
        ("a: {{ params.x }}\n", code::UNQUOTED),
        ("a: {{ params.x }}/b\n", code::UNQUOTED),
        ("? [a]\n: 1\n", code::KEY),
        ("a: 1\n---\nb: 2\n", code::DOCUMENTS),
        ("", code::DOCUMENTS),
        ("a: [1\n", code::SYNTAX),
        ("a: *nothing\n", code::SYNTAX),
        ("%YAML 1.1\n---\na: 1\n", code::SYNTAX),
        ("a:\n\t- b\n", code::SYNTAX),
    ] {
        assert_eq!(codes(text), [expected], "{text}");
    }
}

#[test]
fn several_problems_come_at_once() {
    assert_eq!(codes("a: 1\na: 2\nb: !x 1\n"), [code::DUPLICATE_KEY, code::TAG]);
}

#[test]
fn limits_hold() {
    for depth in [100, 1000] {
        assert_eq!(codes(&format!("{}x", "- ".repeat(depth))), [code::TOO_DEEP]);
        let flow = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(codes(&flow), [code::TOO_DEEP]);
    }
    assert_eq!(codes(&" ".repeat(TEXT_LIMIT + 1)), [code::TOO_LARGE]);
    assert_eq!(codes(&format!("[{}]", "1,".repeat(NODE_LIMIT))), [code::TOO_MANY]);
    let level = |level: usize| {
        let inner = vec![format!("*a{}", level - 1); 10].join(", ");
        format!("a{level}: &a{level} [{inner}]\n")
    };
    let bomb: String = (1..20).map(level).collect();
    assert_eq!(codes(&format!("a0: &a0 [1]\n{bomb}")), [code::TOO_MANY]);
}

#[test]
fn aliases_within_the_budget_are_copies() {
    let node = parse("a: &x {b: 1}\nc: *x\n").unwrap();
    assert_eq!(node.to_json(), json!({"a": {"b": 1}, "c": {"b": 1}}));
}

fn spans_are_inside(node: &Node, text: &str) -> bool {
    let inside = text.get(node.span.clone()).is_some();
    inside
        && match &node.value {
            NodeValue::List(items) => items.iter().all(|item| spans_are_inside(item, text)),
            NodeValue::Map(entries) => entries.values().all(|entry| {
                text.get(entry.key_span.clone()).is_some() && spans_are_inside(&entry.node, text)
            }),
            NodeValue::Null | NodeValue::Scalar(_) => true,
        }
}

proptest! {
    #[test]
    fn any_text_gives_spans_inside_it(
        text in "([a-z]{1,3}|[-:?{}\\[\\],&*!|>'\"%#@ \n\té日]|: |\n  |- |\\{\\{ x \\}\\}){0,40}"
    ) {
        match parse(&text) {
            Ok(node) => prop_assert!(spans_are_inside(&node, &text)),
            Err(problems) => for problem in problems {
                prop_assert!(text.get(problem.span.clone()).is_some(), "{problem:?}");
            },
        }
    }
}
