//! `dns.check`: asks name servers for a name, and compares.

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use engine::context::{Progress, StepContext};
use engine::step::{Observation, Step};
use hickory_proto::rr::{Name, RecordType};
use model::catalog::InputProblem;
use model::effect::{Effect, Repeat};
use model::footprint::{Footprint, Part};
use model::step_error::StepError;
use model::units::Span;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ask::{Answer, ask, plain};
use super::servers::{self, NameServer};

/// Asks name servers for a name, and compares what they say with what is expected.
///
/// ## What it does
/// It asks each of `servers` directly, past the caches of this machine, over UDP and over TCP
/// when the answer does not fit, and compares the answer of each with `expect`. With `wait` it
/// asks again until all of them say it.
///
/// ## When to use it
/// After a name was moved to another server: first at the zone's own servers
/// (`servers: [authoritative]`), then, when the old time to live has passed, where clients ask.
/// Before, to learn the time to live. A right answer here says nothing of clients that keep what
/// they have looked up.
///
/// ## What it changes
/// Nothing.
///
/// ## How it can fail
/// When an answer is not the expected one, or a server does not answer, within `wait`; the error
/// names each such server and what it said.
///
/// ## Example
/// ```yaml
/// - id: moved
///   uses: dns.check
///   with:
///     name: db.example.com
///     type: A
///     servers: [authoritative]
///     expect: {equals: [192.0.2.20]}
///     wait: 5m
/// ```
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The name.
    name: String,
    /// The type of record: `A`, `AAAA` or `CNAME`.
    #[serde(rename = "type", default)]
    kind: Kind,
    /// What each server must say.
    expect: Expect,
    /// Whom to ask: `authoritative` (the servers of the zone), `system` (those of this machine),
    /// or servers by address or name, such as `192.0.2.53` or `ns1.example.com:53`.
    #[serde(default = "the_systems")]
    servers: Vec<String>,
    /// Who names the servers of the zone, for `authoritative`; without it, this machine's first.
    resolver: Option<String>,
    /// How long to wait for the expected answers; without it, one look decides.
    wait: Option<Span>,
    /// The time between two looks.
    #[serde(default = "five_seconds")]
    interval: Span,
}

/// The type of a record.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
enum Kind {
    /// An IPv4 address.
    #[default]
    A,
    /// An IPv6 address.
    #[serde(rename = "AAAA")]
    Aaaa,
    /// Another name.
    #[serde(rename = "CNAME")]
    Cname,
}

/// What a server must say. All that is given must hold.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Expect {
    /// Exactly these values, in any order.
    #[serde(default)]
    equals: Vec<String>,
    /// These values, and maybe others.
    #[serde(default)]
    contains: Vec<String>,
    /// None of these values: the old address.
    #[serde(default)]
    excludes: Vec<String>,
    /// There is no such record (`true`), or there is one (`false`).
    absent: Option<bool>,
    /// The time to live is at most this.
    max_ttl: Option<Span>,
}

/// What the servers said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Output {
    /// All values that any of them gave, sorted.
    answers: Vec<String>,
    /// The longest time to live among their answers, in seconds.
    ttl: Option<u32>,
    /// The servers that were asked.
    servers: Vec<String>,
    /// How often they were asked.
    looks: u64,
}

/// The step kind.
pub struct Check;

fn the_systems() -> Vec<String> {
    vec!["system".to_owned()]
}

fn five_seconds() -> Span {
    Span::from(Duration::from_secs(5))
}

impl From<Kind> for RecordType {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::A => Self::A,
            Kind::Aaaa => Self::AAAA,
            Kind::Cname => Self::CNAME,
        }
    }
}

/// As the servers' answers are written.
fn settled(values: &[String]) -> Vec<String> {
    let settle = |text: &String| match text.parse::<IpAddr>() {
        Ok(address) => address.to_string(),
        Err(_) => plain(text),
    };
    let mut values: Vec<_> = values.iter().map(settle).collect();
    values.sort();
    values.dedup();
    values
}

