//! `http.check`, `slack.notify` and `webhook.post` against a real receiver on loopback, with its
//! faults.

use std::net::TcpListener;

use engine::step::Observation;
use lab::sink::{Fault, Sink};
use model::node::Node;
use model::step_error::{ErrorClass, StepError};
use serde_json::{Value, json};

use crate::common::{attempt, host_with_store, run};

async fn send(kind: &str, with: Value) -> Result<Value, StepError> {
    run(kind, with, &attempt(&host_with_store(&std::env::temp_dir()), 1)).await
}

async fn notify(sink: &Sink) -> Result<Value, StepError> {
    send("slack.notify", json!({"webhook": sink.slack_url(), "text": "hello"})).await
}

async fn post(sink: &Sink, keys: Value) -> Result<Value, StepError> {
    let mut with = json!({"url": format!("{}/hook?token=hunter2", sink.url()), "body": {"a": 1}});
    with.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
    send("webhook.post", with).await
}

fn said(error: &StepError) -> (&str, ErrorClass) {
    (&error.code, error.class)
}

/// A port where nobody listens.
pub(crate) fn closed_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[tokio::test]
async fn slack_gets_the_message_once_and_confirms_it() {
    let sink = Sink::start().unwrap();
    assert_eq!(notify(&sink).await.unwrap(), json!({"delivered": "confirmed"}));
    let messages = sink.messages();
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0].method, "POST");
    assert_eq!(messages[0].body, json!({"text": "hello"}));
}

#[tokio::test]
async fn only_a_body_of_ok_is_slack() {
    let sink = Sink::start().unwrap();
    let with = json!({"webhook": format!("{}/elsewhere", sink.url()), "text": "hello"});
    let error = send("slack.notify", with).await.unwrap_err();
    assert_eq!(said(&error), ("RB0706", ErrorClass::Permanent));
}

#[tokio::test]
async fn a_refusal_is_an_error_and_never_counts_as_sent() {
    let sink = Sink::start().unwrap();
    for status in [400, 403, 404, 410, 302] {
        sink.fail_next(2, Fault::Status(status));
        assert_eq!(said(&notify(&sink).await.unwrap_err()), ("RB0704", ErrorClass::Permanent));
        let error = post(&sink, json!({})).await.unwrap_err();
        assert_eq!(said(&error), ("RB0704", ErrorClass::Permanent));
        assert!(!error.to_string().contains("hunter2"));
    }
}

#[tokio::test]
async fn a_receiver_that_asks_to_slow_down_may_be_asked_again() {
    let sink = Sink::start().unwrap();
    sink.fail_next(2, Fault::RetryAfter(0));
    assert_eq!(said(&notify(&sink).await.unwrap_err()), ("RB0705", ErrorClass::Transient));
    let error = post(&sink, json!({})).await.unwrap_err();
    assert_eq!(said(&error), ("RB0705", ErrorClass::Transient));
    assert_eq!(sink.messages().len(), 2);
}

#[tokio::test]
async fn a_receiver_that_is_not_there_has_certainly_nothing() {
    let port = closed_port();
    let with = json!({"webhook": format!("http://127.0.0.1:{port}/hunter2"), "text": "hello"});
    let error = send("slack.notify", with).await.unwrap_err();
    assert_eq!(said(&error), ("RB0701", ErrorClass::Transient));
    assert_eq!(error.message, format!("`127.0.0.1:{port}` cannot be reached"));
    assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
}

/// The server takes the message and dies, or fails: it is not sent a second time, and the step
/// says that it does not know.
#[tokio::test]
async fn a_lost_answer_is_neither_a_failure_nor_a_second_message() {
    let sink = Sink::start().unwrap();
    for fault in [Fault::Drop, Fault::Status(500), Fault::Status(502), Fault::Status(503)] {
        let before = sink.messages().len();
        sink.fail_next(1, fault);
        assert_eq!(notify(&sink).await.unwrap(), json!({"delivered": "unknown"}), "{fault:?}");
        assert_eq!(sink.messages().len(), before + 1, "{fault:?}");
        sink.fail_next(1, fault);
        let output = post(&sink, json!({})).await.unwrap();
        assert_eq!(output["delivered"], json!("unknown"), "{fault:?}");
        assert_eq!(sink.messages().len(), before + 2, "{fault:?}");
    }
}

#[tokio::test]
async fn a_receiver_that_knows_the_key_may_get_the_message_again() {
    let sink = Sink::start().unwrap();
    sink.fail_next(1, Fault::Drop);
    let keys = json!({"deduplicates": true});
    let error = post(&sink, keys.clone()).await.unwrap_err();
    assert_eq!(said(&error), ("RB0703", ErrorClass::Ambiguous));
    let step = steps::REGISTRY.step("webhook.post").unwrap();
    let with = Node::from_json(&json!({"url": sink.url(), "deduplicates": true}));
    let ctx = attempt(&host_with_store(&std::env::temp_dir()), 1);
    assert_eq!(step.observe(&with, &ctx).await, Ok(Observation::NotDone));
    post(&sink, keys).await.unwrap();
    let messages = sink.messages();
    let key = |message: &lab::sink::Message| message.headers["idempotency-key"].clone();
    assert_eq!(key(&messages[0]), key(&messages[1]));
    assert!(key(&messages[0]).ends_with("/tested"));
    assert_eq!(messages[0].headers["runbook-attempt"], "1");
}

