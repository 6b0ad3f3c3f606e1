//! The picture in Graphviz's language (<https://graphviz.org/doc/info/lang.html>).

use std::fmt::{self, Write as _};

use super::{Graph, Node};
use crate::effect::Effect;

/// The text of the digraph.
pub fn dot(graph: &Graph) -> String {
    let mut out = String::new();
    write(&mut out, graph).expect("writing to a string does not fail");
    out
}

fn write(out: &mut String, graph: &Graph) -> fmt::Result {
    writeln!(out, "digraph {} {{", quoted(&graph.title))?;
    writeln!(out, "    rankdir=TB;")?;
    writeln!(out, "    node [shape=box, style=rounded, fontname=\"sans-serif\"];")?;
    for (at, cluster) in graph.clusters.iter().enumerate() {
        writeln!(out, "    subgraph {} {{", quoted(&name(at, None, cluster.label.is_some())))?;
        if let Some(label) = &cluster.label {
            writeln!(out, "        label={};", quoted(label))?;
        }
        nodes(out, graph, &cluster.nodes, "        ")?;
        for (group, (label, members)) in cluster.groups.iter().enumerate() {
            writeln!(out, "        subgraph {} {{", quoted(&name(at, Some(group), true)))?;
            writeln!(out, "            label={};", quoted(&format!("for each: {label}")))?;
            nodes(out, graph, members, "            ")?;
            writeln!(out, "        }}")?;
        }
        writeln!(out, "    }}")?;
    }
    for edge in &graph.edges {
        let style = if edge.undo { " [style=dashed, label=undo]" } else { "" };
        writeln!(out, "    n{} -> n{}{style};", edge.from, edge.to)?;
    }
    writeln!(out, "}}")
}

/// Graphviz draws a box around a subgraph whose name begins with `cluster`.
fn name(at: usize, group: Option<usize>, boxed: bool) -> String {
    let group = group.map(|group| format!("_{group}")).unwrap_or_default();
    let prefix = if boxed { "cluster" } else { "steps" };
    format!("{prefix}_{at}{group}")
}

fn nodes(out: &mut String, graph: &Graph, members: &[usize], indent: &str) -> fmt::Result {
    for at in members {
        let node = &graph.nodes[*at];
        writeln!(out, "{indent}n{at} [label={}{}];", quoted(&label(node)), look(node.effect))?;
    }
    Ok(())
}

fn label(node: &Node) -> String {
    let condition = node.condition.iter().map(|it| format!("\nif {it}"));
    format!("{}\n{}{}", node.id, node.uses, condition.collect::<String>())
}

fn look(effect: Effect) -> &'static str {
    match effect {
        Effect::Read => "",
        Effect::Reversible => ", color=\"#2563eb\"",
        Effect::Destructive => ", color=\"#dc2626\", penwidth=3",
        Effect::Irreversible => ", color=\"#dc2626\", penwidth=3, style=\"rounded,dashed\"",
    }
}

/// A quoted string; a backslash would begin an escape of Graphviz's own.
fn quoted(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!("\"{text}\"")
}
