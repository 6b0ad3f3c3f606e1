//! The parameter store of SSM, one for each region.
//! <https://docs.aws.amazon.com/systems-manager/latest/APIReference/>

use jiff::Timestamp;
use serde_json::{Value, json};

use super::call::{Answer, Answered, Asked, Call};
use super::refusal::Refusal;
use super::world::World;
use super::{ACCOUNT, door, moment};

/// A parameter with all its versions, the oldest first.
pub(super) struct Parameter {
    versions: Vec<Version>,
}

#[derive(Clone)]
struct Version {
    number: u64,
    kind: String,
    value: String,
    key: Option<String>,
    description: Option<String>,
    modified: Timestamp,
}

pub(super) fn answer(world: &World, call: &Call) -> Answered {
    let Asked::Json(asked) = &call.asked else { return Err(Refusal::unknown(&call.action)) };
    let act = match call.action.as_str() {
        "PutParameter" => put,
        "GetParameter" => get,
        "GetParameters" => get_several,
        "GetParametersByPath" => by_path,
        "GetParameterHistory" => history,
        "DeleteParameter" => delete,
        other => return Err(Refusal::unknown(other)),
    };
    act(world, &call.region, asked).map(Answer::Json)
}

/// A text that has to be there.
pub(super) fn need<'a>(asked: &'a Value, name: &str) -> Result<&'a str, Refusal> {
    asked[name].as_str().filter(|text| !text.is_empty()).ok_or_else(|| {
        Refusal::new("ValidationException", format!("the parameter {name} is missing"))
    })
}

fn not_found(name: &str) -> Refusal {
    Refusal::new("ParameterNotFound", format!("Parameter {name} not found."))
}

fn put(world: &World, region: &str, asked: &Value) -> Result<Value, Refusal> {
    let (name, value) = (need(asked, "Name")?, need(asked, "Value")?);
    let state = &mut *world.lock();
    let place = (region.to_owned(), name.to_owned());
    let former = state.parameters.get(&place).and_then(|it| it.versions.last());
    if former.is_some() && asked["Overwrite"] != true {
        return Err(Refusal::new(
            "ParameterAlreadyExists",
            "The parameter already exists. To overwrite this value, set the overwrite option in \
             the request to true.",
        ));
    }
    let kind = asked["Type"].as_str().or(former.map(|it| it.kind.as_str()));
    let kind = kind.ok_or_else(|| {
        Refusal::new("ValidationException", "A parameter type is required when you create one.")
    })?;
    if !["String", "StringList", "SecureString"].contains(&kind) {
        return Err(Refusal::new("UnsupportedParameterType", "The parameter type is unknown."));
    }
    let version = Version {
        number: former.map_or(1, |it| it.number + 1),
        kind: kind.to_owned(),
        value: value.to_owned(),
        key: asked["KeyId"].as_str().map(str::to_owned),
        description: asked["Description"].as_str().map(str::to_owned),
        modified: moment::now(),
    };
    let detail = json!({"version": version.number, "type": kind});
    let number = version.number;
    state.effects.record(("ssm", region), "PutParameter", name, detail);
    let parameter = state.parameters.entry(place).or_insert(Parameter { versions: Vec::new() });
    parameter.versions.push(version);
    Ok(json!({"Version": number, "Tier": "Standard"}))
}

/// The version that `name` or `name:3` stands for.
fn find(world: &World, region: &str, named: &str) -> Result<(String, Version), Refusal> {
    let state = world.lock();
    // An ARN has colons of its own.
    let plain = named.rsplit_once(":parameter").map_or(named, |(_, rest)| rest);
    let (name, wanted) = match plain.rsplit_once(':') {
        Some((name, number)) => (name, Some(number)),
        None => (plain, None),
    };
    let place = (region.to_owned(), name.to_owned());
    let parameter = state.parameters.get(&place).ok_or_else(|| not_found(name))?;
    let version = match wanted {
        None => parameter.versions.last(),
        Some(number) => parameter.versions.iter().find(|it| it.number.to_string() == number),
    };
    let version = version.cloned().ok_or_else(|| {
        Refusal::new(
            "ParameterVersionNotFound",
            format!("Systems Manager could not find version {} of {name}.", wanted.unwrap_or("?")),
        )
    })?;
    Ok((name.to_owned(), version))
}

