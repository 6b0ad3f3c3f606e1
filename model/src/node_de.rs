//! Reading typed values from a [`Node`].

use serde::de::DeserializeOwned;

use crate::node::{Node, NodeError, NodeValue};

/// Reads a `T` from `node`.
pub fn read<T: DeserializeOwned>(node: &Node) -> Result<T, NodeError> {
    let json = to_json(node);
    serde_json::from_value(json).map_err(|error| NodeError {
        span: node.span.clone(),
        message: error.to_string(),
        help: None,
    })
}

fn to_json(node: &Node) -> serde_json::Value {
    match &node.value {
        NodeValue::Null => serde_json::Value::Null,
        NodeValue::Scalar(scalar) => {
            scalar.text.parse().unwrap_or_else(|_| scalar.text.clone().into())
        }
        NodeValue::List(items) => items.iter().map(to_json).collect(),
        NodeValue::Map(entries) => {
            entries.iter().map(|(key, entry)| (key.clone(), to_json(&entry.node))).collect()
        }
    }
}
