//! Which regions the steps of a plan need, and what is left of it when one of them is gone.
#![expect(clippy::unwrap_used, reason = "in a test, a panic is the message")]

mod kinds;

use std::collections::BTreeSet;

use indexmap::IndexMap;
use kinds::Kinds;
use model::diagnostic::Diagnostic;
use model::plan::{Plan, Source};
use model::preview::preview;
use model::region::{RegionUse, Without, without};
use model::runbook::{Checked, Runbook, Variant};

const HEAD: &str = "version: 1
name: test
params: {home: {type: string, default: us-east-1}}
aws: {region: \"{{ params.home }}\"}
connections:
  old: {host: db.internal, region: us-east-1}
  new: {host: db.c9.us-west-2.rds.amazonaws.com}
  other: {host: db.internal}
stores:
  near: {url: \"s3://near\", region: us-west-2}
  home: {url: \"s3://home/x\", object_lock: {mode: governance, days: 1}}
  folder: {url: \"file:///backups\"}
";

fn checked(steps: &str) -> Checked {
    Runbook::check(&format!("{HEAD}steps:\n{steps}"), &Kinds)
}

fn planned(steps: &str, variant: Variant) -> Plan {
    let checked = checked(steps);
    let errors: Vec<_> = checked.problems.iter().filter(|one| one.is_error()).collect();
    assert!(errors.is_empty(), "{errors:#?}");
    let source = Source { file: "test.yaml".to_owned(), sha256: String::new() };
    let runbook = checked.runbook.unwrap();
    runbook.variant(variant).unwrap().plan(&Kinds, &IndexMap::new(), source).unwrap()
}

fn needs(step: &str) -> Vec<RegionUse> {
    let plan = planned(&format!("  - {{id: a, {step}}}\n"), Variant::default());
    preview(&plan).steps.remove(0).regions
}

fn told(need: &RegionUse) -> String {
    let region = need.region.as_deref().unwrap_or("-");
    let endpoint = need.endpoint.as_deref().unwrap_or("-");
    format!("{} {region} {endpoint} {}", need.what, need.actions.join(","))
}

#[test]
fn a_step_needs_the_regions_of_all_that_it_touches() {
    let all = |step: &str| needs(step).iter().map(told).collect::<Vec<_>>();
    assert_eq!(
        all("uses: fake.cloud, with: {connection: new}"),
        ["connection `new` us-west-2 - ", "rds us-east-1 rds.us-east-1.amazonaws.com rds:Describe"]
    );
    assert_eq!(
        all("uses: fake.cloud, with: {connection: other, region: cn-north-1}"),
        ["rds cn-north-1 rds.cn-north-1.amazonaws.com.cn rds:Describe"]
    );
    assert_eq!(
        all("uses: fake.cloud, with: {endpoint_url: \"http://127.0.0.1:4000\"}"),
        ["rds us-east-1 http://127.0.0.1:4000 rds:Describe"]
    );
    assert_eq!(
        all("uses: fake.cloud, with: {service: route53, region: us-west-2}"),
        ["route53 us-east-1 route53.amazonaws.com route53:Describe"]
    );
    let china = all("uses: fake.cloud, with: {service: route53, region: cn-north-1}");
    assert!(china[0].starts_with("route53 cn-northwest-1 "), "{china:?}");
    assert_eq!(
        all("uses: fake.dump, with: {connection: old, store: near}"),
        [
            "connection `old` us-east-1 - ",
            "store `near` us-west-2 s3.us-west-2.amazonaws.com s3:ListBucket,s3:GetObject"
        ]
    );
    let home = all("uses: fake.cloud, with: {store: home}");
    assert!(home[0].starts_with("store `home` us-east-1 s3.us-east-1.amazonaws.com "), "{home:?}");
    assert!(home[0].contains("s3:PutObject,") && home[0].contains("s3:PutObjectRetention"));
    assert_eq!(
        all("uses: fake.fetch, with: {url: \"https://sqs.eu-west-1.amazonaws.com\"}"),
        ["endpoint eu-west-1 https://sqs.eu-west-1.amazonaws.com "]
    );
    assert_eq!(all("uses: fake.dump, with: {connection: other, store: folder}"), [""; 0]);
}

#[test]
fn steps_handlers_and_undos_take_over_what_they_do_not_say_themselves() {
    let text = format!(
        "{HEAD}steps:\n  \
           - {{id: a, uses: fake.cloud, undo: {{uses: fake.cloud, with: {{region: eu-west-1}}}}}}\n  \
           - {{id: b, uses: fake.play, undo: {{uses: fake.cloud}}}}\n\
         handlers:\n  failure:\n    - {{id: c, uses: fake.cloud}}\n"
    );
    let checked = Runbook::check(&text, &Kinds);
    assert!(!checked.problems.iter().any(Diagnostic::is_error), "{:#?}", checked.problems);
    let source = Source { file: String::new(), sha256: String::new() };
    let plan = checked.runbook.unwrap().plan(&Kinds, &IndexMap::new(), source).unwrap();
    let regions = plan.steps.iter().map(|step| (step.id.as_str(), step.with["region"].as_str()));
    let mut regions: Vec<_> = regions.collect();
    regions.sort_unstable();
    let home = Some("{{ params.home }}");
    let expected = [
        ("a", home),
        ("a.undo", Some("eu-west-1")),
        ("b", None),
        ("b.undo", home),
        ("failure.c", home),
    ];
    assert_eq!(regions, expected);
}

fn gone(steps: &str, region: &str, skipped: &[&str]) -> Without {
    let skipped: BTreeSet<_> = skipped.iter().map(|id| id.parse().unwrap()).collect();
    without(&planned(steps, Variant::default()), region, &skipped)
}

fn ids(found: &Without) -> Vec<&str> {
    found.blocked.iter().map(|step| step.id.as_str()).collect()
}

const STEPS: &str = "
  - {id: look, uses: fake.cloud, with: {region: us-west-2, connection: other}}
  - {id: stop, uses: fake.drop, with: {connection: old}, ungraceful: skip}
  - {id: read, uses: fake.cloud, with: {store: near}}
  - {id: after, uses: fake.play}
  - {id: tell, uses: fake.play, if: always(), needs: [read]}
  - {id: apart, uses: fake.play, needs: []}
  - {id: tidy, uses: fake.cloud, needs: [apart], with: {region: eu-west-1}, continue_on: {failure: true}}
  - {id: last, uses: fake.play, needs: [tidy]}
";

#[test]
fn without_a_region_some_steps_could_not_run_and_others_are_not_reached() {
    let steps =
        STEPS.replace("fake.drop", "fake.play").replace("{connection: old}", "{changes: old}");
    let east = gone(&steps, "us-east-1", &["stop"]);
    assert_eq!(ids(&east), ["stop", "read"]);
    assert!(east.blocked[0].left_out_when_ungraceful);
    assert_eq!(east.unreached, ["after"], "what runs after failures is reached");
    assert!(!east.could_run);
    assert_eq!(east.regions, ["us-west-2", "us-east-1", "eu-west-1"]);
    assert_eq!(east.untold, ["other"]);
    // A failure that lets the run go on hides nothing.
    let tidy = gone(&steps, "eu-west-1", &[]);
    assert_eq!((ids(&tidy), tidy.unreached.len(), tidy.could_run), (vec!["tidy"], 0, false));
    let nothing = gone(&steps, "ap-south-1", &[]);
    assert!(nothing.could_run && nothing.blocked.is_empty());
    // Only what an ungraceful run leaves out.
    let only = "  - {id: stop, uses: fake.play, with: {changes: old}, ungraceful: skip}\n  - {id: b, uses: fake.play}\n";
    let found = gone(only, "us-east-1", &["stop"]);
    assert!(found.could_run && found.unreached.is_empty());
    assert_eq!(ids(&found), ["stop"]);
}

#[test]
fn what_only_the_environment_tells_is_said() {
    let text = "version: 1\nname: test\nsteps:\n  - {id: a, uses: fake.cloud}\n  - {id: b, uses: fake.cloud, with: {service: route53}}\n";
    let checked = Runbook::check(text, &Kinds);
    let source = Source { file: String::new(), sha256: String::new() };
    let plan = checked.runbook.unwrap().plan(&Kinds, &IndexMap::new(), source).unwrap();
    let found = without(&plan, "us-east-1", &BTreeSet::new());
    assert_eq!((found.by_environment.as_slice(), ids(&found)), (&["a".to_owned()][..], vec!["b"]));
}

#[test]
fn a_secret_that_aws_keeps_is_needed_where_it_is_kept() {
    let text = "version: 1
name: test
aws: {region: us-east-1}
secrets:
  url: {aws_ssm: {name: /app/url, region: us-west-2}}
  key: {aws_secretsmanager: {id: \"arn:aws:secretsmanager:eu-west-1:123456789012:secret:app\"}}
connections:
  db: {url: \"{{ secrets.url }}\", password: \"{{ secrets.key }}\", protected: false}
steps:
  - {id: a, uses: fake.drop, with: {connection: db}}
";
    let checked = Runbook::check(text, &Kinds);
    let source = Source { file: String::new(), sha256: String::new() };
    let runbook = checked.runbook.expect("the runbook is sound");
    let plan = runbook.plan(&Kinds, &IndexMap::new(), source).unwrap();
    let needs: Vec<String> = preview(&plan).steps[0].regions.iter().map(told).collect();
    assert_eq!(
        needs,
        [
            "secret `url` us-west-2 ssm.us-west-2.amazonaws.com ssm:GetParameter",
            "secret `key` eu-west-1 secretsmanager.eu-west-1.amazonaws.com secretsmanager:GetSecretValue"
        ]
    );
}

fn warned(steps: &str) -> Vec<String> {
    let checked = checked(steps);
    let (ours, others): (Vec<_>, Vec<_>) =
        checked.problems.iter().partition(|one| one.code == "RB0325");
    let errors: Vec<&&Diagnostic> = others.iter().filter(|one| one.is_error()).collect();
    assert!(errors.is_empty(), "{errors:#?}");
    ours.into_iter().map(|one| format!("{}; {}", one.message, one.why.clone().unwrap())).collect()
}

const FENCE: &str = "  - {id: fence, uses: fake.play, with: {plays: [fence], changes: old}}\n";

#[test]
fn a_step_behind_a_fence_that_needs_its_region_is_warned_of() {
    let after = |step: &str| warned(&format!("{FENCE}  - {{id: a, {step}}}\n"));
    assert_eq!(
        after("uses: fake.cloud, with: {store: home, region: us-west-2}"),
        [
            "`a` needs `us-east-1`, the region that `fence` shuts out; its store `home` is there; when that region is gone, the step cannot run"
        ]
    );
    assert_eq!(
        after("uses: fake.cloud, with: {service: route53, region: us-west-2}"),
        [
            "`a` needs `us-east-1`, the region that `fence` shuts out; what changes `route53` answers in `us-east-1` alone; when that region is gone, the step cannot run"
        ]
    );
    for fine in [
        "uses: fake.cloud, with: {store: near, region: us-west-2}",
        "uses: fake.cloud, with: {store: home}, needs: []",
        "uses: fake.cloud, with: {store: home}, ungraceful: skip",
        "uses: fake.cloud, with: {store: home}, ungraceful: {with: {store: near, region: us-west-2}}",
    ] {
        assert_eq!(after(fine), [""; 0], "{fine}");
    }
    // What is given in place of it is judged as well.
    let other = after("uses: fake.cloud, ungraceful: {with: {store: near}}");
    assert_eq!(other.len(), 1, "{other:?}");
    assert!(other[0].starts_with("with `--ungraceful`: `a` needs `us-east-1`"), "{other:?}");
    // Before the fence, and behind the service, the region may be needed.
    let before = format!("  - {{id: a, uses: fake.cloud}}\n{FENCE}");
    assert_eq!(warned(&before), [""; 0]);
    let behind = format!(
        "{FENCE}  - {{id: up, uses: fake.play, restores_service: true}}\n  - {{id: a, uses: fake.cloud}}\n"
    );
    assert_eq!(warned(&behind), [""; 0]);
    // A fence that acts on AWS itself is where it acts.
    let fence = "  - {id: fence, uses: fake.cloud, with: {plays: [fence]}}\n";
    assert_eq!(warned(&format!("{fence}  - {{id: a, uses: fake.cloud}}\n")).len(), 1);
}

#[test]
fn a_region_that_stands_for_any_is_not_judged() {
    let text = "version: 1
name: test
params: {from: {type: string, required: true}, to: {type: string, required: true}}
allowed_regions: [eu-west-1]
steps:
  - {id: fence, uses: fake.cloud, with: {plays: [fence], region: \"{{ params.from }}\"}}
  - {id: a, uses: fake.cloud, with: {region: \"{{ params.to }}\"}}
";
    let problems = Runbook::check(text, &Kinds).problems;
    assert_eq!(problems, []);
}

#[test]
fn what_asks_aws_outside_the_allowed_regions_is_refused() {
    let text = "version: 1
name: test
allowed_regions: [eu-west-1]
steps:
  - {id: a, uses: fake.cloud, with: {region: us-east-1}}
  - {id: b, uses: fake.cloud, with: {region: eu-west-1}}
  - {id: c, uses: fake.cloud, with: {service: route53, region: us-east-1}}
";
    let problems = Runbook::check(text, &Kinds).problems;
    let told: Vec<_> = problems.iter().map(|one| (one.code, &text[one.span.clone()])).collect();
    assert_eq!(told, [("RB0292", "us-east-1")]);
}
