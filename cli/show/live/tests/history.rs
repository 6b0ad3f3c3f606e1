//! Histories of runs, as the journal has them, with what the steps said of their progress.

use engine::context::Progress;
use jiff::{SignedDuration, Timestamp};
use model::approval::{Answer, Decision, Request};
use model::effect::{Effect, Repeat};
use model::footprint::Footprint;
use model::ids::StepId;
use model::journal::{Record, Stamp};
use model::plan::{Contact, Milestone, Occasion, Plan, PlanStep, Retry, Role, Rollback};
use model::run::event::{AttemptEnd, Event, FinalStatus, Mode, NotRun, RunCreated, Seen};
use model::run::stage::UndoCause;
use model::run::state::RunState;
use model::step_error::StepError;
use model::units::Span;
use serde_json::{Value, json};

use crate::show::live::view::View;

const RUN: &str = "01JDABCDEFGHJKMNPQRSTVWXYZ";

fn start() -> Timestamp {
    "2026-11-20T02:00:00Z".parse().unwrap()
}

fn id(text: &str) -> StepId {
    text.parse().unwrap()
}

fn minutes(minutes: u64) -> Span {
    Span::from(std::time::Duration::from_secs(minutes * 60))
}

/// A run that is watched.
pub(super) struct History {
    pub(super) view: View,
    state: RunState,
    seconds: f64,
    seq: u64,
}

impl History {
    fn of(plan: Plan) -> Self {
        let history = Self { view: View::default(), state: RunState::new(), seconds: 0.0, seq: 0 };
        let history = history.tell(Event::RunCreated(Box::new(RunCreated {
            run: RUN.parse().unwrap(),
            tool: "0.1.0".to_owned(),
            mode: Mode::Live,
            starter: "dana".to_owned(),
            started_at: start(),
            incident_at: None,
            unattended: false,
            approvers: None,
            vars: indexmap::IndexMap::new(),
            plan,
        })));
        history.tell(Event::PreflightPassed { checks: vec!["prod".to_owned()] })
    }

    pub(super) fn now(&self) -> Timestamp {
        start() + SignedDuration::from_secs_f64(self.seconds)
    }

    fn tell(mut self, event: Event) -> Self {
        self.say(event);
        self
    }

    fn say(&mut self, event: Event) {
        let at = self.now();
        self.state.apply(at, &event).unwrap();
        self.seq += 1;
        let stamp = Stamp { at, mono_ms: 0, boot: String::new(), host: String::new(), epoch: 1 };
        let record = Record { seq: self.seq, stamp, event };
        self.view.event(&record, &self.state);
    }

    fn wait(mut self, seconds: f64) -> Self {
        self.seconds += seconds;
        self
    }

    fn started(self, step: &str, attempt: u32) -> Self {
        self.tell(Event::StepStarted { step: id(step), attempt })
    }

    fn succeeded(self, step: &str, attempt: u32, output: Value) -> Self {
        let step = id(step);
        self.tell(Event::StepSucceeded { step, attempt, output, adopted: false, log: None })
    }

    fn ran(self, step: &str, seconds: f64, output: Value) -> Self {
        self.started(step, 1).wait(seconds).succeeded(step, 1, output)
    }

    fn attempt_failed(self, step: &str, attempt: u32, error: &StepError) -> Self {
        let end = AttemptEnd::Failed { error: error.clone() };
        self.tell(Event::StepAttemptEnded { step: id(step), attempt, end, log: None })
    }

    fn failed(self, step: &str, error: StepError) -> Self {
        let history = self.attempt_failed(step, 1, &error);
        history.tell(Event::StepFailed { step: id(step), attempt: 1, error })
    }

    fn copies(mut self, step: &str, activity: &str, done: u64, total: Option<u64>) -> Self {
        let activity = activity.to_owned();
        let progress = Progress { activity, done, total, bytes: true };
        self.view.progress(self.now(), &id(step), &progress);
        self
    }

    fn logs(mut self, step: &str, line: &str) -> Self {
        self.view.log(&id(step), line.to_owned());
        self
    }
}

fn step(name: &str, uses: &str, effect: Effect, needs: &[&str]) -> PlanStep {
    PlanStep {
        needs: needs.iter().map(|need| id(need)).collect(),
        ..PlanStep::new(id(name), uses, Footprint::new(effect, Repeat::Observable))
    }
}

