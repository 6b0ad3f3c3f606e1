//! Secrets Manager, one for each region.
//! <https://docs.aws.amazon.com/secretsmanager/latest/apireference/>

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::call::{Answer, Answered, Asked, Call};
use super::refusal::Refusal;
use super::ssm::need;
use super::world::World;
use super::{ACCOUNT, door, moment};

const CURRENT: &str = "AWSCURRENT";
const PREVIOUS: &str = "AWSPREVIOUS";

/// A secret with its versions, the oldest first.
pub(super) struct Secret {
    description: Option<String>,
    created: Timestamp,
    changed: Timestamp,
    versions: Vec<Version>,
}

/// `SecretString` or `SecretBinary`, and its value.
type Content = (&'static str, String);

struct Version {
    id: String,
    content: Content,
    stages: BTreeSet<String>,
    created: Timestamp,
}

pub(super) fn answer(world: &World, call: &Call) -> Answered {
    let Asked::Json(asked) = &call.asked else { return Err(Refusal::unknown(&call.action)) };
    let act = match call.action.as_str() {
        "CreateSecret" => create,
        "PutSecretValue" => put,
        "GetSecretValue" => get,
        "DescribeSecret" => describe,
        "ListSecretVersionIds" => versions,
        "UpdateSecretVersionStage" => restage,
        "DeleteSecret" => delete,
        other => return Err(Refusal::unknown(other)),
    };
    act(world, &call.region, asked).map(Answer::Json)
}

fn arn(region: &str, name: &str) -> String {
    format!("arn:aws:secretsmanager:{region}:{ACCOUNT}:secret:{name}-LabLab")
}

/// The name behind a name or an ARN.
fn plain(named: &str) -> &str {
    let name = named.rsplit_once(":secret:").map_or(named, |(_, name)| name);
    name.strip_suffix("-LabLab").unwrap_or(name)
}

fn not_found() -> Refusal {
    Refusal::new("ResourceNotFoundException", "Secrets Manager can't find the specified secret.")
}

fn no_version(what: &str) -> Refusal {
    let text = format!("Secrets Manager can't find the specified secret value for {what}");
    Refusal::new("ResourceNotFoundException", text)
}

/// The value of a request, and the identifier of the version that it makes.
fn given(asked: &Value) -> Result<(Option<Content>, String), Refusal> {
    let text = asked["SecretString"].as_str().map(|it| ("SecretString", it.to_owned()));
    let binary = asked["SecretBinary"].as_str().map(|it| ("SecretBinary", it.to_owned()));
    if text.is_some() && binary.is_some() {
        return Err(Refusal::new(
            "InvalidParameterException",
            "You can't specify both a binary secret value and a string secret value.",
        ));
    }
    let token = asked["ClientRequestToken"].as_str();
    if token.is_some_and(|token| !(32..=64).contains(&token.len())) {
        return Err(Refusal::new(
            "InvalidParameterException",
            "The ClientRequestToken must be between 32 and 64 characters.",
        ));
    }
    Ok((text.or(binary), token.map_or_else(door::request_id, str::to_owned)))
}

impl Secret {
    /// The version with a stage.
    fn staged(&self, stage: &str) -> Option<&Version> {
        self.versions.iter().find(|it| it.stages.contains(stage))
    }

    fn version(&mut self, id: &str) -> Option<&mut Version> {
        self.versions.iter_mut().find(|it| it.id == id)
    }

    /// Moves a stage to a version; the one that was current becomes the previous one.
    fn stage(&mut self, stage: &str, to: &str) {
        let from = self.staged(stage).map(|it| it.id.clone());
        if from.as_deref() == Some(to) {
            return;
        }
        for version in &mut self.versions {
            version.stages.remove(stage);
            if version.id == to {
                version.stages.insert(stage.to_owned());
            }
        }
        if let (CURRENT, Some(from)) = (stage, from) {
            self.stage(PREVIOUS, &from);
            // What is current is not the previous one.
            if let Some(version) = self.version(to) {
                version.stages.remove(PREVIOUS);
            }
        }
    }

    fn stages(&self) -> Value {
        let staged = self.versions.iter().filter(|it| !it.stages.is_empty());
        let all: Map<_, _> = staged.map(|it| (it.id.clone(), json!(it.stages))).collect();
        all.into()
    }
}

fn create(world: &World, region: &str, asked: &Value) -> Result<Value, Refusal> {
    let name = need(asked, "Name")?;
    let (content, id) = given(asked)?;
    let state = &mut *world.lock();
    let place = (region.to_owned(), name.to_owned());
    if state.secrets.contains_key(&place) {
        return Err(Refusal::new(
            "ResourceExistsException",
            format!("The operation failed because the secret {name} already exists."),
        ));
    }
    let now = moment::now();
    let first = content.map(|content| Version {
        id: id.clone(),
        content,
        stages: BTreeSet::from([CURRENT.to_owned()]),
        created: now,
    });
    let mut told = json!({"ARN": arn(region, name), "Name": name});
    if first.is_some() {
        told["VersionId"] = id.clone().into();
    }
    let secret = Secret {
        description: asked["Description"].as_str().map(str::to_owned),
        created: now,
        changed: now,
        versions: first.into_iter().collect(),
    };
    state.secrets.insert(place, secret);
    state.effects.record(("secretsmanager", region), "CreateSecret", name, json!({"version": id}));
    Ok(told)
}

fn put(world: &World, region: &str, asked: &Value) -> Result<Value, Refusal> {
    let name = plain(need(asked, "SecretId")?);
    let (content, id) = given(asked)?;
    let content = content.ok_or_else(|| {
        Refusal::new("InvalidParameterException", "You must provide SecretString or SecretBinary.")
    })?;
    let state = &mut *world.lock();
    let place = (region.to_owned(), name.to_owned());
    let secret = state.secrets.get_mut(&place).ok_or_else(not_found)?;
    let stages = asked["VersionStages"]
        .as_array()
        .map(|all| all.iter().filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>());
    let stages = stages.unwrap_or_else(|| vec![CURRENT.to_owned()]);
    let told = |secret: &mut Secret| {
        let of_it = secret.version(&id).map(|it| it.stages.clone()).unwrap_or_default();
        json!({"ARN": arn(region, name), "Name": name, "VersionId": id, "VersionStages": of_it})
    };
    if let Some(former) = secret.version(&id) {
        if former.content != content {
            return Err(Refusal::new(
                "ResourceExistsException",
                format!(
                    "The operation failed because the version {id} already exists with another value."
                ),
            ));
        }
        return Ok(told(secret));
    }
    let now = moment::now();
    let version = Version { id: id.clone(), content, stages: BTreeSet::new(), created: now };
    secret.versions.push(version);
    for stage in &stages {
        secret.stage(stage, &id);
    }
    secret.changed = now;
    let answer = told(secret);
    let detail = json!({"version": id, "stages": stages});
    state.effects.record(("secretsmanager", region), "PutSecretValue", name, detail);
    Ok(answer)
}

fn get(world: &World, region: &str, asked: &Value) -> Result<Value, Refusal> {
    let name = plain(need(asked, "SecretId")?);
    let of = world.lock();
    let place = (region.to_owned(), name.to_owned());
    let secret = of.secrets.get(&place).ok_or_else(not_found)?;
    let (id, stage) = (asked["VersionId"].as_str(), asked["VersionStage"].as_str());
    let wanted = if id.is_none() { stage.or(Some(CURRENT)) } else { stage };
    let version = secret.versions.iter().find(|it| {
        id.is_none_or(|id| it.id == id) && wanted.is_none_or(|stage| it.stages.contains(stage))
    });
    let version = version.ok_or_else(|| match id {
        Some(id) => no_version(&format!("VersionId: {id}")),
        None => no_version(&format!("staging label: {}", wanted.unwrap_or(CURRENT))),
    })?;
    let mut told = json!({
        "ARN": arn(region, name),
        "Name": name,
        "VersionId": version.id,
        "VersionStages": version.stages,
        "CreatedDate": moment::seconds(version.created),
    });
    told[version.content.0] = version.content.1.clone().into();
    Ok(told)
}

fn describe(world: &World, region: &str, asked: &Value) -> Result<Value, Refusal> {
    let name = plain(need(asked, "SecretId")?);
    let state = world.lock();
    let place = (region.to_owned(), name.to_owned());
    let secret = state.secrets.get(&place).ok_or_else(not_found)?;
    let mut told = json!({
        "ARN": arn(region, name),
        "Name": name,
        "CreatedDate": moment::seconds(secret.created),
        "LastChangedDate": moment::seconds(secret.changed),
        "VersionIdsToStages": secret.stages(),
    });
    if let Some(description) = &secret.description {
        told["Description"] = description.clone().into();
    }
    Ok(told)
}

fn versions(world: &World, region: &str, asked: &Value) -> Result<Value, Refusal> {
    let name = plain(need(asked, "SecretId")?);
    let all = asked["IncludeDeprecated"] == true;
    let state = world.lock();
    let place = (region.to_owned(), name.to_owned());
    let secret = state.secrets.get(&place).ok_or_else(not_found)?;
    let shown = secret.versions.iter().filter(|it| all || !it.stages.is_empty());
    let told: Vec<_> = shown
        .map(|it| {
            json!({"VersionId": it.id, "VersionStages": it.stages,
                   "CreatedDate": moment::seconds(it.created)})
        })
        .collect();
    Ok(json!({"ARN": arn(region, name), "Name": name, "Versions": told}))
}

fn restage(world: &World, region: &str, asked: &Value) -> Result<Value, Refusal> {
    let name = plain(need(asked, "SecretId")?);
    let stage = need(asked, "VersionStage")?;
    let (from, to) = (asked["RemoveFromVersionId"].as_str(), asked["MoveToVersionId"].as_str());
    let of = &mut *world.lock();
    let place = (region.to_owned(), name.to_owned());
    let secret = of.secrets.get_mut(&place).ok_or_else(not_found)?;
    for id in [from, to].into_iter().flatten() {
        secret.version(id).ok_or_else(|| no_version(&format!("VersionId: {id}")))?;
    }
    let holder = secret.staged(stage).map(|it| it.id.clone());
    if holder.is_some() && holder.as_deref() != from && holder.as_deref() != to {
        return Err(Refusal::new(
            "InvalidParameterException",
            format!(
                "The parameter RemoveFromVersionId can't be empty. Staging label {stage} is currently attached to version {}, so you must explicitly reference that version in RemoveFromVersionId.",
                holder.unwrap_or_default()
            ),
        ));
    }
    match (from, to) {
        (_, Some(to)) => secret.stage(stage, to),
        (Some(from), None) => {
            secret.version(from).map(|it| it.stages.remove(stage));
        }
        (None, None) => {}
    }
    secret.changed = moment::now();
    let detail = json!({"stage": stage, "from": from, "to": to});
    of.effects.record(("secretsmanager", region), "UpdateSecretVersionStage", name, detail);
    Ok(json!({"ARN": arn(region, name), "Name": name}))
}

fn delete(world: &World, region: &str, asked: &Value) -> Result<Value, Refusal> {
    let name = plain(need(asked, "SecretId")?);
    let state = &mut *world.lock();
    let place = (region.to_owned(), name.to_owned());
    state.secrets.remove(&place).ok_or_else(not_found)?;
    state.effects.record(("secretsmanager", region), "DeleteSecret", name, json!({}));
    let now = moment::seconds(moment::now());
    Ok(json!({"ARN": arn(region, name), "Name": name, "DeletionDate": now}))
}
