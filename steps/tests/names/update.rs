//! `route53.update`: records change all or none, once, and come back.

use engine::step::Observation;
use model::step_error::ErrorClass;
use serde_json::{Value, json};
use shown::case;
use tokio_util::sync::CancellationToken;

use crate::common::{Aws, attempt, host, observe, refusal, run, with_keys};
use crate::proxy::Fate;

const KIND: &str = "route53.update";
const NAME: &str = "db.example.com";
const OLD: &str = "app-primary.example.com";
const NEW: &str = "app-replica.example.com";

/// The request that changes records, in a log of requests.
const CHANGE: &str = "<ChangeResourceRecordSetsRequest";

const PENDING: &str = "<?xml version=\"1.0\"?><GetChangeResponse \
    xmlns=\"https://route53.amazonaws.com/doc/2013-04-01/\"><ChangeInfo><Id>/change/C1</Id>\
    <Status>PENDING</Status><SubmittedAt>2026-11-20T02:00:00Z</SubmittedAt></ChangeInfo>\
    </GetChangeResponse>";

struct Zone {
    aws: Aws,
    id: String,
}

impl Zone {
    fn new() -> Self {
        let aws = Aws::start();
        let id = zone(&aws, "example.com", "one");
        let zone = Self { aws, id };
        zone.set(&format!(
            "<TTL>300</TTL><ResourceRecords><ResourceRecord><Value>{OLD}</Value>\
                           </ResourceRecord></ResourceRecords>"
        ));
        zone
    }

    /// Sets the record as another client does.
    fn set(&self, rest: &str) {
        let body = format!(
            "<ChangeResourceRecordSetsRequest xmlns=\"https://route53.amazonaws.com/doc/2013-04-01/\">\
             <ChangeBatch><Changes><Change><Action>UPSERT</Action><ResourceRecordSet><Name>{NAME}\
             </Name><Type>CNAME</Type>{rest}</ResourceRecordSet></Change></Changes></ChangeBatch>\
             </ChangeResourceRecordSetsRequest>"
        );
        let path = format!("/2013-04-01/hostedzone/{}/rrset/", self.id);
        self.aws.ask("us-east-1", "route53", "POST", &path, &body);
    }

    /// All records of the zone, as another client sees them.
    fn records(&self) -> String {
        let path = format!("/2013-04-01/hostedzone/{}/rrset", self.id);
        self.aws.ask("us-east-1", "route53", "GET", &path, "")
    }

    fn says(&self, value: &str) -> bool {
        self.records().contains(&format!("<Value>{value}</Value>"))
    }

    fn with(&self, keys: &Value) -> Value {
        let mut with = json!({"zone": "example.com", "interval": "10ms", "region": "us-west-2",
                              "endpoint_url": self.aws.proxy.url()});
        with.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
        with
    }

    fn moves(&self) -> Value {
        self.with(&json!({"changes": [{"name": NAME, "type": "CNAME", "values": [NEW], "ttl": "1m",
                                       "expect": [OLD]}]}))
    }
}

fn zone(aws: &Aws, name: &str, reference: &str) -> String {
    let body = format!(
        "<CreateHostedZoneRequest xmlns=\"https://route53.amazonaws.com/doc/2013-04-01/\"><Name>{name}\
         </Name><CallerReference>{reference}</CallerReference></CreateHostedZoneRequest>"
    );
    let told = aws.ask("us-east-1", "route53", "POST", "/2013-04-01/hostedzone", &body);
    let id = told.split("<Id>/hostedzone/").nth(1).unwrap();
    id.split('<').next().unwrap().to_owned()
}

#[test]
fn records_move_and_come_back() {
    with_keys("update::records_move_and_come_back", async {
        let zone = Zone::new();
        let host = host();
        let output = run(KIND, &zone.moves(), &attempt(&host, 1)).await.unwrap();
        assert!(zone.says(NEW) && !zone.says(OLD), "{}", zone.records());
        assert_eq!((&output["changed"], &output["in_sync"]), (&json!(true), &json!(true)));
        assert_eq!((&output["zone"], &output["former_ttl"]), (&json!(zone.id), &json!(300)));
        let former = json!([{"name": NAME, "type": "CNAME", "ttl": "5m", "values": [OLD],
                             "expect": [NEW]}]);
        assert_eq!(output["former"], former);
        // The control plane of names stands in one region.
        assert!(zone.aws.proxy.count("/us-east-1/route53/aws4_request") > 2);
        assert_eq!(zone.aws.proxy.count("/us-west-2/"), 0);
        // What is as it should be is left alone.
        let again = run(KIND, &zone.moves(), &attempt(&crate::common::host(), 1)).await.unwrap();
        assert_eq!((&again["changed"], zone.aws.proxy.count(CHANGE)), (&json!(false), 1));
        let back = zone.with(&json!({"restore": output["former"]}));
        run(KIND, &back, &attempt(&crate::common::host(), 1)).await.unwrap();
        assert!(zone.says(OLD) && !zone.says(NEW), "{}", zone.records());
        assert!(zone.records().contains("<TTL>300</TTL>"));
        // An undo does not undo what somebody else did since.
        let value = "elsewhere.example.com";
        zone.set(&format!(
            "<TTL>60</TTL><ResourceRecords><ResourceRecord><Value>{value}</Value>\
                           </ResourceRecord></ResourceRecords>"
        ));
        let error = run(KIND, &back, &attempt(&crate::common::host(), 1)).await.unwrap_err();
        assert_eq!((error.code.as_str(), error.class), ("RB0920", ErrorClass::Permanent));
        case("RB0920", error.told());
        assert!(zone.says(value));
    });
}