fn read(name: &str, needs: &[&str]) -> PlanStep {
    step(name, "pg.assert", Effect::Read, needs)
}

fn contacts() -> Vec<Contact> {
    let contact = |role: &str, name: &str, phone: &str| Contact {
        role: role.to_owned(),
        name: name.to_owned(),
        phone: Some(phone.to_owned()),
        email: None,
    };
    vec![
        contact("DBA", "Dana Ortiz", "+1 555 0100"),
        contact("platform", "Sam Lindqvist", "+46 8 555 0123"),
        contact("security", "Ana Reis", "+351 555 0144"),
    ]
}

fn backup_plan() -> Plan {
    let steps = vec![
        read("identify", &[]),
        step("dump", "pg.dump", Effect::Reversible, &["identify"]),
        step("verify", "pg.verify_backup", Effect::Reversible, &["dump"]),
        step("prune", "store.prune", Effect::Destructive, &["verify"]),
        step("tell", "slack.notify", Effect::Irreversible, &["dump", "verify", "prune"]),
    ];
    Plan { contacts: contacts(), ..Plan::new("daily-backup", steps) }
}

/// A dump that copies, two steps done, the others waiting.
pub(super) fn backup() -> History {
    const MIB: u64 = 1 << 20;
    let mut history = History::of(backup_plan())
        .wait(0.4)
        .ran("identify", 0.3, json!({"database": "app", "server_version": "15.8"}))
        .started("dump", 1);
    for second in 0..12 {
        let activity = format!("copy public.orders part {second}");
        history = history.copies("dump", &activity, second * 83 * MIB, Some(1240 * MIB)).wait(1.0);
    }
    history.logs("dump", "pg_dump: dumping contents of table \"public.orders\"")
}

/// The same, done.
pub(super) fn done() -> History {
    backup()
        .wait(5.0)
        .succeeded("dump", 1, json!({"set": "20261120T020000Z-4f2a", "rows": 300_000}))
        .ran("verify", 12.0, json!({"level": "identical", "differences": 0}))
        .ran("prune", 0.1, json!({"removed": 2, "kept": 9}))
        .ran("tell", 0.2, json!({}))
        .tell(Event::RunFinished { status: FinalStatus::Succeeded, failed_step: None })
        .wait(100.0)
}

fn unreachable_store() -> StepError {
    StepError::transient("RB0601", "the store does not answer").hint("see `runbook logs`")
}

/// Each step in another state.
pub(super) fn every_status() -> History {
    let mut left_out = read("left_out", &["done"]);
    left_out.condition = Some("params.slack".to_owned());
    let mut upload = step("upload", "store.put", Effect::Reversible, &[]);
    upload.retry = Retry { limit: 3, ..Retry::default() };
    let steps = vec![
        read("done", &[]),
        left_out,
        step("copying", "pg.restore", Effect::Reversible, &["done"]),
        read("silent", &["done"]),
        upload,
        step("looking", "rds.wait", Effect::Reversible, &["done"]),
        read("ready", &["done"]),
        read("pending", &["copying", "silent", "upload", "ready", "looking"]),
    ];
    let plan = Plan { max_parallel: 8, ..Plan::new("every-status", steps) };
    let timed_out = AttemptEnd::TimedOut { limit: minutes(1) };
    History::of(plan)
        .ran("done", 12.0, json!({"rows": 3}))
        .tell(Event::StepSkipped { step: id("left_out"), left_out: None, by: None, reason: None })
        .started("silent", 1)
        .started("upload", 1)
        .started("looking", 1)
        .wait(61.0)
        .attempt_failed("upload", 1, &unreachable_store())
        .tell(Event::StepObserving { step: id("upload"), attempt: 1 })
        .tell(Event::StepObserved { step: id("upload"), attempt: 1, seen: Seen::NotDone })
        .tell(Event::StepRetryScheduled {
            step: id("upload"),
            attempt: 1,
            at: start() + SignedDuration::from_secs(90),
        })
        .tell(Event::StepAttemptEnded {
            step: id("looking"),
            attempt: 1,
            end: timed_out,
            log: None,
        })
        .tell(Event::StepObserving { step: id("looking"), attempt: 1 })
        .started("copying", 1)
        .copies("copying", "copy audit.log", 512, None)
        .wait(4.0)
        .copies("copying", "copy audit.log", 90 << 20, None)
}

