//! What lies in a bucket, page by page.

use std::ops::Bound;

use s3s::dto::{
    ChecksumAlgorithm, CommonPrefix, DeleteMarkerEntry, ListObjectVersionsInput,
    ListObjectVersionsOutput, ListObjectsV2Input, ListObjectsV2Output, Object, ObjectStorageClass,
    ObjectVersion, ObjectVersionStorageClass,
};
use s3s::{S3Request, S3Result};

use super::service::{Place, Service};
use super::shelf::{Bucket, Content, Version, size};
use super::sums::NAMES;

/// The most that one page holds.
const PAGE: usize = 1000;

/// What a page asks for.
struct Asked<'a> {
    prefix: &'a str,
    delimiter: Option<&'a str>,
    most: usize,
}

impl<'a> Asked<'a> {
    fn new(prefix: Option<&'a String>, delimiter: Option<&'a String>, most: Option<i32>) -> Self {
        Self {
            prefix: prefix.map_or("", String::as_str),
            delimiter: delimiter.map(String::as_str).filter(|it| !it.is_empty()),
            most: most.and_then(|most| usize::try_from(most).ok()).unwrap_or(PAGE).min(PAGE),
        }
    }

    /// The folder that stands for a key.
    fn folder(&self, key: &str) -> Option<String> {
        let delimiter = self.delimiter?;
        let end = key[self.prefix.len()..].find(delimiter)? + self.prefix.len() + delimiter.len();
        Some(key[..end].to_owned())
    }

    /// Where the keys begin.
    fn start(&self, after: Option<&str>) -> Bound<String> {
        match after {
            Some(after) if after >= self.prefix => Bound::Excluded(after.to_owned()),
            _ => Bound::Included(self.prefix.to_owned()),
        }
    }
}

impl Service {
    pub(super) fn list(
        &self,
        request: &S3Request<ListObjectsV2Input>,
    ) -> S3Result<ListObjectsV2Output> {
        let input = &request.input;
        let asked = Asked::new(input.prefix.as_ref(), input.delimiter.as_ref(), input.max_keys);
        let after = input.continuation_token.as_deref().or(input.start_after.as_deref());
        self.with(&Place::of(request, &input.bucket), |bucket| {
            let page = page(bucket, &asked, after);
            let count = page.objects.len() + page.folders.len();
            Ok(ListObjectsV2Output {
                name: Some(input.bucket.clone()),
                prefix: Some(asked.prefix.to_owned()),
                delimiter: input.delimiter.clone(),
                max_keys: Some(i32::try_from(asked.most).unwrap_or(i32::MAX)),
                key_count: Some(i32::try_from(count).unwrap_or(i32::MAX)),
                is_truncated: Some(page.next.is_some()),
                next_continuation_token: page.next,
                continuation_token: input.continuation_token.clone(),
                start_after: input.start_after.clone(),
                contents: Some(page.objects),
                common_prefixes: folders(page.folders),
                ..ListObjectsV2Output::default()
            })
        })
    }

    pub(super) fn list_versions(
        &self,
        request: &S3Request<ListObjectVersionsInput>,
    ) -> S3Result<ListObjectVersionsOutput> {
        let input = &request.input;
        let asked = Asked::new(input.prefix.as_ref(), input.delimiter.as_ref(), input.max_keys);
        let key = input.key_marker.as_deref().filter(|key| !key.is_empty());
        let id = input.version_id_marker.as_deref().filter(|id| !id.is_empty());
        self.with(&Place::of(request, &input.bucket), |bucket| {
            let page = versions(bucket, &asked, key, id);
            let (next_key, next_id) = page.next.unzip();
            Ok(ListObjectVersionsOutput {
                name: Some(input.bucket.clone()),
                prefix: Some(asked.prefix.to_owned()),
                delimiter: input.delimiter.clone(),
                max_keys: Some(i32::try_from(asked.most).unwrap_or(i32::MAX)),
                is_truncated: Some(next_key.is_some()),
                next_key_marker: next_key,
                next_version_id_marker: next_id.filter(|id| !id.is_empty()),
                key_marker: input.key_marker.clone(),
                version_id_marker: input.version_id_marker.clone(),
                versions: Some(page.kept),
                delete_markers: Some(page.markers),
                common_prefixes: folders(page.folders),
                ..ListObjectVersionsOutput::default()
            })
        })
    }
}

fn folders(all: Vec<String>) -> Option<Vec<CommonPrefix>> {
    let told: Vec<_> =
        all.into_iter().map(|prefix| CommonPrefix { prefix: Some(prefix) }).collect();
    (!told.is_empty()).then_some(told)
}

