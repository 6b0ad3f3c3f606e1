//! `secrets.put`: gives a secret of Secrets Manager another value.

use std::collections::BTreeMap;

use aws_sdk_secretsmanager::Client;
use engine::context::StepContext;
use engine::step::{Observation, Step};
use model::catalog::InputProblem;
use model::effect::{Effect, Repeat};
use model::footprint::{AwsUse, Footprint, Part};
use model::secret::SecretText;
use model::step_error::StepError;
use schemars::JsonSchema;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::super::asking::{part_problem, unless_cancelled};
use super::super::place::Place;
use super::version::{self, Stages};
use crate::store::hex;

/// The fact that is recorded before the request is sent: no value is in it.
const ASKED: &str = "asked";

/// What is asked of Secrets Manager.
const ACTIONS: [&str; 4] =
    ["DescribeSecret", "GetSecretValue", "PutSecretValue", "UpdateSecretVersionStage"];

/// Gives a secret of Secrets Manager another value.
///
/// ## What it does
/// It keeps the id of the version that is current (`AWSCURRENT`) and puts a new one: `secret` as a
/// whole, or the current value, a JSON object, with the keys in `set` changed. The new version's id
/// is made from the run, the step and the attempt, so that Secrets Manager itself takes a request
/// that arrives twice for one. With `restore` it makes a former version current again.
///
/// ## When to use it
/// To tell an application where its database is, or by which password, in the region it moves to.
/// Say `plays: [move_traffic]` when the value does that: the plan is then refused unless the new
/// server was proved writable before.
///
/// ## What it changes
/// Which version of the secret is current. The former one stays as `AWSPREVIOUS`; `former` names
/// it, and `restore` goes back to it, unless another has become current since. No value reaches
/// the journal or the outputs.
///
/// ## How it can fail
/// Before anything is changed: when there is no such secret, `set` finds no JSON object, or the
/// secret is the replica of one in another region, which Secrets Manager changes nowhere but
/// there. When the answer is lost and the version is there without being current, nobody can
/// tell: the step is in doubt.
///
/// ## Example
/// ```yaml
/// - id: credentials
///   uses: secrets.put
///   with:
///     id: app/database
///     set: {host: app-replica.c9x.us-west-2.rds.amazonaws.com}
///     plays: [move_traffic]
///     region: us-west-2
///   undo:
///     uses: secrets.put
///     with:
///       id: app/database
///       restore: "{{ steps.credentials.outputs.former }}"
///       region: us-west-2
/// ```
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The secret's name, or its ARN.
    id: String,
    /// The whole value, from a secret of the runbook. Either this, `set` or `restore`.
    secret: Option<SecretText>,
    /// Keys of the JSON object that the secret is, with their new values in the open.
    set: Option<BTreeMap<String, String>>,
    /// What to put back: the output `former` of such a step.
    restore: Option<Former>,
    /// `move_traffic` when the value sends the application to another server.
    #[serde(default)]
    plays: Vec<Part>,
    /// The region that keeps the secret.
    region: Option<String>,
    /// The profile of AWS whose credentials are used.
    profile: Option<String>,
    /// Where Secrets Manager answers, when that is not AWS.
    endpoint_url: Option<String>,
}

/// What was there, for `restore`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Former {
    /// The id of the version that was current.
    version: String,
    /// The id of the version that took its place.
    by: String,
}

/// The secret as it is now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Output {
    /// The id of the version that is current.
    version: String,
    /// Whether anything had to change.
    changed: bool,
    /// What was there, for `restore`; absent when the secret had no value.
    former: Option<Former>,
}

/// What is recorded before the request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Asked {
    /// The version that is to be current.
    version: String,
    former: Option<String>,
}

/// The step kind.
pub struct Put;

/// The id of the version that an attempt makes.
fn token(ctx: &StepContext) -> String {
    let id = ctx.id();
    hex(Sha256::digest(format!("{}/{}/{}", id.run, id.step, id.attempt)))
}

fn asked_for(ctx: &StepContext) -> Option<Asked> {
    serde_json::from_value(ctx.fact(ASKED)?).ok()
}

impl Asked {
    fn output(&self) -> Output {
        let by = self.version.clone();
        let former = self.former.clone().map(|version| Former { version, by });
        Output { version: self.version.clone(), changed: true, former }
    }
}