/// Two people are needed, one has answered; something else runs meanwhile.
pub(super) fn waits() -> History {
    let mut confirm = step("confirm", "human.approve", Effect::Read, &[]);
    confirm.footprint.waits_for_person = true;
    let steps = vec![
        step("safety", "pg.dump", Effect::Reversible, &[]),
        confirm,
        step("restore", "pg.restore_table", Effect::Destructive, &["confirm", "safety"]),
    ];
    let mut plan = Plan { contacts: contacts(), ..Plan::new("table-restore", steps) };
    plan.objectives.rto = Some(minutes(20));
    let request = Request {
        prompt: "Replace public.orders (300000 rows) of lms by the set of 02:00?".to_owned(),
        approvers: vec!["dba".to_owned(), "sre".to_owned()],
        required: 2,
        timeout: Some(minutes(15)),
        allow_self: false,
        ..Request::default()
    };
    let answer = Answer::claimed(Decision::Approved, "sam");
    let until = Some(start() + SignedDuration::from_mins(16));
    History::of(plan)
        .started("safety", 1)
        .wait(60.0)
        .tell(Event::ApprovalRequested { step: id("confirm"), request, until, plan: None })
        .copies("safety", "copy public.orders", 10 << 20, Some(400 << 20))
        .wait(35.0)
        .tell(Event::ApprovalAnswered { step: id("confirm"), answer })
        .copies("safety", "copy public.orders", 290 << 20, Some(400 << 20))
}

/// A check failed after the table was replaced, and the old one is put back.
pub(super) fn undoing() -> History {
    let role = |role: Role, step: PlanStep| PlanStep { role, ..step };
    let steps = vec![
        step("safety", "pg.dump", Effect::Reversible, &[]),
        step("swap", "pg.restore_table", Effect::Destructive, &["safety"]),
        read("check", &["swap"]),
        read("open", &["check"]),
        role(Role::Undo(id("swap")), step("swap.undo", "pg.swap_back", Effect::Destructive, &[])),
        role(
            Role::Handler(Occasion::Failure),
            step("failure.alarm", "slack.notify", Effect::Irreversible, &[]),
        ),
        role(
            Role::Handler(Occasion::Success),
            step("success.tell", "slack.notify", Effect::Irreversible, &[]),
        ),
    ];
    let mut plan = Plan { contacts: contacts(), ..Plan::new("table-restore", steps) };
    plan.objectives.rto = Some(minutes(20));
    plan.rollback = Rollback::OnFailure;
    let error = StepError::permanent("RB0551", "`select count(*) from orders` gave 0, not >= 1")
        .hint("compare with the set: `runbook backups show`");
    let (cause, steps) = (UndoCause::Rollback, vec![id("swap")]);
    History::of(plan)
        .ran("safety", 80.0, json!({"rows": 300_000}))
        .ran("swap", 200.0, json!({"table": "public.orders", "old": "orders_20261120"}))
        .started("check", 1)
        .wait(2.0)
        .failed("check", error)
        .tell(Event::StepNotRun { step: id("open"), reason: NotRun::RunFailed })
        .tell(Event::UndoStarted { cause, steps })
        .started("swap.undo", 1)
        .wait(3.0)
}

/// The same at its end, when people were told.
pub(super) fn failed() -> History {
    let on = Occasion::Failure;
    undoing()
        .succeeded("swap.undo", 1, json!({"table": "public.orders"}))
        .tell(Event::HandlersStarted { on, cause: None, step: None, reason: None })
        .ran("failure.alarm", 0.4, json!({"delivered": "confirmed"}))
        .tell(Event::RunFinished { status: FinalStatus::Failed, failed_step: Some(id("check")) })
}

/// Ctrl-C while a replica is promoted.
pub(super) fn held() -> History {
    let steps = vec![
        read("gate", &[]),
        step("promote", "rds.promote_replica", Effect::Irreversible, &["gate"]),
        step("dns", "route53.update", Effect::Reversible, &["promote"]),
    ];
    History::of(Plan::new("dr-failover", steps))
        .ran("gate", 1.0, json!({"lag_bytes": 0}))
        .started("promote", 1)
        .wait(30.0)
        .tell(Event::RunHeld { by: "dana".to_owned() })
}

