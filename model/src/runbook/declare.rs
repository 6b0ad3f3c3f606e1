//! Reads everything of a runbook that is not a step.

use std::collections::HashSet;
use std::sync::LazyLock;

use indexmap::IndexMap;
use regex::Regex;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::fields::{Fields, Keys, of_type};
use super::{Header, Param, Runbook, conduct, drill, handlers, param, source, step, store};
use crate::codes::language as code;
use crate::diagnostic::Diagnostic;
use crate::node::{Node, NodeValue, SourceSpan};
use crate::node_de;
use crate::plan::{Aws, Connection, Objectives, Store};
use crate::suggest;
use crate::template::is_template;
use crate::units::Span;

/// Something that a name stands for.
#[derive(Debug, Clone)]
pub(super) struct Declared<T> {
    pub(super) key_span: SourceSpan,
    pub(super) node: Node,
    pub(super) value: T,
}

/// Names whose declaration does not read, each with its sort.
pub(super) type Broken = HashSet<(&'static str, String)>;

/// Declarations in the order of the text.
pub(super) type Named<T> = IndexMap<String, Declared<T>>;

pub(crate) const RUNBOOK: Keys = Keys {
    what: "a runbook",
    known: &[
        "version",
        "name",
        "description",
        "owner",
        "labels",
        "objectives",
        "params",
        "secrets",
        "vars",
        "connections",
        "stores",
        "defaults",
        "max_parallel",
        "steps",
        "handlers",
        "rollback",
        "drill",
        "concurrency",
        "contacts",
        "review",
        "allowed_regions",
        "schedule",
        "aws",
    ],
    later: &[],
};
pub(crate) const OBJECTIVES: Keys =
    Keys { what: "`objectives`", known: &["rto", "rpo"], later: &[] };
pub(crate) const DEFAULTS: Keys =
    Keys { what: "`defaults`", known: &["retry", "stall_timeout"], later: &[] };
pub(crate) const SECRET: Keys = Keys {
    what: "a secret",
    known: &["env", "file", "command", "aws_ssm", "aws_secretsmanager"],
    later: &[],
};
pub(crate) const CONNECTION: Keys = Keys {
    what: "a connection",
    known: &[
        "url",
        "host",
        "port",
        "dbname",
        "user",
        "password",
        "service",
        "sslmode",
        "sslrootcert",
        "sslcert",
        "sslkey",
        "docker",
        "region",
        "protected",
    ],
    later: &[],
};
/// <https://www.postgresql.org/docs/current/libpq-ssl.html#LIBPQ-SSL-PROTECTION>
const SSL_MODES: [&str; 6] = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"];

static NAME: LazyLock<Regex> =
    LazyLock::new(|| Regex::new("^[a-z0-9][a-z0-9-]{0,63}$").expect("the pattern is a constant"));
static PASSWORD_IN_URL: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new("^[a-z]+://[^/@:{}]*:[^/@{}]+@|[?&]password=[^{&]")
        .expect("the pattern is a constant")
});
static IDENTIFIER: LazyLock<Regex> =
    LazyLock::new(|| Regex::new("^[a-z][a-z0-9_]{0,63}$").expect("the pattern is a constant"));

/// Whether text can be an id or a name that templates read.
pub(super) fn is_identifier(text: &str) -> bool {
    IDENTIFIER.is_match(text)
}

/// Reads the whole runbook, as far as it can be read.
pub(super) fn runbook(text: &str, root: &Node, problems: &mut Vec<Diagnostic>) -> Runbook {
    let fields = Fields::new(root, &RUNBOOK, problems);
    version(&fields, problems);
    let mut broken = Broken::new();
    let aws = store::aws(&fields, problems);
    Runbook {
        text: text.to_owned(),
        base: 0,
        file: String::new(),
        inclusions: std::collections::HashMap::new(),
        header: header(&fields, problems),
        params: named(&fields, "params", &mut broken, problems, Param::read),
        secrets: named(&fields, "secrets", &mut broken, problems, |node, problems| {
            source::read(node, aws.as_ref(), problems)
        }),
        vars: named(&fields, "vars", &mut broken, problems, |_, _| Some(())),
        connections: connections(&fields, &mut broken, problems),
        stores: stores(&fields, aws.as_ref(), &mut broken, problems),
        steps: step::read_all(&fields, problems),
        handlers: handlers::read(&fields, problems),
        drill: drill::read(&fields, aws.as_ref(), &mut broken, problems),
        conduct: conduct::read(&fields, problems),
        aws,
        broken,
    }
    .with_params_checked(problems)
}

