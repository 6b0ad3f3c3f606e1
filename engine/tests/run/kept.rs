//! Secrets that others keep: asked for where the runbook says, per attempt, and told to nobody.

use model::plan::{Aws, ManagedSecret, Parameter, Plan, SecretSource};
use model::run::state::RunStatus;
use serde_json::json;

use crate::driver::all_text;
use crate::ground::{Ground, assert_status, plan, with};

fn reads(ground: &Ground, source: SecretSource) -> Plan {
    let step = ground.step("a", &[], &["ok"]);
    let mut step = with(step, "text", json!("{{ secrets.token }}"));
    step.secrets = vec!["token".to_owned()];
    let mut plan = plan(vec![step]);
    plan.params.insert("home".to_owned(), json!("us-west-2"));
    plan.secrets.insert("token".to_owned(), source);
    plan
}

fn parameter(name: &str) -> SecretSource {
    let place = Aws { region: Some("{{ params.home }}".to_owned()), ..Aws::default() };
    SecretSource::AwsSsm(Parameter { name: name.to_owned(), place })
}

#[tokio::test]
async fn a_parameter_is_read_in_the_region_that_the_plan_settles_and_never_journaled() {
    let ground = Ground::new();
    let outcome = ground.run(reads(&ground, parameter("/canary-51"))).await;
    assert_status(&outcome, RunStatus::Succeeded);
    let text = all_text(ground.state.path());
    // The text that the step got is masked wherever it came; the reference stands in the plan.
    assert!(!text.contains("/canary-51@us-west-2"), "{text}");
    assert!(text.contains("attempt 1 (secret)"), "{text}");
    assert!(text.contains(r#"{"aws_ssm":{"name":"/canary-51","region":"{{ params.home }}"}}"#));
}

#[tokio::test]
async fn what_is_not_given_stops_the_preflight() {
    let managed = ManagedSecret { id: "app".to_owned(), ..ManagedSecret::default() };
    for (source, why) in [
        (parameter("/absent"), "ParameterNotFound"),
        (parameter("/empty"), "it is empty"),
        (SecretSource::AwsSecretsmanager(managed), "Throttling: app"),
    ] {
        let ground = Ground::new();
        let error = ground.run(reads(&ground, source)).await.unwrap_err();
        let [problem] = error.problems.as_slice() else { panic!("{error:?}") };
        let message = format!("the secret `token` cannot be read: {why}");
        assert_eq!((problem.code.as_ref(), problem.message.as_str()), ("RB0420", message.as_str()));
        assert!(!ground.state.path().exists());
    }
}