/// A promotion of which nobody knows whether it happened.
pub(super) fn in_doubt() -> History {
    let steps = vec![
        read("gate", &[]),
        step("promote", "rds.promote_replica", Effect::Irreversible, &["gate"]),
        step("dns", "route53.update", Effect::Reversible, &["promote"]),
    ];
    let plan = Plan { contacts: contacts(), ..Plan::new("dr-failover", steps) };
    let error = StepError::ambiguous("RB0704", "the connection broke before the answer came");
    History::of(plan)
        .ran("gate", 1.0, json!({"lag_bytes": 0}))
        .started("promote", 1)
        .wait(30.0)
        .attempt_failed("promote", 1, &error)
        .tell(Event::StepObserving { step: id("promote"), attempt: 1 })
        .tell(Event::StepObserved { step: id("promote"), attempt: 1, seen: Seen::Unknown })
        .tell(Event::StepInDoubt { step: id("promote"), attempt: 1, error })
        .wait(5.0)
}

/// A thousand tables, twelve at a time.
pub(super) fn thousand() -> History {
    let steps = (0..1000)
        .map(|number| step(&format!("dump.table_{number}"), "pg.dump", Effect::Reversible, &[]));
    let plan = Plan { max_parallel: 12, ..Plan::new("every-table", steps.collect()) };
    let mut history = History::of(plan);
    for number in 0..400 {
        history = history.ran(&format!("dump.table_{number}"), 0.5, json!({"rows": number}));
    }
    for number in 400..412 {
        let name = format!("dump.table_{number}");
        history = history
            .started(&name, 1)
            .copies(&name, &format!("copy public.table_{number}"), 0, Some(100 << 20))
            .wait(0.5)
            .copies(&name, &format!("copy public.table_{number}"), 40 << 20, Some(100 << 20))
            .logs(&name, "the newest line of the log");
    }
    history.wait(1.0)
}

/// Over one milestone, near the objective, and stopped in a step that cannot be taken back.
pub(super) fn late() -> History {
    let milestone = |name: &str, rto: u64, step: PlanStep| PlanStep {
        milestone: Some(Milestone { name: name.to_owned(), rto: Some(minutes(rto)) }),
        ..step
    };
    let steps = vec![
        milestone("fenced", 5, step("fence", "fence", Effect::Destructive, &[])),
        milestone(
            "core",
            10,
            step("promote", "rds.promote_replica", Effect::Irreversible, &["fence"]),
        ),
        step("dns", "route53.update", Effect::Reversible, &["promote"]),
    ];
    let mut plan = Plan::new("dr-failover", steps);
    plan.objectives.rto = Some(minutes(15));
    History::of(plan)
        .ran("fence", 200.0, json!({"evidence": "confirmed"}))
        .started("promote", 1)
        .wait(540.0)
        .tell(Event::CancelRequested {
            by: "dana".to_owned(),
            reason: Some("Ctrl-C".to_owned()),
            force: false,
        })
        .wait(1.0)
}

/// Ids, names and log lines that are wider than they look.
pub(super) fn wide_letters() -> History {
    let long = "restore_the_billing_database_from_the_newest_proven_set";
    let mut restore = step(long, "pg.restore", Effect::Destructive, &[]);
    restore.name = Some("注文データベースを復元する 🚚 und prüfen".to_owned());
    let mut check = read("check", &[]);
    check.name = Some("確認".to_owned());
    let after = read("after", &[long, "check"]);
    History::of(Plan::new("wide", vec![restore, check, after]))
        .started(long, 1)
        .started("check", 1)
        .copies("check", "注文 📦 を照合", 0, Some(3 << 30))
        .wait(60.0)
        .copies("check", "注文 📦 を照合", 2 << 30, Some(3 << 30))
        .logs(
            "check",
            "行 ❤️ 👩‍🚒 \u{1b}[31mrot\u{1b}[0m\tzwölf 注文注文注文注文注文注文注文注文注文注文",
        )
}
