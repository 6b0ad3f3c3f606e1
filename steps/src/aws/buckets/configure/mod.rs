//! `s3.configure`: how a bucket keeps what lies in it.

mod live;
mod rules;
mod settings;

use std::time::Duration;

use engine::context::StepContext;
use engine::step::{Observation, Step};
use model::catalog::InputProblem;
use model::effect::{Effect, Repeat};
use model::footprint::{AwsUse, Footprint, Part};
use model::s3_url::{S3Url, SCHEME};
use model::step_error::StepError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::live::Bucket;
pub use self::settings::Settings;
use super::super::place::Place;
use super::client;

/// The fact that holds the settings from before the first change.
const FACT: &str = "former";
/// How often the bucket is looked at until it tells what it was asked for.
const LOOKS: u32 = 30;
const PAUSE: Duration = Duration::from_secs(2);

/// Sets how a bucket keeps what lies in it: versions, lifecycle, locks, encryption, public access.
///
/// ## What it does
/// It reads the settings that the input speaks of, writes to the log what each is and what it
/// becomes, and keeps the former ones in the journal before the first change. What is as asked
/// already is not touched. Afterwards the bucket is read again until it tells what was asked for.
///
/// ## When to use it
/// To keep the buckets of backups as a runbook says, and to see in a run when they are not: on a
/// schedule, it finds nothing to do. With `restore` it puts back what an earlier step gave as
/// `former`: as an `undo`.
///
/// ## What it changes
/// The settings of one bucket. `lifecycle` replaces all rules of the bucket. A rule that lets
/// objects expire removes them some day, which nobody takes back. `object_lock` concerns objects
/// that are written from now on, and turns locks on for the bucket for good. A bucket that ever kept versions can only suspend
/// them.
///
/// ## How it can fail
/// When the account may not do that, when there is no such bucket, when the bucket has a rule that
/// this step could not put back (RB0699), when the bucket does not tell what it was asked for
/// (RB0698). An answer that was lost is settled by a look at the bucket.
///
/// ## Example
/// ```yaml
/// - id: bucket
///   uses: s3.configure
///   with:
///     bucket: acme-backups
///     region: us-west-2
///     versioning: enabled
///     public_access: {}
///     lifecycle:
///       - id: archive
///         prefix: lms/monthly/
///         transitions: [{days: 30, storage_class: DEEP_ARCHIVE}]
///         abort_uploads_after_days: 3
/// ```
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The bucket's name.
    bucket: String,
    /// Whether objects keep their versions: `enabled` or `suspended`.
    versioning: Option<settings::Versioning>,
    /// The rules by which objects move to other classes and go, all of them; `[]` removes those
    /// that are there.
    lifecycle: Option<Vec<settings::Rule>>,
    /// How long new objects are locked when their writer does not say; `days: 0` for not at all.
    object_lock: Option<settings::DefaultLock>,
    /// By what new objects are encrypted when their writer does not say; `{}` is SSE-S3.
    encryption: Option<settings::Encryption>,
    /// What of public access is blocked; `{}` is all.
    public_access: Option<settings::PublicAccess>,
    /// In place of all others: settings that an earlier `s3.configure` gave as `former`.
    restore: Option<Settings>,
    /// The region of the bucket; else that of `aws`, then of the environment.
    region: Option<String>,
    /// The profile in the configuration of AWS whose credentials are used.
    profile: Option<String>,
    /// Where S3 answers, when that is not AWS.
    endpoint_url: Option<String>,
}

/// What became of the bucket.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Output {
    /// The bucket.
    bucket: String,
    /// What was changed, and how.
    changes: Vec<Change>,
    /// The settings from before, of what the input speaks of: for `restore`.
    former: Settings,
    /// The settings as they are now.
    current: Settings,
}

/// A setting that was changed.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Change {
    /// Its key in the input.
    setting: String,
    /// What it was.
    from: String,
    /// What it is.
    to: String,
}

/// The step kind.
pub struct Configure;

impl Input {
    fn place(&self) -> Place<'_> {
        Place {
            region: self.region.as_deref(),
            profile: self.profile.as_deref(),
            endpoint_url: self.endpoint_url.as_deref(),
        }
    }

    fn own(&self) -> Settings {
        Settings {
            versioning: self.versioning,
            lifecycle: self.lifecycle.clone(),
            object_lock: self.object_lock.clone(),
            encryption: self.encryption.clone(),
            public_access: self.public_access,
        }
    }

    fn asked(&self) -> Settings {
        self.restore.clone().unwrap_or_else(|| self.own()).settled()
    }
}

