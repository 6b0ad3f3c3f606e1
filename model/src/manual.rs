//! The manual of a step kind: Markdown whose last part is an example of one step.

use crate::document;
use crate::node::{Node, NodeValue};

const HEADING: &str = "\n## Example\n";

/// The manual without its example.
pub fn text(manual: &str) -> &str {
    manual.split_once(HEADING).map_or(manual, |(text, _)| text).trim_end()
}

/// The YAML of the example: a list of one step.
pub fn example(manual: &str) -> Option<&str> {
    let (_, block) = manual.split_once(HEADING)?;
    block.trim().strip_prefix("```yaml\n")?.strip_suffix("\n```")
}

/// The example's step as a tree.
pub fn example_step(manual: &str) -> Option<Node> {
    let list = document::parse(example(manual)?).ok()?;
    match list.value {
        NodeValue::List(mut steps) if steps.len() == 1 => steps.pop(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANUAL: &str = "Waits.\n\n## What it does\nIt waits.\n\n## Example\n```yaml\n- id: a\n  uses: flow.wait\n```";

    #[test]
    fn the_example_is_the_last_part() {
        assert_eq!(text(MANUAL), "Waits.\n\n## What it does\nIt waits.");
        assert_eq!(example(MANUAL), Some("- id: a\n  uses: flow.wait"));
        assert_eq!(example_step(MANUAL).unwrap().to_json()["uses"], "flow.wait");
        assert_eq!(example("Waits."), None);
        assert_eq!(example_step(&MANUAL.replace("- id", "id")), None);
    }
}
