//! `allowed_regions`: where steps may act, as far as the names of servers tell.

use std::sync::LazyLock;

use regex::Regex;

use super::Runbook;
use super::conduct::texts_of;
use super::expand::Expansion;
use super::fields::Fields;
use super::scope::Scope;
use crate::codes::language as code;
use crate::diagnostic::Diagnostic;
use crate::footprint::Footprint;
use crate::node::{Node, NodeValue, SourceSpan};
use crate::s3_url::SCHEME;
use crate::template::{self, Template};

/// Hosts of clouds that name their region: `db.x.eu-west-1.rds.amazonaws.com`.
static REGION: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r"(?i)\b([a-z]{2}(?:-[a-z]+){1,2}-[0-9])\.[a-z0-9.-]*(?:amazonaws\.com|supabase\.com|api\.aws)\b",
    )
    .expect("the pattern is a constant")
});

/// Reads the list.
pub(super) fn read(fields: &Fields<'_>, problems: &mut Vec<Diagnostic>) -> Vec<String> {
    let Some(list) = fields.texts("allowed_regions", problems) else { return Vec::new() };
    if let (true, Some(node)) = (list.is_empty(), fields.get("allowed_regions")) {
        let message = "`allowed_regions` is empty, so that no step may act anywhere";
        let problem = Diagnostic::error(code::VALUE, node.span.clone(), message);
        problems.push(problem.help("list the regions, or remove the key to allow all"));
    }
    texts_of(&list)
}

/// The region that the name of a server tells.
pub(super) fn region_in(text: &str) -> Option<String> {
    let found = REGION.captures(text)?;
    Some(found[1].to_lowercase())
}

/// Reports what a step talks to outside the allowed regions.
pub(super) fn step(
    allowed: &[String],
    footprint: &Footprint,
    input: &Node,
    problems: &mut Vec<Diagnostic>,
) {
    if allowed.is_empty() {
        return;
    }
    for endpoint in &footprint.endpoints {
        let Some(region) = region_in(endpoint).filter(|region| !allowed.contains(region)) else {
            continue;
        };
        let span = names(input, &region).unwrap_or_else(|| input.span.clone());
        problems.push(outside(&region, span, allowed));
    }
}

/// Reports connections and stores outside the allowed regions.
pub(super) fn targets(expansion: &Expansion<'_>, scopes: &[Scope], problems: &mut Vec<Diagnostic>) {
    let allowed = &expansion.parts[0].runbook.conduct.allowed_regions;
    if allowed.is_empty() {
        return;
    }
    for (part, scope) in expansion.parts.iter().zip(scopes) {
        let connections = part.runbook.connections.values();
        let places = connections.flat_map(|one| ["url", "host"].map(|key| one.node.get(key)));
        for node in places.flatten() {
            let region = filled(node, scope).and_then(|text| region_in(&text));
            if let Some(region) = region.filter(|region| !allowed.contains(region)) {
                problems.push(outside(&region, node.span.clone(), allowed));
            }
        }
        for (region, node) in stores(part.runbook, scope) {
            if !allowed.contains(&region) {
                problems.push(outside(&region, node.span.clone(), allowed));
            }
        }
    }
}

/// The regions that stores on S3 name, with the places that do so.
fn stores<'a>(runbook: &'a Runbook, scope: &Scope) -> Vec<(String, &'a Node)> {
    let mut named = Vec::new();
    let common = runbook.aws.as_ref().map(|aws| &aws.node);
    for store in runbook.stores.values() {
        let url = store.node.get("url").and_then(|node| filled(node, scope));
        if url.is_some_and(|url| !url.starts_with(SCHEME)) {
            continue;
        }
        let place = |key| store.node.get(key).or_else(|| common?.get(key));
        let (region, endpoint) = (place("region"), place("endpoint_url"));
        named.extend(region.and_then(|node| Some((filled(node, scope)?, node))));
        named.extend(endpoint.and_then(|node| Some((region_in(&filled(node, scope)?)?, node))));
    }
    named
}

/// The text of a node, as far as it is known before the run.
fn filled(node: &Node, scope: &Scope) -> Option<String> {
    let text = node.text()?;
    if !template::is_template(text) {
        return Some(text.to_owned());
    }
    let value = Template::parse(text).ok()?.render(scope.plain()).ok()?;
    value.as_str().map(str::to_owned)
}

/// The place of the text that names a region.
fn names(node: &Node, region: &str) -> Option<SourceSpan> {
    match &node.value {
        NodeValue::Null => None,
        NodeValue::Scalar(scalar) => {
            (region_in(&scalar.text).as_deref() == Some(region)).then(|| node.span.clone())
        }
        NodeValue::List(items) => items.iter().find_map(|item| names(item, region)),
        NodeValue::Map(entries) => entries.values().find_map(|one| names(&one.node, region)),
    }
}

fn outside(region: &str, span: SourceSpan, allowed: &[String]) -> Diagnostic {
    let message = format!("this is in `{region}`, which is not an allowed region");
    Diagnostic::error(code::REGION, span, message)
        .why(format!("`allowed_regions` has `{}`", allowed.join("`, `")))
        .help("act in an allowed region, or add this one")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_server_tells_its_region() {
        for (text, region) in [
            ("https://s3.eu-west-1.amazonaws.com/b", Some("eu-west-1")),
            ("postgresql://u@db.c9x.us-east-2.rds.amazonaws.com:5432/app", Some("us-east-2")),
            ("aws-0-eu-central-1.pooler.supabase.com", Some("eu-central-1")),
            ("https://sqs.us-gov-west-1.amazonaws.com", Some("us-gov-west-1")),
            ("https://S3.AP-SOUTHEAST-2.AMAZONAWS.COM", Some("ap-southeast-2")),
            ("https://s3.amazonaws.com/eu-west-1", None),
            ("https://eu-west-1.example.com", None),
            ("db.internal", None),
        ] {
            assert_eq!(region_in(text).as_deref(), region, "{text}");
        }
    }
}