#[tokio::test]
async fn headers_and_the_answer_travel() {
    let sink = Sink::start().unwrap();
    let output = post(&sink, json!({"headers": {"Authorization": "Bearer x"}})).await.unwrap();
    assert_eq!(output["answer"], json!({"ok": true}));
    assert_eq!(output["status"], json!(200));
    assert_eq!(sink.messages()[0].headers["authorization"], "Bearer x");
    assert_eq!(sink.messages()[0].body, json!({"a": 1}));
    let error = post(&sink, json!({"expect_status": [202]})).await.unwrap_err();
    assert_eq!(said(&error), ("RB0707", ErrorClass::Permanent));
    assert!(error.message.ends_with("expected status 202, found 200"), "{}", error.message);
}

#[tokio::test]
async fn a_message_that_was_cut_off_is_never_in_doubt() {
    let step = steps::REGISTRY.step("slack.notify").unwrap();
    let with = Node::from_json(&json!({"webhook": "https://x", "text": "hello"}));
    let ctx = attempt(&host_with_store(&std::env::temp_dir()), 1);
    let seen = step.observe(&with, &ctx).await;
    assert_eq!(seen, Ok(Observation::Done(json!({"delivered": "unknown"}))));
}

#[tokio::test]
async fn a_healthy_server_passes_the_check() {
    let sink = Sink::start().unwrap();
    let health = format!("{}/health", sink.url());
    let output = send("http.check", json!({"url": health})).await.unwrap();
    assert_eq!(output["status"], json!(200));
    let with = json!({"url": format!("{}/any", sink.url()),
                      "expect": {"contains": "ok", "json": {"/ok": true}}});
    send("http.check", with).await.unwrap();
}

#[tokio::test]
async fn every_unmet_expectation_may_be_retried_and_names_what_was_found() {
    let sink = Sink::start().unwrap();
    sink.set_health(503);
    let health = format!("{}/health", sink.url());
    let error = send("http.check", json!({"url": health})).await.unwrap_err();
    assert_eq!(said(&error), ("RB0707", ErrorClass::Transient));
    assert!(error.message.ends_with("expected status 200, found 503"), "{}", error.message);
    let with = json!({"url": format!("{}/any", sink.url()), "expect": {"json": {"/ok": false}}});
    let error = send("http.check", with).await.unwrap_err();
    assert!(error.message.ends_with("expected `/ok` to be `false`, found `true`"));
}

#[tokio::test]
async fn a_check_of_a_dead_or_silent_server_may_be_retried() {
    let with = json!({"url": format!("http://127.0.0.1:{}", closed_port())});
    let error = send("http.check", with).await.unwrap_err();
    assert_eq!(said(&error), ("RB0701", ErrorClass::Transient));
    let sink = Sink::start().unwrap();
    sink.fail_next(1, Fault::Drop);
    let with = json!({"url": format!("{}/any", sink.url())});
    let error = send("http.check", with).await.unwrap_err();
    assert_eq!(said(&error), ("RB0703", ErrorClass::Transient));
}

#[tokio::test]
async fn a_check_that_may_wait_looks_until_the_server_is_well_or_its_time_is_up() {
    let sink = Sink::start().unwrap();
    sink.fail_next(2, Fault::Drop);
    let any = json!({"url": format!("{}/any", sink.url()), "wait": "1m", "interval": "20ms"});
    assert_eq!(send("http.check", any).await.unwrap()["status"], 200);
    assert_eq!(sink.messages().len(), 3, "two looks failed, the third did not");
    sink.set_health(503);
    let health =
        json!({"url": format!("{}/health", sink.url()), "wait": "100ms", "interval": "20ms"});
    let error = send("http.check", health).await.unwrap_err();
    assert_eq!(said(&error), ("RB0707", ErrorClass::Transient));
}

#[tokio::test]
async fn a_slow_server_is_given_up() {
    let sink = Sink::start().unwrap();
    sink.fail_next(1, Fault::DelayMs(60_000));
    let with = json!({"url": format!("{}/any", sink.url()), "timeout": "5001ms"});
    let error = send("http.check", with).await.unwrap_err();
    assert_eq!(said(&error), ("RB0703", ErrorClass::Transient));
    assert!(error.message.ends_with("did not answer: time ran out"), "{}", error.message);
}

#[tokio::test]
async fn a_check_that_is_cancelled_stops_at_once() {
    let sink = Sink::start().unwrap();
    sink.fail_next(1, Fault::DelayMs(60_000));
    let ctx = attempt(&host_with_store(&std::env::temp_dir()), 1);
    let check = run("http.check", json!({"url": format!("{}/any", sink.url())}), &ctx);
    let cut = async {
        while sink.messages().is_empty() {
            tokio::task::yield_now().await;
        }
        ctx.cancel().cancel();
    };
    let (result, ()) = tokio::join!(check, cut);
    assert_eq!(result, Err(StepError::cancelled()));
}
