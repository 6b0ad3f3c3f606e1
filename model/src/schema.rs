//! The JSON Schema of a runbook, for editors: the language, and `with` of every step kind.
//!
//! A step is one object with one `if uses is X then with is Y` for each kind, and no other
//! properties: a choice between one schema a kind would accept misspelt keys of the step.

use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use crate::catalog::Catalog;
use crate::proof::Level;
use crate::runbook::{
    AWS, CONCURRENCY, CONNECTION, CONTACT, CONTINUE_ON, DEFAULTS, DRILL, FOREACH, HANDLER_STEP,
    HANDLERS, Keys, MILESTONE, OBJECTIVES, PARAM, ParamType, REPLACEMENT, REVIEW, RUNBOOK,
    SCHEDULE, SECRET, STEP, STORE, UNDO, UNGRACEFUL,
};
use crate::units::{ByteSize, Span};

/// The sorts of steps by the names of their definitions, with the keys they must have.
const STEPS: [(&str, &Keys, &[&str]); 4] = [
    ("step", &STEP, &["id", "uses"]),
    ("handler_step", &HANDLER_STEP, &["id", "uses"]),
    ("undo", &UNDO, &["uses"]),
    ("replacement", &REPLACEMENT, &["uses"]),
];

const IDENTIFIER: &str = "^[a-z][a-z0-9_]{0,63}$";

/// The schema of a runbook whose steps are of these kinds.
pub fn runbook(catalog: &dyn Catalog) -> Value {
    let kinds = catalog.kinds();
    let mut defs = language();
    for kind in &kinds {
        if let Some(step) = catalog.get(kind) {
            defs.insert((*kind).to_owned(), input(kind, step.input_schema().to_value()));
        }
    }
    defs.insert("with_of_kind".to_owned(), with_of_kind(&kinds, &defs));
    for (name, keys, required) in STEPS {
        defs.insert(name.to_owned(), step(keys, required, &kinds));
    }
    let mut schema = object(&RUNBOOK, &["version", "name", "steps"], header);
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!("runbook");
    schema["$defs"] = Value::Object(defs);
    schema
}

fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/$defs/{name}")})
}

fn text(description: &str) -> Value {
    json!({"type": "string", "description": description})
}

fn named(of: &Value, description: &str) -> Value {
    json!({
        "type": "object", "description": description,
        "propertyNames": {"pattern": IDENTIFIER}, "additionalProperties": of,
    })
}

/// An object with the keys of `keys`, each with the schema that `schema_of` gives.
fn object(keys: &Keys, required: &[&str], schema_of: impl Fn(&str) -> Value) -> Value {
    let properties: Map<_, _> =
        keys.known.iter().map(|key| ((*key).to_owned(), schema_of(key))).collect();
    json!({
        "type": "object", "properties": properties, "required": required,
        "additionalProperties": false,
    })
}

fn header(key: &str) -> Value {
    match key {
        "version" => json!({"const": 1, "description": "version of the language"}),
        "name" => json!({"type": "string", "pattern": "^[a-z0-9][a-z0-9-]{0,63}$"}),
        "description" => text("what the runbook is for"),
        "owner" => text("who owns the runbook"),
        "labels" => json!({"type": "object", "additionalProperties": {"type": "string"}}),
        "objectives" => object(&OBJECTIVES, &[], |_| reference("duration")),
        "params" => named(&reference("param"), "values given when the run starts"),
        "secrets" => named(&reference("secret"), "where secrets are read from"),
        "vars" => named(&json!(true), "values made from params, run and earlier vars"),
        "connections" => named(&reference("connection"), "PostgreSQL targets"),
        "stores" => named(&reference("store"), "backup stores"),
        "aws" => object(&AWS, &[], |key| match key {
            "region" => text("region of every store on S3 that names none"),
            "profile" => text("profile of AWS whose credentials are used"),
            _ => text("where S3 answers, when that is not AWS"),
        }),
        "defaults" => object(&DEFAULTS, &[], |key| match key {
            "retry" => reference("retry"),
            _ => reference("duration"),
        }),
        "max_parallel" => json!({"type": "integer", "minimum": 1, "maximum": 65535}),
        "steps" => json!({"type": "array", "minItems": 1, "items": reference("step")}),
        "handlers" => {
            object(&HANDLERS, &[], |_| json!({"type": "array", "items": reference("handler_step")}))
        }
        "drill" => object(&DRILL, &[], drill),
        "concurrency" => object(&CONCURRENCY, &["group"], |key| match key {
            "group" => text("runs of one group never run beside each other"),
            _ => json!({"enum": ["fail", "queue"]}),
        }),
        "contacts" => json!({
            "type": "array", "description": "whom to call, in this order",
            "items": object(&CONTACT, &["role", "name"], |_| json!({"type": "string"})),
        }),
        "review" => object(&REVIEW, &["by"], |key| match key {
            "by" => json!({"type": "string", "format": "date"}),
            _ => text("who approved the runbook as it is"),
        }),
        "allowed_regions" => json!({
            "type": "array", "minItems": 1, "items": {"type": "string"},
            "description": "where steps may act",
        }),
        "schedule" => json!({
            "type": "array", "description": "when runs start by themselves",
            "items": object(&SCHEDULE, &["cron"], schedule),
        }),
        "rollback" => json!({
            "enum": ["never", "on_failure", "ask"],
            "description": "whether finished steps are undone after a failure",
        }),
        other => unreachable!("the key `{other}` of a runbook has no schema"),
    }
}

