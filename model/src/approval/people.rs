//! `approvers.yaml`: who may be asked, in which roles, and the SSH keys that prove it.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::question::same_person;
use super::signature::{KeyError, PublicKeyText};
use super::{Request, Signature};
use crate::codes::{approval as code, language};
use crate::diagnostic::{Diagnostic, sort};
use crate::document;
use crate::node::{Node, NodeError, NodeValue};
use crate::plan::Plan;
use crate::template::is_template;
use crate::{node_de, suggest};

/// The most people that a plan assumes in one role.
const MOST_ASSUMED: u64 = 100;

/// The people of a run, as they were when it started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct People {
    /// The file, as it was found.
    pub file: String,
    /// SHA-256 of its bytes, lower-case hex.
    pub sha256: String,
    /// The people, in the order of the file.
    pub persons: Vec<Person>,
}

/// A person who may be asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Person {
    /// Unique in the file.
    pub name: String,
    /// What they may answer for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
    /// Their SSH public key, as `type base64`; without one they can only claim to be who they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The account they start runs from, where it is not their name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<String>,
}

/// Why nobody could answer a question.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Staffing {
    /// An entry of `approvers` is neither a role nor a name.
    #[error("nobody in `{file}` has the role or the name `{entry}`")]
    Nobody {
        /// The entry.
        entry: String,
        /// The file.
        file: String,
        /// What is known instead.
        help: String,
    },
    /// Not enough people.
    #[error("{required} persons must approve, and only {able} may: {names}")]
    TooFew {
        /// So many are needed.
        required: u32,
        /// So many there are.
        able: usize,
        /// Their names.
        names: String,
    },
}

impl Staffing {
    /// Its code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Nobody { .. } => code::NOBODY,
            Self::TooFew { .. } => code::TOO_FEW,
        }
    }

    /// What to do next.
    pub fn hint(&self) -> String {
        match self {
            Self::Nobody { help, .. } => help.clone(),
            Self::TooFew { .. } => "lower `required`, or add people to `approvers.yaml`".to_owned(),
        }
    }
}

impl Person {
    /// Whether `entry` of an `approvers` list means this person.
    pub fn is_meant_by(&self, entry: &str) -> bool {
        self.is(entry) || self.roles.iter().any(|role| role == entry)
    }

    /// Whether the person has this name.
    pub fn is(&self, name: &str) -> bool {
        same_person(&self.name, name)
    }

    /// Whether the account that started a run is theirs.
    pub fn uses_login(&self, login: &str) -> bool {
        self.login.as_deref().map_or_else(|| self.is(login), |own| own == login)
    }

    /// Their key, read.
    pub fn public_key(&self) -> Option<PublicKeyText> {
        PublicKeyText::read(self.key.as_deref()?).ok()
    }
}

impl People {
    /// Those whom a question asks.
    pub fn asked<'a>(&'a self, request: &'a Request) -> impl Iterator<Item = &'a Person> {
        let all = request.approvers.is_empty();
        let meant = move |person: &&Person| {
            all || request.approvers.iter().any(|entry| person.is_meant_by(entry))
        };
        self.persons.iter().filter(meant)
    }

    /// The person of that name.
    pub fn named(&self, name: &str) -> Option<&Person> {
        self.persons.iter().find(|person| person.is(name))
    }

    /// The person whose key a signature names.
    pub fn signer(&self, signature: &Signature) -> Option<&Person> {
        let signs = |person: &&Person| person.public_key().is_some_and(|key| signature.is_by(&key));
        self.persons.iter().find(signs)
    }

