//! What every registered step kind must keep to. Runs over `STEPS`, so a new kind is covered as
//! soon as it is registered.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::sync::Arc;

use engine::memory_host::MemoryHost;
use engine::registry::DynStep;
use engine::settings::{ConnectionSettings, S3Settings, StoreSettings};
use model::catalog::InputRefusal;
use model::effect::{Effect, Repeat};
use model::footprint::Footprint;
use model::node::{Node, NodeValue};
use model::proof::Level;
use model::secret::SECRET_FORMAT;
use model::step_error::{ErrorClass, StepError};
use serde_json::{Value, json};
use steps::STEPS;
use tokio_util::sync::CancellationToken;

/// The names of the product's step kinds; what has no name here is a misspelling.
const CATALOGUE: &str = "
    pg.identify pg.dump pg.restore pg.create_database pg.drop_database pg.query pg.assert
    pg.verify_backup pg.manifest pg.restore_table pg.swap_back pg.extract_rows pg.restore_rows
    pg.block_writes pg.unblock_writes pg.terminate_connections pg.replication_lag pg.promote
    pg.base_backup pg.archive_check pg.pitr pg.wait_ready pg.amcheck pg.create_standby
    pg.rewind_rejoin pg.mask store.put store.get store.copy store.list store.prune store.check
    file.checksum file.encrypt file.decrypt s3.copy s3.sync s3.configure rds.describe
    rds.promote_replica rds.create_replica rds.snapshot rds.restore_snapshot rds.restore_to_time
    rds.wait rds.delete_instance rds.lift_fence route53.update route53.wait ssm.put_parameter secrets.put supabase.list_backups
    supabase.restore_pitr http.request http.check dns.check command.run docker.exec git.commit
    slack.notify pagerduty.event webhook.post human.approve human.task flow.wait flow.pass
    runbook.include fence";

const HEADINGS: [&str; 5] =
    ["What it does", "When to use it", "What it changes", "How it can fail", "Example"];

/// Kinds whose effect nothing can tell afterwards: each is a decision, none an accident.
const OPAQUE: [&str; 5] =
    ["command.run", "docker.exec", "http.request", "slack.notify", "webhook.post"];

/// Kinds whose outputs are values that the plan's author chose.
const NO_SIDE: [&str; 1] = ["flow.pass"];

/// Kinds that other steps take the place of before the run, so that they have no outputs.
const STANDS_FOR_OTHERS: [&str; 1] = ["runbook.include"];

/// Fields that hold a secret.
const SECRETS: [(&str, &str); 10] = [
    ("supabase.list_backups", "token"),
    ("supabase.restore_pitr", "token"),
    ("ssm.put_parameter", "secret"),
    ("secrets.put", "secret"),
    ("slack.notify", "webhook"),
    ("webhook.post", "url"),
    ("pagerduty.event", "routing_key"),
    ("file.encrypt", "passphrase"),
    ("file.decrypt", "identity"),
    ("file.decrypt", "passphrase"),
];

fn each(mut check: impl FnMut(&'static str, &'static dyn DynStep)) {
    assert!(!STEPS.is_empty());
    for step in STEPS {
        check(step.kind(), *step);
    }
}

/// The parts of a manual by heading, in order, and what stands in front of them.
fn parts(manual: &str) -> (String, Vec<(String, String)>) {
    let mut sections = manual.split("\n## ");
    let intro = sections.next().unwrap_or_default().to_owned();
    let part = |section: &str| {
        let (heading, text) = section.split_once('\n').unwrap_or((section, ""));
        (heading.trim().to_owned(), text.trim().to_owned())
    };
    (intro, sections.map(part).collect())
}

/// The `with` of the manual's example, which is one step as a runbook has it.
fn example(step: &dyn DynStep) -> Node {
    let kind = step.kind();
    let (_, parts) = parts(&step.manual());
    let text = &parts.last().unwrap().1;
    let yaml = text.strip_prefix("```yaml\n").and_then(|text| text.strip_suffix("```"));
    let yaml = yaml.unwrap_or_else(|| panic!("{kind}: the example is not one block of YAML"));
    let document = model::document::parse(yaml)
        .unwrap_or_else(|problems| panic!("{kind}: the example is not YAML: {problems:?}"));
    let NodeValue::List(steps) = document.value else { panic!("{kind}: not a list of steps") };
    let [Node { value: NodeValue::Map(keys), .. }] = &steps[..] else {
        panic!("{kind}: the example is not one step")
    };
    assert_eq!(keys["uses"].node.text(), Some(kind));
    assert!(keys.contains_key("id"), "{kind}: the example has no id");
    keys["with"].node.clone()
}

fn footprint(step: &dyn DynStep) -> Footprint {
    let kind = step.kind();
    step.check(&example(step)).unwrap_or_else(|refusal| panic!("{kind}: {refusal:?}"))
}