/// `connections` of a mapping.
pub(super) fn connections(
    fields: &Fields<'_>,
    broken: &mut Broken,
    problems: &mut Vec<Diagnostic>,
) -> Named<Connection> {
    named(fields, "connections", broken, problems, connection)
}

/// `stores` of a mapping.
pub(super) fn stores(
    fields: &Fields<'_>,
    aws: Option<&Declared<Aws>>,
    broken: &mut Broken,
    problems: &mut Vec<Diagnostic>,
) -> Named<Store> {
    named(fields, "stores", broken, problems, |node, problems| store::read(node, aws, problems))
}

impl Runbook {
    fn with_params_checked(self, problems: &mut Vec<Diagnostic>) -> Self {
        for (name, declared) in &self.params {
            param::check_declaration(name, declared, problems);
        }
        self
    }
}

fn version(fields: &Fields<'_>, problems: &mut Vec<Diagnostic>) {
    let version: Option<u32> = fields.required("version", problems);
    if let (Some(version @ (0 | 2..)), Some(node)) = (version, fields.get("version")) {
        let message = format!("version {version} of the language is not known");
        let problem = Diagnostic::error(code::VALUE, node.span.clone(), message);
        problems.push(problem.help("write `version: 1`"));
    }
}

fn header(fields: &Fields<'_>, problems: &mut Vec<Diagnostic>) -> Header {
    let name: String = fields.required("name", problems).unwrap_or_default();
    if let Some(node) =
        fields.get("name").filter(|node| node.text().is_some_and(|n| !NAME.is_match(n)))
    {
        let message = format!("`{name}` is not a runbook's name");
        problems.push(
            Diagnostic::error(code::VALUE, node.span.clone(), message)
                .why("the name is part of paths and of metrics")
                .help("use lower-case letters, digits and `-`, at most 64"),
        );
    }
    let (retry, stall_timeout) = defaults(fields, problems);
    Header {
        name,
        description: fields.read("description", problems),
        owner: fields.read("owner", problems),
        labels: fields.read("labels", problems).unwrap_or_default(),
        objectives: objectives(fields, problems),
        rto_span: fields
            .get("objectives")
            .and_then(|node| node.get("rto"))
            .map(|rto| rto.span.clone()),
        retry,
        stall_timeout,
        max_parallel: max_parallel(fields, problems),
        rollback: fields.read("rollback", problems).unwrap_or_default(),
        rollback_span: fields.entry("rollback").map(|entry| entry.key_span.clone()),
    }
}

fn max_parallel(fields: &Fields<'_>, problems: &mut Vec<Diagnostic>) -> Option<usize> {
    let most: usize = fields.read::<u16>("max_parallel", problems)?.into();
    if most == 0 {
        let span = fields.get("max_parallel")?.span.clone();
        problems.push(Diagnostic::error(code::VALUE, span, "`max_parallel` must be at least 1"));
    }
    Some(most)
}

fn objectives(fields: &Fields<'_>, problems: &mut Vec<Diagnostic>) -> Objectives {
    let Some(node) = fields.get("objectives") else { return Objectives::default() };
    let fields = Fields::new(node, &OBJECTIVES, problems);
    Objectives { rto: fields.read("rto", problems), rpo: fields.read("rpo", problems) }
}

fn defaults(
    fields: &Fields<'_>,
    problems: &mut Vec<Diagnostic>,
) -> (crate::plan::Retry, Option<Span>) {
    let base = crate::plan::Retry::default();
    let Some(node) = fields.get("defaults") else { return (base, None) };
    let fields = Fields::new(node, &DEFAULTS, problems);
    let retry = step::retry(&fields, &base, problems).unwrap_or(base);
    (retry, fields.limit("stall_timeout", problems))
}

