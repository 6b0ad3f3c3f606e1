use layout::gv::DotParser;
use layout::gv::parser::ast;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::footprint::Footprint;
use crate::plan::Item;
use crate::run::testing::{id, plan, step};

fn in_phase(phase: &str, step: PlanStep) -> PlanStep {
    PlanStep { phase: Some(phase.to_owned()), ..step }
}

fn of_group(group: &str, step: PlanStep) -> PlanStep {
    let item = Item { group: id(group), name: "table".to_owned(), value: json!("x") };
    PlanStep { item: Some(item), ..step }
}

/// Two phases, a foreach, an undo and a handler.
fn sample() -> Graph {
    let handler = PlanStep { role: Role::Handler(Occasion::Failure), ..step("failure.alarm", &[]) };
    let undo = PlanStep { role: Role::Undo(id("swap")), ..step("swap.undo", &[]) };
    let condition = Some("params.a > 1 and \"<b>\" != 'c'".to_owned());
    let swap = PlanStep { condition, ..step("swap", &["dump.a", "dump.b", "look"]) };
    Graph::of(&plan(vec![
        in_phase("prepare", step("look", &[])),
        in_phase("prepare", of_group("dump", step("dump.a", &["look"]))),
        in_phase("prepare", of_group("dump", step("dump.b", &["look"]))),
        in_phase("execute", swap),
        undo,
        handler,
    ]))
}

#[test]
fn orders_that_follow_from_others_are_left_out() {
    let edge = |from, to| Edge { from, to, undo: false };
    let undo = Edge { from: 3, to: 4, undo: true };
    let expected = [edge(0, 1), edge(0, 2), edge(1, 3), edge(2, 3), undo];
    assert_eq!(sample().edges, expected);
}

#[test]
fn boxes_are_phases_and_then_handlers() {
    let clusters = sample().clusters;
    let labels: Vec<_> = clusters.iter().map(|cluster| cluster.label.as_deref()).collect();
    assert_eq!(labels, [Some("prepare"), Some("execute"), Some("on failure")]);
    assert_eq!(clusters[0].groups["dump"], [1, 2]);
    assert_eq!((&clusters[0].nodes[..], &clusters[1].nodes[..]), (&[0][..], &[3, 4][..]));
}

