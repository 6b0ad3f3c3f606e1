//! What a step will touch, known before it runs and shown in every plan.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::effect::{Effect, Repeat};
use crate::units::Span;

/// A part that a step plays in a recovery: what the rules of a plan go by, which know no kind.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// It shuts a server out and proves it: once it has succeeded, nobody writes there any more.
    Fence,
    /// It makes a standby a server that takes writes. Demands a [`Part::Fence`] before it, or
    /// two servers might take them.
    Promote,
    /// Besides [`Part::Promote`]: the step says why nothing needs to be shut out, and journals it.
    Unfenced,
    /// It proves that a server takes writes, by a row that it wrote and read again.
    ProveWritable,
    /// It sends those who use the service to another server: a name, a parameter, a secret.
    MoveTraffic,
    /// It removes backup sets that no rule keeps.
    Prune,
    /// It leaves a proof: a set was restored and compared.
    ProveSet,
    /// It fails when what it looks at is not as it should be.
    Verify,
}

/// What one step touches. Pure: made from the step's input alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Footprint {
    /// How far the step reaches.
    pub effect: Effect,
    /// What a second execution would do.
    pub repeat: Repeat,
    /// What it reads, in words of the field: ``database `prod` ``.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reads: Vec<String>,
    /// What it creates, changes or removes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub writes: Vec<String>,
    /// Names of the runbook's `connections` that it uses; each must exist.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub connections: Vec<ConnectionUse>,
    /// Names of the runbook's `stores` that it uses; each must exist.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stores: Vec<String>,
    /// Those of the stores whose sets it opens: where they are encrypted it needs the key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub opens: Vec<String>,
    /// URLs or hosts it talks to besides its connections and stores.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub endpoints: Vec<String>,
    /// What it asks of AWS besides its stores.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aws: Vec<AwsUse>,
    /// Programs it starts, found on `PATH` by the preflight stage.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<Tool>,
    /// Names of databases it makes: a connection to one of them is not there before the run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub makes_databases: Vec<String>,
    /// Hosts of servers that it makes, such as the folder of a socket: a connection to one of them
    /// is not there before the run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub makes_servers: Vec<String>,
    /// What its programs do by themselves after a kill is worth nothing: a resume stops them, where
    /// it would wait for those of other steps.
    #[serde(default, skip_serializing_if = "is_false")]
    pub stops_stragglers: bool,
    /// Locks it takes in a database, in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub locks: Vec<String>,
    /// The step waits for a person; machine time stands still meanwhile.
    #[serde(default)]
    pub waits_for_person: bool,
    /// The step only tells people something: in a handler it gets 10 s and one retry, and it
    /// never puts a run in doubt.
    #[serde(default, skip_serializing_if = "is_false")]
    pub notifies: bool,
    /// The parts it plays in a recovery.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<Part>,
    /// It takes at least so long, however well it goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lasts: Option<Span>,
    /// It gives up by itself after so long, besides the `timeout` of any step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gives_up_after: Option<Span>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(flag: &bool) -> bool {
    !flag
}

/// A named connection as a step uses it.
#[expect(clippy::struct_excessive_bools, reason = "each says something that the others do not")]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConnectionUse {
    /// The name under `connections:`.
    pub name: String,
    /// The step changes data there.
    pub writes: bool,
    /// The step refuses a connection that is `protected` (a scratch database).
    pub must_be_unprotected: bool,
    /// The step copes with a server that does not answer.
    #[serde(default, skip_serializing_if = "is_false")]
    pub may_be_away: bool,
    /// The step makes the server that it leads to, which is not there before the run.
    #[serde(default, skip_serializing_if = "is_false")]
    pub made: bool,
}

/// Which half of a service of AWS answers: they fail apart from each other.
/// <https://docs.aws.amazon.com/whitepapers/latest/aws-fault-isolation-boundaries/control-planes-and-data-planes.html>
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Plane {
    /// What makes, changes and describes resources.
    Control,
    /// What the resources themselves do: objects of S3, answers of name servers.
    Data,
}

/// What a step asks of one service of AWS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AwsUse {
    /// The service as IAM names it: `rds`.
    pub service: String,
    /// The region that answers; absent when only the environment of the run tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Which half of the service.
    pub plane: Plane,
    /// The actions of IAM that it needs: `rds:PromoteReadReplica`.
    pub actions: Vec<String>,
}

impl AwsUse {
    /// Calls of the control plane of a service in a region.
    pub fn control(service: &str, region: Option<&str>, actions: &[&str]) -> Self {
        Self::new(service, region, Plane::Control, actions)
    }

    /// Calls of the data plane of a service in a region.
    pub fn data(service: &str, region: Option<&str>, actions: &[&str]) -> Self {
        Self::new(service, region, Plane::Data, actions)
    }

    fn new(service: &str, region: Option<&str>, plane: Plane, actions: &[&str]) -> Self {
        let region = region.filter(|region| !region.is_empty()).map(str::to_owned);
        let actions = actions.iter().map(|action| format!("{service}:{action}")).collect();
        Self { service: service.to_owned(), region, plane, actions }
    }
}

/// A program a step starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Tool {
    /// The program's name, looked up on `PATH`.
    pub name: String,
    /// The client's major version must be at least the server's of this connection
    /// (<https://www.postgresql.org/docs/current/app-pgdump.html>, Notes).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_older_than_server: Option<String>,
    /// The Debian package that has it, for the message when it is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package: Option<String>,
}