/// A mapping from names to declarations of one sort. A name whose declaration does not read is
/// kept in `broken`, so that its uses are not reported as well.
fn named<T>(
    fields: &Fields<'_>,
    key: &'static str,
    broken: &mut Broken,
    problems: &mut Vec<Diagnostic>,
    read: impl Fn(&Node, &mut Vec<Diagnostic>) -> Option<T>,
) -> Named<T> {
    let Some(node) = fields.get(key) else { return Named::new() };
    let NodeValue::Map(entries) = &node.value else {
        if node.value != NodeValue::Null {
            let message = format!("`{key}` is a mapping from names, not {}", node.what());
            problems.push(Diagnostic::error(code::TYPE, node.span.clone(), message));
        }
        return Named::new();
    };
    let mut all = Named::new();
    for (name, entry) in entries {
        if !is_identifier(name) {
            let message = format!("`{name}` is not a name");
            problems
                .push(Diagnostic::error(code::VALUE, entry.key_span.clone(), message).help(
                    "a lower-case letter, then at most 63 lower-case letters, digits or `_`",
                ));
        }
        if let Some(value) = read(&entry.node, problems) {
            let (key_span, node) = (entry.key_span.clone(), entry.node.clone());
            all.insert(name.clone(), Declared { key_span, node, value });
        } else {
            broken.insert((key, name.clone()));
        }
    }
    all
}

/// A declaration that is one mapping with fixed keys.
pub(super) fn one<T: DeserializeOwned>(
    node: &Node,
    keys: &Keys,
    problems: &mut Vec<Diagnostic>,
) -> Option<T> {
    let before = problems.len();
    Fields::new(node, keys, problems);
    if problems.len() > before {
        return None;
    }
    node_de::read(node).map_err(|error| problems.push(of_type(error))).ok()
}

/// A connection; its other parts take precedence over those of its `url`.
fn connection(node: &Node, problems: &mut Vec<Diagnostic>) -> Option<Connection> {
    let connection: Connection = one(node, &CONNECTION, problems)?;
    let open_password = |text: &str| !text.contains("secrets.");
    let open_url = |text: &str| PASSWORD_IN_URL.is_match(text);
    let password = node.get("password").filter(|node| node.text().is_some_and(open_password));
    let url = node.get("url").filter(|node| node.text().is_some_and(open_url));
    for node in [password, url].into_iter().flatten() {
        problems.push(
            Diagnostic::error(code::SECRET_PLACE, node.span.clone(), "a password in the open")
                .why("what a runbook says itself is written into every plan and journal")
                .help("declare it under `secrets` and write `{{ secrets.<name> }}`"),
        );
    }
    target(node, problems);
    Some(connection)
}

/// Where a connection leads.
fn target(node: &Node, problems: &mut Vec<Diagnostic>) {
    let literal = |key: &str| {
        let node = node.get(key)?;
        node.text().filter(|text| !is_template(text)).map(|text| (text, node.span.clone()))
    };
    let schemes = ["postgresql://", "postgres://"];
    if let Some((url, span)) = literal("url")
        && !schemes.iter().any(|scheme| url.starts_with(scheme))
    {
        let problem = Diagnostic::error(code::VALUE, span, "`url` is not one of PostgreSQL");
        problems.push(problem.help("write `postgresql://user@host:5432/database`"));
    }
    if let Some((port, span)) = literal("port")
        && !port.parse::<u16>().is_ok_and(|port| port > 0)
    {
        let message = format!("`{port}` is not a port");
        problems.push(Diagnostic::error(code::VALUE, span, message).help("from 1 to 65535"));
    }
    if let Some((mode, span)) = literal("sslmode")
        && !SSL_MODES.contains(&mode)
    {
        let message = format!("`{mode}` is not a value of `sslmode`");
        let problem = Diagnostic::error(code::VALUE, span, message);
        problems.push(problem.help(suggest::one_of(mode, &SSL_MODES)));
    }
    for (leader, others) in [("url", &["host", "port"][..]), ("docker", &["url", "host", "port"])] {
        two_ways(node, leader, others, problems);
    }
}

/// Only one key says where the server is.
fn two_ways(node: &Node, leader: &str, others: &[&str], problems: &mut Vec<Diagnostic>) {
    let NodeValue::Map(entries) = &node.value else { return };
    let Some(first) = entries.get(leader) else { return };
    for key in others {
        let Some(entry) = entries.get(*key) else { continue };
        let message =
            format!("`{key}` beside `{leader}`: it is unclear which one leads to the server");
        problems.push(
            Diagnostic::error(code::VALUE, entry.key_span.clone(), message)
                .also(first.key_span.clone(), "the other one")
                .help(format!("say the {key} in one of them only")),
        );
    }
}

/// A value that may be given partly.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PartialRetry {
    pub(super) limit: Option<u32>,
    pub(super) interval: Option<Span>,
    pub(super) backoff: Option<f64>,
    pub(super) max_interval: Option<Span>,
    pub(super) jitter: Option<f64>,
}
