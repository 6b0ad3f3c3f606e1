//! Old primaries of which nothing can be known.

use std::net::{TcpListener, TcpStream};

use model::step_error::ErrorClass;
use serde_json::json;
use shown::case;

use crate::common::{Writer, attempt, host, run};
use crate::fence::{Pair, command};

/// A port whose packets are dropped: its queue is full, and nobody takes from it.
struct Blackhole {
    url: String,
    _queue: (tokio::net::TcpListener, Vec<TcpStream>),
}

impl Blackhole {
    fn new() -> Self {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(1).unwrap();
        let address = listener.local_addr().unwrap();
        let patience = std::time::Duration::from_millis(300);
        let connect = || TcpStream::connect_timeout(&address, patience);
        let queue = std::iter::from_fn(|| connect().ok()).collect();
        let url = format!("postgresql://postgres@{address}/lms?connect_timeout=2");
        Self { url, _queue: (listener, queue) }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_does_not_answer_is_not_taken_for_dead() {
    let (pair, nowhere) = (Pair::new(), Blackhole::new());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let deaf =
        format!("postgresql://postgres@{}/lms?connect_timeout=2", listener.local_addr().unwrap());
    let host = host(&pair.primary, &[("deaf", &deaf), ("nowhere", &nowhere.url)]);
    let mut with = command(&["true"]);
    for name in ["deaf", "nowhere"] {
        with["connection"] = json!(name);
        let error = run("fence", with.clone(), &attempt(&host, 1)).await.unwrap_err();
        assert_eq!((error.code.as_str(), error.class), ("RB0581", ErrorClass::NeedsOperator));
        if name == "deaf" {
            case("RB0581", error.told());
        }
    }
    with["accept_unreachable"] = json!("the provider says that the rack has no power");
    let output = run("fence", with, &attempt(&host, 1)).await.unwrap();
    assert_eq!(output["outcome"], "impossible_unreachable");
    let proof = output["proof"].as_str().unwrap();
    assert!(proof.ends_with("accepted: the provider says that the rack has no power"), "{proof}");
    assert_eq!(output["system_identifier"], json!(null));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_split_network_does_not_hide_a_living_primary() {
    let (pair, nowhere) = (Pair::new(), Blackhole::new());
    let standby = pair.standby.url("lms");
    let host = host(&pair.primary, &[("nowhere", &nowhere.url), ("standby", &standby)]);
    let writer = Writer::start(&pair.primary);
    let mut with = command(&["true"]);
    with["connection"] = json!("nowhere");
    with["standby"] = json!("standby");
    with["accept_unreachable"] = json!("it must be down");
    let error = run("fence", with, &attempt(&host, 1)).await.unwrap_err();
    writer.stop();
    assert_eq!((error.code.as_str(), error.class), ("RB0580", ErrorClass::Permanent));
    assert!(error.message.ends_with("the standby still hears of it"), "{error}");
}
