//! Route 53, SSM, Secrets Manager, STS and IAM, by the `aws` command line.

use lab::cloud::{ACCOUNT, FaultKind, PRIMARY_REGION, REPLICA_REGION, ZONE_ID};
use serde_json::{Value, json};

use crate::client::{aws, aws_as};
use crate::{bare, until, words};

fn change(action: &str, name: &str, kind: &str, value: &str) -> String {
    let set = json!({"Name": name, "Type": kind, "TTL": 5, "ResourceRecords": [{"Value": value}]});
    json!({"Changes": [{"Action": action, "ResourceRecordSet": set}]}).to_string()
}

fn batch(cloud: &lab::cloud::Cloud, batch: &str) -> Result<Value, String> {
    let words = ["route53", "change-resource-record-sets", "--hosted-zone-id", ZONE_ID];
    aws(cloud, PRIMARY_REGION, &[words.as_slice(), &["--change-batch", batch]].concat())
}

fn answered(cloud: &lab::cloud::Cloud, name: &str) -> Vec<String> {
    let records = cloud.world().records();
    records.into_iter().find(|it| it.name == name).map(|it| it.values).unwrap_or_default()
}

#[test]
fn records_are_changed_at_once_and_answered_when_they_are_in_sync() {
    let cloud = bare();
    let list = ["route53", "list-hosted-zones-by-name", "--dns-name", "lab.internal"];
    let zones = aws(&cloud, PRIMARY_REGION, &list).unwrap();
    assert_eq!(zones["HostedZones"][0]["Id"], format!("/hostedzone/{ZONE_ID}"));
    let zone = aws(&cloud, PRIMARY_REGION, &["route53", "get-hosted-zone", "--id", ZONE_ID]);
    assert_eq!(zone.unwrap()["DelegationSet"]["NameServers"][0], "ns1.lab.internal");

    let before = answered(&cloud, "db.lab.internal.");
    let west = "app-replica.us-west-2.rds.lab.internal";
    let made = batch(&cloud, &change("UPSERT", "db.lab.internal", "CNAME", west)).unwrap();
    let id = made["ChangeInfo"]["Id"].as_str().unwrap().to_owned();
    assert_eq!(made["ChangeInfo"]["Status"], "PENDING");
    assert_eq!(before, ["app-primary.us-east-1.rds.lab.internal"]);
    let list = ["route53", "list-resource-record-sets", "--hosted-zone-id", ZONE_ID];
    let told = aws(&cloud, PRIMARY_REGION, &list).unwrap();
    let sets = told["ResourceRecordSets"].as_array().unwrap();
    let db = sets.iter().find(|it| it["Name"] == "db.lab.internal.").unwrap();
    assert_eq!(db["ResourceRecords"][0]["Value"], west);
    let get = ["route53", "get-change", "--id", &id];
    until("it is in sync", || {
        aws(&cloud, PRIMARY_REGION, &get).unwrap()["ChangeInfo"]["Status"] == "INSYNC"
    });
    assert_eq!(answered(&cloud, "db.lab.internal."), [west]);
    let effects: Vec<_> = cloud.world().effects().into_iter().map(|it| it.action).collect();
    assert_eq!(effects, ["ChangeResourceRecordSets", "Insync"]);
}