#[derive(Default)]
struct Page {
    objects: Vec<Object>,
    folders: Vec<String>,
    next: Option<String>,
}

fn page(bucket: &Bucket, asked: &Asked<'_>, after: Option<&str>) -> Page {
    let mut page = Page::default();
    let mut last = None;
    for (key, all) in bucket.objects.range((asked.start(after), Bound::Unbounded)) {
        if !key.starts_with(asked.prefix) {
            break;
        }
        let Some((version, content)) =
            all.last().and_then(|one| Some((one, one.content.as_ref()?)))
        else {
            continue;
        };
        let folder = asked.folder(key);
        // A folder told at the end of the last page, or already on this one.
        let known = |folder: &String| {
            page.folders.last() == Some(folder)
                || after.is_some_and(|after| after >= folder.as_str())
        };
        if folder.as_ref().is_some_and(known) {
            continue;
        }
        if page.objects.len() + page.folders.len() == asked.most {
            page.next = last;
            break;
        }
        last = Some(folder.clone().unwrap_or_else(|| key.clone()));
        match folder {
            Some(folder) => page.folders.push(folder),
            None => page.objects.push(object(key, version, content)),
        }
    }
    page
}

fn object(key: &str, version: &Version, content: &Content) -> Object {
    let class = version.about.storage_class.as_ref().map_or("STANDARD", |class| class.as_str());
    let algorithm = content.sums.algorithm().map(|at| NAMES[at]);
    Object {
        key: Some(key.to_owned()),
        e_tag: Some(content.etag()),
        size: Some(size(content.bytes)),
        last_modified: Some(version.modified.clone()),
        storage_class: Some(ObjectStorageClass::from(class.to_owned())),
        checksum_algorithm: algorithm.map(|name| vec![ChecksumAlgorithm::from_static(name)]),
        ..Object::default()
    }
}

#[derive(Default)]
struct Versions {
    kept: Vec<ObjectVersion>,
    markers: Vec<DeleteMarkerEntry>,
    folders: Vec<String>,
    next: Option<(String, String)>,
}

impl Versions {
    fn len(&self) -> usize {
        self.kept.len() + self.markers.len() + self.folders.len()
    }

    fn push(&mut self, key: &str, version: &Version, latest: bool) {
        let (key, id) = (Some(key.to_owned()), Some(version.id.clone()));
        let (is_latest, last_modified) = (Some(latest), Some(version.modified.clone()));
        let Some(content) = &version.content else {
            let marker =
                DeleteMarkerEntry { key, version_id: id, is_latest, last_modified, owner: None };
            return self.markers.push(marker);
        };
        let class = version.about.storage_class.as_ref().map_or("STANDARD", |it| it.as_str());
        self.kept.push(ObjectVersion {
            key,
            version_id: id,
            is_latest,
            last_modified,
            e_tag: Some(content.etag()),
            size: Some(size(content.bytes)),
            storage_class: Some(ObjectVersionStorageClass::from(class.to_owned())),
            ..ObjectVersion::default()
        });
    }
}

/// Versions after that one of that key, the newest of each key first.
fn versions(bucket: &Bucket, asked: &Asked<'_>, key: Option<&str>, id: Option<&str>) -> Versions {
    let mut page = Versions::default();
    let mut last = (String::new(), String::new());
    let start = match (key, id) {
        (Some(key), Some(_)) => Bound::Included(key.to_owned()),
        _ => asked.start(key),
    };
    for (name, all) in bucket.objects.range((start, Bound::Unbounded)) {
        if !name.starts_with(asked.prefix) {
            break;
        }
        if let Some(folder) = asked.folder(name) {
            let told = key.is_some_and(|key| key >= folder.as_str());
            if !told && page.folders.last() != Some(&folder) {
                if page.len() == asked.most {
                    page.next = Some(last);
                    return page;
                }
                last = (folder.clone(), String::new());
                page.folders.push(folder);
            }
            continue;
        }
        let resumed = id.filter(|_| key == Some(name));
        let skip = resumed.and_then(|id| all.iter().rev().position(|one| one.id == id));
        for (at, version) in all.iter().rev().enumerate().skip(skip.map_or(0, |at| at + 1)) {
            if page.len() == asked.most {
                page.next = Some(last);
                return page;
            }
            last = (name.clone(), version.id.clone());
            page.push(name, version, at == 0);
        }
    }
    page
}
