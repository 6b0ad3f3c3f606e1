//! Who may answer what, as a table; and rules that hold for any history of answers.

use jiff::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::ids::{RunId, StepId};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_795_000_000 + second).unwrap()
}

fn people(text: &str) -> People {
    People::read("approvers.yaml", text, String::new()).unwrap()
}

/// Why an answer of a person does not count, by its code.
fn code(people: Option<&People>, question: &Question, answer: &Answer) -> &'static str {
    let (run, step): (RunId, StepId) = (RunId::from(ulid::Ulid::nil()), "confirm".parse().unwrap());
    let asked = Asked { run, step: &step, starter: "ann", people, question };
    asked.refusal(at(10), answer).map_or("", |refusal| refusal.code())
}

fn question(approvers: &[&str]) -> Question {
    let approvers = approvers.iter().map(|name| (*name).to_owned()).collect();
    let request =
        Request { prompt: "Go?".to_owned(), approvers, required: 2, ..Request::default() };
    Question::new(request, at(0), Some(at(60)))
}

#[test]
fn who_may_answer_what_is_a_table() {
    use Decision::{Approved, Rejected};
    let roles = people(
        "version: 1\napprovers:\n  - {name: dana, roles: [dba]}\n  - {name: andrea, login: ann, roles: [dba]}\n",
    );
    let allowed = |question: Question| Question {
        request: Request { allow_self: true, ..question.request.clone() },
        ..question
    };
    let (none, dba) = (|| question(&[]), || question(&["dba"]));
    for (people, question, decision, by, expected) in [
        (None, none(), Approved, "bob", ""),
        (None, none(), Approved, "ann", "RB0491"),
        (None, none(), Approved, "Ann ", "RB0491"),
        (None, allowed(none()), Approved, "ann", ""),
        (None, none(), Rejected, "ann", ""),
        (None, question(&["bob"]), Approved, "bob", ""),
        (None, question(&["bob"]), Approved, "eve", "RB0490"),
        (None, question(&["bob"]), Rejected, "eve", ""),
        (Some(&roles), dba(), Approved, "dana", ""),
        (Some(&roles), dba(), Approved, "dba", "RB0490"),
        (Some(&roles), dba(), Approved, "eve", "RB0490"),
        (Some(&roles), dba(), Approved, "andrea", "RB0491"),
        (Some(&roles), allowed(dba()), Approved, "andrea", ""),
    ] {
        let said = code(people, &question, &Answer::claimed(decision, by));
        assert_eq!(said, expected, "{by} {decision:?} {:?}", question.request);
    }
}

#[test]
fn a_question_that_asks_people_with_keys_takes_no_claims() {
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB9dG4kjRhQTtWTVzd2t27+t0DEHBPW7iOD23TUiYLio";
    let people = people(&format!(
        "version: 1\napprovers:\n  - {{name: dana, roles: [dba], key: {key} x}}\n  - {{name: bob, roles: [ops]}}\n"
    ));
    let claim = |decision, by: &str| Answer::claimed(decision, by);
    for by in ["dana", "bob", "eve"] {
        for decision in [Decision::Approved, Decision::Rejected] {
            assert_eq!(code(Some(&people), &question(&["dba"]), &claim(decision, by)), "RB0492");
        }
    }
    assert_eq!(code(Some(&people), &question(&["ops"]), &claim(Decision::Approved, "bob")), "");
    assert_eq!(people.persons[0].key.as_deref(), Some(key), "the comment is left out");
}

#[test]
fn time_ends_a_question_unless_it_is_escalated() {
    let mut late = question(&[]);
    late.until = Some(at(10));
    let answer = Answer::claimed(Decision::Approved, "bob");
    assert_eq!(code(None, &late, &answer), "RB0723");
    late.request.on_timeout = OnTimeout::Escalate;
    assert_eq!(code(None, &late, &answer), "");
    let glass = Answer { break_glass: true, ..answer.clone() };
    assert_eq!(code(None, &late, &glass), "RB0729");
    late.escalation = Some(Escalation { at: at(10), contacts: Vec::new(), break_glass: true });
    assert_eq!(code(None, &late, &glass), "RB0730");
    assert_eq!(code(None, &late, &glass.clone().because(" ")), "RB0730");
    late.answers.push((at(11), glass.because("nobody is there")));
    assert!(late.is_granted(), "one broken glass is enough for `required: 2`");
}

#[test]
fn an_item_is_ticked_once_with_what_it_needs() {
    let mut list = question(&[]);
    let item = |evidence| Item { text: "look".to_owned(), evidence };
    list.request.items = vec![item(false), item(true)];
    let tick = |item| Answer { item, ..Answer::claimed(Decision::Approved, "bob") };
    for (item, expected) in [
        (None, "RB0726"),
        (Some(0), "RB0726"),
        (Some(3), "RB0726"),
        (Some(2), "RB0728"),
        (Some(1), ""),
    ] {
        assert_eq!(code(None, &list, &tick(item)), expected, "{item:?}");
    }
    list.answers.push((at(1), tick(Some(1))));
    assert_eq!(code(None, &list, &tick(Some(1))), "RB0727");
    assert_eq!(list.left(), [2]);
    assert_eq!(code(None, &list, &tick(Some(2)).because("seen")), "");
}

proptest! {
    #[test]
    fn any_history_grants_only_by_different_persons_before_a_rejection(
        required in 1_u32..4,
        given in proptest::collection::vec((0..6_usize, 0..8_u8, 0_i64..80), 0..24),
    ) {
        let names = ["ann", "bob", "Bob", "dana", "eve", "fay"];
        let mut question = question(&["ann", "bob", "dana", "eve"]);
        question.request.required = required;
        let (run, step) = (RunId::from(ulid::Ulid::nil()), "confirm".parse::<StepId>().unwrap());
        let (mut persons, mut rejected) = (std::collections::BTreeSet::new(), false);
        for (name, kind, second) in given {
            let decision = if kind == 0 { Decision::Rejected } else { Decision::Approved };
            let answer = Answer::claimed(decision, names[name]);
            let asked = Asked { run, step: &step, starter: "ann", people: None, question: &question };
            let refused = asked.refusal(at(second), &answer).is_some();
            let over = rejected || persons.len() >= required as usize || second >= 60;
            let person = names[name].to_lowercase();
            let entitled = match decision {
                Decision::Rejected => true,
                Decision::Approved => {
                    ["bob", "dana", "eve"].contains(&person.as_str()) && !persons.contains(&person)
                }
            };
            prop_assert_eq!(refused, over || !entitled);
            if !refused {
                rejected |= decision == Decision::Rejected;
                if decision == Decision::Approved {
                    persons.insert(person);
                }
                question.answers.push((at(second), answer));
            }
        }
        prop_assert_eq!(question.is_granted(), !rejected && persons.len() >= required as usize);
        prop_assert_eq!(question.rejection().is_some(), rejected);
    }
}