impl Input {
    fn place(&self) -> Place<'_> {
        Place {
            region: self.region.as_deref(),
            profile: self.profile.as_deref(),
            endpoint_url: self.endpoint_url.as_deref(),
        }
    }

    /// The value that it is to have; nothing when a former version comes back.
    async fn wanted(&self, client: &Client) -> Result<Option<SecretString>, StepError> {
        if let Some(secret) = &self.secret {
            return Ok(Some(secret.expose().into()));
        }
        let Some(set) = &self.set else { return Ok(None) };
        let text = version::value(client, &self.id).await?.unwrap_or_default();
        let Ok(Value::Object(mut keys)) = serde_json::from_str(text.expose_secret()) else {
            let message = format!("secret `{}` is no JSON object whose keys could be set", self.id);
            return Err(
                StepError::permanent("RB0928", message).hint("give the whole value as `secret`")
            );
        };
        keys.extend(set.iter().map(|(key, value)| (key.clone(), value.clone().into())));
        Ok(Some(Value::Object(keys).to_string().into()))
    }

    /// Refuses to go back from what somebody else has put since.
    fn check(&self, former: &Former, now: Option<&str>) -> Result<(), StepError> {
        if now == Some(&former.by) {
            return Ok(());
        }
        let now = now.unwrap_or("none");
        let message = format!(
            "secret `{}` has version {now} as its current one, and {} was put",
            self.id, former.by
        );
        Err(StepError::permanent("RB0926", message)
            .hint("see who changed it since, and put the value by hand"))
    }

    /// What a look finds: the stages, and whether the value is there already.
    async fn look(&self) -> Result<(Stages, Option<SecretString>, bool), StepError> {
        let client = Client::new(&self.place().looks().await?);
        let stages = version::stages(&client, &self.id).await?;
        let wanted = self.wanted(&client).await?;
        let is_met = match (&self.restore, &wanted) {
            (Some(former), _) => stages.current() == Some(&former.version),
            (None, Some(wanted)) => {
                let now = version::value(&client, &self.id).await?;
                now.is_some_and(|now| now.expose_secret() == wanted.expose_secret())
            }
            (None, None) => false,
        };
        Ok((stages, wanted, is_met))
    }

    /// Sends the change, once.
    async fn change(&self, asked: &Asked, wanted: Option<&SecretString>) -> Result<(), StepError> {
        let client = Client::new(&self.place().changes().await?);
        match (wanted, &self.restore) {
            (None, Some(former)) => {
                version::exchange(&client, &self.id, &former.by, &former.version).await
            }
            (wanted, _) => {
                let value = wanted.map(ExposeSecret::expose_secret).unwrap_or_default();
                version::put(&client, &self.id, &asked.version, value).await
            }
        }
    }
}

impl Step for Put {
    const KIND: &'static str = "secrets.put";
    const SUMMARY: &'static str = "gives a secret of Secrets Manager another value";
    type Input = Input;
    type Output = Output;

    fn validate(input: &Input) -> Result<(), Vec<InputProblem>> {
        let mut problems: Vec<_> = part_problem(&input.plays).into_iter().collect();
        let ways = [input.secret.is_some(), input.set.is_some(), input.restore.is_some()];
        if ways.into_iter().filter(|way| *way).count() != 1 {
            let message = "one of `secret`, `set` and `restore` says what the secret is to be";
            problems.push(InputProblem::at("secret", message));
        }
        if input.set.as_ref().is_some_and(BTreeMap::is_empty) {
            problems.push(InputProblem::at("set", "no key is to be set"));
        }
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    fn footprint(input: &Input) -> Footprint {
        let region = input.region.as_deref();
        let footprint = Footprint::new(Effect::Reversible, Repeat::Keyed)
            .writes(format!("secret `{}` of Secrets Manager", input.id))
            .aws(AwsUse::control("secretsmanager", region, &ACTIONS));
        let footprint =
            input.plays.iter().fold(footprint, |footprint, part| footprint.plays(*part));
        input.endpoint_url.iter().fold(footprint, Footprint::endpoint)
    }

    fn example() -> Output {
        let (version, by) = ("5048e7a3".repeat(4), "9f86d081".repeat(8));
        Output { version: by.clone(), changed: true, former: Some(Former { version, by }) }
    }

    async fn observe(input: &Input, ctx: &StepContext) -> Result<Observation<Output>, StepError> {
        let Some(asked) = asked_for(ctx) else { return Ok(Observation::NotDone) };
        let client = Client::new(&input.place().looks().await?);
        let stages = version::stages(&client, &input.id).await?;
        let is_there = input.restore.is_none() && stages.has(&asked.version);
        Ok(match stages.current() {
            Some(current) if *current == asked.version => Observation::Done(asked.output()),
            current if current == asked.former.as_deref() && !is_there => Observation::NotDone,
            _ => Observation::Unknown,
        })
    }

    async fn run(input: &Input, ctx: &StepContext) -> Result<Output, StepError> {
        let (stages, wanted, is_met) = unless_cancelled(ctx, Box::pin(input.look())).await?;
        let current = stages.current().map(str::to_owned);
        if is_met {
            let earlier = asked_for(ctx).filter(|asked| Some(&asked.version) == current.as_ref());
            let unchanged =
                Output { version: current.unwrap_or_default(), changed: false, former: None };
            return Ok(earlier.map_or(unchanged, |asked| asked.output()));
        }
        let version = match &input.restore {
            Some(former) => {
                input.check(former, current.as_deref())?;
                former.version.clone()
            }
            None => token(ctx),
        };
        stages.check_is_own(&input.id)?;
        let asked = Asked { version, former: current };
        ctx.record(ASKED, &asked).await?;
        input.change(&asked, wanted.as_ref()).await?;
        Ok(asked.output())
    }
}