/// The rules that a mapping of settings cannot express.
fn problems(input: &Input) -> Vec<InputProblem> {
    let mut problems = Vec::new();
    if format!("{SCHEME}{}", input.bucket).parse::<S3Url>().is_err() || input.bucket.contains('/') {
        let problem = InputProblem::at("bucket", format!("`{}` is not a bucket", input.bucket));
        problems.push(problem.help("3 to 63 lower-case letters, digits, `-` and `.`"));
    }
    match &input.restore {
        None if input.own().is_empty() => {
            let problem = InputProblem::at("bucket", "nothing is configured");
            problems.push(problem.help("give at least one setting, such as `versioning: enabled`"));
        }
        Some(_) if !input.own().is_empty() => {
            let problem = InputProblem::at("restore", "`restore` stands beside other settings");
            problems.push(problem.help("give one or the other"));
        }
        _ => {}
    }
    if input.versioning == Some(settings::Versioning::Never) {
        let problem = InputProblem::at("versioning", "no bucket goes back to `never`");
        problems.push(problem.help("write `suspended`"));
    }
    problems
}

fn output(input: &Input, former: Settings, current: Settings) -> Output {
    let before = former.parts();
    let now = current.parts();
    let pairs = now.into_iter().filter_map(|(name, to)| {
        let (_, from) = before.iter().find(|(other, _)| *other == name)?;
        (*from != to).then(|| Change { setting: name.to_owned(), from: from.clone(), to })
    });
    Output { bucket: input.bucket.clone(), changes: pairs.collect(), former, current }
}

fn former(ctx: &StepContext) -> Option<Settings> {
    serde_json::from_value(ctx.fact(FACT)?).ok()
}

/// What the bucket is asked for: a bucket that never kept versions is as good as one that
/// suspended them.
fn wanted(asked: &Settings, now: &Settings) -> Settings {
    let mut wanted = asked.clone();
    let suspended = wanted.versioning == Some(settings::Versioning::Suspended);
    if suspended && now.versioning == Some(settings::Versioning::Never) {
        wanted.versioning = now.versioning;
    }
    wanted
}

/// Tells what will change.
fn announce(ctx: &StepContext, now: &Settings, wanted: &Settings) {
    for ((name, from), (_, to)) in now.parts().into_iter().zip(wanted.parts()) {
        if from == to {
            ctx.log(format!("{name}: is {from} already"));
        } else {
            ctx.log(format!("{name}: {from} -> {to}"));
        }
    }
}

impl Step for Configure {
    const KIND: &'static str = "s3.configure";
    const SUMMARY: &'static str = "sets versions, lifecycle, locks and encryption of a bucket";
    type Input = Input;
    type Output = Output;

