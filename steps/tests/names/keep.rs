//! `ssm.put_parameter` and `secrets.put`: values change once, come back, and are told to nobody.

use engine::step::Observation;
use model::step_error::ErrorClass;
use serde_json::{Value, json};
use shown::case;

use crate::common::{Aws, attempt, host, observe, refusal, run, with_keys};
use crate::proxy::Fate;

pub(crate) const WEST: &str = "us-west-2";
const PARAMETER: &str = "ssm.put_parameter";
const SECRET: &str = "secrets.put";

/// A value that may be found nowhere but at its place.
const CANARY: &str = "canary-7f3a91";

impl Aws {
    pub(crate) fn json(&self, region: &str, target: &str, body: &Value) -> Value {
        let service = if target.starts_with("AmazonSSM") { "ssm" } else { "secretsmanager" };
        let told = self.ask(region, service, "POST", &format!("/ {target}"), &body.to_string());
        serde_json::from_str(&told).unwrap_or_default()
    }

    /// A parameter as another client sees it.
    fn parameter(&self, name: &str) -> Value {
        let with = json!({"Names": [name], "WithDecryption": true});
        self.json(WEST, "AmazonSSM.GetParameters", &with)["Parameters"][0].clone()
    }

    pub(crate) fn put_parameter(&self, name: &str, kind: &str, value: &str) {
        let with = json!({"Name": name, "Type": kind, "Value": value, "Overwrite": true});
        self.json(WEST, "AmazonSSM.PutParameter", &with);
    }

    fn secret(&self, id: &str) -> Value {
        self.json(
            WEST,
            "secretsmanager.GetSecretValue",
            &json!({"SecretId": id, "VersionStage": "AWSCURRENT"}),
        )
    }
}

fn at(aws: &Aws, keys: &Value) -> Value {
    let mut with = json!({"region": WEST, "endpoint_url": aws.proxy.url()});
    with.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
    with
}

#[test]
fn a_parameter_changes_and_comes_back() {
    with_keys("keep::a_parameter_changes_and_comes_back", async {
        let aws = Aws::start();
        aws.put_parameter("/app/host", "String", "primary");
        let with = at(
            &aws,
            &json!({"name": "/app/host", "value": "replica", "overwrite": true,
                                   "expect": "primary", "plays": ["move_traffic"]}),
        );
        let output = run(PARAMETER, &with, &attempt(&host(), 1)).await.unwrap();
        let expected = json!({"version": 2, "changed": true, "former": {"version": 1, "by": 2},
                              "former_value": "primary"});
        assert_eq!(output, expected);
        assert_eq!(aws.parameter("/app/host")["Value"], json!("replica"));
        let again = run(PARAMETER, &with, &attempt(&host(), 1)).await.unwrap();
        assert_eq!(again["changed"], json!(false));
        let back = at(&aws, &json!({"name": "/app/host", "restore": output["former"]}));
        run(PARAMETER, &back, &attempt(&host(), 1)).await.unwrap();
        let now = aws.parameter("/app/host");
        assert_eq!((&now["Value"], &now["Version"]), (&json!("primary"), &json!(3)));
        // Somebody else has put another one since.
        aws.put_parameter("/app/host", "String", "elsewhere");
        let error = run(PARAMETER, &back, &attempt(&host(), 1)).await.unwrap_err();
        case("RB0926", error.told());
        let error = run(PARAMETER, &with, &attempt(&host(), 1)).await.unwrap_err();
        assert_eq!((error.code.as_str(), error.class), ("RB0926", ErrorClass::Permanent));
        assert_eq!(aws.parameter("/app/host")["Value"], json!("elsewhere"));
        // One that was not there goes again.
        let new = at(&aws, &json!({"name": "/app/new", "value": "a,b", "list": true}));
        let output = run(PARAMETER, &new, &attempt(&host(), 1)).await.unwrap();
        assert_eq!(aws.parameter("/app/new")["Type"], json!("StringList"));
        let error = run(
            PARAMETER,
            &at(&aws, &json!({"name": "/app/new", "value": "c"})),
            &attempt(&host(), 1),
        )
        .await
        .unwrap_err();
        case("RB0925", error.told());
        let back = at(&aws, &json!({"name": "/app/new", "restore": output["former"]}));
        let output = run(PARAMETER, &back, &attempt(&host(), 1)).await.unwrap();
        assert_eq!((&output["version"], aws.parameter("/app/new")), (&json!(0), json!(null)));
        assert_eq!(aws.proxy.count("/us-east-1/"), 0);
    });
}

#[test]
fn a_secret_value_stands_nowhere_but_in_the_parameter() {
    with_keys("keep::a_secret_value_stands_nowhere_but_in_the_parameter", async {
        let aws = Aws::start();
        aws.put_parameter("/app/password", "SecureString", "former-canary-113");
        let host = host();
        let with = at(&aws, &json!({"name": "/app/password", "secret": CANARY, "overwrite": true}));
        let output = run(PARAMETER, &with, &attempt(&host, 1)).await.unwrap();
        let now = aws.parameter("/app/password");
        assert_eq!((&now["Value"], &now["Type"]), (&json!(CANARY), &json!("SecureString")));
        let back = at(&aws, &json!({"name": "/app/password", "restore": output["former"]}));
        let undone = run(PARAMETER, &back, &attempt(&host, 2)).await.unwrap();
        assert_eq!(aws.parameter("/app/password")["Value"], json!("former-canary-113"));
        assert_eq!(aws.parameter("/app/password")["Type"], json!("SecureString"));
        let facts = format!("{:?}", attempt(&host, 3).facts());
        for text in [facts, output.to_string(), undone.to_string(), host.logged()] {
            assert!(!text.contains("canary"), "{text}");
        }
        let both = at(&aws, &json!({"name": "a", "value": "b", "secret": "c"}));
        assert!(refusal(PARAMETER, &both).contains("one of `value`"));
    });
}