impl Expect {
    fn is_empty(&self) -> bool {
        let lists = [&self.equals, &self.contains, &self.excludes];
        lists.iter().all(|list| list.is_empty()) && self.absent.is_none() && self.max_ttl.is_none()
    }

    /// What is wrong with an answer, in words.
    fn lacks(&self, answer: &Answer) -> Option<String> {
        let said = match answer.values.as_slice() {
            [] if answer.no_name => "it says that there is no such name".to_owned(),
            [] => "it has no such record".to_owned(),
            values => format!("it says {}", values.join(", ")),
        };
        let missing = |value: &String| !answer.values.contains(value);
        let wrong = (!self.equals.is_empty() && settled(&self.equals) != answer.values)
            || settled(&self.contains).iter().any(missing)
            || !settled(&self.excludes).iter().all(missing)
            || self.absent.is_some_and(|absent| absent != answer.values.is_empty());
        if wrong {
            return Some(said);
        }
        let ttl = u64::from(answer.ttl.unwrap_or_default());
        let most = self.max_ttl.filter(|most| ttl > most.duration().as_secs())?;
        Some(format!("its time to live is {ttl} s, `max_ttl` is {most}"))
    }
}

/// What is asked of which servers.
#[derive(Debug)]
pub(crate) struct Question<'a> {
    name: &'a str,
    kind: Kind,
    expect: Expect,
    servers: &'a [String],
    resolver: Option<&'a str>,
}

impl Question<'_> {
    /// One look: the servers that were asked, or what is wrong, server by server.
    pub(crate) async fn all_say_it(&self) -> Result<Vec<String>, Vec<String>> {
        let name = absolute(self.name).map_err(|why| vec![why])?;
        let seen = look(self, &name, 1).await;
        if seen.wrong.is_empty() { Ok(seen.output.servers) } else { Err(seen.wrong) }
    }
}

impl Input {
    fn question(&self) -> Question<'_> {
        let (servers, resolver) = (&self.servers, self.resolver.as_deref());
        Question {
            name: &self.name,
            kind: self.kind,
            expect: self.expect.clone(),
            servers,
            resolver,
        }
    }
}

/// What name servers are to say of a name.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Answers {
    /// The name.
    name: String,
    /// The type of record: `A`, `AAAA` or `CNAME`.
    #[serde(rename = "type", default)]
    kind: Kind,
    /// Exactly these values, in any order.
    equals: Vec<String>,
    /// Whom to ask, as in `dns.check`; without it, every server of the zone.
    #[serde(default = "the_zones")]
    servers: Vec<String>,
    /// Who names the servers of the zone; without it, this machine's first.
    resolver: Option<String>,
}

fn the_zones() -> Vec<String> {
    vec!["authoritative".to_owned()]
}

impl Answers {
    pub(crate) fn question(&self) -> Question<'_> {
        let expect = Expect { equals: self.equals.clone(), ..Expect::default() };
        let (servers, resolver) = (&self.servers, self.resolver.as_deref());
        Question { name: &self.name, kind: self.kind, expect, servers, resolver }
    }

    /// What is wrong with it.
    pub(crate) fn problem(&self) -> Option<InputProblem> {
        if let Err(why) = absolute(&self.name) {
            return Some(InputProblem::at("answers.name", format!("`{}`: {why}", self.name)));
        }
        let lacks = self.equals.is_empty() || self.servers.is_empty();
        lacks.then(|| InputProblem::at("answers", "nothing is expected, or nobody is asked"))
    }

    /// A footprint with the servers that are asked.
    pub(crate) fn asked(&self, footprint: Footprint) -> Footprint {
        endpoints(&self.name, &self.servers, footprint)
    }
}