    /// Why not enough of these people could answer, when `starter` starts the run.
    pub fn lacks(&self, request: &Request, starter: &str) -> Option<Staffing> {
        for entry in &request.approvers {
            if !self.persons.iter().any(|person| person.is_meant_by(entry)) {
                let names = self.persons.iter().map(|person| &person.name);
                let roles = self.persons.iter().flat_map(|person| &person.roles);
                let mut known: Vec<&String> = names.chain(roles).collect();
                known.sort();
                known.dedup();
                let (entry, file) = (entry.clone(), self.file.clone());
                let help = suggest::one_of(&entry, &known);
                return Some(Staffing::Nobody { entry, file, help });
            }
        }
        let asked: Vec<&Person> = self.asked(request).collect();
        let keys = asked.iter().any(|person| person.key.is_some());
        let able = asked.into_iter().filter(|person| !keys || person.key.is_some());
        let able = able.filter(|person| request.allow_self || !person.uses_login(starter));
        let names: Vec<&str> = able.map(|person| person.name.as_str()).collect();
        let required = request.required;
        let free = request.approvers.is_empty() && !keys;
        (!free && names.len() < required as usize).then(|| {
            let names_text = if names.is_empty() { "nobody".to_owned() } else { names.join(", ") };
            Staffing::TooFew { required, able: names.len(), names: names_text }
        })
    }
}

/// Reads `approvers.yaml`; every problem is reported with its place.
pub(super) fn read(text: &str) -> Result<Vec<Person>, Vec<Diagnostic>> {
    let root = document::parse(text)?;
    let mut problems = Vec::new();
    let entries = entries(&root, &mut problems);
    let mut persons = Vec::new();
    for node in entries {
        match node_de::read::<Person>(node) {
            Ok(person) => persons.push((person, node)),
            Err(error) => problems.push(misfit(error)),
        }
    }
    check_keys(&mut persons, &mut problems);
    check_names(&persons, &mut problems);
    if problems.is_empty() {
        return Ok(persons.into_iter().map(|(person, _)| person).collect());
    }
    sort(&mut problems);
    Err(problems)
}

impl People {
    /// People as a plan assumes them: as many in each role as the steps ask for. Nothing when
    /// the plan does not know the roles.
    pub fn assumed(plan: &Plan) -> Option<Self> {
        let mut persons = Vec::new();
        for step in plan.steps.iter().filter(|step| step.footprint.waits_for_person) {
            let entries = step.with.get("approvers").and_then(Value::as_array);
            let required = step.with.get("required").and_then(Value::as_u64).unwrap_or(1);
            for entry in entries.into_iter().flatten() {
                let role = entry.as_str().filter(|entry| !is_template(entry))?;
                persons.extend((1..=required.min(MOST_ASSUMED)).map(|number| Person {
                    name: format!("{role} {number}"),
                    roles: vec![role.to_owned()],
                    key: None,
                    login: None,
                }));
            }
        }
        let (file, sha256) = ("assumed".to_owned(), String::new());
        (!persons.is_empty()).then_some(Self { file, sha256, persons })
    }

    /// Reads `approvers.yaml`; every problem is reported with its place.
    pub fn read(file: &str, text: &str, sha256: String) -> Result<Self, Vec<Diagnostic>> {
        let persons = read(text)?;
        Ok(Self { file: file.to_owned(), sha256, persons })
    }
}

/// The nodes under `approvers`; `version` and unknown keys are looked at.
fn entries<'a>(root: &'a Node, problems: &mut Vec<Diagnostic>) -> Vec<&'a Node> {
    const KEYS: [&str; 2] = ["version", "approvers"];
    let NodeValue::Map(map) = &root.value else {
        let message = format!("expected a mapping, found {}", root.what());
        let problem = Diagnostic::error(language::TYPE, root.span.clone(), message);
        problems.push(problem.help("write `version: 1` and `approvers:`"));
        return Vec::new();
    };
    for (key, entry) in map.iter().filter(|(key, _)| !KEYS.contains(&key.as_str())) {
        let message = format!("unknown key `{key}` in a file of approvers");
        let problem = Diagnostic::error(language::UNKNOWN_KEY, entry.key_span.clone(), message);
        problems.push(problem.help(suggest::one_of(key, &KEYS)));
    }
    for key in KEYS.iter().filter(|key| !map.contains_key(**key)) {
        let message = format!("a file of approvers needs `{key}`");
        let problem = Diagnostic::error(language::MISSING_KEY, first(root), message);
        problems.push(problem.help(format!("add `{key}:`")));
    }
    if let Some(version) = root.get("version").filter(|node| node.text() != Some("1")) {
        let message = format!("version {} of the file is not known", version.what());
        let problem = Diagnostic::error(language::VALUE, version.span.clone(), message);
        problems.push(problem.help("write `version: 1`"));
    }
    match root.get("approvers").map(|node| (&node.value, node)) {
        Some((NodeValue::List(items), _)) => items.iter().collect(),
        Some((_, node)) => {
            let message = format!("expected a list, found {}", node.what());
            problems.push(Diagnostic::error(language::TYPE, node.span.clone(), message));
            Vec::new()
        }
        None => Vec::new(),
    }
}