fn schedule(key: &str) -> Value {
    match key {
        "cron" => text("minute, hour, day of the month, month, day of the week"),
        "timezone" => json!({"type": "string", "default": "UTC"}),
        "catchup" => reference("duration"),
        "overlap" => json!({"enum": ["skip", "queue"]}),
        _ => json!({"enum": ["live", "drill"]}),
    }
}

fn drill(key: &str) -> Value {
    match key {
        "params" => named(&json!(true), "values of parameters"),
        "replace" => json!({
            "type": "object", "description": "other steps in the place of these",
            "additionalProperties": reference("replacement"),
        }),
        "skip" => json!({"type": "array", "uniqueItems": true, "items": {"type": "string"}}),
        "connections" => named(&reference("connection"), "other PostgreSQL targets"),
        _ => named(&reference("store"), "other backup stores"),
    }
}

fn of_type<T: JsonSchema>() -> Value {
    T::json_schema(&mut SchemaGenerator::default()).to_value()
}

/// The definitions of the language itself.
fn language() -> Map<String, Value> {
    let defs = [
        ("template", json!({"type": "string", "pattern": "\\{\\{|\\{%"})),
        ("duration", of_type::<Span>()),
        ("size", of_type::<ByteSize>()),
        ("retry", retry()),
        ("foreach", object(&FOREACH, &["items", "as"], foreach)),
        ("param", object(&PARAM, &["type"], param)),
        ("secret", secret()),
        ("connection", object(&CONNECTION, &[], connection)),
        ("store", object(&STORE, &["url"], store)),
    ];
    defs.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect()
}

fn retry() -> Value {
    json!({
        "type": "object",
        "description": "automatic retries of transient failures",
        "properties": {
            "limit": {"type": "integer", "minimum": 0, "maximum": 100},
            "interval": reference("duration"),
            "backoff": {"type": "number", "minimum": 1, "maximum": 100},
            "max_interval": reference("duration"),
            "jitter": {"type": "number", "minimum": 0, "maximum": 1},
        },
        "additionalProperties": false,
    })
}

fn foreach(key: &str) -> Value {
    match key {
        "items" => json!({
            "description": "texts, numbers, or mappings with an `id` or a `name`",
            "anyOf": [
                {"type": "array", "minItems": 1, "items": {"type": ["string", "number", "object"]}},
                reference("template"),
            ],
        }),
        "as" => json!({
            "type": "string", "pattern": IDENTIFIER,
            "description": "the name that templates of the step read an item by",
        }),
        _ => json!({
            "type": "integer", "minimum": 1, "maximum": 65535,
            "description": "at most so many items at once",
        }),
    }
}

fn param(key: &str) -> Value {
    match key {
        "type" => of_type::<ParamType>(),
        "required" => json!({"type": "boolean", "description": "must be given"}),
        "enum" => json!({"type": "array", "description": "the values that are allowed"}),
        "pattern" => json!({"type": "string", "format": "regex"}),
        "env" => text("environment variable that gives the value"),
        "description" => text("what it is for"),
        _ => json!(true),
    }
}

