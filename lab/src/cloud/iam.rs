//! The part of IAM that says what a principal may do: its policies, and the simulator over them.
//! <https://docs.aws.amazon.com/IAM/latest/APIReference/API_SimulatePrincipalPolicy.html>

mod evaluate;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use self::evaluate::{Decision, decide};
use super::call::{Answer, Answered, Call, Form};
use super::refusal::Refusal;
use super::world::World;
use super::xml::{Element, text, tree};
use super::{ACCOUNT, door};

/// The principal of the laboratory's access key.
pub(super) fn caller() -> String {
    format!("arn:aws:iam::{ACCOUNT}:user/lab")
}

/// The policies of each principal, by its ARN and their name.
pub(super) struct Policies(BTreeMap<String, BTreeMap<String, Value>>);

impl Default for Policies {
    /// The laboratory's own user may do everything.
    fn default() -> Self {
        let all = json!({"Version": "2012-10-17",
                         "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]});
        Self(BTreeMap::from([(caller(), BTreeMap::from([("lab".to_owned(), all)]))]))
    }
}

impl World {
    /// Attaches a policy to a principal, which is made if it is not there.
    pub fn attach_policy(&self, principal: &str, name: &str, policy: Value) {
        let policies = &mut self.lock().policies;
        policies.0.entry(principal.to_owned()).or_default().insert(name.to_owned(), policy);
    }
}

pub(super) fn answer(world: &World, call: &Call) -> Answered {
    let form = call.form()?;
    let root = match call.action.as_str() {
        "SimulatePrincipalPolicy" => simulate_principal(world, form)?,
        "SimulateCustomPolicy" => simulate_custom(form)?,
        "PutRolePolicy" => put(world, call, form, "role")?,
        "PutUserPolicy" => put(world, call, form, "user")?,
        other => return Err(Refusal::unknown(other)),
    };
    Ok(Answer::Xml(root))
}

fn metadata() -> Element {
    tree("ResponseMetadata", [text("RequestId", door::request_id())])
}

fn put(world: &World, call: &Call, form: &Form, kind: &str) -> Result<Element, Refusal> {
    let field = if kind == "role" { "RoleName" } else { "UserName" };
    let (owner, name) = (form.need(field)?, form.need("PolicyName")?);
    let policy = parsed(form.need("PolicyDocument")?)?;
    let principal = format!("arn:aws:iam::{ACCOUNT}:{kind}/{owner}");
    world.attach_policy(&principal, name, policy);
    world.record(("iam", &call.region), &call.action, &principal, json!({"policy": name}));
    let root = if kind == "role" { "PutRolePolicyResponse" } else { "PutUserPolicyResponse" };
    Ok(tree(root, [metadata()]))
}

fn parsed(document: &str) -> Result<Value, Refusal> {
    serde_json::from_str(document)
        .map_err(|error| Refusal::new("MalformedPolicyDocument", error.to_string()))
}

fn simulate_principal(world: &World, form: &Form) -> Result<Element, Refusal> {
    let principal = form.need("PolicySourceArn")?;
    let attached = world.lock().policies.0.get(principal).cloned().ok_or_else(|| {
        Refusal::missing("NoSuchEntity", format!("The principal {principal} cannot be found."))
    })?;
    let mut policies: Vec<(String, Value)> = attached.into_iter().collect();
    policies.extend(given(form)?);
    Ok(simulated(
        form,
        &policies,
        ("SimulatePrincipalPolicyResponse", "SimulatePrincipalPolicyResult"),
    ))
}

fn simulate_custom(form: &Form) -> Result<Element, Refusal> {
    let policies = given(form)?;
    Ok(simulated(form, &policies, ("SimulateCustomPolicyResponse", "SimulateCustomPolicyResult")))
}

fn given(form: &Form) -> Result<Vec<(String, Value)>, Refusal> {
    let documents = form.list("PolicyInputList").unwrap_or_default();
    let named = documents
        .iter()
        .enumerate()
        .map(|(place, document)| Ok((format!("PolicyInputList.{}", place + 1), parsed(document)?)));
    named.collect()
}

fn simulated(
    form: &Form,
    policies: &[(String, Value)],
    names: (&'static str, &'static str),
) -> Element {
    let actions = form.list("ActionNames").unwrap_or_default();
    let resources = form.list("ResourceArns").unwrap_or_else(|| vec!["*".to_owned()]);
    let results = actions.iter().flat_map(|action| {
        resources.iter().map(move |resource| {
            let (decision, by) = decide(policies, action, resource);
            result(action, resource, decision, by)
        })
    });
    let told = [tree("EvaluationResults", results), text("IsTruncated", false)];
    tree(names.0, [tree(names.1, told), metadata()])
}

fn result(action: &str, resource: &str, decision: Decision, by: Option<&str>) -> Element {
    let matched = by.map(|name| {
        tree("member", [text("SourcePolicyId", name), text("SourcePolicyType", "IAM Policy")])
    });
    tree(
        "member",
        [
            text("EvalActionName", action),
            text("EvalResourceName", resource),
            text("EvalDecision", decision.name()),
            tree("MatchedStatements", matched),
            tree("MissingContextValues", []),
        ],
    )
}