fn told(region: &str, name: &str, version: &Version, decrypted: bool) -> Value {
    let hidden = version.kind == "SecureString" && !decrypted;
    let value = if hidden { sealed(&version.value) } else { version.value.clone() };
    let slash = if name.starts_with('/') { "" } else { "/" };
    json!({
        "Name": name,
        "Type": version.kind,
        "Value": value,
        "Version": version.number,
        "LastModifiedDate": moment::seconds(version.modified),
        "ARN": format!("arn:aws:ssm:{region}:{ACCOUNT}:parameter{slash}{name}"),
        "DataType": "text",
    })
}

/// What stands for a value that is not decrypted: it tells nothing of it but its length.
fn sealed(value: &str) -> String {
    format!("AQICAHh{}", "A".repeat(value.len() + 32))
}

fn get(world: &World, region: &str, asked: &Value) -> Result<Value, Refusal> {
    let (name, version) = find(world, region, need(asked, "Name")?)?;
    let told = told(region, &name, &version, asked["WithDecryption"] == true);
    Ok(json!({"Parameter": told}))
}

fn get_several(world: &World, region: &str, asked: &Value) -> Result<Value, Refusal> {
    let names = asked["Names"].as_array();
    let names = names.ok_or_else(|| Refusal::new("ValidationException", "Names are missing"))?;
    let (mut found, mut invalid) = (Vec::new(), Vec::new());
    for named in names.iter().filter_map(Value::as_str) {
        match find(world, region, named) {
            Ok((name, it)) => found.push(told(region, &name, &it, asked["WithDecryption"] == true)),
            Err(_) => invalid.push(named),
        }
    }
    Ok(json!({"Parameters": found, "InvalidParameters": invalid}))
}

fn by_path(world: &World, region: &str, asked: &Value) -> Result<Value, Refusal> {
    let path = need(asked, "Path")?.trim_end_matches('/').to_owned() + "/";
    let deep = asked["Recursive"] == true;
    let state = world.lock();
    let found = state.parameters.iter().filter(|((at, name), _)| {
        let below = name.strip_prefix(&path);
        at == region && below.is_some_and(|rest| deep || !rest.contains('/'))
    });
    let told: Vec<_> = found
        .filter_map(|((_, name), it)| {
            Some(told(region, name, it.versions.last()?, asked["WithDecryption"] == true))
        })
        .collect();
    Ok(json!({"Parameters": told}))
}

fn history(world: &World, region: &str, asked: &Value) -> Result<Value, Refusal> {
    let name = need(asked, "Name")?;
    let state = world.lock();
    let place = (region.to_owned(), name.to_owned());
    let parameter = state.parameters.get(&place).ok_or_else(|| not_found(name))?;
    let all = parameter.versions.iter().map(|it| {
        let mut told = told(region, name, it, asked["WithDecryption"] == true);
        told["LastModifiedUser"] = format!("arn:aws:iam::{ACCOUNT}:user/lab").into();
        told["Description"] = it.description.clone().into();
        told["KeyId"] = it.key.clone().into();
        told["Labels"] = json!([]);
        told
    });
    Ok(json!({"Parameters": all.collect::<Vec<_>>()}))
}

fn delete(world: &World, region: &str, asked: &Value) -> Result<Value, Refusal> {
    let name = need(asked, "Name")?;
    let state = &mut *world.lock();
    let place = (region.to_owned(), name.to_owned());
    state.parameters.remove(&place).ok_or_else(|| not_found(name))?;
    let detail = json!({"request": door::request_id()});
    state.effects.record(("ssm", region), "DeleteParameter", name, detail);
    Ok(json!({}))
}
