//! All of it together: a region is lost, and a person brings the application back by hand.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::sync::Arc;

use lab::cloud::{ACCESS_KEY, SECRET_KEY, ZONE_ID};
use lab::ledger::Account;
use lab::site::{Asked, Handle, Served, Site, SiteOptions};

use super::{aws, printed, refused, until};

fn account(site: &Site) -> Account {
    let at = site.ledger().url();
    let mut stream = TcpStream::connect(at.trim_start_matches("http://")).unwrap();
    stream.write_all(b"GET /account HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
}

fn variable(site: &Site, name: &str) -> String {
    site.environment().into_iter().find(|(known, _)| *known == name).unwrap().1
}

/// The number of entries, by `psql`.
fn entries(url: &str) -> usize {
    let sql = "SELECT count(*) FROM ledger";
    printed(Command::new("psql").args(["-XAtc", sql, url])).trim().parse().unwrap()
}

fn asked(site: &Site, region: &str, words: &[&str]) -> Command {
    let mut command = aws(&site.cloud().url(), region, (ACCESS_KEY, SECRET_KEY));
    command.args(words);
    command
}

#[test]
fn a_lost_region_is_left_by_hand_and_the_application_tells_the_same_as_the_database() {
    let folder = tempfile::tempdir().unwrap();
    let options = SiteOptions::new(folder.path().join("lab")).rows(1_000);
    let served = Served::start(Site::start(&options).unwrap(), "token").unwrap();
    let site = Arc::clone(served.site());
    let west = variable(&site, "STANDBY_DATABASE_URL");
    printed(&mut asked(&site, "us-east-1", &["s3", "ls", "s3://lab-backups"]));
    until("some was written", || account(&site).acknowledged > 20);
    assert_eq!(account(&site).lost, Some(0));

    site.begin(&Asked::new("region")).unwrap();
    until("the application notices", || !site.ledger().is_healthy());
    assert_eq!(account(&site).lost, None, "nobody can tell");
    refused(&mut asked(&site, "us-east-1", &["s3", "ls", "s3://lab-backups"]));
    printed(&mut asked(&site, "us-west-2", &["s3", "ls", "s3://lab-backups-west"]));

    let id = ["--db-instance-identifier", "app-replica"];
    printed(&mut asked(&site, "us-west-2", &[&["rds", "promote-read-replica"][..], &id].concat()));
    let records = |world: &Site| {
        let all = world.cloud().world().instances();
        all.into_iter()
            .any(|it| it.id == "app-replica" && it.source.is_none() && it.status == "available")
    };
    until("it is promoted", || records(&site));
    let batch = r#"{"Changes":[{"Action":"UPSERT","ResourceRecordSet":{"Name":"db.lab.internal.",
        "Type":"CNAME","TTL":5,"ResourceRecords":[{"Value":"app-replica.us-west-2.rds.lab.internal"}]}}]}"#;
    let change = ["route53", "change-resource-record-sets", "--change-batch", batch];
    let zone = ["--hosted-zone-id", ZONE_ID];
    printed(&mut asked(&site, "us-east-1", &[&change[..], &zone].concat()));
    until("it writes again", || site.ledger().is_healthy());

    let told = account(&site);
    let kept = entries(&west);
    let written = told.acknowledged;
    assert!(told.database.unwrap().starts_with("127.0.2.1:"));
    // What it wrote between the two looks is no loss.
    assert!(kept + told.lost.unwrap() >= written, "{kept} and {:?} of {written}", told.lost);
    assert!(told.longest_gap.unwrap().seconds > 1.0);
    drop(site);
    drop(served);
    assert!(matches!(Handle::look(&folder.path().join("lab")).unwrap(), lab::site::State::Absent));
}

#[test]
fn slack_is_down_and_the_store_is_full_until_they_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let options = SiteOptions::new(folder.path().join("lab")).rows(1_000);
    let served = Served::start(Site::start(&options).unwrap(), "token").unwrap();
    let site = served.site();
    let post = || {
        let at = site.sink().url();
        let mut stream = TcpStream::connect(at.trim_start_matches("http://")).unwrap();
        let body = "{\"text\":\"x\"}";
        write!(stream, "POST /slack HTTP/1.0\r\nContent-Length: {}\r\n\r\n{body}", body.len())
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.split(' ').nth(1).unwrap().to_owned()
    };
    let file = folder.path().join("file");
    std::fs::write(&file, "hello").unwrap();
    let put =
        || asked(site, "us-east-1", &["s3", "cp", file.to_str().unwrap(), "s3://lab-backups/x"]);
    for name in ["slack-down", "disk-full"] {
        site.begin(&Asked::new(name)).unwrap();
    }
    assert_eq!(post(), "503");
    assert!(refused(&mut put()).contains("QuotaExceeded"));
    assert_eq!(site.disasters().len(), 2);
    for name in ["slack-down", "disk-full"] {
        site.end(name).unwrap();
    }
    assert_eq!(post(), "200");
    printed(&mut put());
    assert_eq!((site.disasters().len(), site.sink().messages().len()), (0, 1));
    let nowhere = Asked { region: Some("mars".to_owned()), ..Asked::new("region") };
    assert!(site.begin(&nowhere).unwrap_err().to_string().contains("`us-west-2`"));
}
