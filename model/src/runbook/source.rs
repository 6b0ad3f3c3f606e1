//! Where a secret is read from; what one on AWS takes over from `aws`.

use super::declare::{SECRET, one};
use super::names::{Names, Place};
use super::scope::parsed;
use super::{Declared, store};
use crate::codes::language as code;
use crate::diagnostic::Diagnostic;
use crate::node::{Node, NodeValue};
use crate::plan::{Aws, SecretSource};
use crate::template;

/// The sources that AWS keeps.
const ON_AWS: [&str; 2] = ["aws_ssm", "aws_secretsmanager"];

/// Reads the source of one secret; what one on AWS does not say of its place comes from `aws`.
pub(super) fn read(
    node: &Node,
    aws: Option<&Declared<Aws>>,
    problems: &mut Vec<Diagnostic>,
) -> Option<SecretSource> {
    let mut source: SecretSource = one(node, &SECRET, problems)?;
    let place = match &mut source {
        SecretSource::AwsSsm(parameter) => &mut parameter.place,
        SecretSource::AwsSecretsmanager(secret) => &mut secret.place,
        _ => return Some(source),
    };
    if let Some(aws) = aws {
        place.take_over(&aws.value);
    }
    if let Some((key, inner)) = on_aws(node) {
        store::endpoint(inner, problems);
        nameless(key, inner, problems);
    }
    Some(source)
}

/// What stands under the source, when AWS keeps it.
fn on_aws(node: &Node) -> Option<(&'static str, &Node)> {
    ON_AWS.into_iter().find_map(|key| Some((key, node.get(key)?)))
}

fn nameless(key: &str, inner: &Node, problems: &mut Vec<Diagnostic>) {
    let name = ["name", "id"].into_iter().find_map(|name| inner.get(name)).unwrap_or(inner);
    if name.text().is_some_and(str::is_empty) {
        let message = format!("`{key}` names nothing");
        problems.push(Diagnostic::error(code::VALUE, name.span.clone(), message));
    }
}

/// Checks the templates of the sources that AWS keeps: they are settled before any secret is read.
pub(super) fn check(names: &mut Names<'_>, problems: &mut Vec<Diagnostic>) {
    let runbook = names.runbook;
    let mut takes_over = false;
    for declared in runbook.secrets.values() {
        let Some((_, inner)) = on_aws(&declared.node) else { continue };
        takes_over = true;
        for (text, node) in templates(inner) {
            parsed(text, node, names, Place::Source, problems);
        }
    }
    let aws = runbook.aws.as_ref().filter(|_| takes_over);
    for (text, node) in aws.into_iter().flat_map(|aws| templates(&aws.node)) {
        let references = template::references(text).unwrap_or_default();
        for secret in references.iter().filter(|one| one.root == "secrets") {
            // Every other name has been looked at with the stores.
            problems.extend(names.check(secret, &node.span, Place::Source).err().map(|it| *it));
        }
    }
}

/// The templates of a mapping, or the one that stands in its place.
fn templates(node: &Node) -> Vec<(&str, &Node)> {
    let nodes: Vec<&Node> = match &node.value {
        NodeValue::Map(entries) => entries.values().map(|entry| &entry.node).collect(),
        _ => vec![node],
    };
    let texts = nodes.into_iter().filter_map(|node| Some((node.text()?, node)));
    texts.filter(|(text, _)| template::is_template(text)).collect()
}