fn secret() -> Value {
    let mut schema = object(&SECRET, &[], |key| match key {
        "env" => text("an environment variable"),
        "file" => text("a file"),
        "aws_ssm" => of_aws(
            "a parameter of Systems Manager",
            &[("name", "its name, with `:` and a number for another version than the newest")],
        ),
        "aws_secretsmanager" => of_aws(
            "a secret of Secrets Manager",
            &[
                ("id", "its name or ARN"),
                ("key", "the key of the JSON object that it is"),
                ("stage", "the stage of another version than `AWSCURRENT`"),
            ],
        ),
        _ => json!({"type": "array", "minItems": 1, "items": {"type": "string"}}),
    });
    schema["minProperties"] = json!(1);
    schema["maxProperties"] = json!(1);
    schema
}

/// A secret on AWS: the first of its keys alone, or a mapping that says where it is as well.
fn of_aws(what: &str, own: &[(&str, &str)]) -> Value {
    let place = [
        ("region", "the region that keeps it; without it, that of `aws`"),
        ("profile", "profile of AWS whose credentials are used"),
        ("endpoint_url", "where the service answers, when that is not AWS"),
    ];
    let keys = own.iter().chain(&place);
    let properties: Map<_, _> = keys.map(|(key, what)| ((*key).to_owned(), text(what))).collect();
    json!({
        "description": what,
        "anyOf": [{"type": "string", "minLength": 1}, {
            "type": "object", "properties": properties, "required": [own[0].0],
            "additionalProperties": false,
        }],
    })
}

fn connection(key: &str) -> Value {
    match key {
        "protected" => json!({"type": "boolean", "default": true}),
        "port" => json!({"type": ["string", "integer"]}),
        "region" => text("where the server stands, when its host does not tell"),
        _ => json!({"type": "string"}),
    }
}

fn store(key: &str) -> Value {
    match key {
        "url" => text("file:///path or s3://bucket/folder"),
        "encrypt" => encrypt(),
        "decrypt" => decrypt(),
        "min_proof" => of_type::<Level>(),
        "region" => text("of S3: the region of the bucket"),
        "endpoint_url" => text("of S3: where it answers, when that is not AWS"),
        "profile" => text("of S3: the profile of AWS whose credentials are used"),
        "storage_class" => text("of S3: the class of every object, such as `STANDARD_IA`"),
        "kms_key" => text("of S3: the key in KMS by which the bucket encrypts"),
        "object_lock" => json!({
            "type": "object", "description": "of S3: how long nobody may remove an object",
            "properties": {
                "mode": {"enum": ["governance", "compliance"]},
                "days": {"type": "integer", "minimum": 1, "maximum": 36500},
            },
            "required": ["mode", "days"],
            "additionalProperties": false,
        }),
        "path_style" => {
            json!({"type": "boolean", "description": "of S3: the bucket stands in the path"})
        }
        "compatible" => json!({
            "type": "boolean", "default": false,
            "description": "of S3: not AWS; checksums are sent only where they must be",
        }),
        other => unreachable!("the key `{other}` of a store has no schema"),
    }
}

fn encrypt() -> Value {
    let list = |what: &str| json!({"type": "array", "minItems": 1, "items": {"type": "string"}, "description": what});
    json!({
        "type": "object",
        "description": "for whom every set written here is encrypted",
        "properties": {
            "age": list("recipients of age: `age1...`"),
            "gpg": list("recipients of gpg, by fingerprint"),
            "gpg_home": text("folder of gpg's keyring; without it, the account's own"),
        },
        "oneOf": [{"required": ["age"]}, {"required": ["gpg"]}],
        "additionalProperties": false,
    })
}

fn decrypt() -> Value {
    json!({
        "type": "object",
        "description": "what opens the sets; read by steps that restore or prove",
        "properties": {
            "identity": text("identity of age: `{{ secrets.name }}`"),
            "gpg_home": text("folder of gpg's keyring; without it, the account's own"),
            "passphrase": text("passphrase of gpg's private key: `{{ secrets.name }}`"),
        },
        "additionalProperties": false,
    })
}

/// The schema of a step with these keys: no others, and `with` as its kind has it.
fn step(keys: &Keys, required: &[&str], kinds: &[&str]) -> Value {
    let mut schema = object(keys, required, |key| step_key(key, kinds));
    let members = schema.as_object_mut().expect("the schema of a step is an object");
    members.remove("additionalProperties");
    members.insert("unevaluatedProperties".to_owned(), json!(false));
    members.insert("allOf".to_owned(), json!([reference("with_of_kind")]));
    schema
}