#[test]
fn mermaid_is_a_flowchart_whose_labels_are_text() {
    let expected = "\
flowchart TD
    subgraph c0[\"prepare\"]
        n0[\"<b>look</b><br/>test.act\"]:::reversible
        subgraph c0g0[\"for each: dump\"]
            n1[\"<b>dump.a</b><br/>test.act\"]:::reversible
            n2[\"<b>dump.b</b><br/>test.act\"]:::reversible
        end
    end
    subgraph c1[\"execute\"]
        n3[\"<b>swap</b><br/>test.act<br/>if params.a #62; 1 and #34;#60;b#62;#34; #33;#61; #39;c#39;\"]:::reversible
        n4[\"<b>swap.undo</b><br/>test.act\"]:::reversible
    end
    subgraph c2[\"on failure\"]
        n5[\"<b>failure.alarm</b><br/>test.act\"]:::reversible
    end
    n0 --> n1
    n0 --> n2
    n1 --> n3
    n2 --> n3
    n3 -. undo .-> n4
";
    assert_eq!(mermaid(&sample()).split("    classDef").next(), Some(expected));
}

/// Names with labels, or pairs of names.
type Pairs = Vec<(String, String)>;

/// What another reader of the language finds: nodes with their labels, and arrows.
fn read_dot(text: &str) -> (Pairs, Pairs) {
    fn collect(list: &ast::StmtList, nodes: &mut Pairs, arrows: &mut Pairs) {
        for statement in &list.list {
            match statement {
                ast::Stmt::Node(node) => {
                    let label = node.list.list.iter().find(|(name, _)| name == "label");
                    nodes.push((node.id.name.clone(), label.map(|it| it.1.clone()).unwrap()));
                }
                ast::Stmt::Edge(edge) => {
                    let to =
                        edge.to.iter().map(|(to, _)| (edge.from.name.clone(), to.name.clone()));
                    arrows.extend(to);
                }
                ast::Stmt::SubGraph(graph) => collect(&graph.list, nodes, arrows),
                ast::Stmt::Attribute(_) => {}
            }
        }
    }
    let graph =
        DotParser::new(text).process().unwrap_or_else(|problem| panic!("{problem}\n{text}"));
    let (mut nodes, mut arrows) = (Vec::new(), Vec::new());
    collect(&graph.list, &mut nodes, &mut arrows);
    (nodes, arrows)
}

#[test]
fn another_reader_of_dot_finds_the_steps_and_orders() {
    let (nodes, arrows) = read_dot(&dot(&sample()));
    let names: Vec<_> = nodes.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["n0", "n1", "n2", "n3", "n4", "n5"]);
    assert_eq!(nodes[3].1, "swap\ntest.act\nif params.a > 1 and \"<b>\" != 'c'");
    let arrows: Vec<_> = arrows.iter().map(|(from, to)| format!("{from}{to}")).collect();
    assert_eq!(arrows, ["n0n1", "n0n2", "n1n3", "n2n3", "n3n4"]);
}

/// What an XML parser finds: the texts of each step, and how many arrows there are.
fn read_svg(text: &str) -> (Vec<Vec<String>>, usize) {
    let document = roxmltree::Document::parse(text).unwrap();
    let root = document.root_element();
    assert_eq!(root.tag_name().namespace(), Some("http://www.w3.org/2000/svg"));
    let steps =
        root.children().filter(|node| node.has_tag_name(("http://www.w3.org/2000/svg", "g")));
    let texts = steps.map(|step| {
        let texts = step.descendants().filter(|node| node.tag_name().name() == "text");
        texts.map(|node| node.text().unwrap_or_default().to_owned()).collect()
    });
    let is_edge = |node: &roxmltree::Node<'_, '_>| {
        node.attribute("class").is_some_and(|class| class.starts_with("edge"))
    };
    (texts.collect(), root.descendants().filter(is_edge).count())
}

#[test]
fn an_xml_parser_reads_the_svg() {
    let text = svg(&sample());
    let (steps, arrows) = read_svg(&text);
    assert_eq!(steps[3], ["swap", "test.act"]);
    assert_eq!((steps.len(), arrows), (6, 5));
    assert!(text.contains("if params.a &gt; 1 and &quot;&lt;b&gt;&quot;"), "{text}");
}

#[test]
fn steps_of_a_box_stand_below_what_they_run_after_and_apart() {
    let graph = sample();
    let document = svg(&graph);
    let document = roxmltree::Document::parse(&document).unwrap();
    let areas: Vec<(i64, i64)> = document
        .descendants()
        .filter(|node| node.attribute("class").is_some_and(|class| class.starts_with("step")))
        .map(|node| {
            let number = |name| node.attribute(name).unwrap().parse::<i64>().unwrap();
            (number("x"), number("y"))
        })
        .collect();
    for edge in &graph.edges {
        let (above, below) = (areas[edge.from].1, areas[edge.to].1);
        assert!(if edge.undo { above == below } else { above < below }, "{edge:?}");
    }
    let apart = |a: &(i64, i64), b: &(i64, i64)| (a.0 - b.0).abs() > 220 || (a.1 - b.1).abs() > 46;
    for (at, one) in areas.iter().enumerate() {
        assert!(areas[..at].iter().all(|other| apart(one, other)), "{areas:?}");
    }
}

proptest! {
    /// Whatever a phase, a name or a condition holds, every reader finds the same steps.
    #[test]
    fn any_text_is_only_text(phase in any::<String>(), condition in any::<String>(), many in 1..6_usize) {
        let steps = (0..many).map(|at| {
            let before = at.checked_sub(1).map(|before| format!("s{before}"));
            let needs: Vec<&str> = before.iter().map(String::as_str).collect();
            let condition = Some(condition.clone());
            let effect = Footprint::new(Effect::Irreversible, crate::effect::Repeat::Opaque);
            let step = PlanStep { footprint: effect, ..step(&format!("s{at}"), &needs) };
            in_phase(&phase, PlanStep { condition, name: Some(phase.clone()), ..step })
        });
        let graph = Graph::of(&plan(steps.collect()));
        let (steps, arrows) = read_svg(&svg(&graph));
        prop_assert_eq!((steps.len(), arrows), (many, many - 1));
        let flowchart = mermaid(&graph);
        let lines = flowchart.lines().filter(|line| line.trim_start().starts_with('n')).count();
        prop_assert_eq!(lines, many + many - 1, "{}", flowchart);
        prop_assert!(!flowchart.contains('&'));
        for line in flowchart.lines().filter(|line| line.contains('"')) {
            prop_assert_eq!(line.matches('"').count(), 2, "{}", line);
        }
    }
}
