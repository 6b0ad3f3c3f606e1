//! The journal's form, version 1, is frozen: this file is read and written again byte for byte.
#![expect(clippy::unwrap_used, reason = "tests unwrap")]
#![expect(clippy::disallowed_methods, reason = "a golden file is renewed on request")]

#[path = "journal/staged.rs"]
mod staged;

use model::journal::{Chain, read};
use model::run::event::{Event, FinalStatus};
use model::run::state::RunState;

const JOURNAL: &str = include_str!("formats/journal-1.jsonl");
/// Answers of people: signed with keys of three kinds, escalated, the glass broken.
const PEOPLE: &str = include_str!("formats/journal-1-people.jsonl");
/// A run with undo, handlers and a second opening.
const STAGES: &str = include_str!("formats/journal-1-stages.jsonl");
/// What the program wrote before runs had stages.
const RECORDED: &str = include_str!("formats/run-0.1.0.jsonl");
const PAGE: &str = include_str!("../../docs/formats/journal.md");

/// The names of all events, as serde knows them.
fn all_types() -> Vec<String> {
    let error = serde_json::from_str::<Event>("{\"type\":\"?\",\"data\":{}}").unwrap_err();
    let text = error.to_string();
    let names = text.split('`').skip(3).step_by(2);
    names.map(str::to_owned).collect()
}

#[test]
fn the_frozen_journal_reads_and_is_written_again_byte_for_byte() {
    for text in [JOURNAL, STAGES, RECORDED] {
        let journal = read(text.as_bytes()).unwrap();
        let mut chain = Chain::default();
        let again: String =
            journal.records.iter().map(|record| chain.seal(&record.stamp, &record.event)).collect();
        assert_eq!(again, text);
        assert_eq!(chain, journal.chain);
    }
}

fn folded(text: &str) -> RunState {
    let mut state = RunState::new();
    for record in read(text.as_bytes()).unwrap().records {
        state.apply(record.stamp.at, &record.event).unwrap();
    }
    state
}

#[test]
fn a_journal_from_before_runs_had_stages_adds_up_to_the_same_run() {
    let state = folded(RECORDED);
    assert_eq!((state.finished(), state.epoch()), (Some(FinalStatus::Succeeded), 3));
    let shown: Vec<String> = state
        .steps()
        .map(|(plan, step)| format!("{} {:?} {}", plan.id, step.status(), step.attempt))
        .collect();
    let expected = [
        "first Succeeded 1",
        "never Skipped 0",
        "say Succeeded 1",
        "doubtful Succeeded 2",
        "later Succeeded 1",
        "alarm Skipped 0",
    ];
    assert_eq!(shown, expected);
    // What it could not know of reads as absent.
    assert!(state.undoable().is_empty() && !state.has_failed_steps());
}

#[test]
fn the_frozen_journal_of_stages_is_what_today_writes_and_adds_up() {
    let mut chain = Chain::default();
    let stamp = read(JOURNAL.as_bytes()).unwrap().records[0].stamp.clone();
    let written: String =
        staged::events(&stamp).iter().map(|(stamp, event)| chain.seal(stamp, event)).collect();
    if std::env::var_os("GOLDEN").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/formats/journal-1-stages.jsonl");
        std::fs::write(path, &written).unwrap();
    }
    assert_eq!(written, STAGES);
    let state = folded(STAGES);
    assert_eq!(state.finished(), Some(FinalStatus::SucceededWithWarnings));
    assert_eq!(state.epoch(), 2);
}

#[test]
fn answers_of_people_read_verify_and_are_written_again_byte_for_byte() {
    let journal = read(PEOPLE.as_bytes()).unwrap();
    let (mut chain, mut state) = (Chain::default(), RunState::new());
    let mut again = String::new();
    for record in &journal.records {
        state.apply(record.stamp.at, &record.event).unwrap();
        again += &chain.seal(&record.stamp, &record.event);
    }
    assert_eq!(again, PEOPLE);
    assert!(state.finished().is_some());
    assert_eq!(PEOPLE.matches("\"signed\":").count(), 3);
    // An answer that its signature does not cover cannot have happened.
    let mut forged = RunState::new();
    let forge = |mut event: Event| {
        if let Event::ApprovalAnswered { answer, .. } = &mut event
            && answer.signed.is_some()
        {
            answer.reason = Some("something else".to_owned());
        }
        event
    };
    let mut records = journal.records.into_iter();
    let refused =
        records.find_map(|record| forged.apply(record.stamp.at, &forge(record.event)).err());
    assert!(refused.unwrap().to_string().contains("the signature is for another answer"));
}

#[test]
fn a_run_is_attended_unless_its_first_record_says_otherwise() {
    let records = read(JOURNAL.as_bytes()).unwrap().records;
    let Event::RunCreated(mut created) = records[0].event.clone() else { panic!("a run begins") };
    assert!(!created.unattended);
    created.unattended = true;
    let line = Chain::default().seal(&records[0].stamp, &Event::RunCreated(created.clone()));
    assert!(line.contains("\"unattended\":true"), "{line}");
    assert_eq!(read(line.as_bytes()).unwrap().records[0].event, Event::RunCreated(created));
}

#[test]
fn the_frozen_journal_holds_every_event_and_the_page_describes_each() {
    let names = all_types();
    assert_eq!(names.len(), 34);
    for name in names {
        let kind = format!("\"type\":\"{name}\"");
        let found = [JOURNAL, PEOPLE, STAGES].iter().any(|journal| journal.contains(&kind));
        assert!(found, "`{name}` is not in the files");
        assert!(PAGE.contains(&format!("| `{name}` |")), "`{name}` is not on the page");
    }
    assert!(folded(JOURNAL).finished().is_some());
}
