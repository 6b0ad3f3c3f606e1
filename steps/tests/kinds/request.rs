//! `http.request` against a real receiver on loopback, with its faults.

use engine::step::Observation;
use lab::sink::{Fault, Sink};
use model::node::Node;
use model::step_error::{ErrorClass, StepError};
use serde_json::{Value, json};

use crate::common::{attempt, host_with_store, run};

async fn send(sink: &Sink, keys: Value) -> Result<Value, StepError> {
    let mut with = json!({"url": format!("{}/api", sink.url())});
    with.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
    run("http.request", with, &attempt(&host_with_store(&std::env::temp_dir()), 1)).await
}

fn said(error: &StepError) -> (&str, ErrorClass) {
    (&error.code, error.class)
}

#[tokio::test]
async fn bodies_headers_and_the_key_travel_and_values_come_back() {
    let sink = Sink::start().unwrap();
    let keys = json!({"method": "POST", "json": {"on": true}, "headers": {"Authorization": "Bearer x"},
                      "idempotency_key": "switch-on", "capture": {"fine": "/ok"}});
    let output = send(&sink, keys).await.unwrap();
    assert_eq!(output, json!({"status": 200, "captured": {"fine": true}}));
    send(&sink, json!({"method": "PUT", "text": "plain"})).await.unwrap();
    let messages = sink.messages();
    assert_eq!(messages[0].method, "POST");
    assert_eq!(messages[0].body, json!({"on": true}));
    assert_eq!(messages[0].headers["authorization"], "Bearer x");
    assert_eq!(messages[0].headers["idempotency-key"], "switch-on");
    assert_eq!((messages[1].method.as_str(), &messages[1].body), ("PUT", &json!("plain")));
}

#[tokio::test]
async fn a_refusal_was_not_carried_out() {
    let sink = Sink::start().unwrap();
    for status in [400, 401, 404, 409, 302] {
        sink.fail_next(1, Fault::Status(status));
        let error = send(&sink, json!({"method": "POST"})).await.unwrap_err();
        assert_eq!(said(&error), ("RB0704", ErrorClass::Permanent), "{status}");
    }
    sink.fail_next(1, Fault::Status(404));
    let gone = send(&sink, json!({"method": "DELETE", "expect_status": [204, 404]})).await;
    assert_eq!(gone.unwrap()["status"], json!(404));
    sink.fail_next(1, Fault::RetryAfter(0));
    let error = send(&sink, json!({"method": "POST"})).await.unwrap_err();
    assert_eq!(said(&error), ("RB0705", ErrorClass::Transient));
}

/// Each way to lose an answer, for each thing a second request would do.
#[tokio::test]
async fn an_unclear_end_has_the_class_that_a_second_request_allows() {
    let sink = Sink::start().unwrap();
    for (keys, class) in [
        (json!({"method": "GET"}), ErrorClass::Transient),
        (json!({"method": "PUT"}), ErrorClass::Transient),
        (json!({"method": "POST", "idempotent": true}), ErrorClass::Transient),
        (json!({"method": "POST", "idempotency_key": "k"}), ErrorClass::Ambiguous),
        (json!({"method": "POST"}), ErrorClass::Ambiguous),
        (json!({"method": "PATCH"}), ErrorClass::Ambiguous),
    ] {
        for (fault, code) in [
            (Fault::Drop, "RB0703"),
            (Fault::Status(500), "RB0741"),
            (Fault::Status(504), "RB0741"),
        ] {
            let before = sink.messages().len();
            sink.fail_next(1, fault);
            let error = send(&sink, keys.clone()).await.unwrap_err();
            assert_eq!(said(&error), (code, class), "{keys} {fault:?}");
            assert_eq!(sink.messages().len(), before + 1, "nothing is sent twice");
            if fault == Fault::Status(500) {
                shown::case("RB0741", error.told());
            }
        }
    }
}

#[tokio::test]
async fn a_lacking_answer_is_not_taken_for_a_request_that_was_not_carried_out() {
    let sink = Sink::start().unwrap();
    for (method, class) in [("POST", ErrorClass::Ambiguous), ("GET", ErrorClass::Permanent)] {
        let keys = json!({"method": method, "capture": {"id": "/id"}});
        let error = send(&sink, keys).await.unwrap_err();
        assert_eq!(said(&error), ("RB0742", class));
        shown::case("RB0742", error.told());
        let error =
            send(&sink, json!({"method": method, "expect_status": [201]})).await.unwrap_err();
        assert_eq!(said(&error), ("RB0707", class));
    }
}

#[tokio::test]
async fn an_observation_asks_the_server_or_says_that_nobody_knows() {
    let sink = Sink::start().unwrap();
    let step = steps::REGISTRY.step("http.request").unwrap();
    let ctx = attempt(&host_with_store(&std::env::temp_dir()), 1);
    let seen = async |keys: Value| {
        let mut with = json!({"url": format!("{}/api", sink.url())});
        with.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
        step.observe(&Node::from_json(&with), &ctx).await
    };
    assert_eq!(seen(json!({"method": "POST"})).await, Ok(Observation::Unknown));
    assert_eq!(seen(json!({"method": "PUT"})).await, Ok(Observation::NotDone));
    let keyed = json!({"method": "POST", "idempotency_key": "k"});
    assert_eq!(seen(keyed).await, Ok(Observation::NotDone));
    assert_eq!(sink.messages().len(), 0, "only `observe` asks the server");
    let observe = |expected: Value| {
        let url = format!("{}/state", sink.url());
        json!({"method": "POST", "observe": {"url": url, "expect": {"json": {"/ok": expected}}}})
    };
    let done = Observation::Done(json!({"status": null, "captured": {}}));
    assert_eq!(seen(observe(json!(true))).await, Ok(done));
    assert_eq!(seen(observe(json!(false))).await, Ok(Observation::NotDone));
    sink.fail_next(1, Fault::Status(500));
    assert_eq!(seen(observe(json!(true))).await, Ok(Observation::Unknown));
    assert!(sink.messages().iter().all(|message| message.method == "GET"));
}
