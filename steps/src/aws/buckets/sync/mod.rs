//! `s3.sync`: what lies under a prefix is what lies under another.

use std::collections::{HashMap, HashSet};

use aws_sdk_s3::Client;
use engine::context::StepContext;
use engine::step::{Observation, Step};
use model::catalog::InputProblem;
use model::effect::{Effect, Repeat};
use model::footprint::{AwsUse, Footprint, Part};
use model::step_error::StepError;
use model::units::ByteSize;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::classify::AwsError;
use super::super::place::Place;
use super::copy::{bad_part_size, footprint, locations, pair, part_size};
use super::list::Item;
use super::transfer::{Ends, Keeping, Pair};
use super::{both, each, list, location};

/// The fact that an attempt has begun.
const FACT: &str = "syncing";
/// How many objects the log names.
const NAMED: usize = 20;

/// Makes what lies under a prefix like what lies under another, across buckets and regions.
///
/// ## What it does
/// It lists both, writes to the log what it will do, and copies what is missing, as `s3.copy` does:
/// S3 moves the bytes. What is there and equal is left alone; equal is told by size with SHA-256 or
/// MD5, or by the mark that a copy carries. Objects that are only at the target stay, unless
/// `delete` is said: then they are removed after everything was copied.
///
/// ## When to use it
/// To keep a second place for what others write into a bucket. A mirror follows mistakes as well:
/// for backups, `store.copy` into a store with a retention of its own is the better second place.
///
/// ## What it changes
/// Objects under `to` are added; with `overwrite` replaced; with `delete` removed. In a bucket with
/// versions a removed object is hidden behind a marker and its versions stay, locked ones for
/// certain: the output counts them as `hidden`. Without versions it is gone.
///
/// ## How it can fail
/// When something at the target differs and `overwrite` is not said (RB0696), and before anything
/// is done when more than `max_delete_percent` of the objects at the target would be removed
/// (RB0637), as when the source is empty because of a mistake.
///
/// ## Example
/// ```yaml
/// - id: mirror
///   uses: s3.sync
///   with:
///     from: s3://acme-uploads/
///     to: s3://acme-uploads-west/mirror/
///     from_region: us-east-1
///     region: us-west-2
/// ```
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// What is copied: `s3://bucket/prefix/`, or `s3://bucket/` for all of it.
    from: String,
    /// Where it goes, of the same form.
    to: String,
    /// Objects that are at the target and not at the source are removed.
    #[serde(default)]
    delete: bool,
    /// With `delete`: nothing is done when more than so many percent of the objects at the target
    /// would be removed.
    #[serde(default = "a_tenth")]
    max_delete_percent: u8,
    /// Objects that differ are replaced.
    #[serde(default)]
    overwrite: bool,
    /// The storage class of the copies; without it, that of the source.
    storage_class: Option<String>,
    /// The key in KMS by which the copies are encrypted; without it, what the bucket says.
    kms_key: Option<String>,
    /// Objects of more bytes are copied in parts of so many, from 5 MiB to 5 GiB.
    #[serde(default = "part_size")]
    part_size: ByteSize,
    /// The region of the bucket in `from`; without it, `region`.
    from_region: Option<String>,
    /// The region of the bucket in `to`; else that of `aws`, then of the environment.
    region: Option<String>,
    /// The profile in the configuration of AWS whose credentials are used.
    profile: Option<String>,
    /// Where S3 answers, when that is not AWS.
    endpoint_url: Option<String>,
}

fn a_tenth() -> u8 {
    10
}

/// What was done.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Output {
    /// Objects at the source.
    objects: u64,
    /// Their size in bytes.
    bytes: u64,
    /// Objects that this attempt copied.
    copied: u64,
    /// Objects at the target that this attempt removed for good.
    deleted: u64,
    /// Objects at the target that this attempt hid: their versions are still there.
    hidden: u64,
    /// Objects that are only at the target, and stay.
    extra: u64,
}

/// The step kind.
pub struct Sync;

/// Both sides, and what differs.
struct Work {
    ends: Ends,
    bucket: String,
    source: Vec<Item>,
    /// Objects whose copy is not there, or is not known to be one.
    open: Vec<Pair>,
    /// Keys that are only at the target.
    extra: Vec<String>,
    /// How many objects are at the target.
    there: usize,
}

impl Input {
    fn place(&self) -> Place<'_> {
        Place {
            region: self.region.as_deref(),
            profile: self.profile.as_deref(),
            endpoint_url: self.endpoint_url.as_deref(),
        }
    }

    /// Lists both sides.
    async fn look(&self) -> Result<Work, StepError> {
        let (from, to) = locations(&self.from, &self.to)?;
        let (reading, writing) = both(self.place(), self.from_region.as_deref()).await?;
        let source = list::under(&reading, &from).await?;
        let target = list::under(&writing, &to).await?;
        let there: HashMap<&str, &Item> =
            target.iter().map(|item| (item.key.as_str(), item)).collect();
        let pairs = source.iter().map(|item| (item, pair(&from, &to, item.key.clone())));
        let pairs: Vec<(&Item, Pair)> = pairs.collect();
        let wanted: HashSet<&str> = pairs.iter().map(|(_, pair)| pair.to_key.as_str()).collect();
        let extra = target.iter().filter(|item| !wanted.contains(item.key.as_str()));
        let extra = extra.map(|item| item.key.clone()).collect();
        let open = pairs.iter().filter(|(item, pair)| {
            !there.get(pair.to_key.as_str()).is_some_and(|there| are_equal(item, there))
        });
        let open = open.map(|(_, pair)| pair.clone()).collect();
        let keeping = Keeping {
            storage_class: self.storage_class.clone(),
            kms_key: self.kms_key.clone(),
            overwrite: self.overwrite,
            part_size: self.part_size.bytes(),
            ..Keeping::default()
        };
        let ends = Ends { from: reading, to: writing, keeping };
        Ok(Work { ends, bucket: to.bucket, open, extra, there: target.len(), source })
    }

    /// Refuses to remove too much of the target.
    fn refuse_too_much(&self, work: &Work) -> Result<(), StepError> {
        let percent = (work.extra.len() * 100).div_ceil(work.there.max(1));
        if !self.delete || percent <= usize::from(self.max_delete_percent) {
            return Ok(());
        }
        let (extra, there) = (work.extra.len(), work.there);
        let most = self.max_delete_percent;
        let message = format!(
            "{extra} of {there} objects at `{}` would be removed ({percent} %), at most {most} % may be",
            self.to
        );
        Err(StepError::needs_operator("RB0637", message)
            .hint("look whether the source is whole; if it is, raise `max_delete_percent`"))
    }

    fn output(&self, work: &Work) -> Output {
        Output {
            objects: work.source.len() as u64,
            bytes: work.source.iter().map(|item| item.bytes).sum(),
            extra: if self.delete { 0 } else { work.extra.len() as u64 },
            ..Output::default()
        }
    }
}