#[test]
fn a_lost_answer_is_looked_up() {
    with_keys("keep::a_lost_answer_is_looked_up", async {
        let aws = Aws::start();
        let made = json!({"Name": "app/db", "SecretString": "{\"host\":\"primary\"}"});
        aws.json(WEST, "secretsmanager.CreateSecret", &made);
        let set = json!({"id": "app/db", "set": {"host": "replica"}});
        for (kind, keys, sends, before) in [
            (
                PARAMETER,
                json!({"name": "/app/host", "value": "x"}),
                "AmazonSSM.PutParameter",
                json!(null),
            ),
            (SECRET, set, "secretsmanager.PutSecretValue", json!("{\"host\":\"primary\"}")),
        ] {
            let (host, with) = (host(), at(&aws, &keys));
            assert_eq!(observe(kind, &with, &attempt(&host, 1)).await, Observation::NotDone);
            aws.proxy.next(sends, Fate::Lost);
            let error = run(kind, &with, &attempt(&host, 1)).await.unwrap_err();
            assert_eq!((error.code.as_str(), error.class), ("RB0668", ErrorClass::Ambiguous));
            assert_eq!(observe(kind, &with, &attempt(&host, 1)).await, Observation::NotDone);
            let now = if kind == SECRET {
                aws.secret("app/db")["SecretString"].clone()
            } else {
                aws.parameter("/app/host")
            };
            assert_eq!(now, before);
            aws.proxy.next(sends, Fate::Unheard);
            let error = run(kind, &with, &attempt(&host, 2)).await.unwrap_err();
            assert_eq!((error.code.as_str(), error.class), ("RB0668", ErrorClass::Ambiguous));
            let Observation::Done(output) = observe(kind, &with, &attempt(&host, 2)).await else {
                panic!("{kind} took effect")
            };
            assert_eq!(run(kind, &with, &attempt(&host, 3)).await.unwrap(), output);
            assert_eq!(aws.proxy.count(sends), 2, "{kind}");
            aws.proxy.next(sends, Fate::Answered(400, "{\"__type\":\"ThrottlingException\"}"));
            let mut other = with.clone();
            other[if kind == SECRET { "set" } else { "value" }] =
                if kind == SECRET { json!({"host": "third"}) } else { json!("third") };
            other["overwrite"] = json!(true);
            if kind == SECRET {
                other.as_object_mut().unwrap().remove("overwrite");
            }
            let error = run(kind, &other, &attempt(&crate::common::host(), 1)).await.unwrap_err();
            assert_eq!((error.code.as_str(), error.class), ("RB0667", ErrorClass::Transient));
        }
        // What nobody asked for is neither done nor undone.
        let with = at(&aws, &json!({"name": "/app/host", "value": "y", "overwrite": true}));
        let host = host();
        aws.proxy.next("AmazonSSM.PutParameter", Fate::Lost);
        run(PARAMETER, &with, &attempt(&host, 1)).await.unwrap_err();
        aws.put_parameter("/app/host", "String", "somebody-else");
        assert_eq!(observe(PARAMETER, &with, &attempt(&host, 1)).await, Observation::Unknown);
    });
}

#[test]
fn a_secret_gets_another_version_and_goes_back() {
    with_keys("keep::a_secret_gets_another_version_and_goes_back", async {
        let aws = Aws::start();
        let value = format!("{{\"host\":\"primary\",\"password\":\"{CANARY}\"}}");
        let made = json!({"Name": "app/db", "SecretString": value});
        let first = aws.json(WEST, "secretsmanager.CreateSecret", &made)["VersionId"].clone();
        let host = host();
        let with = at(&aws, &json!({"id": "app/db", "set": {"host": "replica"}}));
        let output = run(SECRET, &with, &attempt(&host, 1)).await.unwrap();
        let now = aws.secret("app/db");
        let held: Value = serde_json::from_str(now["SecretString"].as_str().unwrap()).unwrap();
        assert_eq!(held, json!({"host": "replica", "password": CANARY}));
        assert_eq!((&output["version"], &output["former"]["version"]), (&now["VersionId"], &first));
        let whole = at(&aws, &json!({"id": "app/db", "secret": CANARY}));
        // The key of a version is that of its attempt.
        let next = run(SECRET, &whole, &attempt(&crate::common::host(), 2)).await.unwrap();
        assert_eq!(aws.secret("app/db")["SecretString"], json!(CANARY));
        let back = |output: &Value| at(&aws, &json!({"id": "app/db", "restore": output["former"]}));
        let error = run(SECRET, &back(&output), &attempt(&host, 2)).await.unwrap_err();
        assert_eq!((error.code.as_str(), error.class), ("RB0926", ErrorClass::Permanent));
        let error = run(SECRET, &with, &attempt(&crate::common::host(), 3)).await.unwrap_err();
        case("RB0928", error.told());
        let undone = run(SECRET, &back(&next), &attempt(&crate::common::host(), 1)).await.unwrap();
        assert_eq!(aws.secret("app/db")["VersionId"], output["version"]);
        assert_eq!(undone["version"], output["version"]);
        let facts = format!("{:?}", attempt(&host, 3).facts());
        for text in [facts, output.to_string(), next.to_string(), host.logged()] {
            assert!(!text.contains(CANARY), "{text}");
        }
        let none = at(&aws, &json!({"id": "app/none", "secret": "x"}));
        assert_eq!(run(SECRET, &none, &attempt(&host, 3)).await.unwrap_err().code, "RB0665");
    });
}
