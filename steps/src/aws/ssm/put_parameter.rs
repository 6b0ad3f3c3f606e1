//! `ssm.put_parameter`: gives a parameter of Systems Manager another value.

use aws_sdk_ssm::Client;
use aws_sdk_ssm::types::{Parameter, ParameterType};
use engine::context::StepContext;
use engine::step::{Observation, Step};
use model::catalog::InputProblem;
use model::effect::{Effect, Repeat};
use model::footprint::{AwsUse, Footprint, Part};
use model::secret::SecretText;
use model::step_error::StepError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::asking::{part_problem, unless_cancelled};
use super::super::classify::AwsError;
use super::super::place::Place;
use super::{is_sealed, looked, read};

/// The fact that is recorded before the request is sent: no value is in it.
const ASKED: &str = "asked";

/// What is asked of Systems Manager.
const ACTIONS: [&str; 3] = ["GetParameter", "PutParameter", "DeleteParameter"];

/// Gives a parameter of Systems Manager another value.
///
/// ## What it does
/// It reads the parameter, keeps the number of its version, and puts a new version with `value`,
/// or with `secret` as a `SecureString`, in the region that is given. A parameter that is there
/// already is only changed with `overwrite: true`. One that has the value already is left alone.
///
/// The request is sent once. When its answer is lost, the version and the value tell what happened.
///
/// ## When to use it
/// To tell an application where its database is, in the region it moves to. Say
/// `plays: [move_traffic]` when the value does that: the plan is then refused unless the new
/// server was proved writable before.
///
/// `former` names the version that was there. As `restore` of the same kind it puts the value of
/// that version back, or removes a parameter that was not there, unless somebody has put another
/// version since.
///
/// ## What it changes
/// The parameter. Its former versions stay readable, the newest hundred of them. The value of a
/// `SecureString` reaches neither the journal nor the outputs; an undo reads it from the former
/// version.
///
/// ## How it can fail
/// Before anything is changed: when the parameter is there without `overwrite`, is of another
/// type, or is not what `expect` says. When the answer is lost and the parameter has a version
/// with another value, nobody can tell: the step is in doubt.
///
/// ## Example
/// ```yaml
/// - id: endpoint
///   uses: ssm.put_parameter
///   with:
///     name: /app/database/host
///     value: app-replica.c9x.us-west-2.rds.amazonaws.com
///     overwrite: true
///     plays: [move_traffic]
///     region: us-west-2
///   undo:
///     uses: ssm.put_parameter
///     with:
///       name: /app/database/host
///       restore: "{{ steps.endpoint.outputs.former }}"
///       region: us-west-2
/// ```
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The parameter's name.
    name: String,
    /// The value, in the open. Either this, `secret` or `restore`.
    value: Option<String>,
    /// The value, from a secret; it is kept as a `SecureString`.
    secret: Option<SecretText>,
    /// What to put back: the output `former` of such a step.
    restore: Option<Former>,
    /// Whether the value is a list, its items apart by commas.
    #[serde(default)]
    list: bool,
    /// The key in KMS that encrypts a `secret`; without it, the account's own.
    kms_key: Option<String>,
    /// A parameter that is there may be changed.
    #[serde(default)]
    overwrite: bool,
    /// The value, in the open, that is there before; anything else is a surprise.
    expect: Option<String>,
    /// `move_traffic` when the value sends the application to another server.
    #[serde(default)]
    plays: Vec<Part>,
    /// The region that keeps the parameter.
    region: Option<String>,
    /// The profile of AWS whose credentials are used.
    profile: Option<String>,
    /// Where Systems Manager answers, when that is not AWS.
    endpoint_url: Option<String>,
}

/// What was there, for `restore`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Former {
    /// The version that was there; absent when there was none.
    #[serde(default)]
    version: Option<i64>,
    /// The version that took its place.
    by: i64,
}

/// The parameter as it is now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Output {
    /// The version; 0 when the parameter was removed.
    version: i64,
    /// Whether anything had to change.
    changed: bool,
    /// What was there, for `restore`.
    former: Former,
    /// The value that was there, when it was in the open.
    former_value: Option<String>,
}