/// Every schema of an object inside a schema, with the way to it.
fn objects(schema: &Value, at: &str, found: &mut Vec<(String, Value)>) {
    match schema {
        Value::Object(keys) => {
            if keys.contains_key("properties") {
                found.push((at.to_owned(), schema.clone()));
            }
            for (key, value) in keys {
                objects(value, &format!("{at}/{key}"), found);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                objects(item, &format!("{at}/{index}"), found);
            }
        }
        _ => {}
    }
}

fn objects_of(schema: &schemars::Schema) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    objects(schema.as_value(), "", &mut found);
    found
}

fn undescribed(schema: &schemars::Schema) -> Vec<String> {
    let mut missing = Vec::new();
    for (at, object) in objects_of(schema) {
        for (name, property) in object["properties"].as_object().unwrap() {
            let text = property.get("description").and_then(Value::as_str).unwrap_or_default();
            if text.trim().is_empty() {
                missing.push(format!("{at}/{name}"));
            }
        }
    }
    missing
}

#[test]
fn names_are_of_the_catalogue_and_unique() {
    let catalogue: BTreeSet<_> = CATALOGUE.split_whitespace().collect();
    let mut seen = BTreeSet::new();
    each(|kind, step| {
        assert!(catalogue.contains(kind), "{kind} is not in the catalogue");
        assert!(seen.insert(kind), "{kind} is registered twice");
        assert!(!step.summary().is_empty() && !step.summary().ends_with('.'), "{kind}");
        assert!(step.version() >= 1, "{kind}");
    });
}

#[test]
fn manuals_have_the_five_headings_in_order() {
    each(|kind, step| {
        let (intro, parts) = parts(&step.manual());
        assert!(!intro.trim().is_empty(), "{kind}: nothing stands above the first heading");
        let headings: Vec<_> = parts.iter().map(|(heading, _)| heading.as_str()).collect();
        assert_eq!(headings, HEADINGS, "{kind}");
        for (heading, text) in &parts {
            assert!(!text.is_empty(), "{kind}: nothing under `{heading}`");
        }
    });
}

#[test]
fn the_example_of_the_manual_is_valid() {
    each(|_, step| {
        footprint(step);
    });
}

#[test]
fn an_unknown_key_is_refused_by_name() {
    each(|kind, step| {
        let mut with = example(step).to_json();
        with["no_such_key"] = json!(1);
        let Err(InputRefusal::Shape(error)) = step.check(&Node::from_json(&with)) else {
            panic!("{kind} takes a key it does not know")
        };
        assert!(error.message.contains("no_such_key"), "{kind}: {}", error.message);
    });
}

#[test]
fn inputs_deny_unknown_keys_and_describe_every_field() {
    each(|kind, step| {
        let schema = step.input_schema();
        for (at, object) in objects_of(&schema) {
            assert_eq!(object.get("additionalProperties"), Some(&json!(false)), "{kind}{at}");
        }
        assert_eq!(undescribed(&schema), Vec::<String>::new(), "{kind}");
    });
}

#[test]
fn outputs_describe_every_field() {
    each(|kind, step| {
        assert_eq!(undescribed(&step.output_schema()), Vec::<String>::new(), "{kind}");
        let properties = step.output_schema().as_value()["properties"].as_object().cloned();
        let outputs = properties.is_some_and(|them| !them.is_empty());
        assert_eq!(outputs, !STANDS_FOR_OTHERS.contains(&kind), "{kind} and its outputs");
    });
}

#[test]
fn the_example_output_is_of_the_output_type() {
    each(|kind, step| {
        let validator = jsonschema::validator_for(step.output_schema().as_value()).unwrap();
        let example = step.example();
        let problems: Vec<_> =
            validator.iter_errors(&example).map(|error| error.to_string()).collect();
        assert_eq!(problems, Vec::<String>::new(), "{kind}");
        let again: Value = serde_json::from_str(&example.to_string()).unwrap();
        assert_eq!(again, example, "{kind}");
    });
}

#[test]
fn footprints_say_what_the_effect_means() {
    each(|kind, step| {
        let footprint = footprint(step);
        let writes = footprint.connections.iter().any(|connection| connection.writes);
        if footprint.effect == Effect::Read {
            assert!(footprint.writes.is_empty() && !writes, "{kind} reads, and writes");
            assert_eq!(footprint.repeat, Repeat::Idempotent, "{kind}");
        } else {
            assert!(!footprint.writes.is_empty(), "{kind} does not say what it changes");
        }
        let touches = !footprint.reads.is_empty() || footprint.waits_for_person;
        let is_inert = kind.starts_with("flow.") || NO_SIDE.contains(&kind);
        assert!(touches || !footprint.writes.is_empty() || is_inert, "{kind} touches nothing");
    });
}

