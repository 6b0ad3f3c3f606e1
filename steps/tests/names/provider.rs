//! Secrets of a runbook that AWS keeps: read when they are needed, and never kept.

use engine::secrets::SecretProvider;
use model::plan::{Aws as Place, ManagedSecret, Parameter};
use model::step_error::ErrorClass;
use secrecy::ExposeSecret;
use serde_json::json;
use steps::aws::secrets::Provider;

use crate::common::{Aws, with_keys};
use crate::keep::WEST;
use crate::proxy::Fate;

#[test]
fn secrets_are_read_anew_each_time_from_where_they_are() {
    with_keys("provider::secrets_are_read_anew_each_time_from_where_they_are", async {
        let aws = Aws::start();
        let place = |region: &str| Place {
            region: Some(region.to_owned()),
            endpoint_url: Some(aws.proxy.url().to_owned()),
            ..Place::default()
        };
        let parameter = |name: &str| Parameter { name: name.to_owned(), place: place(WEST) };
        for value in ["first", "second"] {
            aws.put_parameter("/app/token", "SecureString", value);
            let read = Provider.parameter(&parameter("/app/token")).await.unwrap();
            assert_eq!(read.expose_secret(), value);
        }
        let read = Provider.parameter(&parameter("/app/token:1")).await.unwrap();
        assert_eq!(read.expose_secret(), "first");
        let absent = Provider.parameter(&parameter("/app/none")).await.unwrap_err();
        assert_eq!((absent.code.as_str(), absent.class), ("RB0665", ErrorClass::Permanent));
        let elsewhere = Parameter { place: place("us-east-1"), ..parameter("/app/token") };
        assert!(Provider.parameter(&elsewhere).await.is_err(), "each region keeps its own");
        let refused = "{\"__type\":\"ExpiredTokenException\",\"message\":\"expired\"}";
        aws.proxy.next("AmazonSSM.GetParameter", Fate::Answered(400, refused));
        let error = Provider.parameter(&parameter("/app/token")).await.unwrap_err();
        assert_eq!((error.code.as_str(), error.class), ("RB0690", ErrorClass::NeedsOperator));

        let id = || "app/db".to_owned();
        let managed = |key: Option<&str>, stage: Option<&str>| ManagedSecret {
            id: id(),
            key: key.map(str::to_owned),
            stage: stage.map(str::to_owned),
            place: place(WEST),
        };
        let first = json!({"Name": id(), "SecretString": "{\"password\":\"one\",\"port\":5432}"});
        aws.json(WEST, "secretsmanager.CreateSecret", &first);
        let second = json!({"SecretId": id(), "SecretString": "{\"password\":\"two\"}"});
        aws.json(WEST, "secretsmanager.PutSecretValue", &second);
        for (key, stage, value) in [
            (None, None, "{\"password\":\"two\"}"),
            (Some("password"), None, "two"),
            (Some("password"), Some("AWSPREVIOUS"), "one"),
            (Some("port"), Some("AWSPREVIOUS"), "5432"),
        ] {
            let read = Provider.managed(&managed(key, stage)).await.unwrap();
            assert_eq!(read.expose_secret(), value);
        }
        let error = Provider.managed(&managed(Some("user"), None)).await.unwrap_err();
        assert_eq!(error.message, "it has no key `user`");
        let lost = "secretsmanager.GetSecretValue";
        let asked = aws.proxy.count(lost);
        aws.proxy.next(lost, Fate::Lost);
        let read = Provider.managed(&managed(Some("password"), None)).await.unwrap();
        // A look is repeated when its answer is lost.
        assert_eq!((read.expose_secret(), aws.proxy.count(lost)), ("two", asked + 2));
    });
}
