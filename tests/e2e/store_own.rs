//! Stores on S3, over the laboratory's own server.

use std::sync::LazyLock;

use lab::s3::S3;

static SERVER: LazyLock<S3> = LazyLock::new(|| S3::start().unwrap());

#[path = "s3.rs"]
mod s3;