/// One case for each kind: its `with`.
fn with_of_kind(kinds: &[&str], defs: &Map<String, Value>) -> Value {
    let case = |kind: &&str| {
        let needed = defs.get(*kind).and_then(|input| input.get("required"));
        let needed = needed.and_then(Value::as_array).is_some_and(|keys| !keys.is_empty());
        let required: &[&str] = if needed { &["with"] } else { &[] };
        json!({
            "if": {"properties": {"uses": {"const": kind}}, "required": ["uses"]},
            "then": {"properties": {"with": reference(kind)}, "required": required},
        })
    };
    json!({"allOf": kinds.iter().map(case).collect::<Vec<_>>()})
}

fn step_key(key: &str, kinds: &[&str]) -> Value {
    match key {
        "id" => json!({"type": "string", "pattern": IDENTIFIER}),
        "name" => text("for people"),
        "phase" => text("RTO is broken down by phase"),
        "uses" => json!({"enum": kinds, "description": "the step kind"}),
        "with" => json!({"type": "object", "description": "input of the kind"}),
        "needs" => json!({
            "type": "array", "uniqueItems": true, "items": {"type": "string"},
            "description": "steps it runs after; without it, the step above",
        }),
        "if" => json!({"type": ["string", "boolean"], "description": "expression without braces"}),
        "retry" => reference("retry"),
        "timeout" | "stall_timeout" | "deadline" | "slow_after" => reference("duration"),
        "continue_on" => object(&CONTINUE_ON, &["failure"], |_| json!({"type": "boolean"})),
        "undo" => reference("undo"),
        "ungraceful" => json!({
            "description": "what changes with `--ungraceful`",
            "anyOf": [
                {"const": "skip"},
                object(&UNGRACEFUL, &["with"], |_| {
                    json!({"type": "object", "description": "keys of `with` that change"})
                }),
            ],
        }),
        "milestone" => object(&MILESTONE, &["name"], |key| match key {
            "name" => text("what has been reached"),
            _ => reference("duration"),
        }),
        "restores_service" => json!({"type": "boolean", "description": "RTO stops here"}),
        "idempotent" => json!({"type": "boolean", "description": "a second run does no harm"}),
        "observe" => json!({"type": "array", "items": {"type": "string"}}),
        "foreach" => reference("foreach"),
        other => unreachable!("the key `{other}` of a step has no schema"),
    }
}

/// A kind's input as a definition of its own: references stay inside it, and values may be
/// templates.
fn input(kind: &str, mut schema: Value) -> Value {
    if let Some(members) = schema.as_object_mut() {
        members.remove("$schema");
        members.remove("title");
    }
    rebase(&mut schema, &format!("#/$defs/{kind}/$defs/"));
    accept_templates(&mut schema);
    schema
}

fn rebase(schema: &mut Value, base: &str) {
    match schema {
        Value::Object(members) => {
            for (key, value) in members {
                match value.as_str().and_then(|text| text.strip_prefix("#/$defs/")) {
                    Some(name) if key == "$ref" => *value = json!(format!("{base}{name}")),
                    _ => rebase(value, base),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| rebase(item, base)),
        _ => {}
    }
}

/// Lets a template stand for every value inside `schema`.
fn accept_templates(schema: &mut Value) {
    let Some(members) = schema.as_object_mut() else { return };
    for (key, value) in members {
        match key.as_str() {
            "properties" => {
                value.as_object_mut().into_iter().flatten().for_each(|(_, value)| templated(value));
            }
            "items" | "additionalProperties" => templated(value),
            "$defs" => value
                .as_object_mut()
                .into_iter()
                .flatten()
                .for_each(|(_, value)| accept_templates(value)),
            "anyOf" | "oneOf" | "allOf" => {
                value.as_array_mut().into_iter().flatten().for_each(accept_templates);
            }
            _ => {}
        }
    }
}

/// The schema, or a template, unless the schema allows none or takes every text anyway.
fn templated(schema: &mut Value) {
    accept_templates(schema);
    let Some(members) = schema.as_object() else { return };
    let any_text = members.get("type") == Some(&json!("string"))
        && !["pattern", "enum", "const"].iter().any(|rule| members.contains_key(*rule));
    if any_text || members.contains_key("x-no-templates") {
        return;
    }
    let description = members.get("description").cloned();
    *schema = json!({"anyOf": [schema.take(), reference("template")]});
    if let Some(description) = description {
        schema["description"] = description;
    }
}