impl Footprint {
    /// A footprint that touches nothing yet; the other fields are filled by the builders below.
    pub fn new(effect: Effect, repeat: Repeat) -> Self {
        Self {
            effect,
            repeat,
            reads: Vec::new(),
            writes: Vec::new(),
            connections: Vec::new(),
            stores: Vec::new(),
            opens: Vec::new(),
            endpoints: Vec::new(),
            aws: Vec::new(),
            tools: Vec::new(),
            makes_databases: Vec::new(),
            makes_servers: Vec::new(),
            stops_stragglers: false,
            locks: Vec::new(),
            waits_for_person: false,
            notifies: false,
            parts: Vec::new(),
            lasts: None,
            gives_up_after: None,
        }
    }

    /// Adds a part that it plays.
    #[must_use]
    pub fn plays(mut self, part: Part) -> Self {
        self.parts.push(part);
        self
    }

    /// Whether it plays this part.
    pub fn is(&self, part: Part) -> bool {
        self.parts.contains(&part)
    }

    /// Says how long it takes at least.
    #[must_use]
    pub fn lasts(mut self, span: Option<Span>) -> Self {
        self.lasts = span;
        self
    }

    /// Says after how long it gives up.
    #[must_use]
    pub fn gives_up_after(mut self, span: Option<Span>) -> Self {
        self.gives_up_after = span;
        self
    }

    /// Marks a step that only tells people something.
    #[must_use]
    pub fn notifies(mut self) -> Self {
        self.notifies = true;
        self
    }

    /// Adds something it reads.
    #[must_use]
    pub fn reads(mut self, what: impl Into<String>) -> Self {
        self.reads.push(what.into());
        self
    }

    /// Adds something it creates, changes or removes.
    #[must_use]
    pub fn writes(mut self, what: impl Into<String>) -> Self {
        self.writes.push(what.into());
        self
    }

    /// Adds a connection it only reads from.
    #[must_use]
    pub fn reads_connection(mut self, name: &str) -> Self {
        self.connections.push(ConnectionUse {
            name: name.to_owned(),
            writes: false,
            must_be_unprotected: false,
            may_be_away: false,
            made: false,
        });
        self
    }

    /// Adds a connection whose server it makes.
    #[must_use]
    pub fn makes_connection(self, name: &str) -> Self {
        let mut footprint = self.reads_connection(name);
        if let Some(connection) = footprint.connections.last_mut() {
            connection.made = true;
        }
        footprint
    }

    /// Adds a connection it changes.
    #[must_use]
    pub fn writes_connection(mut self, name: &str) -> Self {
        self.connections.push(ConnectionUse {
            name: name.to_owned(),
            writes: true,
            must_be_unprotected: false,
            may_be_away: false,
            made: false,
        });
        self
    }

    /// Adds a scratch connection: changed freely, and refused when `protected`.
    #[must_use]
    pub fn scratch_connection(mut self, name: &str) -> Self {
        self.connections.push(ConnectionUse {
            name: name.to_owned(),
            writes: true,
            must_be_unprotected: true,
            may_be_away: false,
            made: false,
        });
        self
    }

    /// Lets the server of the connection that was added last be away: the step copes with it.
    #[must_use]
    pub fn that_may_be_away(mut self) -> Self {
        if let Some(connection) = self.connections.last_mut() {
            connection.may_be_away = true;
        }
        self
    }

    /// Adds a store.
    #[must_use]
    pub fn store(mut self, name: &str) -> Self {
        self.stores.push(name.to_owned());
        self
    }

    /// Adds a store whose sets it opens.
    #[must_use]
    pub fn opens_store(mut self, name: &str) -> Self {
        self.opens.push(name.to_owned());
        self.store(name)
    }

    /// Adds an endpoint.
    #[must_use]
    pub fn endpoint(mut self, endpoint: impl Into<String>) -> Self {
        self.endpoints.push(endpoint.into());
        self
    }

    /// Adds what it asks of AWS.
    #[must_use]
    pub fn aws(mut self, asked: AwsUse) -> Self {
        self.aws.push(asked);
        self
    }

    /// Adds a program.
    #[must_use]
    pub fn tool(mut self, name: &str) -> Self {
        self.tools.push(Tool { name: name.to_owned(), not_older_than_server: None, package: None });
        self
    }

    /// Adds a PostgreSQL client program that may not be older than the server of `connection`.
    #[must_use]
    pub fn pg_tool(mut self, name: &str, connection: &str) -> Self {
        self.tools.push(Tool {
            name: name.to_owned(),
            not_older_than_server: Some(connection.to_owned()),
            package: Some("postgresql-client".to_owned()),
        });
        self
    }

    /// Adds a database that it makes.
    #[must_use]
    pub fn makes_database(mut self, name: &str) -> Self {
        self.makes_databases.push(name.to_owned());
        self
    }

    /// Adds a server that it makes, by its host.
    #[must_use]
    pub fn makes_server(mut self, host: &str) -> Self {
        self.makes_servers.push(host.to_owned());
        self
    }

    /// Marks a step whose programs a resume stops when they outlived a kill.
    #[must_use]
    pub fn stops_stragglers(mut self) -> Self {
        self.stops_stragglers = true;
        self
    }

    /// Adds a lock, in words.
    #[must_use]
    pub fn lock(mut self, what: impl Into<String>) -> Self {
        self.locks.push(what.into());
        self
    }
}