/// A footprint with the servers that are asked for a name.
fn endpoints(name: &str, servers: &[String], footprint: Footprint) -> Footprint {
    let own = |server: &&String| server.as_str() != "system";
    servers.iter().filter(own).fold(footprint, |footprint, server| match server.as_str() {
        "authoritative" => footprint.endpoint(format!("name servers of `{name}`")),
        server => footprint.endpoint(server),
    })
}

/// What one look found: the output, and what is wrong, server by server.
struct Seen {
    output: Output,
    wrong: Vec<String>,
    silent: bool,
}

impl Seen {
    fn add(&mut self, server: &NameServer, answer: Result<Answer, String>, expect: &Expect) {
        self.output.servers.push(server.shown.clone());
        match answer {
            Ok(answer) => {
                self.wrong.extend(expect.lacks(&answer).map(|why| {
                    let whose = if answer.authoritative { " (of the zone)" } else { "" };
                    format!("{}{whose}: {why}", server.shown)
                }));
                self.output.ttl = self.output.ttl.max(answer.ttl);
                self.output.answers.extend(answer.values);
            }
            Err(why) => self.fail(format!("{}: {why}", server.shown)),
        }
    }

    fn fail(&mut self, why: String) {
        self.silent = true;
        self.wrong.push(why);
    }
}

async fn look(asked: &Question<'_>, name: &Name, looks: u64) -> Seen {
    let (answers, servers) = (Vec::new(), Vec::new());
    let output = Output { answers, ttl: None, servers, looks };
    let mut seen = Seen { output, wrong: Vec::new(), silent: false };
    for text in asked.servers {
        match servers::find(text, name, asked.resolver).await {
            Ok(servers) => {
                for server in servers {
                    let answer = ask(server.address, name, asked.kind.into()).await;
                    seen.add(&server, answer, &asked.expect);
                }
            }
            Err(why) => seen.fail(format!("`{text}`: {why}")),
        }
    }
    seen.output.answers.sort();
    seen.output.answers.dedup();
    seen
}

fn refused(input: &Input, seen: &Seen) -> StepError {
    let waited = input.wait.map(|wait| format!(" after {wait}")).unwrap_or_default();
    let mut error = if seen.silent {
        let message = format!("not every name server answers for `{}`{waited}", input.name);
        StepError::transient("RB0586", message)
            .hint("check the servers' addresses, and that DNS is open to them, over UDP and TCP")
    } else {
        let message = format!("`{}` is not what is expected{waited}", input.name);
        StepError::permanent("RB0585", message)
            .hint("a change takes its time to reach every server: give a longer `wait`")
    };
    error.causes.clone_from(&seen.wrong);
    error
}

/// The time was over before the first look was.
fn unheard(input: &Input) -> StepError {
    let message = format!("no name server answered for `{}`", input.name);
    StepError::transient("RB0586", message).hint("give a longer `wait`")
}

/// Looks until all is as expected, or once when there is nothing to wait for. What was wrong is
/// kept in `latest`.
async fn until_right(
    input: &Input,
    ctx: &StepContext,
    name: &Name,
    latest: &Mutex<Option<Seen>>,
) -> Result<Output, StepError> {
    for looks in 1.. {
        let seen = look(&input.question(), name, looks).await;
        if seen.wrong.is_empty() {
            return Ok(seen.output);
        }
        if input.wait.is_none() {
            return Err(refused(input, &seen));
        }
        let activity = format!("wait for `{}`: {}", input.name, seen.wrong.join("; "));
        ctx.progress(Progress { activity, ..Progress::default() });
        *latest.lock().unwrap_or_else(PoisonError::into_inner) = Some(seen);
        ctx.sleep(input.interval.duration()).await?;
    }
    unreachable!("it is asked for ever")
}

/// The name without the domains that a resolver would add.
fn absolute(name: &str) -> Result<Name, String> {
    let name = Name::from_str_relaxed(name).map_err(|error| error.to_string());
    name.map(|mut name| {
        name.set_fqdn(true);
        name
    })
}

