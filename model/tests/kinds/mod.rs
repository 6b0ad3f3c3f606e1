//! Step kinds for tests of the language.

use std::collections::BTreeMap;

use model::catalog::{Catalog, InputProblem, InputRefusal, StepKind};
use model::effect::{Effect, Repeat};
use model::footprint::{AwsUse, Footprint, Part};
use model::node::Node;
use model::node_de;
use model::secret::SecretText;
use model::units::Span;
use schemars::{JsonSchema, Schema, schema_for};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Dump {
    connection: String,
    store: String,
    #[serde(default)]
    tables: Vec<String>,
    #[serde(default = "one")]
    jobs: u16,
    label: Option<String>,
}

fn one() -> u16 {
    1
}

#[expect(dead_code, reason = "only its schema is used")]
#[derive(JsonSchema)]
struct DumpOutput {
    path: String,
    rows: u64,
    detail: Option<Detail>,
    tags: BTreeMap<String, String>,
}

#[expect(dead_code, reason = "only its schema is used")]
#[derive(JsonSchema)]
struct Detail {
    bytes: u64,
}

#[expect(dead_code, reason = "read to see that they fit")]
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Notify {
    webhook: SecretText,
    text: String,
    wait: Option<Span>,
    #[serde(default)]
    loud: bool,
}

#[expect(dead_code, reason = "read to see that they fit")]
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Command {
    argv: Vec<String>,
    #[serde(default)]
    #[schemars(extend("x-secrets-allowed" = true))]
    env: BTreeMap<String, String>,
    #[schemars(extend("x-no-templates" = true))]
    script: Option<String>,
    #[serde(default)]
    idempotent: bool,
    observe: Option<Vec<String>>,
}

#[expect(dead_code, reason = "read to see that they fit")]
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Verify {
    scratch: String,
    level: Level,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Level {
    Readable,
    Identical,
}

struct Fake<I> {
    name: &'static str,
    example: fn() -> Value,
    output: fn() -> Schema,
    look: fn(&I) -> Result<Footprint, Vec<InputProblem>>,
}

impl<I: DeserializeOwned + JsonSchema + 'static> StepKind for Fake<I> {
    fn kind(&self) -> &'static str {
        self.name
    }

    fn summary(&self) -> &'static str {
        "a kind for tests"
    }

    fn manual(&self) -> String {
        "# What it does\n\nNothing.\n".to_owned()
    }

    fn version(&self) -> u32 {
        3
    }

    fn input_schema(&self) -> Schema {
        schema_for!(I)
    }

    fn output_schema(&self) -> Schema {
        (self.output)()
    }

    fn example(&self) -> Value {
        (self.example)()
    }

    fn check(&self, with: &Node) -> Result<Footprint, InputRefusal> {
        let input: I = node_de::read(with).map_err(InputRefusal::Shape)?;
        (self.look)(&input).map_err(InputRefusal::Rules)
    }
}

fn dump(input: &Dump) -> Result<Footprint, Vec<InputProblem>> {
    if input.jobs > 64 {
        let problem = InputProblem::at("jobs", "`jobs` is at most 64");
        return Err(vec![problem.help("use fewer connections")]);
    }
    let empty = input.tables.iter().position(String::is_empty);
    if let Some(at) = empty {
        let path = vec!["tables".to_owned(), at.to_string()];
        return Err(vec![InputProblem {
            path,
            message: "a table has no name".to_owned(),
            help: None,
        }]);
    }
    let label = input.label.as_deref().unwrap_or("none");
    if label.contains('(') && input.jobs == 3 {
        return Err(vec![InputProblem::at("label", "a label has no brackets")]);
    }
    Ok(Footprint::new(Effect::Reversible, Repeat::Observable)
        .reads_connection(&input.connection)
        .store(&input.store)
        .writes(format!("a set labelled `{label}`")))
}

static DUMP: Fake<Dump> = Fake {
    name: "fake.dump",
    example: || json!({"path": "sets/a", "rows": 3, "detail": {"bytes": 4096}, "tags": {"a": "b"}}),
    output: || schema_for!(DumpOutput),
    look: dump,
};

static NOTIFY: Fake<Notify> = Fake {
    name: "fake.notify",
    example: || json!({}),
    output: || schema_for!(Empty),
    look: |_| Ok(Footprint::new(Effect::Irreversible, Repeat::Keyed)),
};

static COMMAND: Fake<Command> = Fake {
    name: "fake.command",
    example: || json!({}),
    output: || schema_for!(Empty),
    look: |input| {
        let repeat = match (input.idempotent, &input.observe) {
            (true, _) => Repeat::Idempotent,
            (false, Some(_)) => Repeat::Observable,
            (false, None) => Repeat::Opaque,
        };
        Ok(Footprint::new(Effect::Irreversible, repeat))
    },
};

