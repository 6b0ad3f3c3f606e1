//! `s3.copy`: an object, or all under a prefix, from bucket to bucket.

use std::collections::BTreeMap;

use engine::context::StepContext;
use engine::step::{Observation, Step};
use model::catalog::InputProblem;
use model::effect::{Effect, Repeat};
use model::footprint::{AwsUse, Footprint};
use model::step_error::StepError;
use model::units::ByteSize;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::place::Place;
use super::location::{self, Location};
use super::transfer::{Ends, Keeping, Moved, Pair};
use super::{both, each, is_archive, list};

/// The fact that an attempt has begun.
const FACT: &str = "copying";
/// S3 copies no more bytes by one request.
const LARGEST: u64 = 5 << 30;
/// The smallest part that S3 takes.
const SMALLEST: u64 = 5 << 20;

/// Copies an object, or all under a prefix, from bucket to bucket, across regions too.
///
/// ## What it does
/// S3 itself moves the bytes: nothing passes through this machine. An object of more than
/// `part_size` is copied in parts, several at once. Metadata, headers, tags and storage class are
/// those of the source unless the input says otherwise. Each copy carries the mark of what it is a
/// copy of; S3 computes its SHA-256, and where the source has one too, both are compared, else the
/// MD5 where it is one. An object whose copy is there already is not copied again, so a step that
/// was cut off is taken up where it stopped.
///
/// ## When to use it
/// For objects that are no sets: exports, dumps of other tools, an archive of the year. Sets are
/// copied by `store.copy`, which compares them with their manifest. To keep one prefix like
/// another, use `s3.sync`.
///
/// ## What it changes
/// Objects are added under `to`. Nothing is overwritten (`If-None-Match: *`) unless `overwrite`
/// says so; in a bucket with versions what was overwritten is still there. Copies in `GLACIER` or
/// `DEEP_ARCHIVE` are an archive: no restore within an RTO can read them.
///
/// ## How it can fail
/// When there is no such object or nothing under the prefix, when something else has the place of
/// a copy (RB0696), when a copy turns out to be none (RB0697), when the account may not read the
/// one or write the other.
///
/// ## Example
/// ```yaml
/// - id: year
///   uses: s3.copy
///   with:
///     from: s3://acme-backups/exports/2026/
///     to: s3://acme-archive/exports/2026/
///     from_region: us-west-2
///     region: eu-west-1
///     storage_class: DEEP_ARCHIVE
/// ```
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// What is copied: `s3://bucket/key`, or with a slash at its end all under a prefix.
    from: String,
    /// Where it goes, of the same form.
    to: String,
    /// The storage class of the copies; without it, that of the source.
    storage_class: Option<String>,
    /// The key in KMS by which the copies are encrypted; without it, what the bucket says.
    kms_key: Option<String>,
    /// The tags of the copies; without it, those of the source.
    tags: Option<BTreeMap<String, String>>,
    /// The metadata of the copies; without it, those of the source.
    metadata: Option<BTreeMap<String, String>>,
    /// What is at the place of a copy and differs is replaced.
    #[serde(default)]
    overwrite: bool,
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

pub(super) fn part_size() -> ByteSize {
    ByteSize::from(1 << 30)
}

/// What is wrong with the size of parts.
pub(super) fn bad_part_size(size: ByteSize) -> Option<InputProblem> {
    (!(SMALLEST..=LARGEST).contains(&size.bytes()))
        .then(|| InputProblem::at("part_size", "S3 takes parts from 5 MiB to 5 GiB"))
}

/// What was copied.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Output {
    /// Where it came from.
    from: String,
    /// Where it is.
    to: String,
    /// How many objects there are.
    objects: u64,
    /// Their size in bytes.
    bytes: u64,
    /// How many of them this attempt copied.
    copied: u64,
}

/// The step kind.
pub struct Copy;

/// What is copied, and where it goes.
struct Job {
    ends: Ends,
    pairs: Vec<Pair>,
}

