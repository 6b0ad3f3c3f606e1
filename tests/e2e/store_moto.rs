//! Stores on S3, over a server of other people.

use std::sync::LazyLock;

use lab::moto::Moto;

static SERVER: LazyLock<Moto> = LazyLock::new(|| Moto::start().unwrap());

#[path = "s3.rs"]
mod s3;