static VERIFY: Fake<Verify> = Fake {
    name: "fake.verify",
    example: || json!({}),
    output: || schema_for!(Empty),
    look: |input| {
        Ok(Footprint::new(Effect::Reversible, Repeat::Idempotent)
            .scratch_connection(&input.scratch))
    },
};

#[expect(dead_code, reason = "read to see that they fit")]
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Approve {
    prompt: String,
    timeout: Option<Span>,
}

static APPROVE: Fake<Approve> = Fake {
    name: "fake.approve",
    example: || json!({}),
    output: || schema_for!(Empty),
    look: |_| {
        let footprint = Footprint::new(Effect::Read, Repeat::Idempotent);
        Ok(Footprint { waits_for_person: true, ..footprint })
    },
};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Drop {
    connection: String,
}

static DROP: Fake<Drop> = Fake {
    name: "fake.drop",
    example: || json!({}),
    output: || schema_for!(Empty),
    look: |input| {
        Ok(Footprint::new(Effect::Destructive, Repeat::Idempotent)
            .writes_connection(&input.connection))
    },
};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Fetch {
    url: String,
}

static FETCH: Fake<Fetch> = Fake {
    name: "fake.fetch",
    example: || json!({}),
    output: || schema_for!(Empty),
    look: |input| Ok(Footprint::new(Effect::Read, Repeat::Idempotent).endpoint(&input.url)),
};

/// A step that is what it says.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Play {
    #[serde(default)]
    plays: Vec<Part>,
    #[serde(default = "harmless")]
    effect: Effect,
    /// The connection that it changes.
    changes: Option<String>,
    lasts: Option<Span>,
    gives_up_after: Option<Span>,
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    until: Option<jiff::Timestamp>,
}

fn harmless() -> Effect {
    Effect::Read
}

static PLAY: Fake<Play> = Fake {
    name: "fake.play",
    example: || json!({"lasts": "1h"}),
    output: || schema_for!(Played),
    look: |input| {
        let footprint = Footprint::new(input.effect, Repeat::Idempotent)
            .lasts(input.lasts)
            .gives_up_after(input.gives_up_after)
            .reads(input.until.map_or_else(String::new, |until| until.to_string()));
        let footprint =
            input.plays.iter().fold(footprint, |footprint, part| footprint.plays(*part));
        Ok(match &input.changes {
            Some(connection) => footprint.writes_connection(connection),
            None => footprint,
        })
    },
};

#[expect(dead_code, reason = "only its schema is used")]
#[derive(JsonSchema)]
struct Played {
    lasts: String,
}

/// A step that asks AWS.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Cloud {
    #[serde(default = "rds")]
    service: String,
    /// A connection that it reads.
    connection: Option<String>,
    store: Option<String>,
    #[serde(default)]
    plays: Vec<Part>,
    region: Option<String>,
    #[expect(dead_code, reason = "read to see that it fits")]
    profile: Option<String>,
    #[expect(dead_code, reason = "read to see that it fits")]
    endpoint_url: Option<String>,
}

fn rds() -> String {
    "rds".to_owned()
}

static CLOUD: Fake<Cloud> = Fake {
    name: "fake.cloud",
    example: || json!({"lasts": "us-east-1"}),
    output: || schema_for!(Played),
    look: |input| {
        let region = input.region.as_deref();
        let footprint = Footprint::new(Effect::Read, Repeat::Idempotent).aws(AwsUse::control(
            &input.service,
            region,
            &["Describe"],
        ));
        let footprint = input.plays.iter().fold(footprint, |all, part| all.plays(*part));
        let footprint = match &input.connection {
            Some(name) => footprint.reads_connection(name),
            None => footprint,
        };
        Ok(match &input.store {
            Some(name) => footprint.store(name).writes(format!("a set in store `{name}`")),
            None => footprint,
        })
    },
};

#[derive(JsonSchema)]
struct Empty {}

/// The kinds above.
pub(crate) struct Kinds;

impl Catalog for Kinds {
    fn get(&self, kind: &str) -> Option<&dyn StepKind> {
        match kind {
            "fake.dump" => Some(&DUMP),
            "fake.notify" => Some(&NOTIFY),
            "fake.command" => Some(&COMMAND),
            "fake.verify" => Some(&VERIFY),
            "fake.approve" => Some(&APPROVE),
            "fake.drop" => Some(&DROP),
            "fake.fetch" => Some(&FETCH),
            "fake.play" => Some(&PLAY),
            "fake.cloud" => Some(&CLOUD),
            _ => None,
        }
    }

    fn kinds(&self) -> Vec<&'static str> {
        vec![
            "fake.dump",
            "fake.notify",
            "fake.command",
            "fake.verify",
            "fake.approve",
            "fake.drop",
            "fake.fetch",
            "fake.play",
            "fake.cloud",
        ]
    }
}
