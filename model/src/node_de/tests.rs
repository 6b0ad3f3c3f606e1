use std::collections::BTreeMap;

use indexmap::IndexMap;
use serde::Deserialize;
use serde_json::{Value, json};

use super::read;
use crate::node::{Entry, Node, NodeError, NodeValue, Scalar, ScalarStyle};
use crate::units::Span;

fn node(text: &str, style: ScalarStyle) -> Node {
    let scalar = Scalar { text: text.to_owned(), style };
    Node { value: NodeValue::Scalar(scalar), span: 5..9 }
}

fn plain(text: &str) -> Node {
    node(text, ScalarStyle::Plain)
}

fn map(entries: &[(&str, Node)]) -> Node {
    let mut start = 10;
    let mut all = IndexMap::new();
    for (key, node) in entries {
        all.insert(
            (*key).to_owned(),
            Entry { key_span: start..start + key.len(), node: node.clone() },
        );
        start += 100;
    }
    Node { value: NodeValue::Map(all), span: 0..1000 }
}

fn message<T: serde::de::DeserializeOwned>(node: &Node) -> String {
    let NodeError { message, help, .. } = read::<T>(node).err().expect("an error");
    help.map_or(message.clone(), |help| format!("{message} | {help}"))
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
struct Sample {
    jobs: u16,
    #[serde(default)]
    label: Option<String>,
    #[serde(default)]
    how: Option<How>,
    #[serde(default)]
    wait: Option<Span>,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
enum How {
    Swap,
    Before(String),
    Range { from: u8, to: u8 },
}

#[test]
fn number_looking_text_stays_text() {
    for text in ["0600", "1.10", "012345678901", "true", "1e3"] {
        assert_eq!(read::<String>(&plain(text)).unwrap(), text);
    }
    assert_eq!(plain("0600").to_json(), json!("0600"));
    assert_eq!(plain("1.10").to_json(), json!("1.10"));
    assert_eq!(plain("42").to_json(), json!(42));
    assert_eq!(plain("1.5").to_json(), json!(1.5));
    assert_eq!(plain("-0").to_json(), json!("-0"));
    assert_eq!(plain("18446744073709551616").to_json(), json!("18446744073709551616"));
}

#[test]
fn quoted_text_is_no_number() {
    let quoted = node("4", ScalarStyle::Quoted);
    assert_eq!(
        message::<u16>(&quoted),
        "expected a whole number, found the text `4` | remove the quotes"
    );
    assert_eq!(read::<Value>(&quoted).unwrap(), json!("4"));
    assert_eq!(read::<u16>(&Node::from_json(&json!("4"))).unwrap(), 4);
    assert_eq!(read::<Value>(&Node::from_json(&json!("4"))).unwrap(), json!("4"));
    assert_eq!(read::<String>(&Node::from_json(&json!(4))).unwrap(), "4");
    assert!(read::<bool>(&Node::from_json(&json!("true"))).unwrap());
}

#[test]
fn numbers_have_their_range() {
    assert_eq!(
        message::<u16>(&plain("70000")),
        "expected a whole number from 0 to 65535, found `70000`"
    );
    assert_eq!(read::<u8>(&plain("0x1F")).unwrap(), 31);
    assert_eq!(read::<i8>(&plain("-3")).unwrap(), -3);
    assert!((read::<f64>(&plain("1e3")).unwrap() - 1000.0).abs() < f64::EPSILON);
    assert_eq!(message::<u8>(&plain("--3")), "expected a whole number, found `--3`");
}

#[test]
fn only_true_and_false_are_booleans() {
    assert_eq!(
        message::<bool>(&plain("yes")),
        "expected `true` or `false`, found `yes` | write `true`: YAML 1.2 has no other word for it"
    );
    assert_eq!(read::<String>(&plain("yes")).unwrap(), "yes");
}

#[test]
fn an_unknown_key_is_named_where_it_stands() {
    let with = map(&[("jobs", plain("2")), ("lable", plain("x"))]);
    let error = read::<Sample>(&with).unwrap_err();
    assert_eq!(error.span, 110..115);
    assert_eq!(error.message, "unknown key `lable`");
    assert_eq!(error.help.unwrap(), "did you mean `label`?");
}

#[test]
fn a_misfit_stands_at_its_value_and_a_gap_at_its_mapping() {
    let error = read::<Sample>(&map(&[("jobs", plain("many"))])).unwrap_err();
    assert_eq!(
        (error.span, error.message.as_str()),
        (5..9, "expected a whole number, found `many`")
    );
    let error = read::<Sample>(&map(&[("label", plain("x"))])).unwrap_err();
    assert_eq!((error.span, error.message.as_str()), (0..1000, "`jobs` is missing"));
    let error = read::<Sample>(&map(&[("jobs", plain("1")), ("wait", plain("5"))])).unwrap_err();
    assert_eq!(error.span, 5..9);
}

#[test]
fn enums_are_a_name_or_one_key() {
    assert_eq!(read::<How>(&plain("swap")).unwrap(), How::Swap);
    let before = map(&[("before", plain("x"))]);
    assert_eq!(read::<How>(&before).unwrap(), How::Before("x".to_owned()));
    let range = map(&[("range", map(&[("from", plain("1")), ("to", plain("2"))]))]);
    assert_eq!(read::<How>(&range).unwrap(), How::Range { from: 1, to: 2 });
    assert_eq!(message::<How>(&plain("swp")), "unknown value `swp` | did you mean `swap`?");
    assert_eq!(message::<How>(&plain("before")), "`before` needs a value");
}

#[test]
fn maps_lists_and_options_read() {
    let list = Node { value: NodeValue::List(vec![plain("1"), plain("2")]), span: 0..4 };
    assert_eq!(read::<Vec<u8>>(&list).unwrap(), [1, 2]);
    let with = map(&[("a", plain("1"))]);
    assert_eq!(read::<BTreeMap<String, Option<u8>>>(&with).unwrap()["a"], Some(1));
    assert_eq!(message::<Vec<u8>>(&plain("1")), "expected a list, found `1`");
    assert_eq!(message::<Sample>(&plain("1")), "expected a mapping, found `1`");
    assert_eq!(message::<Sample>(&list), "expected a mapping, found a list");
    assert_eq!(message::<String>(&list), "expected text, found a list");
}

proptest::proptest! {
    #[test]
    fn nothing_is_lost_on_the_way_through_json(text in "[-+0-9.eExo]{0,24}|[a-z]{0,5}") {
        let again = Node::from_json(&plain(&text).to_json());
        proptest::prop_assert_eq!(read::<String>(&again).unwrap(), text.clone());
        proptest::prop_assert_eq!(
            read::<u64>(&plain(&text)).ok(), read::<u64>(&again).ok());
        proptest::prop_assert_eq!(
            read::<Value>(&plain(&text)).unwrap(), read::<Value>(&again).unwrap());
    }
}