impl Step for Check {
    const KIND: &'static str = "dns.check";
    const SUMMARY: &'static str = "asks name servers for a name, and compares";
    type Input = Input;
    type Output = Output;

    fn validate(input: &Input) -> Result<(), Vec<InputProblem>> {
        let mut problems = Vec::new();
        if let Err(why) = absolute(&input.name) {
            problems.push(InputProblem::at("name", format!("`{}`: {why}", input.name)));
        }
        if input.expect.is_empty() {
            let problem = InputProblem::at("expect", "nothing is expected");
            problems.push(problem.help("write `equals`, `contains`, `excludes` or `absent`"));
        }
        if input.servers.is_empty() {
            problems.push(InputProblem::at("servers", "nobody is asked"));
        }
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    fn footprint(input: &Input) -> Footprint {
        let footprint = Footprint::new(Effect::Read, Repeat::Idempotent)
            .plays(Part::Verify)
            .reads(format!("what the name servers say of `{}`", input.name));
        endpoints(&input.name, &input.servers, footprint)
    }

    fn example() -> Output {
        Output {
            answers: vec!["192.0.2.20".to_owned()],
            ttl: Some(60),
            servers: vec!["ns1.example.com (192.0.2.53:53)".to_owned()],
            looks: 1,
        }
    }

    async fn observe(_input: &Input, _ctx: &StepContext) -> Result<Observation<Output>, StepError> {
        Ok(Observation::NotDone)
    }

    async fn run(input: &Input, ctx: &StepContext) -> Result<Output, StepError> {
        let name = absolute(&input.name).expect("validate refuses what is no name");
        let latest = Mutex::default();
        let waiting = input.wait.map_or(Duration::MAX, Span::duration);
        tokio::select! {
            right = until_right(input, ctx, &name, &latest) => right,
            slept = ctx.sleep(waiting) => {
                slept?;
                let seen = latest.into_inner().unwrap_or_else(PoisonError::into_inner);
                Err(seen.map_or_else(|| unheard(input), |seen| refused(input, &seen)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn lacks(expect: Value, values: &[&str], ttl: u32) -> Option<String> {
        let expect: Expect = serde_json::from_value(expect).unwrap();
        let values = settled(&values.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>());
        let (authoritative, no_name) = (false, values.is_empty());
        expect.lacks(&Answer { values, ttl: Some(ttl), authoritative, no_name })
    }

    #[test]
    fn each_expectation_is_compared() {
        for (expect, holds, fails) in [
            (
                json!({"equals": ["192.0.2.2", "192.0.2.1"]}),
                vec!["192.0.2.1", "192.0.2.2"],
                vec!["192.0.2.1"],
            ),
            (json!({"equals": ["2001:DB8::0:1"]}), vec!["2001:db8::1"], vec!["2001:db8::2"]),
            (json!({"equals": ["DB.example.com."]}), vec!["db.Example.com"], vec![]),
            (json!({"contains": ["192.0.2.1"]}), vec!["192.0.2.1", "192.0.2.2"], vec!["192.0.2.2"]),
            (json!({"excludes": ["192.0.2.1"]}), vec!["192.0.2.2"], vec!["192.0.2.1", "192.0.2.2"]),
            (json!({"absent": true}), vec![], vec!["192.0.2.1"]),
            (json!({"absent": false}), vec!["192.0.2.1"], vec![]),
        ] {
            assert_eq!(lacks(expect.clone(), &holds, 60), None, "{expect}");
            assert!(lacks(expect.clone(), &fails, 60).is_some(), "{expect}");
        }
        let long = lacks(json!({"max_ttl": "1m"}), &["192.0.2.1"], 300).unwrap();
        assert_eq!(long, "its time to live is 300 s, `max_ttl` is 1m");
    }

    #[test]
    fn a_name_is_never_completed() {
        assert_eq!(absolute("db.example.com").unwrap().to_utf8(), "db.example.com.");
        assert!(absolute(&"a".repeat(64)).is_err());
    }
}
