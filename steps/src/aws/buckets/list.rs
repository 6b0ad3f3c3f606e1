//! What lies under a prefix.

use aws_sdk_s3::Client;
use model::step_error::StepError;

use super::super::classify::AwsError;
use super::location::Location;

/// An object, as a listing tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) key: String,
    pub(super) bytes: u64,
    pub(super) etag: Option<String>,
}

/// Every object under a prefix, in the order of their keys.
pub(super) async fn under(client: &Client, place: &Location) -> Result<Vec<Item>, StepError> {
    let (mut found, mut token) = (Vec::new(), None);
    loop {
        let request = client.list_objects_v2().bucket(&place.bucket).prefix(&place.key);
        let page = request.set_continuation_token(token).send().await;
        let page = page.map_err(|error| AwsError::of("ListObjectsV2", &error).looking())?;
        found.extend(page.contents().iter().filter_map(|object| {
            let key = object.key()?.to_owned();
            let bytes = object.size().and_then(|bytes| u64::try_from(bytes).ok());
            // Consoles keep empty objects where folders shall be seen.
            (!key.ends_with('/')).then(|| Item {
                key,
                bytes: bytes.unwrap_or_default(),
                etag: object.e_tag().map(str::to_owned),
            })
        }));
        token = page.next_continuation_token;
        if token.is_none() {
            return Ok(found);
        }
    }
}