#[test]
fn opaque_kinds_are_the_ones_that_were_decided_on() {
    let mut opaque = Vec::new();
    each(|kind, step| {
        let mut with = example(step).to_json();
        // An example says more than the kind alone knows.
        let known_by_author = ["idempotent", "observe"];
        with.as_object_mut().unwrap().retain(|key, _| !known_by_author.contains(&key.as_str()));
        let footprint = step.check(&Node::from_json(&with)).unwrap();
        if footprint.repeat == Repeat::Opaque {
            opaque.push(kind);
        }
    });
    opaque.sort_unstable();
    assert_eq!(opaque, OPAQUE);
}

#[test]
fn secrets_are_marked_and_nothing_else_sounds_like_one() {
    let is_secret = |step: &dyn DynStep, field: &str| {
        let schema = step.input_schema();
        let mut property = schema.as_value()["properties"][field].clone();
        // One that may be left out is a secret or nothing.
        if let Some(secret) = property.pointer("/anyOf/0") {
            property = secret.clone();
        }
        if let Some(pointer) = property["$ref"].as_str() {
            property = schema.as_value().pointer(&pointer[1..]).unwrap().clone();
        }
        property["format"] == json!(SECRET_FORMAT)
    };
    for (kind, field) in SECRETS {
        assert!(is_secret(steps::REGISTRY.step(kind).unwrap(), field), "{kind}.{field}");
    }
    each(|kind, step| {
        let objects = objects_of(&step.input_schema());
        let fields =
            objects.iter().flat_map(|(_, it)| it["properties"].as_object().unwrap().keys());
        for field in fields {
            let sounds = ["password", "token", "webhook", "secret", "passphrase", "private"];
            if sounds.iter().any(|word| field.contains(word)) {
                assert!(is_secret(step, field), "{kind}.{field} is not marked as a secret");
            }
        }
    });
}

/// A host that has everything the footprint names: connections to a port where nobody listens,
/// stores in an empty folder.
fn host(footprint: &Footprint, folder: &std::path::Path) -> Arc<MemoryHost> {
    let now = "2026-11-20T03:00:00Z".parse().unwrap();
    let mut host = MemoryHost::new(now, folder.to_owned());
    for used in &footprint.connections {
        host = host.with_connection(ConnectionSettings {
            name: used.name.clone(),
            url: Some("postgresql://nobody@127.0.0.1:1/none".into()),
            ..ConnectionSettings::default()
        });
    }
    for name in &footprint.stores {
        host = host.with_store(StoreSettings {
            name: name.clone(),
            url: format!("file://{}", folder.join("store").display()),
            min_proof: Level::Identical,
            encrypt: None,
            s3: S3Settings::default(),
        });
    }
    Arc::new(host)
}

/// The example with secrets filled in, and no server of the outside world in it.
fn filled(step: &dyn DynStep) -> Node {
    fn fill(value: &mut Value) {
        match value {
            Value::String(text) if text.contains("{{ secrets.") || text.starts_with("https://") => {
                "http://127.0.0.1:1/hook".clone_into(text);
            }
            Value::Array(items) => items.iter_mut().for_each(fill),
            Value::Object(keys) => keys.values_mut().for_each(fill),
            _ => {}
        }
    }
    let mut with = example(step).to_json();
    fill(&mut with);
    Node::from_json(&with)
}

/// The objects below a folder.
fn files(folder: &std::path::Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path.display().to_string());
        }
    }
    found
}

#[tokio::test]
async fn a_cancelled_step_does_nothing_and_says_so() {
    for step in STEPS {
        let kind = step.kind();
        let folder = tempfile::tempdir().unwrap();
        let host = host(&footprint(*step), folder.path());
        let cancel = CancellationToken::new();
        cancel.cancel();
        let ctx = host.context("tested", 1, cancel);
        let ended = step.run(&filled(*step), &ctx).await;
        assert_eq!(ended, Err(StepError::cancelled()), "{kind}");
        assert_eq!(files(folder.path()), Vec::<String>::new(), "{kind} wrote something");
    }
}

/// A look at what a kind did, before it did anything and with nobody answering: never "done",
/// except for messages, which are never worth a doubt.
#[tokio::test]
async fn an_observation_without_a_mark_is_not_done() {
    use engine::step::Observation;
    for step in STEPS {
        let kind = step.kind();
        let folder = tempfile::tempdir().unwrap();
        let ctx =
            host(&footprint(*step), folder.path()).context("tested", 1, CancellationToken::new());
        let seen = step.observe(&filled(*step), &ctx).await;
        let is_message = ["slack.notify", "webhook.post"].contains(&kind);
        match seen {
            Ok(Observation::Done(_)) => assert!(is_message, "{kind} claims to be done"),
            Ok(_) => {}
            Err(error) => assert_ne!(error.class, ErrorClass::Ambiguous, "{kind}: {error:?}"),
        }
    }
}
