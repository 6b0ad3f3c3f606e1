//! Stores, and the keys under `aws` that those on S3 take over.

use super::Declared;
use super::declare::one;
use super::fields::{Fields, Keys};
use crate::codes::language as code;
use crate::diagnostic::Diagnostic;
use crate::node::{Node, NodeValue};
use crate::plan::{Aws, Store};
use crate::s3_url::{S3Url, SCHEME};
use crate::suggest;
use crate::template::is_template;

pub(crate) const STORE: Keys = Keys {
    what: "a store",
    known: &[
        "url",
        "min_proof",
        "encrypt",
        "decrypt",
        "region",
        "endpoint_url",
        "profile",
        "storage_class",
        "kms_key",
        "object_lock",
        "path_style",
        "compatible",
    ],
    later: &[],
};
pub(crate) const AWS: Keys =
    Keys { what: "`aws`", known: &["region", "profile", "endpoint_url"], later: &[] };

/// Keys that mean something on S3 only.
const OF_S3: &[&str] = &[
    "region",
    "endpoint_url",
    "profile",
    "storage_class",
    "kms_key",
    "object_lock",
    "path_style",
    "compatible",
];

/// Classes whose objects can be read at once.
/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html>
const CLASSES: &[&str] = &[
    "STANDARD",
    "STANDARD_IA",
    "ONEZONE_IA",
    "INTELLIGENT_TIERING",
    "GLACIER_IR",
    "REDUCED_REDUNDANCY",
    "EXPRESS_ONEZONE",
];
/// Classes whose objects take minutes to hours until they can be read.
const ARCHIVES: &[&str] = &["GLACIER", "DEEP_ARCHIVE"];

/// Reads `aws`.
pub(super) fn aws(fields: &Fields<'_>, problems: &mut Vec<Diagnostic>) -> Option<Declared<Aws>> {
    let entry = fields.entry("aws")?;
    let value: Aws = one(&entry.node, &AWS, problems)?;
    endpoint(&entry.node, problems);
    Some(Declared { key_span: entry.key_span.clone(), node: entry.node.clone(), value })
}

/// Reads one store; what it does not say of S3 comes from `aws`.
pub(super) fn read(
    node: &Node,
    aws: Option<&Declared<Aws>>,
    problems: &mut Vec<Diagnostic>,
) -> Option<Store> {
    let mut store: Store = one(node, &STORE, problems)?;
    super::sealing::check(node, problems);
    url(node, problems);
    endpoint(node, problems);
    storage_class(node, store.compatible, problems);
    lock(node, problems);
    if let Some(aws) = aws.map(|aws| &aws.value)
        && may_be_on_s3(&store.url)
    {
        fill(&mut store.region, aws.region.as_ref());
        fill(&mut store.profile, aws.profile.as_ref());
        fill(&mut store.endpoint_url, aws.endpoint_url.as_ref());
    }
    Some(store)
}

impl Aws {
    /// What it does not say itself comes from `other`.
    pub(super) fn take_over(&mut self, other: &Self) {
        fill(&mut self.region, other.region.as_ref());
        fill(&mut self.profile, other.profile.as_ref());
        fill(&mut self.endpoint_url, other.endpoint_url.as_ref());
    }
}

fn fill(own: &mut Option<String>, other: Option<&String>) {
    *own = own.take().or_else(|| other.cloned());
}

/// Whether the store lies on S3, or may do so when its parameters are known.
pub(super) fn may_be_on_s3(url: &str) -> bool {
    is_template(url) || url.starts_with(SCHEME)
}

/// Text under `key` that is known now.
fn literal<'a>(node: &'a Node, key: &str) -> Option<(&'a str, &'a Node)> {
    let node = node.get(key)?;
    node.text().filter(|text| !is_template(text)).map(|text| (text, node))
}

fn url(store: &Node, problems: &mut Vec<Diagnostic>) {
    let Some((url, node)) = literal(store, "url") else { return };
    if url.starts_with("file:///") {
        only_on_s3(store, problems);
        return;
    }
    let help = "write `file:///path` or `s3://bucket/folder`";
    let problem = match (url.parse::<S3Url>(), url.split_once("://")) {
        (Ok(_), _) => return,
        (Err(why), Some(("s3", _))) => {
            let message = format!("`{url}` is not a store's URL");
            Diagnostic::error(code::VALUE, node.span.clone(), message).why(why.to_string())
        }
        (Err(_), Some((scheme, _))) if scheme != "file" => {
            let message = format!("stores at `{scheme}://` are not supported by this version");
            Diagnostic::error(code::NOT_YET, node.span.clone(), message)
        }
        _ => {
            let message = format!("`{url}` is not a store's URL");
            Diagnostic::error(code::VALUE, node.span.clone(), message)
        }
    };
    problems.push(problem.help(help));
}

fn only_on_s3(store: &Node, problems: &mut Vec<Diagnostic>) {
    let NodeValue::Map(entries) = &store.value else { return };
    for (key, entry) in entries.iter().filter(|(key, _)| OF_S3.contains(&key.as_str())) {
        let message = format!("`{key}` has no meaning for a store at `file://`");
        let problem = Diagnostic::error(code::NO_MEANING, entry.key_span.clone(), message);
        problems.push(problem.help(format!("remove `{key}`, or give a `url` at `s3://`")));
    }
}

/// Checks `endpoint_url` of a mapping, where it has one.
pub(super) fn endpoint(node: &Node, problems: &mut Vec<Diagnostic>) {
    let Some((url, node)) = literal(node, "endpoint_url") else { return };
    let host = ["https://", "http://"].iter().find_map(|scheme| url.strip_prefix(scheme));
    if host.is_none_or(|host| host.is_empty() || host.starts_with('/') || host.contains('@')) {
        let message = format!("`{url}` is not the URL of an endpoint");
        let problem = Diagnostic::error(code::VALUE, node.span.clone(), message);
        problems.push(problem.help("write `https://s3.example.com` or `http://127.0.0.1:9000`"));
    }
}

fn storage_class(store: &Node, compatible: bool, problems: &mut Vec<Diagnostic>) {
    let Some((class, node)) = literal(store, "storage_class") else { return };
    if ARCHIVES.contains(&class) {
        problems.push(
            Diagnostic::error(
                code::VALUE,
                node.span.clone(),
                format!("objects of class `{class}` cannot be read at once"),
            )
            .why("a set could be neither listed, nor proven, nor restored within any objective")
            .help("write `GLACIER_IR`, which can"),
        );
    } else if !compatible && !CLASSES.contains(&class) {
        let message = format!("`{class}` is not a storage class of S3");
        let problem = Diagnostic::error(code::VALUE, node.span.clone(), message);
        problems.push(problem.help(suggest::one_of(class, CLASSES)));
    }
}

fn lock(store: &Node, problems: &mut Vec<Diagnostic>) {
    let Some(days) = store.get("object_lock").and_then(|lock| lock.get("days")) else { return };
    if !days.text().is_some_and(|days| matches!(days.parse(), Ok(1..=36500_u32))) {
        let message = "`days` must be from 1 to 36500";
        let problem = Diagnostic::error(code::VALUE, days.span.clone(), message);
        problems.push(problem.help("a lock of no days would hold nothing"));
    }
}
