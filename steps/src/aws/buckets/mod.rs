//! Buckets and the objects in them, as steps work on them: `s3.configure`, `s3.copy`, `s3.sync`.

mod alike;
pub mod configure;
pub mod copy;
mod list;
mod location;
mod parts;
pub mod sync;
mod transfer;

use std::future::Future;

use aws_config::SdkConfig;
use aws_sdk_s3::Client;
use engine::context::{Progress, StepContext};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use model::step_error::StepError;

use super::place::Place;
pub(super) use transfer::encoded;

/// Objects that are looked at or copied at once.
const AT_ONCE: usize = 8;

/// A client that asks as the configuration says. A server that is not AWS has its buckets in the
/// path.
fn client(shared: &SdkConfig) -> Client {
    let elsewhere = shared.endpoint_url().is_some_and(|url| !url.contains("amazonaws.com"));
    let config = aws_sdk_s3::config::Builder::from(shared).force_path_style(elsewhere);
    Client::from_conf(config.build())
}

/// Clients for the bucket that is read and for the one that is written. A copy that is sent twice
/// is one copy, so both may repeat their requests.
async fn both(place: Place<'_>, from: Option<&str>) -> Result<(Client, Client), StepError> {
    let to = client(&place.looks().await?);
    let from = client(&Place { region: from.or(place.region), ..place }.looks().await?);
    Ok((from, to))
}

/// Whether objects of a class have to be thawed before they are read, which takes hours.
fn is_archive(class: &str) -> bool {
    ["GLACIER", "DEEP_ARCHIVE"].contains(&class)
}

/// Lets many things be done, some at once, telling how far it is.
async fn each<R>(
    ctx: &StepContext,
    activity: &str,
    all: Vec<impl Future<Output = Result<R, StepError>>>,
) -> Result<Vec<R>, StepError> {
    let total = Some(all.len() as u64);
    let mut done = Vec::with_capacity(all.len());
    let mut acting = stream::iter(all).buffer_unordered(AT_ONCE);
    while let Some(one) = acting.try_next().await? {
        done.push(one);
        let activity = activity.to_owned();
        ctx.progress(Progress { activity, done: done.len() as u64, total, bytes: false });
    }
    Ok(done)
}
