//! S3, by `aws`.

use std::fs;
use std::process::Command;

use lab::s3::{S3, S3Options};
use serde_json::Value;

use super::{aws, printed, refused};

const KEYS: (&str, &str) = ("lab", "lab");

fn words(s3: &S3, words: &[&str]) -> Command {
    let mut command = aws(&s3.url(), "us-east-1", KEYS);
    command.args(words);
    command
}

fn json(s3: &S3, asked: &[&str]) -> Value {
    serde_json::from_str(&printed(words(s3, asked).args(["--output", "json"]))).unwrap()
}

#[test]
fn files_go_up_and_down_by_the_official_program() {
    let (s3, folder) = (S3::start().unwrap(), tempfile::tempdir().unwrap());
    s3.create_bucket("files").unwrap();
    let (up, down) = (folder.path().join("up"), folder.path().join("down"));
    fs::create_dir_all(up.join("deep")).unwrap();
    // The program sends what has more than 8 MiB in parts.
    let large: Vec<u8> = (0..20 << 20).map(|at: u32| at.to_le_bytes()[(at % 3) as usize]).collect();
    fs::write(up.join("large"), &large).unwrap();
    fs::write(up.join("deep/small ü+.txt"), "small").unwrap();
    let paths = [up.to_str().unwrap(), down.to_str().unwrap()];
    printed(&mut words(&s3, &["s3", "sync", paths[0], "s3://files/a"]));
    let listed = printed(&mut words(&s3, &["s3", "ls", "--recursive", "s3://files"]));
    assert!(listed.contains("a/large") && listed.contains("a/deep/small ü+.txt"), "{listed}");
    printed(&mut words(&s3, &["s3", "cp", "s3://files/a/large", "s3://files/b/large"]));
    printed(&mut words(&s3, &["s3", "sync", "s3://files", paths[1]]));
    for name in ["a/large", "b/large"] {
        assert_eq!(fs::read(down.join(name)).unwrap(), large, "{name}");
    }
    assert_eq!(fs::read(down.join("a/deep/small ü+.txt")).unwrap(), b"small");
    let used = s3.used();
    printed(&mut words(&s3, &["s3", "rm", "--recursive", "s3://files/a"]));
    assert!(s3.used() < used, "what nobody has is removed from the disk");
    assert_eq!(printed(&mut words(&s3, &["s3", "ls", "s3://files"])).trim(), "PRE b/");
}

#[test]
fn versions_stay_behind_markers_and_locks_hold_them() {
    let (s3, folder) = (S3::start().unwrap(), tempfile::tempdir().unwrap());
    s3.create_locking_bucket("vault").unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "one").unwrap();
    let at = ["--bucket", "vault", "--key", "k"];
    let body = ["--body", file.to_str().unwrap()];
    let put = [&["s3api", "put-object"][..], &at, &body].concat();
    let first = json(&s3, &put)["VersionId"].as_str().unwrap().to_owned();
    let locked = [
        "--object-lock-mode",
        "COMPLIANCE",
        "--object-lock-retain-until-date",
        "2099-01-01T00:00:00Z",
        "--checksum-algorithm",
        "SHA256",
    ];
    let second = json(&s3, &[&put[..], &locked].concat());
    assert_eq!(second["ChecksumSHA256"], "dpLDrTVAu4A8Ags67mbNiIcSMjTqDG5xQ8Ct1z/0Me0=");
    let second = second["VersionId"].as_str().unwrap().to_owned();
    let hidden = json(&s3, &[&["s3api", "delete-object"][..], &at].concat());
    assert_eq!(hidden["DeleteMarker"], true);
    let listed = json(&s3, &["s3api", "list-object-versions", "--bucket", "vault"]);
    let ids: Vec<_> =
        listed["Versions"].as_array().unwrap().iter().map(|it| &it["VersionId"]).collect();
    assert_eq!(ids, [&second, &first]);
    assert_eq!(listed["DeleteMarkers"].as_array().unwrap().len(), 1);
    let delete = |id: &str| {
        let version = ["--version-id", id, "--bypass-governance-retention"];
        let asked = [&["s3api", "delete-object"][..], &at, &version].concat();
        words(&s3, &asked)
    };
    printed(&mut delete(&first));
    assert!(refused(&mut delete(&second)).contains("AccessDenied"));
    let conditional = [&put[..], &["--if-none-match", "*"]].concat();
    // A marker is no object.
    json(&s3, &conditional);
    assert!(refused(&mut words(&s3, &conditional)).contains("PreconditionFailed"));
}

#[test]
fn a_bucket_keeps_what_is_set_for_it() {
    let s3 = S3::start().unwrap();
    s3.create_bucket("set").unwrap();
    let bucket = ["--bucket", "set"];
    let get = |what: &str| words(&s3, &[&["s3api", what][..], &bucket].concat());
    assert!(
        refused(&mut get("get-bucket-lifecycle-configuration"))
            .contains("NoSuchLifecycleConfiguration")
    );
    let rules = r#"{"Rules":[{"ID":"old","Status":"Enabled","Filter":{"Prefix":"sets/"},
                    "Transitions":[{"Days":30,"StorageClass":"GLACIER"}],"Expiration":{"Days":365}}]}"#;
    let put = ["s3api", "put-bucket-lifecycle-configuration", "--lifecycle-configuration", rules];
    printed(&mut words(&s3, &[&put[..], &bucket].concat()));
    let told = json(&s3, &["s3api", "get-bucket-lifecycle-configuration", "--bucket", "set"]);
    assert_eq!(told["Rules"][0]["Transitions"][0]["StorageClass"], "GLACIER");
    assert_eq!(told["Rules"][0]["Filter"]["Prefix"], "sets/");
    let put = ["s3api", "put-bucket-versioning", "--versioning-configuration", "Status=Enabled"];
    printed(&mut words(&s3, &[&put[..], &bucket].concat()));
    assert_eq!(
        json(&s3, &["s3api", "get-bucket-versioning", "--bucket", "set"])["Status"],
        "Enabled"
    );
}

#[test]
fn strangers_full_stores_and_other_regions_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let s3 = S3Options::new().strict_regions().start(&folder.path().join("s3")).unwrap();
    s3.create_bucket_in("west", "us-west-2").unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "hello").unwrap();
    let put = ["s3api", "put-object", "--bucket", "west", "--key", "k", "--body"];
    let put = |region: &str, keys| {
        let mut command = aws(&s3.url(), region, keys);
        command.args(put).arg(&file);
        command
    };
    assert!(refused(&mut put("us-west-2", ("who", "lab"))).contains("InvalidAccessKeyId"));
    assert!(refused(&mut put("us-west-2", ("lab", "wrong"))).contains("SignatureDoesNotMatch"));
    let head = s3.request("HEAD", "/west", &[], "").unwrap().head;
    assert!(head.contains("x-amz-bucket-region: us-west-2"), "{head}");
    printed(&mut put("us-west-2", KEYS));
    s3.limit(Some(s3.used() + 4));
    assert!(refused(&mut put("us-west-2", KEYS)).contains("QuotaExceeded"));
    s3.limit(None);
    printed(&mut put("us-west-2", KEYS));
    assert_eq!(s3.used(), 5, "the former object is gone from the disk");
}
