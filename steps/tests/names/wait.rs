//! `route53.wait`: Route 53, the name servers, and the former time to live, in this order.

use std::sync::Arc;

use engine::memory_host::MemoryHost;
use hickory_proto::rr::RecordType;
use model::step_error::ErrorClass;
use serde_json::{Value, json};
use shown::case;
use tokio_util::sync::CancellationToken;

use crate::common::{Aws, attempt, host, refusal, run, with_keys};
use crate::dns_server::{DnsServer, Mode};
use crate::proxy::Fate;

const KIND: &str = "route53.wait";
const NAME: &str = "db.example.com";

const PENDING: &str = "<?xml version=\"1.0\"?><GetChangeResponse \
    xmlns=\"https://route53.amazonaws.com/doc/2013-04-01/\"><ChangeInfo><Id>/change/C1</Id>\
    <Status>PENDING</Status><SubmittedAt>2026-11-20T02:00:00Z</SubmittedAt></ChangeInfo>\
    </GetChangeResponse>";

fn waits(keys: &Value) -> Value {
    let mut with = json!({"interval": "10ms"});
    with.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
    with
}

#[test]
fn a_change_is_waited_for_until_every_server_has_it() {
    with_keys("wait::a_change_is_waited_for_until_every_server_has_it", async {
        let aws = Aws::start();
        let asked = "GET /2013-04-01/change/";
        for _ in 0..2 {
            aws.proxy.next(asked, Fate::Answered(200, PENDING));
        }
        let change = json!({"change": "/change/C2682N5HXP0BZ4", "endpoint_url": aws.proxy.url()});
        let output = run(KIND, &waits(&change), &attempt(&host(), 1)).await.unwrap();
        assert_eq!(aws.proxy.count(asked), 3);
        assert_eq!(output, json!({"in_sync_at": "2026-11-20T02:00:00Z", "servers": []}));
        for _ in 0..500 {
            aws.proxy.next(asked, Fate::Answered(200, PENDING));
        }
        let mut late = waits(&change);
        late["within"] = json!("100ms");
        let error = run(KIND, &late, &attempt(&host(), 1)).await.unwrap_err();
        assert_eq!((error.code.as_str(), error.class), ("RB0924", ErrorClass::Permanent));
        case("RB0924", error.told());
        assert!(refusal(KIND, &json!({})).contains("nothing to wait for"));
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn every_name_server_must_give_the_answer() {
    let servers = [0, 1].map(|_| DnsServer::start("127.0.0.1:0", Mode::Answer));
    servers[0].set(NAME, RecordType::A, &["192.0.2.20"]);
    servers[1].set(NAME, RecordType::A, &["192.0.2.10"]);
    let at: Vec<_> = servers.iter().map(|server| server.address.to_string()).collect();
    let with = waits(&json!({"answers": {"name": NAME, "equals": ["192.0.2.20"], "servers": at}}));
    let moved = async {
        while servers[1].asked() < 3 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        servers[1].set(NAME, RecordType::A, &["192.0.2.20"]);
    };
    let ctx = attempt(&host(), 1);
    let (output, ()) = tokio::join!(run(KIND, &with, &ctx), moved);
    assert_eq!(output.unwrap()["servers"], json!(at));
}

#[tokio::test]
async fn the_former_time_to_live_is_waited_out_from_when_it_was_seen() {
    let with = waits(&json!({"former_ttl": 60}));
    let at =
        |moment: &str| Arc::new(MemoryHost::new(moment.parse().unwrap(), std::env::temp_dir()));
    let early = at("2026-11-20T02:00:59Z");
    let (cancel, seen) = (CancellationToken::new(), "2026-11-20T02:00:00Z");
    let ctx = early.context("tested", 2, cancel.clone());
    ctx.record("in_sync", seen).await.unwrap();
    let until = async {
        while early.last_progress().is_none() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        cancel.cancel();
    };
    let (ended, ()) = tokio::join!(run(KIND, &with, &ctx), until);
    assert_eq!(ended.unwrap_err().class, ErrorClass::Cancelled);
    let told = early.last_progress().unwrap().activity;
    assert_eq!(told, "wait: the former answer may be kept for 1s more");
    let late = at("2026-11-20T02:01:00Z");
    let ctx = attempt(&late, 2);
    ctx.record("in_sync", seen).await.unwrap();
    assert_eq!(run(KIND, &with, &ctx).await.unwrap()["in_sync_at"], json!(seen));
}
