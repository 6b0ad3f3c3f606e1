//! Removing objects with all their versions; what a lock holds stays, and is counted.

use aws_sdk_s3::operation::list_object_versions::ListObjectVersionsOutput;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::super::classify::{AwsError, Kind};
use super::bucket::Bucket;
use super::list;
use crate::store::{Removed, StoreError};

/// Requests at once.
const AT_ONCE: usize = 8;

/// One version of an object, or a marker that hides those before it.
struct Version {
    path: String,
    id: Option<String>,
    is_marker: bool,
}

/// Removes one object.
pub(super) async fn object(bucket: &Bucket, path: &str) -> Result<Removed, StoreError> {
    let found = match versions(bucket, path, &bucket.key(path)).await? {
        Some(versions) => versions.into_iter().filter(|version| version.path == path).collect(),
        None => vec![Version::only(path.to_owned())],
    };
    all(bucket, found).await
}

/// Removes a folder.
pub(super) async fn folder(bucket: &Bucket, folder: &str) -> Result<Removed, StoreError> {
    let prefix = format!("{}/", bucket.key(folder));
    if let Some(found) = versions(bucket, folder, &prefix).await? {
        return all(bucket, found).await;
    }
    let objects = list::objects(bucket, folder).await?.into_iter();
    all(bucket, objects.map(|object| Version::only(object.path)).collect()).await
}

impl Version {
    /// The object of a store that knows no versions.
    fn only(path: String) -> Self {
        Self { path, id: None, is_marker: false }
    }
}

/// What lies under a prefix, in a bucket without versions with `null` for their id; nothing when
/// the store does not know what a version is.
async fn versions(
    bucket: &Bucket,
    path: &str,
    prefix: &str,
) -> Result<Option<Vec<Version>>, StoreError> {
    let (mut key, mut id, mut found) = (None, None, Vec::new());
    loop {
        let page = async {
            let request = bucket.client().await?.list_object_versions();
            let request = request.bucket(&bucket.place.bucket).prefix(prefix);
            let answer = request.set_key_marker(key).set_version_id_marker(id).send().await;
            answer.map_err(|error| AwsError::of("ListObjectVersions", &error))
        };
        let page = match page.await {
            Err(AwsError { kind: Kind::Unsupported, .. }) => return Ok(None),
            page => page.map_err(|error| error.at(path))?,
        };
        found.extend(of_page(bucket, &page));
        if page.is_truncated() != Some(true) {
            return Ok(Some(found));
        }
        (key, id) = (page.next_key_marker, page.next_version_id_marker);
    }
}

fn of_page(bucket: &Bucket, page: &ListObjectVersionsOutput) -> Vec<Version> {
    let version = |key: Option<&str>, id: Option<&str>, is_marker| {
        let path = bucket.path(key?)?.to_owned();
        Some(Version { path, id: id.map(str::to_owned), is_marker })
    };
    let kept = page.versions().iter().filter_map(|one| version(one.key(), one.version_id(), false));
    let markers = page.delete_markers().iter();
    kept.chain(markers.filter_map(|one| version(one.key(), one.version_id(), true))).collect()
}

/// Removes versions in any order; the markers that hide them go last, and stay where a version
/// stays, which would come to light.
async fn all(bucket: &Bucket, versions: Vec<Version>) -> Result<Removed, StoreError> {
    let (markers, kept): (Vec<_>, Vec<_>) = versions.into_iter().partition(|one| one.is_marker);
    let retained = each(bucket, kept).await?;
    if retained == 0 {
        each(bucket, markers).await?;
    }
    Ok(Removed { retained })
}

async fn each(bucket: &Bucket, versions: Vec<Version>) -> Result<u64, StoreError> {
    let removals = stream::iter(versions.into_iter().map(async |version| {
        let removed = one(bucket, &version).await;
        removed.map_err(|error| error.at(&version.path))
    }));
    removals
        .buffer_unordered(AT_ONCE)
        .try_fold(0, async |sum, held| Ok(sum + u64::from(held)))
        .await
}

/// Removes one version; gives whether a lock holds it.
async fn one(bucket: &Bucket, version: &Version) -> Result<bool, AwsError> {
    let request = bucket.client().await?.delete_object().bucket(&bucket.place.bucket);
    let request = request.key(bucket.key(&version.path)).set_version_id(version.id.clone());
    let Err(error) = request.send().await else { return Ok(false) };
    match AwsError::of("DeleteObject", &error) {
        AwsError { kind: Kind::Missing, .. } => Ok(false),
        error @ AwsError { kind: Kind::Denied | Kind::Refused, .. } => {
            let head = bucket.head(&version.path, version.id.as_deref()).await?;
            if head.is_some_and(|head| head.held) { Ok(true) } else { Err(error) }
        }
        error => Err(error),
    }
}