/// Both have one size, and one MD5 for a tag. Where tags tell nothing, the objects are asked.
fn are_equal(one: &Item, other: &Item) -> bool {
    let tag = |item: &Item| item.etag.clone().filter(|tag| !tag.contains('-'));
    one.bytes == other.bytes && tag(one).is_some() && tag(one) == tag(other)
}

/// Tells what will be done.
fn announce(ctx: &StepContext, input: &Input, work: &Work) {
    let (open, extra) = (work.open.len(), work.extra.len());
    ctx.log(format!("{} objects at the source, {} at the target", work.source.len(), work.there));
    ctx.log(format!("{open} to look at and to copy where they are missing or differ"));
    work.open.iter().take(NAMED).for_each(|pair| ctx.log(format!("  copy {}", pair.to_key)));
    let fate = if input.delete { "to remove" } else { "only at the target, and stay" };
    ctx.log(format!("{extra} {fate}"));
    work.extra.iter().take(NAMED).for_each(|key| ctx.log(format!("  {key}")));
}

/// Removes an object; gives whether its versions are still there.
async fn remove(client: &Client, bucket: &str, key: &str) -> Result<bool, StepError> {
    let answer = client.delete_object().bucket(bucket).key(key).send().await;
    let answer = answer.map_err(|error| AwsError::of("DeleteObject", &error).changing())?;
    Ok(answer.delete_marker() == Some(true))
}

impl Step for Sync {
    const KIND: &'static str = "s3.sync";
    const SUMMARY: &'static str = "makes what lies under a prefix like what lies under another";
    type Input = Input;
    type Output = Output;

    fn validate(input: &Input) -> Result<(), Vec<InputProblem>> {
        let mut problems = location::problems(&input.from, &input.to, true);
        problems.extend(bad_part_size(input.part_size));
        if input.max_delete_percent > 100 {
            problems.push(InputProblem::at("max_delete_percent", "a share is at most 100"));
        }
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    fn footprint(input: &Input) -> Footprint {
        let destroys = input.delete || input.overwrite;
        let effect = if destroys { Effect::Destructive } else { Effect::Reversible };
        let region = input.region.as_deref();
        let own = footprint(
            Footprint::new(effect, Repeat::Idempotent).plays(Part::Verify),
            (&input.from, &input.to),
            (input.from_region.as_deref(), region),
            input.storage_class.as_deref(),
        );
        if !input.delete {
            return own;
        }
        let most = input.max_delete_percent;
        own.writes(format!("removes what is only at `{}`, at most {most} % of it", input.to))
            .aws(AwsUse::data("s3", region, &["ListBucket", "DeleteObject"]))
    }

    fn example() -> Output {
        Output { objects: 1200, bytes: 1 << 30, copied: 14, ..Output::default() }
    }

    async fn observe(input: &Input, ctx: &StepContext) -> Result<Observation<Output>, StepError> {
        if ctx.fact(FACT).is_none() {
            return Ok(Observation::NotDone);
        }
        let work = input.look().await?;
        let looks = work.open.iter().map(|pair| work.ends.look(pair)).collect();
        let seen = each(ctx, "compare", looks).await?;
        let nothing_extra = !input.delete || work.extra.is_empty();
        let whole = nothing_extra && seen.iter().all(Option::is_some);
        Ok(if whole { Observation::Done(input.output(&work)) } else { Observation::NotDone })
    }

    async fn run(input: &Input, ctx: &StepContext) -> Result<Output, StepError> {
        let work = input.look().await?;
        announce(ctx, input, &work);
        input.refuse_too_much(&work)?;
        ctx.record(FACT, serde_json::json!({"objects": work.source.len()})).await?;
        let copies = work.open.iter().map(|pair| work.ends.copy(pair)).collect();
        let moved = each(ctx, "copy", copies).await?;
        let mut output = input.output(&work);
        output.copied = moved.iter().filter(|one| one.copied).count() as u64;
        if input.delete {
            let (client, bucket) = (&work.ends.to, &work.bucket);
            let removals = work.extra.iter().map(|key| remove(client, bucket, key)).collect();
            let removed = each(ctx, "remove", removals).await?;
            output.hidden = removed.iter().filter(|hidden| **hidden).count() as u64;
            output.deleted = removed.len() as u64 - output.hidden;
        }
        Ok(output)
    }
}
