//! What lies in a folder of a bucket.

use std::time::Duration;

use aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Output;
use engine::clock::{Clock as _, RealClock};
use jiff::Timestamp;

use super::super::classify::{AwsError, Kind};
use super::bucket::{Bucket, size, time};
use crate::store::{ObjectInfo, StoreError};

/// An upload that was started so long ago has no writer any more.
const ABANDONED: Duration = Duration::from_hours(24);

/// Whether the bucket answers, and lets us list it.
pub(super) async fn look(bucket: &Bucket) -> Result<(), StoreError> {
    let prefix = bucket.key("");
    let asked = async {
        let request = bucket.client().await?.list_objects_v2().bucket(&bucket.place.bucket);
        let answer = request.prefix(prefix).max_keys(1).send().await;
        answer.map(drop).map_err(|error| AwsError::of("ListObjectsV2", &error))
    };
    asked.await.map_err(|error| error.at(&bucket.place.to_string()))
}

/// Every object under a folder.
pub(super) async fn objects(bucket: &Bucket, folder: &str) -> Result<Vec<ObjectInfo>, StoreError> {
    let mut found = Vec::new();
    each_page(bucket, folder, None, |page| {
        found.extend(page.contents().iter().filter_map(|object| {
            let path = bucket.path(object.key()?)?;
            let name = path.rsplit('/').next()?;
            // Consoles keep empty objects where folders shall be seen.
            (!name.is_empty() && !name.starts_with('.')).then(|| ObjectInfo {
                path: path.to_owned(),
                bytes: size(object.size()),
                modified: object.last_modified().map(time).unwrap_or_default(),
            })
        }));
    })
    .await?;
    found.sort_by(|a, b| a.path.split('/').cmp(b.path.split('/')));
    Ok(found)
}

/// The names of the folders in a folder.
pub(super) async fn folders(bucket: &Bucket, folder: &str) -> Result<Vec<String>, StoreError> {
    let mut found = Vec::new();
    each_page(bucket, folder, Some("/"), |page| {
        found.extend(page.common_prefixes().iter().filter_map(|prefix| {
            let path = bucket.path(prefix.prefix()?)?.strip_suffix('/')?;
            let name = path.rsplit('/').next()?;
            (!name.is_empty() && !name.starts_with('.')).then(|| name.to_owned())
        }));
    })
    .await?;
    found.sort();
    Ok(found)
}

async fn each_page(
    bucket: &Bucket,
    folder: &str,
    delimiter: Option<&str>,
    mut see: impl FnMut(&ListObjectsV2Output),
) -> Result<(), StoreError> {
    let prefix = format!("{}/", bucket.key(folder));
    let mut token = None;
    loop {
        let page = async {
            let request = bucket.client().await?.list_objects_v2().bucket(&bucket.place.bucket);
            let request = request.prefix(&prefix).set_delimiter(delimiter.map(str::to_owned));
            let answer = request.set_continuation_token(token.take()).send().await;
            answer.map_err(|error| AwsError::of("ListObjectsV2", &error))
        };
        let page = page.await.map_err(|error| error.at(folder))?;
        see(&page);
        token = page.next_continuation_token;
        if token.is_none() {
            return Ok(());
        }
    }
}

/// Aborts uploads under a folder whose writers are gone; gives their number.
pub(super) async fn sweep(bucket: &Bucket, folder: &str) -> Result<u64, StoreError> {
    let swept = async {
        let oldest = RealClock.now().checked_sub(ABANDONED).unwrap_or(Timestamp::MIN);
        let mut swept = 0;
        for (key, id) in uploads(bucket, folder, oldest).await? {
            let request = bucket.client().await?.abort_multipart_upload();
            let answer = request.bucket(&bucket.place.bucket).key(key).upload_id(id).send().await;
            match answer.map_err(|error| AwsError::of("AbortMultipartUpload", &error)) {
                Ok(_) => swept += 1,
                // Somebody was faster.
                Err(AwsError { kind: Kind::NoUpload | Kind::Missing, .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(swept)
    };
    swept.await.map_err(|error: AwsError| error.at(folder))
}

/// Keys and ids of uploads that were started before `oldest`.
async fn uploads(
    bucket: &Bucket,
    folder: &str,
    oldest: Timestamp,
) -> Result<Vec<(String, String)>, AwsError> {
    let prefix = format!("{}/", bucket.key(folder));
    let (mut key, mut id, mut found) = (None, None, Vec::new());
    loop {
        let request = bucket.client().await?.list_multipart_uploads();
        let request = request.bucket(&bucket.place.bucket).prefix(&prefix);
        let page = match request.set_key_marker(key).set_upload_id_marker(id).send().await {
            Ok(page) => page,
            Err(error) => match AwsError::of("ListMultipartUploads", &error) {
                AwsError { kind: Kind::Unsupported, .. } => return Ok(found),
                error => return Err(error),
            },
        };
        let old = page
            .uploads()
            .iter()
            .filter(|upload| upload.initiated().is_some_and(|started| time(started) < oldest));
        found.extend(
            old.filter_map(|upload| Some((upload.key.clone()?, upload.upload_id.clone()?))),
        );
        if page.is_truncated() != Some(true) {
            return Ok(found);
        }
        (key, id) = (page.next_key_marker, page.next_upload_id_marker);
    }
}
