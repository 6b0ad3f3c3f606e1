//! The receiver: it records in order, answers as Slack does, and fails on demand.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests read the effect log and measure time"
)]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use lab::sink::{Fault, Message, Sink};
use serde_json::json;

/// One request on a connection of its own: the status, the headers and the body, or nothing when
/// the connection was closed without an answer.
fn ask(sink: &Sink, method: &str, path: &str, body: &str) -> Option<(u16, String, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", sink.port())).unwrap();
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: sink\r\nConnection: close\r\nX-Run: 7\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n")?;
    let (status, headers) = head.split_once("\r\n").unwrap();
    let status = status.split(' ').nth(1).unwrap().parse().unwrap();
    Some((status, headers.to_ascii_lowercase(), body.to_owned()))
}

fn answer(sink: &Sink, method: &str, path: &str, body: &str) -> (u16, String) {
    let (status, _, body) = ask(sink, method, path, body).expect("the sink answers");
    (status, body)
}

#[test]
fn messages_are_recorded_in_order_and_answered_as_slack_does() {
    let sink = Sink::start().unwrap();
    let said = answer(&sink, "POST", "/slack", r#"{"text":"backup proven"}"#);
    assert_eq!(said, (200, "ok".to_owned()));
    let said = answer(&sink, "PUT", "/hook/a?b=c", "not json");
    assert_eq!(said, (200, r#"{"ok":true}"#.to_owned()));
    assert_eq!(answer(&sink, "POST", "/slack", "{}"), (400, "no_text".to_owned()));
    assert_eq!(answer(&sink, "POST", "/slack", "text"), (400, "invalid_payload".to_owned()));
    assert_eq!(answer(&sink, "GET", "/slack", "").0, 405);

    let messages = sink.messages();
    let seen: Vec<_> =
        messages.iter().map(|m| (m.seq, m.method.as_str(), m.path.as_str())).collect();
    let expected = [
        (1, "POST", "/slack"),
        (2, "PUT", "/hook/a?b=c"),
        (3, "POST", "/slack"),
        (4, "POST", "/slack"),
        (5, "GET", "/slack"),
    ];
    assert_eq!(seen, expected);
    assert_eq!(messages[0].body, json!({"text": "backup proven"}));
    assert_eq!(messages[0].headers["x-run"], "7");
    assert_eq!(messages[1].body, json!("not json"));

    let (status, listed) = answer(&sink, "GET", "/messages", "");
    assert_eq!(status, 200);
    assert_eq!(serde_json::from_str::<Vec<Message>>(&listed).unwrap(), messages);
    assert_eq!(sink.messages().len(), 5, "reading the record is not recorded");
}

#[test]
fn faults_meet_the_next_messages_in_turn() {
    let sink = Sink::start().unwrap();
    sink.fail_next(1, Fault::RetryAfter(3));
    sink.fail_next(2, Fault::Status(500));
    sink.fail_next(1, Fault::Status(404));
    let post = || ask(&sink, "POST", "/slack", r#"{"text":"x"}"#).expect("the sink answers");
    let (status, headers, body) = post();
    assert_eq!((status, body.as_str()), (429, "rate_limited"));
    assert!(headers.contains("retry-after: 3"), "{headers}");
    let statuses = [post().0, post().0, post().0, post().0];
    assert_eq!(statuses, [500, 500, 404, 200]);
    assert_eq!(sink.messages().len(), 5);
}

#[test]
fn a_dropped_message_is_recorded_and_not_answered() {
    let sink = Sink::start().unwrap();
    sink.fail_next(1, Fault::Drop);
    assert_eq!(ask(&sink, "POST", "/slack", r#"{"text":"x"}"#), None);
    assert_eq!(sink.messages().len(), 1);
    assert_eq!(answer(&sink, "POST", "/slack", r#"{"text":"x"}"#).0, 200);
}

#[test]
fn a_late_answer_is_recorded_at_once() {
    let sink = Sink::start().unwrap();
    sink.fail_next(1, Fault::DelayMs(400));
    let start = Instant::now();
    std::thread::scope(|scope| {
        let late = scope.spawn(|| answer(&sink, "POST", "/slack", r#"{"text":"x"}"#));
        assert!(sink.wait_for(1, Duration::from_secs(10)));
        assert!(!late.is_finished());
        assert_eq!(late.join().unwrap(), (200, "ok".to_owned()));
    });
    assert!(start.elapsed() >= Duration::from_millis(400));
    assert!(!sink.wait_for(2, Duration::ZERO));
}

#[test]
fn health_and_faults_are_set_over_http_too() {
    let sink = Sink::start().unwrap();
    assert_eq!(answer(&sink, "GET", "/health", "").0, 200);
    assert_eq!(answer(&sink, "PUT", "/control/health", r#"{"status":503}"#).0, 204);
    assert_eq!(answer(&sink, "GET", "/health", "").0, 503);
    sink.set_health(204);
    assert_eq!(answer(&sink, "GET", "/health", "").0, 204);
    let planned = r#"{"times":1,"fault":{"status":502}}"#;
    assert_eq!(answer(&sink, "POST", "/control/faults", planned).0, 204);
    assert_eq!(answer(&sink, "POST", "/hook", "").0, 502);
    assert_eq!(answer(&sink, "POST", "/control/faults", r#"{"time":1}"#).0, 422);
    assert_eq!(sink.messages().len(), 1);
}

#[test]
fn the_effect_log_has_a_line_for_each_message() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("effects.jsonl");
    for text in ["one", "two"] {
        let sink = Sink::start_with_log(&log).unwrap();
        sink.fail_next(1, Fault::Drop);
        ask(&sink, "POST", "/slack", &json!({"text": text}).to_string());
    }
    let text = std::fs::read_to_string(&log).unwrap();
    let lines: Vec<Message> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let bodies: Vec<_> = lines.iter().map(|line| line.body["text"].clone()).collect();
    assert_eq!(bodies, ["one", "two"]);
}

#[test]
fn a_dropped_sink_closes_its_port_also_with_an_answer_due() {
    let sink = Sink::start().unwrap();
    sink.fail_next(1, Fault::DelayMs(60_000));
    let port = sink.port();
    let mut waiting = TcpStream::connect(("127.0.0.1", port)).unwrap();
    waiting.write_all(b"GET /hook HTTP/1.1\r\nHost: sink\r\n\r\n").unwrap();
    assert!(sink.wait_for(1, Duration::from_secs(10)));
    drop(sink);
    let mut rest = Vec::new();
    assert_eq!(waiting.read_to_end(&mut rest).unwrap_or(0), 0);
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
}

#[test]
fn pagerduty_takes_whole_events_and_names_what_is_missing() {
    let sink = Sink::start().unwrap();
    let send = |event: serde_json::Value| answer(&sink, "POST", "/v2/enqueue", &event.to_string());
    let key = "r".repeat(32);
    let payload = json!({"summary": "down", "source": "lms", "severity": "critical"});
    let trigger = json!({"routing_key": key, "event_action": "trigger", "payload": payload,
                         "dedup_key": "k"});
    let (status, body) = send(trigger.clone());
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &body["dedup_key"]), (202, &json!("k")));
    assert_eq!(
        send(json!({"routing_key": key, "event_action": "resolve", "dedup_key": "k"})).0,
        202
    );
    for (pointer, value, error) in [
        ("/routing_key", json!("short"), "'routing_key' is invalid"),
        ("/event_action", json!("page"), "'event_action' is invalid"),
        ("/payload/summary", json!(""), "'payload.summary' is missing or blank"),
        ("/payload/summary", json!("x".repeat(1025)), "'payload.summary' is too long"),
        ("/payload/severity", json!("bad"), "'payload.severity' is invalid"),
        ("/dedup_key", json!("x".repeat(256)), "'dedup_key' is too long"),
    ] {
        let mut event = trigger.clone();
        *event.pointer_mut(pointer).unwrap() = value;
        let (status, body) = send(event);
        assert_eq!(status, 400);
        assert!(body.contains(error), "{body}");
    }
    let (status, body) = send(json!({"routing_key": key, "event_action": "resolve"}));
    assert_eq!(status, 400);
    assert!(body.contains("'dedup_key' is missing"), "{body}");
    assert_eq!(answer(&sink, "GET", "/v2/enqueue", "").0, 405);
    sink.fail_next(1, Fault::Status(500));
    assert_eq!(send(trigger).0, 500);
}
