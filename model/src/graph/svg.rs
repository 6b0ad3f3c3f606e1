//! The picture as SVG, drawn here: phases stand below each other, each in a box of its own, and
//! inside a box every step stands below what it runs after.

use std::fmt::{self, Write as _};

use super::{Cluster, Edge, Graph, Node};
use crate::effect::Effect;

const NODE: (usize, usize) = (220, 46);
const GAP: (usize, usize) = (28, 34);
const PADDING: usize = 20;
/// Room for the label of a box.
const LABEL: usize = 26;
/// The most characters of a line in a node.
const LINE: usize = 30;

const STYLE: &str = "\
  text { font: 13px sans-serif; fill: #111827 }
  .kind { font-size: 11px; fill: #6b7280 }
  .phase { fill: #f3f4f6; stroke: #d1d5db }
  .group { fill: none; stroke: #9ca3af; stroke-dasharray: 4 3 }
  .step { fill: #ffffff; stroke: #6b7280 }
  .reversible { stroke: #2563eb }
  .destructive { stroke: #dc2626; stroke-width: 3 }
  .irreversible { stroke: #dc2626; stroke-width: 3; stroke-dasharray: 6 3 }
  .edge { fill: none; stroke: #374151; marker-end: url(#arrow) }
  .undo { stroke-dasharray: 5 4 }
";

/// A box and where its corner is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Area {
    x: usize,
    y: usize,
    width: usize,
    height: usize,
}

/// Where everything stands.
struct Layout {
    nodes: Vec<Area>,
    clusters: Vec<Area>,
    width: usize,
    height: usize,
}

/// The text of the picture.
pub fn svg(graph: &Graph) -> String {
    let mut out = String::new();
    write(&mut out, graph, &layout(graph)).expect("writing to a string does not fail");
    out
}

fn layout(graph: &Graph) -> Layout {
    let mut nodes = vec![Area::default(); graph.nodes.len()];
    let mut clusters = Vec::new();
    let (mut y, mut widest) = (PADDING, 0);
    for cluster in &graph.clusters {
        let rows = rows(graph, cluster);
        let longest = rows.iter().map(Vec::len).max().unwrap_or_default().max(1);
        let width = longest * (NODE.0 + GAP.0) - GAP.0 + 2 * PADDING;
        let height = LABEL + rows.len() * (NODE.1 + GAP.1) - GAP.1 + PADDING;
        for (row, members) in rows.iter().enumerate() {
            for (column, at) in members.iter().enumerate() {
                let x = 2 * PADDING + column * (NODE.0 + GAP.0);
                let y = y + LABEL + row * (NODE.1 + GAP.1);
                nodes[*at] = Area { x, y, width: NODE.0, height: NODE.1 };
            }
        }
        clusters.push(Area { x: PADDING, y, width, height });
        widest = widest.max(width);
        y += height + GAP.1;
    }
    Layout { nodes, clusters, width: widest + 2 * PADDING, height: y }
}

/// The steps of a box by how many steps of the same box come before them; an undo stands in the
/// row of what it takes back.
fn rows(graph: &Graph, cluster: &Cluster) -> Vec<Vec<usize>> {
    let mut members: Vec<usize> =
        cluster.nodes.iter().chain(cluster.groups.values().flatten()).copied().collect();
    members.sort_unstable();
    let mut depth = vec![None; graph.nodes.len()];
    for at in &members {
        depth[*at] = Some(0_usize);
    }
    // No chain is longer than the number of steps; orders may lead back in the document.
    for _ in 0..members.len() {
        let before = depth.clone();
        for Edge { from, to, undo } in &graph.edges {
            if let (Some(first), Some(second)) = (depth[*from], depth[*to]) {
                depth[*to] = Some(if *undo { first } else { second.max(first + 1) });
            }
        }
        if before == depth {
            break;
        }
    }
    let deepest = members.iter().filter_map(|at| depth[*at]).max().unwrap_or_default();
    let mut rows = vec![Vec::new(); deepest + 1];
    for at in members {
        rows[depth[at].unwrap_or_default()].push(at);
    }
    rows
}

fn write(out: &mut String, graph: &Graph, layout: &Layout) -> fmt::Result {
    let (width, height) = (layout.width, layout.height);
    writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\">\n<title>{}</title>\n<style>\n{STYLE}</style>",
        escaped(&graph.title)
    )?;
    writeln!(
        out,
        "<defs><marker id=\"arrow\" viewBox=\"0 0 8 8\" refX=\"8\" refY=\"4\" markerWidth=\"8\" \
         markerHeight=\"8\" orient=\"auto\"><path d=\"M0 0 8 4 0 8z\" fill=\"#374151\"/></marker>\
         </defs>\n<rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>"
    )?;
    for (cluster, area) in graph.clusters.iter().zip(&layout.clusters) {
        write_cluster(out, cluster, area, layout)?;
    }
    for edge in &graph.edges {
        write_edge(out, edge, layout)?;
    }
    for (node, area) in graph.nodes.iter().zip(&layout.nodes) {
        write_node(out, node, area)?;
    }
    writeln!(out, "</svg>")
}

fn write_area(out: &mut String, class: &str, area: &Area) -> fmt::Result {
    let Area { x, y, width, height } = area;
    writeln!(
        out,
        "<rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" rx=\"6\"/>"
    )
}

fn write_text(out: &mut String, class: &str, x: usize, y: usize, text: &str) -> fmt::Result {
    writeln!(out, "<text class=\"{class}\" x=\"{x}\" y=\"{y}\">{}</text>", escaped(text))
}

fn write_cluster(out: &mut String, cluster: &Cluster, area: &Area, layout: &Layout) -> fmt::Result {
    if let Some(label) = &cluster.label {
        write_area(out, "phase", area)?;
        write_text(out, "label", area.x + 8, area.y + 17, label)?;
    }
    for members in cluster.groups.values() {
        write_area(out, "group", &around(members.iter().map(|at| &layout.nodes[*at])))?;
    }
    Ok(())
}

/// A box around nodes.
fn around<'a>(areas: impl Iterator<Item = &'a Area> + Clone) -> Area {
    const MARGIN: usize = 7;
    let left = areas.clone().map(|area| area.x).min().unwrap_or_default() - MARGIN;
    let top = areas.clone().map(|area| area.y).min().unwrap_or_default() - MARGIN;
    let right = areas.clone().map(|area| area.x + area.width).max().unwrap_or_default() + MARGIN;
    let bottom = areas.map(|area| area.y + area.height).max().unwrap_or_default() + MARGIN;
    Area { x: left, y: top, width: right - left, height: bottom - top }
}

fn write_edge(out: &mut String, edge: &Edge, layout: &Layout) -> fmt::Result {
    let (from, to) = (&layout.nodes[edge.from], &layout.nodes[edge.to]);
    let class = if edge.undo { "edge undo" } else { "edge" };
    if edge.undo {
        let (x1, y) = (from.x + from.width, from.y + from.height / 2);
        return writeln!(out, "<path class=\"{class}\" d=\"M{x1} {y} H{}\"/>", to.x);
    }
    let (x1, y1) = (from.x + from.width / 2, from.y + from.height);
    let (x2, y2) = (to.x + to.width / 2, to.y);
    let bend = GAP.1 / 2;
    writeln!(
        out,
        "<path class=\"{class}\" d=\"M{x1} {y1} C{x1} {} {x2} {} {x2} {y2}\"/>",
        y1 + bend,
        y2 - bend
    )
}

fn write_node(out: &mut String, node: &Node, area: &Area) -> fmt::Result {
    let class = match node.effect {
        Effect::Read => "step",
        Effect::Reversible => "step reversible",
        Effect::Destructive => "step destructive",
        Effect::Irreversible => "step irreversible",
    };
    let about = [node.name.clone(), node.condition.as_ref().map(|it| format!("if {it}"))];
    let about: Vec<String> = about.into_iter().flatten().collect();
    writeln!(out, "<g><title>{}</title>", escaped(&about.join("\n")))?;
    write_area(out, class, area)?;
    write_text(out, "id", area.x + 10, area.y + 20, &short(&node.id))?;
    write_text(out, "kind", area.x + 10, area.y + 36, &short(&node.uses))?;
    writeln!(out, "</g>")
}

/// As much of a text as a node holds.
fn short(text: &str) -> String {
    if text.chars().count() <= LINE {
        return text.to_owned();
    }
    text.chars().take(LINE - 1).chain(['…']).collect()
}

/// Text of an XML element: what XML cannot hold is left out.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            c if c.is_control() && c != '\n' => {}
            '\u{fffe}' | '\u{ffff}' => {}
            c => out.push(c),
        }
    }
    out
}
