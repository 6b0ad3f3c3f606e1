//! The picture as a Mermaid flowchart, which GitHub and GitLab draw in Markdown
//! (<https://mermaid.js.org/syntax/flowchart.html>).

use std::fmt::{self, Write as _};

use super::{Graph, Node};
use crate::effect::Effect;

const CLASSES: &str = "    classDef reversible stroke:#2563eb
    classDef destructive stroke:#dc2626,stroke-width:3px
    classDef irreversible stroke:#dc2626,stroke-width:3px,stroke-dasharray:6 3
";

/// The text of the flowchart.
pub fn mermaid(graph: &Graph) -> String {
    let mut out = String::new();
    write(&mut out, graph).expect("writing to a string does not fail");
    out
}

fn write(out: &mut String, graph: &Graph) -> fmt::Result {
    writeln!(out, "flowchart TD")?;
    for (at, cluster) in graph.clusters.iter().enumerate() {
        let indent = if cluster.label.is_some() { "        " } else { "    " };
        if let Some(label) = &cluster.label {
            writeln!(out, "    subgraph c{at}[\"{}\"]", escaped(label))?;
        }
        nodes(out, graph, &cluster.nodes, indent)?;
        for (group, (label, members)) in cluster.groups.iter().enumerate() {
            writeln!(out, "{indent}subgraph c{at}g{group}[\"for each: {}\"]", escaped(label))?;
            nodes(out, graph, members, &format!("{indent}    "))?;
            writeln!(out, "{indent}end")?;
        }
        if cluster.label.is_some() {
            writeln!(out, "    end")?;
        }
    }
    for edge in &graph.edges {
        let arrow = if edge.undo { "-. undo .->" } else { "-->" };
        writeln!(out, "    n{} {arrow} n{}", edge.from, edge.to)?;
    }
    out.write_str(CLASSES)
}

fn nodes(out: &mut String, graph: &Graph, members: &[usize], indent: &str) -> fmt::Result {
    for at in members {
        let node = &graph.nodes[*at];
        writeln!(out, "{indent}n{at}[\"{}\"]{}", label(node), class(node.effect))?;
    }
    Ok(())
}

fn label(node: &Node) -> String {
    let condition = node.condition.iter().map(|it| format!("<br/>if {}", escaped(it)));
    let condition: String = condition.collect();
    format!("<b>{}</b><br/>{}{condition}", escaped(&node.id), escaped(&node.uses))
}

fn class(effect: Effect) -> &'static str {
    match effect {
        Effect::Read => "",
        Effect::Reversible => ":::reversible",
        Effect::Destructive => ":::destructive",
        Effect::Irreversible => ":::irreversible",
    }
}

/// Text as Mermaid's character codes: everything but letters, digits and plain marks, so that
/// neither Mermaid nor the HTML in its labels takes a character for its own.
fn escaped(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || matches!(c, ' ' | '_' | '-' | '.' | '/' | ',');
    let mut out = String::new();
    for c in text.chars() {
        if plain(c) {
            out.push(c);
        } else {
            write!(out, "#{};", u32::from(c)).expect("writing to a string does not fail");
        }
    }
    out
}
