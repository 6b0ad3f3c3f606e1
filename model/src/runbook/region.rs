//! `allowed_regions`: where steps may act, as far as they and the names of servers tell; and where
//! the things lie that a runbook declares.

use indexmap::IndexSet;

use super::Runbook;
use super::conduct::texts_of;
use super::expand::Expansion;
use super::fields::Fields;
use super::input::Input;
use super::scope::Scope;
use crate::codes::language as code;
use crate::diagnostic::Diagnostic;
use crate::footprint::Footprint;
use crate::node::{Node, NodeValue, SourceSpan};
use crate::region::{Places, is_of_the_world, named_in as region_in};
use crate::s3_url::SCHEME;
use crate::template::{self, Template};

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
    let endpoints = footprint.endpoints.iter().filter_map(|endpoint| region_in(endpoint));
    // Where a service of the whole world is changed is nobody's choice.
    let asked = footprint.aws.iter().filter(|asked| !is_of_the_world(&asked.service));
    let asked = asked.filter_map(|asked| asked.region.clone());
    let all: IndexSet<String> = endpoints.chain(asked).collect();
    for region in all.iter().filter(|region| !allowed.contains(region)) {
        let span = names(input, region).unwrap_or_else(|| input.span.clone());
        problems.push(outside(region, span, allowed));
    }
}

/// Takes regions out of a footprint that stand for any, or that steps will give.
pub(super) fn forget(footprint: &mut Footprint, input: &Input) {
    let unknown = |region: &String| input.is_open(region);
    for asked in &mut footprint.aws {
        asked.region = asked.region.take().filter(|region| !unknown(region));
    }
}

/// Where connections, stores and secrets lie, as far as that is known before the run.
pub(super) fn places(expansion: &Expansion<'_>, scopes: &[Scope]) -> Places {
    let mut places = Places::default();
    for (part, scope) in expansion.parts.iter().zip(scopes) {
        let fill = |text: &str| known(text, scope);
        let runbook = part.runbook;
        for (name, declared) in &runbook.connections {
            places.connection(part.id_of(name), &declared.value, &fill);
        }
        for (name, declared) in &runbook.stores {
            places.store(part.id_of(name), &declared.value, &fill);
        }
        for (name, declared) in &runbook.secrets {
            places.secret(part.id_of(name), &declared.value, &fill);
        }
    }
    places
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
    known(node.text()?, scope)
}

/// A text, filled; nothing when a parameter without a value stands in it.
fn known(text: &str, scope: &Scope) -> Option<String> {
    if !template::is_template(text) {
        return Some(text.to_owned());
    }
    let template = Template::parse(text).ok()?;
    if scope.is_sampled(&template.references()) {
        return None;
    }
    template.render(scope.plain()).ok()?.as_str().map(str::to_owned)
}

/// The place of the text that names a region.
fn names(node: &Node, region: &str) -> Option<SourceSpan> {
    match &node.value {
        NodeValue::Null => None,
        NodeValue::Scalar(scalar) => {
            let here = scalar.text == region || region_in(&scalar.text).as_deref() == Some(region);
            here.then(|| node.span.clone())
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