#[test]
fn a_batch_is_made_whole_or_not_at_all() {
    let cloud = bare();
    let good = json!({"Action": "CREATE", "ResourceRecordSet":
        {"Name": "x.lab.internal", "Type": "A", "TTL": 5, "ResourceRecords": [{"Value": "127.0.0.9"}]}});
    let bad = json!({"Action": "DELETE", "ResourceRecordSet":
        {"Name": "y.lab.internal", "Type": "A", "TTL": 5, "ResourceRecords": [{"Value": "127.0.0.9"}]}});
    let refused = batch(&cloud, &json!({"Changes": [good, bad]}).to_string()).unwrap_err();
    assert!(refused.contains("(InvalidChangeBatch)"), "{refused}");
    assert!(refused.contains("but it was not found"), "{refused}");
    assert!(cloud.world().effects().is_empty());
    let pair = |id: &str, weight: u8| {
        json!({"Action": "UPSERT", "ResourceRecordSet":
            {"Name": "w.lab.internal", "Type": "A", "TTL": 5, "SetIdentifier": id, "Weight": weight,
             "ResourceRecords": [{"Value": "127.0.0.9"}]}})
    };
    batch(&cloud, &json!({"Changes": [good, pair("a", 0), pair("b", 255)]}).to_string()).unwrap();
    let list = ["route53", "list-resource-record-sets", "--hosted-zone-id", ZONE_ID];
    let query = ["--query", "ResourceRecordSets[?Name=='w.lab.internal.'].Weight"];
    let told = aws(&cloud, PRIMARY_REGION, &[list.as_slice(), &query].concat()).unwrap();
    assert_eq!(told, json!([0, 255]));
    let again = batch(&cloud, &change("CREATE", "x.lab.internal", "A", "127.0.0.8")).unwrap_err();
    assert!(again.contains("but it already exists"), "{again}");
    let elsewhere = batch(&cloud, &change("CREATE", "x.other.internal", "A", "127.0.0.8"));
    assert!(elsewhere.unwrap_err().contains("is not permitted in zone"));
}

#[test]
fn stale_servers_go_on_with_the_former_records() {
    let cloud = bare();
    let before = answered(&cloud, "db.lab.internal.");
    cloud.world().begin(FaultKind::DnsStale.fault()).unwrap();
    batch(&cloud, &change("UPSERT", "db.lab.internal", "CNAME", "west.lab.internal")).unwrap();
    until("it is in sync", || !cloud.world().effects_of("Insync").is_empty());
    assert_eq!(answered(&cloud, "db.lab.internal."), before);
    cloud.world().end(FaultKind::DnsStale).unwrap();
    assert_eq!(answered(&cloud, "db.lab.internal."), ["west.lab.internal"]);
}

#[test]
fn parameters_have_versions_and_each_region_has_its_own() {
    let cloud = bare();
    let put = |value: &str, more: &[&str]| {
        let words = ["ssm", "put-parameter", "--name", "/app/db", "--value", value];
        aws(&cloud, REPLICA_REGION, &[words.as_slice(), more].concat())
    };
    assert_eq!(put("one", &["--type", "SecureString"]).unwrap()["Version"], 1);
    let again = put("two", &["--type", "SecureString"]).unwrap_err();
    assert!(again.contains("(ParameterAlreadyExists)"), "{again}");
    assert_eq!(put("two", &["--overwrite"]).unwrap()["Version"], 2);
    let get = |region: &str, name: &str, more: &[&str]| {
        let words = ["ssm", "get-parameter", "--name", name];
        aws(&cloud, region, &[words.as_slice(), more].concat())
    };
    let now = get(REPLICA_REGION, "/app/db", &["--with-decryption"]).unwrap();
    assert_eq!(now["Parameter"]["Value"], "two");
    assert_eq!(now["Parameter"]["Type"], "SecureString");
    let former = get(REPLICA_REGION, "/app/db:1", &["--with-decryption"]).unwrap();
    assert_eq!(former["Parameter"]["Value"], "one");
    let sealed = get(REPLICA_REGION, "/app/db", &[]).unwrap();
    assert!(!sealed.to_string().contains("two"));
    let elsewhere = get(PRIMARY_REGION, "/app/db", &[]).unwrap_err();
    assert!(elsewhere.contains("(ParameterNotFound)"), "{elsewhere}");
    let history = ["ssm", "get-parameter-history", "--name", "/app/db"];
    let history = aws(&cloud, REPLICA_REGION, &history).unwrap();
    assert_eq!(history["Parameters"].as_array().unwrap().len(), 2);
    aws(&cloud, REPLICA_REGION, &["ssm", "delete-parameter", "--name", "/app/db"]).unwrap();
    assert!(get(REPLICA_REGION, "/app/db", &[]).is_err());
    assert!(!format!("{:?}", cloud.world().effects()).contains("two"));
}

