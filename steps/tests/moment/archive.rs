//! What goes into the archive comes out of it, and nothing that is in it is ever overwritten.

use std::path::Path;
use std::process::Command;

use model::step_error::{ErrorClass, StepError};
use shown::case;
use steps::pg::archive;

use crate::ground::{Ground, files, flip};

async fn fetch(ground: &Ground, name: &str, to: &Path) -> Result<u64, StepError> {
    let name = name.parse().unwrap();
    let of = Some(ground.identifier());
    archive::fetch(ground.store.as_ref(), of, &name, to).await.map(|written| written.bytes)
}

fn segment_of(ground: &Ground) -> String {
    ground
        .cluster
        .execute("postgres", "CREATE TABLE t AS SELECT generate_series(1, 1000)")
        .unwrap();
    ground.cluster.archive_now().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_segment_comes_back_as_it_went_and_stock_zstd_reads_it() {
    let ground = Ground::new();
    let segment = segment_of(&ground);
    let first = ground.push_all().await;
    assert!(first.iter().all(|pushed| !pushed.existed), "{first:?}");
    let archived = files(ground.folder.path());
    let again = ground.push_all().await;
    assert!(again.iter().all(|pushed| pushed.existed), "{again:?}");
    assert_eq!(files(ground.folder.path()), archived);

    let (spooled, to) = (
        ground.cluster.host_dir().join("spool").join(&segment),
        ground.folder.path().join("RECOVERYXLOG"),
    );
    let bytes = fetch(&ground, &segment, &to).await.unwrap();
    assert_eq!(bytes, 16 << 20);
    let original = std::fs::read(spooled).unwrap();
    assert_eq!(std::fs::read(&to).unwrap(), original);
    let stock = Command::new("zstd").arg("-dcq").arg(ground.object(&segment)).output().unwrap();
    assert_eq!(stock.stdout, original);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_identity_comes_from_the_segment_or_from_the_cluster_beside_it() {
    let ground = Ground::new();
    let segment = segment_of(&ground);
    let data = ground.cluster.data_dir();
    let file = ground.cluster.host_dir().join("spool").join(&segment);
    let pushed = archive::push(ground.store.as_ref(), None, &file).await.unwrap();
    assert_eq!(pushed.path, format!("wal/{}/00000001/{segment}.zst", ground.identifier()));
    // A history has no page to tell; the control file of its cluster does.
    let history = data.join("pg_wal/00000002.history");
    std::fs::write(&history, "1\t0/5000060\tno reason\n").unwrap();
    let pushed = archive::push(ground.store.as_ref(), None, &history).await.unwrap();
    assert!(pushed.path.ends_with("/00000002/00000002.history.zst"), "{}", pushed.path);
    let to = data.join("pg_wal/RECOVERYHISTORY");
    let name = "00000002.history".parse().unwrap();
    archive::fetch(ground.store.as_ref(), None, &name, &to).await.unwrap();
    assert_eq!(std::fs::read_to_string(to).unwrap(), "1\t0/5000060\tno reason\n");
    let elsewhere = ground.folder.path().join("00000003.history");
    std::fs::write(&elsewhere, "").unwrap();
    let unknown = archive::push(ground.store.as_ref(), None, &elsewhere).await.unwrap_err();
    assert!(unknown.message.contains("nothing tells of which cluster"), "{unknown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_content_under_the_same_name_is_refused_and_changes_nothing() {
    let ground = Ground::new();
    let segment = segment_of(&ground);
    ground.push_all().await;
    let object = std::fs::read(ground.object(&segment)).unwrap();
    let other = ground.cluster.host_dir().join("spool").join(&segment);
    flip(&other, 16_000_000);
    let refused = archive::push(ground.store.as_ref(), None, &other).await.unwrap_err();
    assert_eq!(refused.class, ErrorClass::NeedsOperator);
    case("RB0594", refused.told().replace(&segment, "000000010000000000000003"));
    assert_eq!(std::fs::read(ground.object(&segment)).unwrap(), object);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_pushes_of_one_segment_at_once_are_one() {
    let ground = Ground::new();
    let segment = segment_of(&ground);
    let file = ground.cluster.host_dir().join("spool").join(&segment);
    let push = || archive::push(ground.store.as_ref(), None, &file);
    let (one, other, third) = tokio::join!(push(), push(), push());
    let new = [one, other, third].map(|pushed| !pushed.unwrap().existed);
    assert_eq!(new.iter().filter(|new| **new).count(), 1);
    let folder = ground.object(&segment);
    assert_eq!(files(folder.parent().unwrap()), [format!("{segment}.zst")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_is_told_from_what_is_not_there_and_leaves_no_file() {
    let ground = Ground::new();
    let segment = segment_of(&ground);
    ground.push_all().await;
    let to = ground.folder.path().join("RECOVERYXLOG");
    let missing = fetch(&ground, "0000000100000000000000FF", &to).await.unwrap_err();
    case("RB0595", missing.told());
    let object = ground.object(&segment);
    let length = std::fs::metadata(&object).unwrap().len();
    for at in [0, 30, length / 2, length - 3] {
        flip(&object, usize::try_from(at).unwrap());
        let damaged = fetch(&ground, &segment, &to).await.unwrap_err();
        assert_eq!(
            (damaged.code.as_str(), damaged.class),
            ("RB0596", ErrorClass::Permanent),
            "{at}"
        );
        flip(&object, usize::try_from(at).unwrap());
    }
    let whole = std::fs::read(&object).unwrap();
    std::fs::write(&object, &whole[..whole.len() - 1000]).unwrap();
    assert_eq!(fetch(&ground, &segment, &to).await.unwrap_err().code, "RB0596");
    std::fs::write(&object, "16 MiB of nothing").unwrap();
    let damaged = fetch(&ground, &segment, &to).await.unwrap_err();
    case("RB0596", damaged.told().replace(&segment, "000000010000000000000003"));
    assert!(!to.exists());
    assert!(!ground.folder.path().join("RECOVERYXLOG.part").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_server_archives_is_refused() {
    let ground = Ground::new();
    let segment = segment_of(&ground);
    let push = |path: std::path::PathBuf| {
        let store = ground.store.clone();
        async move { archive::push(store.as_ref(), None, &path).await.unwrap_err() }
    };
    let path = |name: &str| ground.folder.path().join(name);
    case("RB0592", push(path("notes.txt")).await.told());
    let copy = path("0000000100000000000000AA");
    std::fs::copy(ground.cluster.host_dir().join("spool").join(&segment), &copy).unwrap();
    let renamed = push(copy).await;
    case("RB0593", renamed.told().replace(&start_of(&segment), "0/3000000"));
    case("RB0597", push(path("0000000100000000000000AB")).await.told());
    assert_eq!(files(&ground.folder.path().join("store")), Vec::<String>::new());
}

/// Where a segment begins, from its name.
fn start_of(segment: &str) -> String {
    let number = u64::from_str_radix(&segment[16..], 16).unwrap();
    format!("0/{:X}", number << 24)
}
