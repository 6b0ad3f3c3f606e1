use jiff::Timestamp;
use serde_json::json;

use super::*;
use crate::run::event::{AttemptEnd, Event, Fact};
use crate::step_error::StepError;

fn stamp(second: i64) -> Stamp {
    Stamp {
        at: Timestamp::from_second(1_795_000_000 + second).unwrap(),
        mono_ms: 1000 * second.unsigned_abs(),
        boot: "b6f1".to_owned(),
        host: "db1".to_owned(),
        epoch: 1,
    }
}

fn events() -> Vec<Event> {
    let step = || "dump".parse().unwrap();
    let fact = Fact { name: "set".to_owned(), data: json!({"id": "x", "n": 1.5}) };
    let error = StepError::transient("RB0500", "the server is `not there` \u{e4}").hint("wait");
    vec![
        Event::PreflightPassed { checks: vec!["pg_dump 15.4".to_owned()] },
        Event::StepStarted { step: step(), attempt: 1 },
        Event::StepFact { step: step(), attempt: 1, fact },
        Event::StepAttemptEnded {
            step: step(),
            attempt: 1,
            end: AttemptEnd::Failed { error },
            log: None,
        },
        Event::CancelRequested { by: "ann".to_owned(), reason: None, force: false },
    ]
}

fn journal() -> (String, Vec<usize>) {
    let (mut chain, mut text, mut ends) = (Chain::default(), String::new(), vec![0]);
    for (second, event) in (0..).zip(events()) {
        text += &chain.seal(&stamp(second), &event);
        ends.push(text.len());
    }
    (text, ends)
}

#[test]
fn what_was_sealed_is_read_again() {
    let (text, _) = journal();
    let read = read(text.as_bytes()).unwrap();
    let seen: Vec<Event> = read.records.iter().map(|record| record.event.clone()).collect();
    assert_eq!(seen, events());
    assert_eq!(read.records[2].stamp, stamp(2));
    assert_eq!((read.chain.seq, read.torn), (6, None));
}

#[test]
fn the_first_line_is_as_documented() {
    let (text, _) = journal();
    let sum = "\"sum\":\"";
    let first = text.lines().next().unwrap();
    assert_eq!(
        first[..first.find(sum).unwrap()],
        format!(
            "{{\"v\":1,\"seq\":1,\"prev\":\"{FIRST_PREV}\",\"at\":\"2026-11-18T11:06:40Z\",\
             \"mono_ms\":0,\"boot\":\"b6f1\",\"host\":\"db1\",\"epoch\":1,\
             \"type\":\"preflight_passed\",\"data\":{{\"checks\":[\"pg_dump 15.4\"]}},"
        )
    );
}

#[test]
fn every_prefix_reads_up_to_its_last_whole_record() {
    let (text, ends) = journal();
    for length in 0..=text.len() {
        let read = read(&text.as_bytes()[..length]).unwrap();
        let whole = ends.iter().filter(|end| **end <= length).count() - 1;
        assert_eq!(read.records.len(), whole, "prefix of {length} bytes");
        let bytes = (length - ends[whole]) as u64;
        let torn = (bytes > 0).then_some(Torn { offset: ends[whole] as u64, bytes });
        assert_eq!(read.torn, torn, "prefix of {length} bytes");
    }
}

#[test]
fn no_flipped_bit_passes_as_a_whole_journal() {
    let (text, ends) = journal();
    let last = ends[ends.len() - 2];
    for (position, bit) in (0..text.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
        let mut bytes = text.clone().into_bytes();
        bytes[position] ^= 1 << bit;
        if let Ok(read) = read(&bytes) {
            let torn = read.torn.expect("a flipped bit shows");
            assert!(position >= last, "byte {position} of the middle passed for a torn tail");
            assert!(torn.offset == last as u64, "byte {position} tore too much");
        }
    }
}

#[test]
fn a_line_taken_out_moved_or_doubled_is_named() {
    let (text, _) = journal();
    let lines: Vec<&str> = text.lines().collect();
    let with = |order: &[usize]| {
        let lines = order.iter().map(|line| lines[*line]).collect::<Vec<_>>();
        read(format!("{}\n", lines.join("\n")).as_bytes()).unwrap_err().line
    };
    assert_eq!(with(&[0, 2, 3, 4]), 2);
    assert_eq!(with(&[1, 2, 3, 4]), 1);
    assert_eq!(with(&[0, 2, 1, 3, 4]), 2);
    assert_eq!(with(&[0, 1, 1, 2, 3]), 3);
}

#[test]
fn a_newer_version_and_an_unknown_event_are_refused() {
    let seal = |from: &str, to: &str| {
        let (text, _) = journal();
        let line = text.lines().next().unwrap().replace(from, to);
        let body = &line[..line.len() - 74];
        let sum = super::record::sha256_hex(body.as_bytes());
        read(format!("{body},\"sum\":\"{sum}\"}}\n").as_bytes())
    };
    assert_eq!(seal("db1", "db2").unwrap().records.len(), 1);
    let newer = seal("{\"v\":1", "{\"v\":2").unwrap_err();
    assert_eq!(newer.why, "it has version 2, and this program reads 1");
    assert!(
        seal("preflight_passed", "preflight_raced").unwrap_err().why.contains("unknown variant")
    );
    assert!(seal("\"checks\"", "\"cheques\"").unwrap_err().why.contains("unknown field"));
}
