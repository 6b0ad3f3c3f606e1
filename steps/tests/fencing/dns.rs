//! `dns.check` against name servers that answer, lag behind, refuse and keep silent.

use std::sync::Arc;

use engine::memory_host::MemoryHost;
use hickory_proto::rr::RecordType;
use model::step_error::{ErrorClass, StepError};
use serde_json::{Value, json};
use shown::case;

use crate::common::{attempt, run};
use crate::dns_server::{DnsServer, Mode};

const NAME: &str = "db.example.com";

fn host() -> Arc<MemoryHost> {
    Arc::new(MemoryHost::new("2026-11-20T02:00:00Z".parse().unwrap(), std::env::temp_dir()))
}

async fn check(servers: &[&DnsServer], keys: Value) -> Result<Value, StepError> {
    let servers: Vec<_> = servers.iter().map(|server| server.address.to_string()).collect();
    let mut with = json!({"name": NAME, "servers": servers, "interval": "50ms"});
    with.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
    run("dns.check", with, &attempt(&host(), 1)).await
}

fn server(mode: Mode, address: &str) -> DnsServer {
    let server = DnsServer::start("127.0.0.1:0", mode);
    server.set(NAME, RecordType::A, &[address]);
    server
}

#[tokio::test(flavor = "multi_thread")]
async fn every_server_must_say_it() {
    let (new, cut) = (server(Mode::Answer, "192.0.2.20"), server(Mode::Cut, "192.0.2.20"));
    let expect = json!({"expect": {"equals": ["192.0.2.20"]}});
    let output = check(&[&new, &cut], expect.clone()).await.unwrap();
    assert_eq!((&output["answers"], &output["ttl"]), (&json!(["192.0.2.20"]), &json!(60)));
    assert_eq!(output["servers"].as_array().unwrap().len(), 2);
    let stale = server(Mode::Answer, "192.0.2.10");
    let error = check(&[&new, &stale], expect).await.unwrap_err();
    assert_eq!((error.code.as_str(), error.class), ("RB0585", ErrorClass::Permanent));
    case("RB0585", error.told());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_answer_is_waited_out() {
    let lagging = server(Mode::Answer, "192.0.2.10");
    let moved = async {
        while lagging.asked() < 3 {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        lagging.set(NAME, RecordType::A, &["192.0.2.20"]);
    };
    let asked = [&lagging];
    let gone = json!({"expect": {"excludes": ["192.0.2.10"], "absent": false}, "wait": "1m"});
    let (output, ()) = tokio::join!(check(&asked, gone), moved);
    assert!(output.unwrap()["looks"].as_u64().unwrap() > 3);
    let never = json!({"expect": {"equals": ["192.0.2.30"]}, "wait": "300ms"});
    let error = check(&[&lagging], never).await.unwrap_err();
    assert_eq!(error.message, "`db.example.com` is not what is expected after 300ms");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_such_name_is_an_answer_of_its_own() {
    let server = DnsServer::start("127.0.0.1:0", Mode::Answer);
    let error = check(&[&server], json!({"expect": {"absent": false}})).await.unwrap_err();
    assert_eq!(error.code, "RB0585");
    assert!(error.causes[0].ends_with("it says that there is no such name"), "{error:?}");
    check(&[&server], json!({"expect": {"absent": true}})).await.unwrap();
    // A name without such a record is another thing.
    server.set(NAME, RecordType::CNAME, &["Primary.example.com"]);
    let error = check(&[&server], json!({"expect": {"absent": false}})).await.unwrap_err();
    assert!(error.causes[0].ends_with("it has no such record"), "{error:?}");
    let alias = json!({"type": "CNAME", "expect": {"equals": ["primary.example.com"]}});
    check(&[&server], alias).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_does_not_answer_fails_the_check() {
    let new = server(Mode::Answer, "192.0.2.20");
    let (silent, refusing) =
        (server(Mode::Silent, "192.0.2.20"), server(Mode::Refuse, "192.0.2.20"));
    let expect = json!({"expect": {"equals": ["192.0.2.20"]}});
    let error = check(&[&new, &silent, &refusing], expect.clone()).await.unwrap_err();
    assert_eq!((error.code.as_str(), error.class), ("RB0586", ErrorClass::Transient));
    assert_eq!(error.causes.len(), 2, "{error:?}");
    case("RB0586", error.told());
    let closed = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut with = json!({"name": NAME, "servers": [closed.to_string()]});
    with["expect"] = expect["expect"].clone();
    let error = run("dns.check", with, &attempt(&host(), 1)).await.unwrap_err();
    assert_eq!(error.code, "RB0586");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_servers_of_the_zone_are_found_and_asked() {
    let resolver = DnsServer::start("127.0.0.1:0", Mode::Answer);
    resolver.set("example.com", RecordType::NS, &["ns1.example.com", "ns2.example.com"]);
    resolver.set("ns1.example.com", RecordType::A, &["127.53.0.1"]);
    resolver.set("ns2.example.com", RecordType::A, &["127.53.0.2"]);
    resolver.set(NAME, RecordType::A, &["192.0.2.10"]);
    let zone = ["127.53.0.1:53", "127.53.0.2:53"].map(|at| DnsServer::start(at, Mode::Answer));
    for server in &zone {
        server.set(NAME, RecordType::A, &["192.0.2.20"]);
    }
    let with = json!({"name": NAME, "servers": ["authoritative"],
                      "resolver": resolver.address.to_string(),
                      "expect": {"equals": ["192.0.2.20"]}});
    let output = run("dns.check", with.clone(), &attempt(&host(), 1)).await.unwrap();
    let asked = json!(["ns1.example.com (127.53.0.1:53)", "ns2.example.com (127.53.0.2:53)"]);
    assert_eq!(output["servers"], asked);
    zone[1].set(NAME, RecordType::A, &["192.0.2.10"]);
    let error = run("dns.check", with, &attempt(&host(), 1)).await.unwrap_err();
    let why = "ns2.example.com (127.53.0.2:53) (of the zone): it says 192.0.2.10";
    assert_eq!(error.causes, [why]);
}