#[test]
fn secrets_have_stages_and_a_repeated_request_makes_no_second_version() {
    let cloud = bare();
    let ask = |words: &[&str]| aws(&cloud, PRIMARY_REGION, &[&["secretsmanager"], words].concat());
    let first = ask(&["create-secret", "--name", "app", "--secret-string", "one"]).unwrap();
    let first = first["VersionId"].as_str().unwrap().to_owned();
    let token = "11111111-2222-3333-4444-555555555555";
    let put = |value: &str| {
        let line = words("put-secret-value --secret-id app --client-request-token");
        ask(&[line.as_slice(), &[token, "--secret-string", value]].concat())
    };
    assert_eq!(put("two").unwrap()["VersionId"], token);
    assert_eq!(put("two").unwrap()["VersionId"], token);
    let other = put("three").unwrap_err();
    assert!(other.contains("(ResourceExistsException)"), "{other}");
    assert_eq!(cloud.world().effects_of("PutSecretValue").len(), 1);
    let get = |stage: &str| {
        let words = ["get-secret-value", "--secret-id", "app", "--version-stage", stage];
        ask(&words).unwrap()["SecretString"].clone()
    };
    assert_eq!((get("AWSCURRENT"), get("AWSPREVIOUS")), (json!("two"), json!("one")));
    let back = words("update-secret-version-stage --secret-id app --version-stage AWSCURRENT");
    let versions = ["--remove-from-version-id", token, "--move-to-version-id", &first];
    ask(&[back.as_slice(), &versions].concat()).unwrap();
    assert_eq!((get("AWSCURRENT"), get("AWSPREVIOUS")), (json!("one"), json!("two")));
    let described = ask(&["describe-secret", "--secret-id", "app"]).unwrap();
    assert_eq!(described["VersionIdsToStages"][&first], json!(["AWSCURRENT"]));
    let absent = ask(&["get-secret-value", "--secret-id", "other"]).unwrap_err();
    assert!(absent.contains("(ResourceNotFoundException)"), "{absent}");
}

#[test]
fn the_caller_is_known_and_policies_are_simulated() {
    let cloud = bare();
    let caller = aws(&cloud, PRIMARY_REGION, &["sts", "get-caller-identity"]).unwrap();
    assert_eq!(caller["Account"], ACCOUNT);
    let policy = json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "rds:*", "Resource": "*"},
        {"Effect": "Deny", "Action": "rds:Delete*", "Resource": "*"}]});
    let put = ["iam", "put-role-policy", "--role-name", "recovery", "--policy-name", "rds"];
    let policy = policy.to_string();
    aws(&cloud, PRIMARY_REGION, &[put.as_slice(), &["--policy-document", &policy]].concat())
        .unwrap();
    let role = format!("arn:aws:iam::{ACCOUNT}:role/recovery");
    let simulate = |principal: &str| {
        aws(
            &cloud,
            PRIMARY_REGION,
            &[
                "iam",
                "simulate-principal-policy",
                "--policy-source-arn",
                principal,
                "--action-names",
                "rds:PromoteReadReplica",
                "rds:DeleteDBInstance",
                "ssm:PutParameter",
                "--query",
                "EvaluationResults[].EvalDecision",
            ],
        )
    };
    assert_eq!(simulate(&role).unwrap(), json!(["allowed", "explicitDeny", "implicitDeny"]));
    let caller = caller["Arn"].as_str().unwrap();
    assert_eq!(simulate(caller).unwrap(), json!(["allowed", "allowed", "allowed"]));
    let nobody = simulate("arn:aws:iam::123456789012:role/nobody").unwrap_err();
    assert!(nobody.contains("(NoSuchEntity)"), "{nobody}");
}

#[test]
fn a_stranger_is_let_into_no_service() {
    let cloud = bare();
    let stranger = [("AWS_ACCESS_KEY_ID", "AKIASTRANGER")];
    for (words, code) in [
        (["rds", "describe-db-instances"], "(InvalidClientTokenId)"),
        (["route53", "list-hosted-zones"], "(InvalidClientTokenId)"),
        (["ssm", "get-parameters-by-path"], "(UnrecognizedClientException)"),
    ] {
        let path: &[&str] = if words[0] == "ssm" { &["--path", "/"] } else { &[] };
        let words = [words.as_slice(), path].concat();
        let refused = aws_as(&cloud, PRIMARY_REGION, &words, &stranger).unwrap_err();
        assert!(refused.contains(code), "{refused}");
    }
}