/// What is recorded before the request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Asked {
    former: Option<i64>,
    former_value: Option<String>,
}

/// The step kind.
pub struct PutParameter;

/// The parameter as it is to be; nothing when it is to go.
struct Wanted {
    kind: ParameterType,
    value: String,
}

fn asked_for(ctx: &StepContext) -> Option<Asked> {
    serde_json::from_value(ctx.fact(ASKED)?).ok()
}

fn version(now: Option<&Parameter>) -> i64 {
    now.map_or(0, Parameter::version)
}

fn open_value(now: Option<&Parameter>) -> Option<String> {
    now.filter(|now| !is_sealed(now))?.value().map(str::to_owned)
}

fn is_met(wanted: Option<&Wanted>, now: Option<&Parameter>) -> bool {
    match (wanted, now) {
        (Some(wanted), Some(now)) => {
            now.value() == Some(&wanted.value) && now.r#type() == Some(&wanted.kind)
        }
        (None, None) => true,
        _ => false,
    }
}

impl Asked {
    fn output(&self, version: i64) -> Output {
        let former = Former { version: self.former, by: version };
        Output { version, changed: true, former, former_value: self.former_value.clone() }
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

    /// How it is to be, in the open or read from the former version.
    async fn wanted(&self, client: &Client) -> Result<Option<Wanted>, StepError> {
        if let Some(secret) = &self.secret {
            let value = secret.expose().to_owned();
            return Ok(Some(Wanted { kind: ParameterType::SecureString, value }));
        }
        if let Some(value) = &self.value {
            let kind = if self.list { ParameterType::StringList } else { ParameterType::String };
            return Ok(Some(Wanted { kind, value: value.clone() }));
        }
        let Some(version) = self.restore.as_ref().and_then(|former| former.version) else {
            return Ok(None);
        };
        let name = format!("{}:{version}", self.name);
        match read(client, &name).await.map_err(looked)? {
            Some(Parameter { value: Some(value), r#type: Some(kind), .. }) => {
                Ok(Some(Wanted { kind, value }))
            }
            _ => Err(StepError::permanent(
                "RB0926",
                format!("there is no version `{name}` any more"),
            )
            .hint("Systems Manager keeps a hundred versions; put the value by hand")),
        }
    }

    /// Refuses to change what is not as it was taken for.
    fn check(&self, wanted: Option<&Wanted>, now: Option<&Parameter>) -> Result<(), StepError> {
        let refused = |code, message: String, hint: &str| {
            Err(StepError::permanent(code, format!("parameter `{}` {message}", self.name))
                .hint(hint))
        };
        if let Some(former) = &self.restore {
            if former.by == version(now) {
                return Ok(());
            }
            let message = format!("has version {}, and {} was put", version(now), former.by);
            return refused("RB0926", message, "see who changed it since, and put it by hand");
        }
        if now.is_some() && !self.overwrite {
            return refused("RB0925", "is there already".to_owned(), "say `overwrite: true`");
        }
        if let (Some(wanted), Some(kind)) = (wanted, now.and_then(Parameter::r#type))
            && wanted.kind != *kind
        {
            let message = format!("is a `{}`, and stays one", kind.as_str());
            return refused("RB0925", message, "give the value as that type, or take another name");
        }
        match &self.expect {
            Some(expect) if open_value(now).as_ref() != Some(expect) => {
                let is = open_value(now)
                    .map_or("is not there in the open".to_owned(), |is| format!("is `{is}`"));
                let message = format!("{is}, and `expect` says `{expect}`");
                refused(
                    "RB0926",
                    message,
                    "see who changed it, then correct the runbook or the value",
                )
            }
            _ => Ok(()),
        }
    }

    /// Sends the change, once; the version that it made.
    async fn change(&self, wanted: Option<Wanted>) -> Result<i64, StepError> {
        let client = Client::new(&self.place().changes().await?);
        let Some(wanted) = wanted else {
            let gone = client.delete_parameter().name(&self.name).send().await;
            gone.map_err(|error| AwsError::of("DeleteParameter", &error).changing())?;
            return Ok(0);
        };
        let key = self.kms_key.clone().filter(|_| wanted.kind == ParameterType::SecureString);
        let put = client.put_parameter().name(&self.name).value(wanted.value).r#type(wanted.kind);
        let overwrite = self.overwrite || self.restore.is_some();
        let put = put.overwrite(overwrite).set_key_id(key).send().await;
        let put = put.map_err(|error| AwsError::of("PutParameter", &error).changing())?;
        Ok(put.version())
    }

    fn unchanged(now: Option<&Parameter>, ctx: &StepContext) -> Output {
        let version = version(now);
        // An earlier attempt may have put it.
        if let Some(asked) = asked_for(ctx).filter(|asked| asked.former.unwrap_or(0) != version) {
            return asked.output(version);
        }
        let former = Former { version: now.map(Parameter::version), by: version };
        Output { version, changed: false, former, former_value: open_value(now) }
    }
}

impl Step for PutParameter {
    const KIND: &'static str = "ssm.put_parameter";
    const SUMMARY: &'static str = "gives a parameter of Systems Manager another value";
    type Input = Input;
    type Output = Output;

    fn validate(input: &Input) -> Result<(), Vec<InputProblem>> {
        let mut problems: Vec<_> = part_problem(&input.plays).into_iter().collect();
        let ways = [input.value.is_some(), input.secret.is_some(), input.restore.is_some()];
        if ways.into_iter().filter(|way| *way).count() != 1 {
            let message = "one of `value`, `secret` and `restore` says what the parameter is to be";
            problems.push(InputProblem::at("value", message));
        }
        if input.secret.is_some() && input.list {
            problems.push(InputProblem::at("list", "a secret is no list"));
        }
        if input.value.as_deref() == Some("") {
            problems.push(InputProblem::at("value", "a parameter is not empty"));
        }
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    fn footprint(input: &Input) -> Footprint {
        let region = input.region.as_deref();
        let asked = AwsUse::control("ssm", region, &ACTIONS);
        let footprint = Footprint::new(Effect::Reversible, Repeat::Observable)
            .writes(format!("parameter `{}` of Systems Manager", input.name))
            .aws(asked);
        let footprint =
            input.plays.iter().fold(footprint, |footprint, part| footprint.plays(*part));
        input.endpoint_url.iter().fold(footprint, Footprint::endpoint)
    }

    fn example() -> Output {
        Output {
            version: 4,
            changed: true,
            former: Former { version: Some(3), by: 4 },
            former_value: Some("app-primary.c9x.us-east-1.rds.amazonaws.com".to_owned()),
        }
    }

    async fn observe(input: &Input, ctx: &StepContext) -> Result<Observation<Output>, StepError> {
        let Some(asked) = asked_for(ctx) else { return Ok(Observation::NotDone) };
        let client = Client::new(&input.place().looks().await?);
        let now = read(&client, &input.name).await.map_err(looked)?;
        let now = now.as_ref();
        if now.map(Parameter::version) == asked.former {
            return Ok(Observation::NotDone);
        }
        let wanted = input.wanted(&client).await?;
        let next = asked.former.unwrap_or(0) + 1;
        let is_next = wanted.is_none() || version(now) == next;
        Ok(if is_next && is_met(wanted.as_ref(), now) {
            Observation::Done(asked.output(version(now)))
        } else {
            Observation::Unknown
        })
    }

    async fn run(input: &Input, ctx: &StepContext) -> Result<Output, StepError> {
        let look = async {
            let client = Client::new(&input.place().looks().await?);
            let wanted = input.wanted(&client).await?;
            Ok((read(&client, &input.name).await.map_err(looked)?, wanted))
        };
        let (now, wanted) = unless_cancelled(ctx, Box::pin(look)).await?;
        if is_met(wanted.as_ref(), now.as_ref()) {
            return Ok(Input::unchanged(now.as_ref(), ctx));
        }
        input.check(wanted.as_ref(), now.as_ref())?;
        let former = now.as_ref().map(Parameter::version);
        let asked = Asked { former, former_value: open_value(now.as_ref()) };
        ctx.record(ASKED, &asked).await?;
        Ok(asked.output(input.change(wanted).await?))
    }
}
