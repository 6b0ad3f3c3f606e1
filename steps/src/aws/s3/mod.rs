//! `s3://`: objects of a bucket, written once by a condition that S3 itself holds.

mod bucket;
mod commit;
mod copy;
mod list;
mod read;
mod remove;
mod upload;
mod write;

use std::sync::Arc;

use engine::settings::S3Settings;
use model::s3_url::S3Url;

use self::bucket::Bucket;
use super::Keys;
use crate::store::path::checked;
use crate::store::{
    ObjectInfo, ObjectReader, ObjectWriter, Removed, Store, StoreError, StoreFuture, Written,
};

/// A store in a bucket.
#[derive(Clone)]
pub struct S3Store(Arc<Bucket>);

impl S3Store {
    /// The store at `s3://bucket/folder`. Nothing is asked of S3 yet.
    pub fn open(url: &str, settings: &S3Settings) -> Result<Self, StoreError> {
        Self::open_with(url, settings, None)
    }

    /// As [`S3Store::open`], with these credentials in place of those of the environment.
    pub fn open_with(
        url: &str,
        settings: &S3Settings,
        keys: Option<Keys>,
    ) -> Result<Self, StoreError> {
        let place: S3Url = url.parse().map_err(|_| StoreError::Url { url: url.to_owned() })?;
        Ok(Self(Arc::new(Bucket::new(place, settings.clone(), keys))))
    }
}

impl Store for S3Store {
    fn put_new<'a>(&'a self, path: &'a str) -> StoreFuture<'a, Box<dyn ObjectWriter>> {
        Box::pin(async move {
            let writer = write::S3Writer::open(Arc::clone(&self.0), checked(path)?).await?;
            Ok(Box::new(writer) as Box<dyn ObjectWriter>)
        })
    }

    fn open<'a>(&'a self, path: &'a str) -> StoreFuture<'a, Box<dyn ObjectReader>> {
        Box::pin(async move {
            let reader = read::S3Reader::open(Arc::clone(&self.0), checked(path)?).await?;
            Ok(Box::new(reader) as Box<dyn ObjectReader>)
        })
    }

    fn list<'a>(&'a self, folder: &'a str) -> StoreFuture<'a, Vec<ObjectInfo>> {
        Box::pin(async move { list::objects(&self.0, checked(folder)?).await })
    }

    fn folders<'a>(&'a self, folder: &'a str) -> StoreFuture<'a, Vec<String>> {
        Box::pin(async move { list::folders(&self.0, checked(folder)?).await })
    }

    fn stat<'a>(&'a self, path: &'a str) -> StoreFuture<'a, Option<ObjectInfo>> {
        Box::pin(async move {
            let head = self.0.head(checked(path)?, None).await;
            let found = head.map_err(|error| error.at(path))?;
            Ok(found.map(|head| ObjectInfo {
                path: path.to_owned(),
                bytes: head.bytes,
                modified: head.modified,
            }))
        })
    }

    fn remove<'a>(&'a self, path: &'a str) -> StoreFuture<'a, Removed> {
        Box::pin(async move { remove::object(&self.0, checked(path)?).await })
    }

    fn remove_folder<'a>(&'a self, folder: &'a str) -> StoreFuture<'a, Removed> {
        Box::pin(async move { remove::folder(&self.0, checked(folder)?).await })
    }

    fn held<'a>(&'a self, path: &'a str) -> StoreFuture<'a, bool> {
        Box::pin(async move {
            let head = self.0.head(checked(path)?, None).await;
            Ok(head.map_err(|error| error.at(path))?.is_some_and(|head| head.held))
        })
    }

    fn sweep<'a>(&'a self, folder: &'a str) -> StoreFuture<'a, u64> {
        Box::pin(async move { list::sweep(&self.0, checked(folder)?).await })
    }

    fn free_space(&self) -> StoreFuture<'_, Option<u64>> {
        Box::pin(async { Ok(None) })
    }

    fn look(&self) -> StoreFuture<'_, ()> {
        Box::pin(async { list::look(&self.0).await })
    }

    fn take_over<'a>(
        &'a self,
        from: &'a dyn Store,
        path: &'a str,
        expected: &'a Written,
    ) -> StoreFuture<'a, bool> {
        Box::pin(async move {
            let Some(from) = from.on_s3() else { return Ok(false) };
            copy::object(&from.0, &self.0, checked(path)?, expected).await
        })
    }

    fn on_s3(&self) -> Option<&S3Store> {
        Some(self)
    }

    fn describe(&self) -> String {
        self.0.place.to_string()
    }
}