fn first(root: &Node) -> crate::node::SourceSpan {
    match &root.value {
        NodeValue::Map(map) => {
            map.values().next().map_or(root.span.clone(), |entry| entry.key_span.clone())
        }
        _ => root.span.clone(),
    }
}

fn misfit(error: NodeError) -> Diagnostic {
    let NodeError { span, message, help } = error;
    let code = match message.as_str() {
        text if text.starts_with("unknown key") => language::UNKNOWN_KEY,
        text if text.contains("needs `") || text.starts_with("missing") => language::MISSING_KEY,
        _ => language::TYPE,
    };
    Diagnostic { help, ..Diagnostic::error(code, span, message) }
}

fn place<'a>(node: &'a Node, key: &str) -> &'a Node {
    node.get(key).unwrap_or(node)
}

/// Reads each key, drops its comment, and looks for one that two persons have.
fn check_keys(persons: &mut [(Person, &Node)], problems: &mut Vec<Diagnostic>) {
    let mut seen: HashMap<String, (String, &Node)> = HashMap::new();
    for (person, node) in persons {
        let Some(line) = &person.key else { continue };
        let at = place(node, "key");
        let key = match PublicKeyText::read(line) {
            Ok(key) => key,
            Err(error) => {
                problems.push(unusable(&error, at));
                continue;
            }
        };
        if let Some((other, earlier)) = seen.get(key.as_str()) {
            let message = format!("`{}` and `{other}` have one key", person.name);
            problems.push(
                Diagnostic::error(code::DUPLICATE_KEY, at.span.clone(), message)
                    .also(earlier.span.clone(), "the other one")
                    .why("a signature could not tell them apart"),
            );
        }
        seen.insert(key.as_str().to_owned(), (person.name.clone(), at));
        person.key = Some(key.as_str().to_owned());
    }
}

fn unusable(error: &KeyError, at: &Node) -> Diagnostic {
    let (code, help) = match error {
        KeyError::Malformed(_) => {
            (code::MALFORMED_KEY, "paste the line of an `id_ed25519.pub` file, whole")
        }
        KeyError::Type(_) => (
            code::KEY_TYPE,
            "use ssh-ed25519, sk-ssh-ed25519, ecdsa on nistp256 or nistp384, or rsa of 2048 bits and more",
        ),
    };
    Diagnostic::error(code, at.span.clone(), error.to_string()).help(help)
}

fn check_names(persons: &[(Person, &Node)], problems: &mut Vec<Diagnostic>) {
    for (number, (person, node)) in persons.iter().enumerate() {
        let at = place(node, "name");
        if person.name.trim().is_empty() {
            let problem = Diagnostic::error(language::VALUE, at.span.clone(), "the name is empty");
            problems.push(problem.help("write who it is"));
            continue;
        }
        let twin = persons[..number].iter().find(|(other, _)| other.is(&person.name));
        if let Some((_, earlier)) = twin {
            let message = format!("`{}` stands twice", person.name);
            problems.push(
                Diagnostic::error(code::DUPLICATE_NAME, at.span.clone(), message)
                    .also(place(earlier, "name").span.clone(), "the other one")
                    .why("two approvals of one name would count as one person"),
            );
        }
        let role = persons.iter().find(|(other, _)| other.roles.contains(&person.name));
        if role.is_some() {
            let message = format!("`{}` is a name and a role", person.name);
            problems.push(
                Diagnostic::error(code::DUPLICATE_NAME, at.span.clone(), message)
                    .why("`approvers` could not tell which one is meant"),
            );
        }
    }
}