impl Input {
    fn place(&self) -> Place<'_> {
        Place {
            region: self.region.as_deref(),
            profile: self.profile.as_deref(),
            endpoint_url: self.endpoint_url.as_deref(),
        }
    }

    fn keeping(&self) -> Keeping {
        Keeping {
            storage_class: self.storage_class.clone(),
            kms_key: self.kms_key.clone(),
            tags: self.tags.clone(),
            metadata: self.metadata.clone(),
            overwrite: self.overwrite,
            part_size: self.part_size.bytes(),
        }
    }

    async fn job(&self) -> Result<Job, StepError> {
        let (from, to) = locations(&self.from, &self.to)?;
        let (source, target) = both(self.place(), self.from_region.as_deref()).await?;
        let keys = if from.is_prefix() {
            let found = list::under(&source, &from).await?;
            found.into_iter().map(|item| item.key).collect()
        } else {
            vec![from.key.clone()]
        };
        if keys.is_empty() {
            return Err(StepError::permanent("RB0665", format!("nothing lies under `{from}`")));
        }
        let pairs = keys.into_iter().map(|key| pair(&from, &to, key)).collect();
        Ok(Job { ends: Ends { from: source, to: target, keeping: self.keeping() }, pairs })
    }

    fn output(&self, moved: &[Moved]) -> Output {
        Output {
            from: self.from.clone(),
            to: self.to.clone(),
            objects: moved.len() as u64,
            bytes: moved.iter().map(|one| one.bytes).sum(),
            copied: moved.iter().filter(|one| one.copied).count() as u64,
        }
    }
}

/// Both places; they were checked before.
pub(super) fn locations(from: &str, to: &str) -> Result<(Location, Location), StepError> {
    Location::parse(from).zip(Location::parse(to)).ok_or_else(|| {
        StepError::permanent("RB0665", format!("`{from}` or `{to}` is no place in a bucket"))
    })
}

/// An object of a location and where its copy goes.
pub(super) fn pair(from: &Location, to: &Location, key: String) -> Pair {
    Pair {
        from_bucket: from.bucket.clone(),
        to_bucket: to.bucket.clone(),
        to_key: to.beside(from, &key),
        from_key: key,
    }
}

/// What both kinds that copy say of themselves.
pub(super) fn footprint(
    footprint: Footprint,
    (from, to): (&str, &str),
    (from_region, region): (Option<&str>, Option<&str>),
    storage_class: Option<&str>,
) -> Footprint {
    let source = from_region.filter(|region| !region.is_empty()).or(region);
    let read = ["ListBucket", "GetObject", "GetObjectTagging"];
    let write = ["PutObject", "PutObjectTagging", "GetObject", "AbortMultipartUpload"];
    let footprint = footprint
        .reads(format!("objects at `{from}`"))
        .writes(format!("objects at `{to}`"))
        .aws(AwsUse::data("s3", source, &read))
        .aws(AwsUse::data("s3", region, &write));
    match storage_class {
        Some(class) if is_archive(class) => footprint.writes(format!(
            "copies in `{class}`: an archive, which no restore within an RTO can read"
        )),
        _ => footprint,
    }
}

impl Step for Copy {
    const KIND: &'static str = "s3.copy";
    const SUMMARY: &'static str = "copies objects from bucket to bucket, across regions too";
    type Input = Input;
    type Output = Output;

    fn validate(input: &Input) -> Result<(), Vec<InputProblem>> {
        let mut problems = location::problems(&input.from, &input.to, false);
        problems.extend(bad_part_size(input.part_size));
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    fn footprint(input: &Input) -> Footprint {
        let effect = if input.overwrite { Effect::Destructive } else { Effect::Reversible };
        footprint(
            Footprint::new(effect, Repeat::Idempotent),
            (&input.from, &input.to),
            (input.from_region.as_deref(), input.region.as_deref()),
            input.storage_class.as_deref(),
        )
    }

    fn example() -> Output {
        Output {
            from: "s3://acme-backups/exports/2026/".to_owned(),
            to: "s3://acme-archive/exports/2026/".to_owned(),
            objects: 12,
            bytes: 1 << 30,
            copied: 12,
        }
    }

    async fn observe(input: &Input, ctx: &StepContext) -> Result<Observation<Output>, StepError> {
        if ctx.fact(FACT).is_none() {
            return Ok(Observation::NotDone);
        }
        let Job { ends, pairs } = input.job().await?;
        let looks = pairs.iter().map(|pair| ends.look(pair)).collect();
        let seen = each(ctx, "compare", looks).await?;
        let all: Option<Vec<Moved>> = seen.into_iter().collect();
        Ok(all.map_or(Observation::NotDone, |all| Observation::Done(input.output(&all))))
    }

    async fn run(input: &Input, ctx: &StepContext) -> Result<Output, StepError> {
        let Job { ends, pairs } = input.job().await?;
        ctx.log(format!("{} objects, {} -> {}", pairs.len(), input.from, input.to));
        ctx.record(FACT, serde_json::json!({"objects": pairs.len()})).await?;
        let copies = pairs.iter().map(|pair| ends.copy(pair)).collect();
        let moved = each(ctx, "copy", copies).await?;
        Ok(input.output(&moved))
    }
}