#[test]
fn a_record_is_added_and_taken_away_again_with_its_weight() {
    with_keys("update::a_record_is_added_and_taken_away_again_with_its_weight", async {
        let zone = Zone::new();
        let record = json!({"name": "*.example.com", "type": "A", "values": ["192.0.2.1"],
                            "set_identifier": "west", "weight": 10, "expect": []});
        let with = zone.with(&json!({"zone": zone.id, "changes": [record], "wait": false}));
        let output = run(KIND, &with, &attempt(&host(), 1)).await.unwrap();
        let records = zone.records();
        for part in ["<Weight>10</Weight>", "<SetIdentifier>west</SetIdentifier>", "<TTL>60</TTL>"]
        {
            assert!(records.contains(part), "{records}");
        }
        assert_eq!((&output["in_sync"], &output["former_ttl"]), (&json!(false), &json!(null)));
        let former = json!([{"name": "*.example.com", "type": "A", "set_identifier": "west",
                             "absent": true, "expect": ["192.0.2.1"]}]);
        assert_eq!(output["former"], former);
        let back = zone.with(&json!({"restore": output["former"]}));
        let output = run(KIND, &back, &attempt(&host(), 1)).await.unwrap();
        assert!(!zone.says("192.0.2.1"), "{}", zone.records());
        assert_eq!(output["former"][0]["weight"], json!(10));
    });
}

#[test]
fn a_lost_answer_never_sends_a_second_change_blindly() {
    with_keys("update::a_lost_answer_never_sends_a_second_change_blindly", async {
        let zone = Zone::new();
        let (host, with) = (host(), zone.moves());
        assert_eq!(observe(KIND, &with, &attempt(&host, 1)).await, Observation::NotDone);
        zone.aws.proxy.next(CHANGE, Fate::Lost);
        let error = run(KIND, &with, &attempt(&host, 1)).await.unwrap_err();
        assert_eq!((error.code.as_str(), error.class), ("RB0668", ErrorClass::Ambiguous));
        assert_eq!(observe(KIND, &with, &attempt(&host, 1)).await, Observation::NotDone);
        zone.aws.proxy.next(CHANGE, Fate::Unheard);
        let error = run(KIND, &with, &attempt(&host, 2)).await.unwrap_err();
        assert_eq!((error.code.as_str(), error.class), ("RB0668", ErrorClass::Ambiguous));
        assert!(zone.says(NEW));
        let Observation::Done(output) = observe(KIND, &with, &attempt(&host, 2)).await else {
            panic!("the records are as they were asked for")
        };
        assert_eq!((&output["change"], &output["in_sync"]), (&json!(null), &json!(false)));
        assert_eq!(output["former"][0]["values"], json!([OLD]));
        // Another attempt finds that nothing is left to do, and still knows what was there.
        let again = run(KIND, &with, &attempt(&host, 3)).await.unwrap();
        assert_eq!(again, output);
        assert_eq!(zone.aws.proxy.count(CHANGE), 2);
        // What is neither as it was nor as it was asked for, nobody can tell.
        zone.set(
            "<TTL>60</TTL><ResourceRecords><ResourceRecord><Value>x.example.com</Value>\
                  </ResourceRecord></ResourceRecords>",
        );
        assert_eq!(observe(KIND, &with, &attempt(&host, 3)).await, Observation::Unknown);
    });
}

