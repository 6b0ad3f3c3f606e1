//! S3 on loopback, on a folder: the protocol of the crate `s3s`, and what a bucket does behind it.
//!
//! The bytes of objects lie in files; what they are called, and all settings, in memory, as long
//! as the process lives. Signatures are verified.

mod about;
mod copy;
mod disk;
mod list;
mod objects;
mod parts;
mod service;
mod settings;
mod shelf;
mod sums;

use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::error_handling::HandleError;
use axum::http::StatusCode;
use s3s::dto::Timestamp;
use s3s::service::S3ServiceBuilder;

use self::disk::Disk;
use self::service::{Lost, Service};
use crate::http::Server;
pub use crate::plain::Answer;
use crate::plain::Plain;

/// The region of a bucket that names none.
pub(crate) const REGION: &str = "us-east-1";
/// Under this header the laboratory itself says who it is.
const TOKEN: &str = "x-lab-token";

/// How the server is.
#[derive(Clone, Default)]
pub struct S3Options {
    keys: Vec<(String, String)>,
    strict_regions: bool,
    lost: Option<Lost>,
}

impl S3Options {
    /// A server that knows the key `lab` with the secret `lab`.
    pub fn new() -> Self {
        Self::default().key("lab", "lab")
    }

    /// Adds a key and its secret.
    #[must_use]
    pub fn key(mut self, id: &str, secret: &str) -> Self {
        self.keys.push((id.to_owned(), secret.to_owned()));
        self
    }

    /// Answers for a bucket only whoever signs for its region, as AWS does.
    #[must_use]
    pub fn strict_regions(mut self) -> Self {
        self.strict_regions = true;
        self
    }

    /// Asks at each request whether a bucket's region is out of reach.
    #[must_use]
    pub fn lost_when(mut self, lost: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        self.lost = Some(std::sync::Arc::new(lost));
        self
    }

    /// Starts a server that keeps its files in that folder.
    pub fn start(self, folder: &Path) -> io::Result<S3> {
        S3::serve(self, folder)
    }
}

/// A running server; dropping it closes the port.
pub struct S3 {
    service: Service,
    server: Server,
    token: String,
    own_folder: Option<tempfile::TempDir>,
}

impl S3 {
    /// Starts a server on a folder of its own, which is removed with it.
    pub fn start() -> io::Result<Self> {
        let folder = tempfile::tempdir()?;
        let mut server = Self::serve(S3Options::new(), folder.path())?;
        server.own_folder = Some(folder);
        Ok(server)
    }

    fn serve(options: S3Options, folder: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let token = random_word()?;
        let service = Service::new(Disk::new(folder.to_owned()), options, token.clone());
        let mut builder = S3ServiceBuilder::new(service.clone());
        builder.set_auth(service.clone());
        builder.set_access(service.clone());
        let refused =
            async |error: s3s::HttpError| (StatusCode::INTERNAL_SERVER_ERROR, format!("{error:?}"));
        let app = Router::new().fallback_service(HandleError::new(builder.build(), refused));
        let server = Server::start("s3", app)?;
        Ok(Self { service, server, token, own_folder: None })
    }

    /// Where it answers.
    pub fn url(&self) -> String {
        format!("http://{}", self.server.address)
    }

    /// Makes a bucket.
    pub fn create_bucket(&self, name: &str) -> io::Result<()> {
        self.plain().create_bucket(name)
    }

    /// Makes a bucket in a region.
    pub fn create_bucket_in(&self, name: &str, region: &str) -> io::Result<()> {
        let asked = format!(
            "<CreateBucketConfiguration><LocationConstraint>{region}</LocationConstraint>\
             </CreateBucketConfiguration>"
        );
        match region {
            REGION => self.create_bucket(name),
            _ => self.request("PUT", &format!("/{name}"), &[], &asked)?.done(),
        }
    }

    /// Makes a bucket that keeps versions and knows locks.
    pub fn create_locking_bucket(&self, name: &str) -> io::Result<()> {
        self.plain().create_locking_bucket(name)
    }

    /// Makes a request, past every library of S3.
    pub fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[&str],
        body: &str,
    ) -> io::Result<Answer> {
        self.plain().request(method, path, headers, body)
    }

    /// Lets all objects together have no more than so many bytes: what is more is refused with
    /// `QuotaExceeded`.
    pub fn limit(&self, quota: Option<u64>) {
        self.service.disk().limit(quota);
    }

    /// Whether there is such a limit.
    pub fn is_limited(&self) -> bool {
        self.service.disk().is_limited()
    }

    /// How many bytes the objects and parts have.
    pub fn used(&self) -> u64 {
        self.service.disk().used()
    }

    /// Makes the uploads of a bucket older than they are.
    pub fn age_uploads(&self, bucket: &str, by: Duration) {
        if let Some(bucket) = self.service.buckets().get_mut(bucket) {
            for upload in bucket.uploads.values_mut() {
                upload.started = Timestamp::from(SystemTime::now() - by);
            }
        }
    }

    fn plain(&self) -> Plain {
        Plain::new(self.server.address.port(), format!("{TOKEN}: {}", self.token))
    }
}

/// A word that nobody else has.
pub(crate) fn random_word() -> io::Result<String> {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(sums::hex(&bytes))
}
