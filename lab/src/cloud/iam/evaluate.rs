//! Whether policies allow an action: an explicit denial wins, then an allowance, else it is
//! denied. Statements with conditions are held to apply.

use serde_json::Value;

/// What policies say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    Allowed,
    Denied,
    Implicit,
}

impl Decision {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Denied => "explicitDeny",
            Self::Implicit => "implicitDeny",
        }
    }
}

/// Decides about one action on one resource, and names the policy that decided.
pub(super) fn decide<'a>(
    policies: &'a [(String, Value)],
    action: &str,
    resource: &str,
) -> (Decision, Option<&'a str>) {
    let mut decided: (Decision, Option<&str>) = (Decision::Implicit, None);
    for (name, policy) in policies {
        for statement in several(&policy["Statement"]) {
            if !applies(statement, action, resource) {
                continue;
            }
            if statement["Effect"] == "Deny" {
                return (Decision::Denied, Some(name));
            }
            if statement["Effect"] == "Allow" && decided.1.is_none() {
                decided = (Decision::Allowed, Some(name));
            }
        }
    }
    decided
}

fn applies(statement: &Value, action: &str, resource: &str) -> bool {
    let (action, any) = (action.to_lowercase(), |key: &str, text: &str, lower: bool| {
        texts(&statement[key]).any(|pattern| {
            let pattern = if lower { pattern.to_lowercase() } else { pattern.to_owned() };
            matches(pattern.as_bytes(), text.as_bytes())
        })
    });
    let acts = match statement.get("NotAction") {
        Some(_) => !any("NotAction", &action, true),
        None => any("Action", &action, true),
    };
    let hits = match (statement.get("NotResource"), statement.get("Resource")) {
        (Some(_), _) => !any("NotResource", resource, false),
        (None, Some(_)) => any("Resource", resource, false),
        (None, None) => true,
    };
    acts && hits
}

/// One, or all of a list.
fn several(value: &Value) -> impl Iterator<Item = &Value> {
    match value.as_array() {
        Some(all) => all.iter(),
        None => std::slice::from_ref(value).iter(),
    }
}

fn texts(value: &Value) -> impl Iterator<Item = &str> {
    several(value).filter_map(Value::as_str)
}

/// Whether a text is of a pattern with `*` and `?`.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern.first(), text.first()) {
        (None, None) => true,
        (Some(b'*'), _) => {
            matches(&pattern[1..], text) || (!text.is_empty() && matches(pattern, &text[1..]))
        }
        (Some(b'?'), Some(_)) => matches(&pattern[1..], &text[1..]),
        (Some(one), Some(other)) if one == other => matches(&pattern[1..], &text[1..]),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_denial_wins_over_every_allowance() {
        let policies = [
            (
                "a".to_owned(),
                json!({"Statement": {"Effect": "Allow", "Action": ["rds:*"], "Resource": "arn:aws:rds:us-west-2:*:db:app-*"}}),
            ),
            (
                "d".to_owned(),
                json!({"Statement": [{"Effect": "Deny", "Action": "rds:Delete*", "Resource": "*"}]}),
            ),
        ];
        let west = "arn:aws:rds:us-west-2:1:db:app-replica";
        let decided = |action, resource| decide(&policies, action, resource).0;
        assert_eq!(decided("rds:promotereadreplica", west), Decision::Allowed);
        assert_eq!(decided("rds:DeleteDBInstance", west), Decision::Denied);
        assert_eq!(
            decided("rds:PromoteReadReplica", "arn:aws:rds:us-east-1:1:db:app-x"),
            Decision::Implicit
        );
        assert_eq!(decided("ssm:PutParameter", "*"), Decision::Implicit);
    }
}
