//! Requests for S3 go through the same port to the server that has it, and meet the same faults.

use lab::cloud::{
    ACCESS_KEY, Cloud, CloudOptions, FaultKind, PRIMARY_REGION, REPLICA_REGION, SECRET_KEY,
};
use lab::s3::{S3, S3Options};
use serde_json::Value;

use crate::client::aws;

fn with_objects(folder: &std::path::Path) -> (Cloud, S3) {
    let objects = S3Options::new().key(ACCESS_KEY, SECRET_KEY).start(folder).unwrap();
    objects.create_bucket("east").unwrap();
    let cloud = CloudOptions::new().without_databases().s3(objects.url()).start().unwrap();
    (cloud, objects)
}

fn put(cloud: &Cloud, key: &str, file: &str) -> Result<Value, String> {
    let words = ["s3api", "put-object", "--bucket", "east", "--key", key, "--body", file];
    aws(cloud, PRIMARY_REGION, &words)
}

fn there(cloud: &Cloud, key: &str) -> bool {
    aws(cloud, PRIMARY_REGION, &["s3api", "head-object", "--bucket", "east", "--key", key]).is_ok()
}

#[test]
fn objects_go_through_the_door_both_ways_and_meet_its_faults() {
    let folder = tempfile::tempdir().unwrap();
    let (cloud, _objects) = with_objects(&folder.path().join("s3"));
    let (file, back) = (folder.path().join("file"), folder.path().join("back"));
    // More than one part.
    let bytes: Vec<u8> =
        (0..20_000_000_u32).map(|n| n.to_le_bytes()[usize::from(n % 3 == 0)]).collect();
    std::fs::write(&file, &bytes).unwrap();
    let (file, back_to) = (file.to_str().unwrap(), back.to_str().unwrap());
    let quietly = |words: &[&str]| aws(&cloud, PRIMARY_REGION, &[words, &["--quiet"]].concat());
    quietly(&["s3", "cp", file, "s3://east/a/b c"]).unwrap();
    quietly(&["s3", "cp", "s3://east/a/b c", back_to]).unwrap();
    assert!(std::fs::read(back_to).unwrap() == bytes);
    let written = cloud.world().effects().into_iter().filter(|it| it.service == "s3");
    assert!(written.count() >= 3);

    let world = cloud.world();
    let small = folder.path().join("small");
    std::fs::write(&small, "x").unwrap();
    let small = small.to_str().unwrap();
    world.begin(FaultKind::ApplyThenDrop.fault().service("s3").times(1)).unwrap();
    assert!(put(&cloud, "lost", small).is_err());
    world.begin(FaultKind::Throttle.fault().service("s3").times(1)).unwrap();
    let slowly = put(&cloud, "throttled", small).unwrap_err();
    assert!(slowly.contains("(SlowDown)"), "{slowly}");
    assert_eq!((there(&cloud, "lost"), there(&cloud, "throttled")), (true, false));

    world.begin(FaultKind::Region.fault().region(PRIMARY_REGION)).unwrap();
    assert!(world.has_lost(PRIMARY_REGION) && !world.has_lost(REPLICA_REGION));
    assert!(!there(&cloud, "lost"));
    world.end(FaultKind::Region).unwrap();
    assert!(there(&cloud, "lost"));
}