    fn validate(input: &Input) -> Result<(), Vec<InputProblem>> {
        let problems = problems(input);
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    fn footprint(input: &Input) -> Footprint {
        let asked = input.asked();
        let effect = if asked.expires() { Effect::Destructive } else { Effect::Reversible };
        let mut footprint = Footprint::new(effect, Repeat::Observable)
            .plays(Part::Verify)
            .aws(AwsUse::control("s3", input.region.as_deref(), &actions(&asked)));
        for (name, to) in asked.parts() {
            footprint = footprint.writes(format!("`{name}` of bucket `{}`: {to}", input.bucket));
        }
        if asked.archives() {
            footprint = footprint
                .writes("objects move to an archive, where no restore within an RTO can read them");
        }
        footprint
    }

    fn example() -> Output {
        let settings =
            |versioning| Settings { versioning: Some(versioning), ..Settings::default() };
        let (from, to) = (settings::Versioning::Never, settings::Versioning::Enabled);
        let change = Change {
            setting: "versioning".to_owned(),
            from: "never".to_owned(),
            to: "enabled".to_owned(),
        };
        Output {
            bucket: "acme-backups".to_owned(),
            changes: vec![change],
            former: settings(from),
            current: settings(to),
        }
    }

    async fn observe(input: &Input, ctx: &StepContext) -> Result<Observation<Output>, StepError> {
        let Some(former) = former(ctx) else { return Ok(Observation::NotDone) };
        let client = client(&input.place().looks().await?);
        let bucket = Bucket { client: &client, name: &input.bucket };
        let asked = input.asked();
        let now = bucket.read(&asked).await?.told();
        Ok(if now == wanted(&asked, &now) {
            Observation::Done(output(input, former, now))
        } else {
            Observation::NotDone
        })
    }

    async fn run(input: &Input, ctx: &StepContext) -> Result<Output, StepError> {
        let place = input.place();
        let (looking, changing) = (client(&place.looks().await?), client(&place.changes().await?));
        let looking = Bucket { client: &looking, name: &input.bucket };
        let asked = input.asked();
        let mut now = looking.read(&asked).await?.told();
        let wanted = wanted(&asked, &now);
        announce(ctx, &now, &wanted);
        let recorded = former(ctx);
        if recorded.is_none() {
            ctx.record(FACT, &now).await?;
        }
        let former = recorded.unwrap_or_else(|| now.clone());
        Bucket { client: &changing, name: &input.bucket }.write(&wanted, &now).await?;
        for look in 0..LOOKS {
            now = looking.read(&asked).await?.told();
            if now == wanted {
                return Ok(output(input, former, now));
            }
            if look + 1 < LOOKS {
                ctx.sleep(PAUSE).await?;
            }
        }
        Err(refused(input, &wanted, &now))
    }
}

fn refused(input: &Input, wanted: &Settings, now: &Settings) -> StepError {
    let pairs = wanted.parts().into_iter().zip(now.parts());
    let differ = pairs.filter(|((_, to), (_, is))| to != is);
    let differ = differ.map(|((name, to), (_, is))| format!("`{name}` is {is}, not {to}"));
    let differ: Vec<String> = differ.collect();
    let message = format!("the bucket `{}` does not tell what it was asked for", input.bucket);
    let mut error = StepError::needs_operator("RB0698", message);
    error.causes = differ;
    error.hint(
        "somebody else may configure it too; look at it, then `runbook resume --retry-failed`",
    )
}

/// The actions of IAM that reading and setting those parts needs.
fn actions(asked: &Settings) -> Vec<&'static str> {
    let mut actions = Vec::new();
    if asked.versioning.is_some() {
        actions.extend(["GetBucketVersioning", "PutBucketVersioning"]);
    }
    if asked.lifecycle.is_some() {
        actions.extend(["GetLifecycleConfiguration", "PutLifecycleConfiguration"]);
    }
    if asked.object_lock.is_some() {
        actions.extend(["GetBucketObjectLockConfiguration", "PutBucketObjectLockConfiguration"]);
    }
    if asked.encryption.is_some() {
        actions.extend(["GetEncryptionConfiguration", "PutEncryptionConfiguration"]);
    }
    if asked.public_access.is_some() {
        actions.extend(["GetBucketPublicAccessBlock", "PutBucketPublicAccessBlock"]);
    }
    actions
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn input(keys: &Value) -> Input {
        let mut with = json!({"bucket": "acme-backups"});
        with.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
        serde_json::from_value(with).unwrap()
    }

    #[test]
    fn what_a_bucket_does_not_tell_is_told() {
        let input = input(&json!({"versioning": "enabled", "encryption": {}}));
        let now = Settings { versioning: Some(settings::Versioning::Suspended), ..input.own() };
        shown::case("RB0698", refused(&input, &input.asked(), &now).told());
    }

    #[test]
    fn a_rule_that_lets_objects_go_destroys_and_an_archive_is_told() {
        let effect = |keys: &Value| Configure::footprint(&input(keys)).effect;
        assert_eq!(effect(&json!({"versioning": "enabled"})), Effect::Reversible);
        let moves = json!([{"id": "a", "transitions": [{"days": 1, "storage_class": "GLACIER"}]}]);
        let footprint = Configure::footprint(&input(&json!({"lifecycle": moves})));
        assert_eq!(footprint.effect, Effect::Reversible);
        assert!(footprint.writes.iter().any(|text| text.contains("archive")));
        let goes = json!([{"id": "a", "expire_after_days": 1}]);
        assert_eq!(effect(&json!({"lifecycle": goes})), Effect::Destructive);
        assert_eq!(effect(&json!({"restore": {"lifecycle": goes}})), Effect::Destructive);
        let off = json!([{"id": "a", "expire_after_days": 1, "enabled": false}]);
        assert_eq!(effect(&json!({"lifecycle": off})), Effect::Reversible);
    }

    #[test]
    fn settings_that_make_no_sense_are_refused() {
        let refused = |keys: &Value| problems(&input(keys)).len();
        assert_eq!(refused(&json!({"versioning": "enabled"})), 0);
        assert_eq!(refused(&json!({})), 1);
        assert_eq!(refused(&json!({"versioning": "never"})), 1);
        assert_eq!(refused(&json!({"versioning": "enabled", "restore": {}})), 1);
        assert_eq!(refused(&json!({"bucket": "Acme", "versioning": "enabled"})), 1);
    }
}