#[test]
fn a_change_is_done_when_every_server_has_it() {
    with_keys("update::a_change_is_done_when_every_server_has_it", async {
        let zone = Zone::new();
        let (host, with) = (host(), zone.moves());
        let pending = "GET /2013-04-01/change/";
        for _ in 0..3 {
            zone.aws.proxy.next(pending, Fate::Answered(200, PENDING));
        }
        run(KIND, &with, &attempt(&host, 1)).await.unwrap();
        assert_eq!(zone.aws.proxy.count(pending), 4);
        zone.aws.proxy.next(pending, Fate::Answered(200, PENDING));
        assert_eq!(observe(KIND, &with, &attempt(&host, 1)).await, Observation::InProgress);
        let seen = observe(KIND, &with, &attempt(&host, 1)).await;
        assert!(matches!(seen, Observation::Done(output) if output["in_sync"] == json!(true)));
        // The change that was accepted is there; a cancellation says nothing against it.
        zone.set(&format!(
            "<TTL>300</TTL><ResourceRecords><ResourceRecord><Value>{OLD}</Value>\
                           </ResourceRecord></ResourceRecords>"
        ));
        assert_eq!(observe(KIND, &with, &attempt(&host, 1)).await, Observation::Unknown);
        for _ in 0..500 {
            zone.aws.proxy.next(pending, Fate::Answered(200, PENDING));
        }
        let asked = zone.aws.proxy.count(pending);
        let mut with = zone.moves();
        with["changes"][0]["values"] = json!(["third.example.com"]);
        let cancel = CancellationToken::new();
        let ctx = crate::common::host().context("tested", 1, cancel.clone());
        let until = async {
            while zone.aws.proxy.count(pending) < asked + 2 {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
            cancel.cancel();
            std::future::pending::<()>().await;
        };
        let error = tokio::select! {
            ended = run(KIND, &with, &ctx) => ended.unwrap_err(),
            () = until => unreachable!("it only cancels"),
        };
        assert_eq!((error.code.as_str(), error.class), ("RB0923", ErrorClass::Ambiguous));
        case("RB0923", error.told());
        assert!(zone.says("third.example.com"));
    });
}

#[test]
fn what_is_refused_changes_nothing() {
    with_keys("update::what_is_refused_changes_nothing", async {
        let zone = Zone::new();
        let busy = "<?xml version=\"1.0\"?><ErrorResponse \
            xmlns=\"https://route53.amazonaws.com/doc/2013-04-01/\"><Error><Type>Sender</Type>\
            <Code>PriorRequestNotComplete</Code><Message>The request was rejected because Route 53 \
            was still processing a prior request.</Message></Error></ErrorResponse>";
        let invalid = "<?xml version=\"1.0\"?><InvalidChangeBatch \
            xmlns=\"https://route53.amazonaws.com/doc/2013-04-01/\"><Messages><Message>Tried to \
            delete resource record set, but the values provided do not match</Message></Messages>\
            </InvalidChangeBatch>";
        for (status, body, code, class) in [
            (400, busy, "RB0667", ErrorClass::Transient),
            (400, invalid, "RB0665", ErrorClass::Permanent),
            (403, "", "RB0666", ErrorClass::NeedsOperator),
            (500, "", "RB0668", ErrorClass::Ambiguous),
            (503, "", "RB0668", ErrorClass::Ambiguous),
        ] {
            let sent = zone.aws.proxy.count(CHANGE);
            zone.aws.proxy.next(CHANGE, Fate::Answered(status, body));
            let error = run(KIND, &zone.moves(), &attempt(&host(), 1)).await.unwrap_err();
            assert_eq!((error.code.as_str(), error.class), (code, class), "{error:?}");
            assert_eq!(zone.aws.proxy.count(CHANGE), sent + 1, "{status} is sent once");
        }
        assert!(zone.says(OLD));
        let sent = zone.aws.proxy.count(CHANGE);
        let of = async |name: &str| {
            let mut with = zone.moves();
            with["zone"] = json!(name);
            run(KIND, &with, &attempt(&host(), 1)).await.unwrap_err()
        };
        let none = of("exmaple.com").await;
        case("RB0921", none.told());
        assert_eq!(of("Z00000000000000000000").await.code, "RB0921");
        crate::update::zone(&zone.aws, "example.com", "two");
        assert!(of("example.com").await.message.starts_with("several zones"));
        zone.set(&format!("<SetIdentifier>eu</SetIdentifier><GeoLocation><ContinentCode>EU\
            </ContinentCode></GeoLocation><TTL>300</TTL><ResourceRecords><ResourceRecord><Value>{OLD}\
            </Value></ResourceRecord></ResourceRecords>"));
        let mut with = zone.moves();
        with["zone"] = json!(zone.id);
        with["changes"][0]["set_identifier"] = json!("eu");
        let error = run(KIND, &with, &attempt(&host(), 1)).await.unwrap_err();
        case("RB0922", error.told());
        assert_eq!(zone.aws.proxy.count(CHANGE), sent);
        with["restore"] = json!([]);
        assert!(refusal(KIND, &with).contains("`changes` is given as well"));
    });
}
