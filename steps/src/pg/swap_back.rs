//! `pg.swap_back`: the rows that `pg.restore_table` put aside come back, or are released.

use engine::context::StepContext;
use engine::step::{Observation, Step};
use model::catalog::InputProblem;
use model::effect::{Effect, Repeat};
use model::footprint::Footprint;
use model::set::manifest::TableName;
use model::step_error::StepError;
use model::units::Span;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::classify;
use super::commit::{self, commit};
use super::connection::{Session, connect_pinned};
use super::meter::Meter;
use super::restore_table::difference::{Counts, Pair};
use super::restore_table::exchange::{Exchange, Way, may_rest};
use super::restore_table::input::{default_lock_timeout, list_words, table_names, table_problems};
use super::restore_table::kept::{Kept, Mark, fingerprint, keep, write_mark};
use super::restore_table::live::{Live, unsupported};
use super::sql;
use super::target::Target;

/// Brings back the rows that `pg.restore_table` put aside, or releases them.
///
/// ## What it does
/// It takes the former rows of a table from `<name>__rb_<run>` and exchanges them for those that
/// are there now, in one transaction and in the way of `pg.restore_table`: the table stays, rows
/// that differ are exchanged, foreign keys are looked at before the commit, sequences are not set
/// back. Then the table of former rows is dropped. With `release: true` it only drops it.
///
/// ## When to use it
/// As `undo` of `pg.restore_table`; or days later, with the run's id, when the restored rows
/// turn out to be wrong. With `release: true` once nobody needs the former rows any more.
///
/// ## What it changes
/// Rows of the tables; the tables of former rows are gone. Rows that were changed since the
/// exchange would be lost, so the step refuses then. With `force: true` it goes on and keeps
/// what it replaces in turn, under the same name.
///
/// ## How it can fail
/// When that run keeps no rows of a table; when rows were changed since and `force` is not
/// given; when rows elsewhere refer to rows that would go; when columns were added or removed
/// since; when a lock is not granted in `lock_timeout`. Nothing is changed then.
///
/// ## Example
/// ```yaml
/// - id: back
///   uses: pg.swap_back
///   with: {connection: prod, table: billing.payments, run: 01JD2Q0M3K5V7X9ZB1D3F5H7J9}
/// ```
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The connection whose database holds the tables.
    connection: String,
    /// The table, as `table` (in schema `public`) or `schema.table`.
    #[serde(default)]
    table: Option<String>,
    /// Several tables instead of one: all come back in one transaction, or none.
    #[serde(default)]
    tables: Option<Vec<String>>,
    /// The id of the run that exchanged the rows; `{{ run.id }}` in an `undo`.
    run: String,
    /// Goes on when rows were changed since; what is replaced is kept in turn.
    #[serde(default)]
    force: bool,
    /// Drops the former rows and leaves the tables as they are.
    #[serde(default)]
    release: bool,
    /// How long to wait for each lock.
    #[serde(default = "default_lock_timeout")]
    lock_timeout: Span,
    /// Materialized views that read the tables are refreshed in the same transaction.
    #[serde(default = "crate::defaults::yes")]
    refresh: bool,
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// The tables.
    tables: Vec<String>,
    /// The run whose exchange was taken back or released.
    run: String,
    /// The former rows were only released.
    released: bool,
    /// Rows that were removed: the tables had them and the former rows did not.
    removed: u64,
    /// Rows that came back.
    returned: u64,
    /// Rows that got their former values.
    changed: u64,
    /// Tables that keep what was replaced; only with `force`, and when rows were changed since.
    kept: Vec<String>,
    /// Materialized views that were refreshed.
    refreshed: Vec<String>,
}

/// The step kind.
pub struct SwapBack;

/// One attempt.
struct Back<'a> {
    input: &'a Input,
    ctx: &'a StepContext,
    target: Target,
    names: Vec<TableName>,
}

impl Step for SwapBack {
    const KIND: &'static str = "pg.swap_back";
    const SUMMARY: &'static str = "brings back the rows that a table restore put aside";
    type Input = Input;
    type Output = Output;

    fn validate(input: &Input) -> Result<(), Vec<InputProblem>> {
        let mut problems = table_problems(input.table.as_deref(), input.tables.as_deref());
        if input.release && input.force {
            let message = "released rows come back nowhere: leave out `force`";
            problems.push(InputProblem::at("release", message));
        }
        if input.lock_timeout.duration().is_zero() {
            let message = "without a limit the step could keep everybody waiting";
            problems.push(InputProblem::at("lock_timeout", message).help("give a span like `5s`"));
        }
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    fn footprint(input: &Input) -> Footprint {
        let names = list_words(&input.names());
        let footprint = Footprint::new(Effect::Destructive, Repeat::Observable)
            .writes_connection(&input.connection)
            .writes(format!("drops the former rows of {names} (`<name>__rb_<run>`)"));
        if input.release {
            return footprint;
        }
        footprint
            .reads(format!("the former rows of {names}"))
            .writes(format!("rows of {names} in the database of `{}`", input.connection))
            .lock(format!(
                "EXCLUSIVE on {names} from the exchange to the commit: writers wait, readers do not"
            ))
    }

    fn example() -> Output {
        Output {
            tables: vec!["billing.payments".to_owned()],
            run: "01JD2Q0M3K5V7X9ZB1D3F5H7J9".to_owned(),
            released: false,
            removed: 4,
            returned: 1,
            changed: 2,
            kept: Vec::new(),
            refreshed: Vec::new(),
        }
    }

    async fn observe(input: &Input, ctx: &StepContext) -> Result<Observation<Output>, StepError> {
        commit::observe(ctx, &input.connection).await
    }

    async fn run(input: &Input, ctx: &StepContext) -> Result<Output, StepError> {
        let target = Target::resolve(&ctx.connection(&input.connection).await?)?;
        let session = connect_pinned(ctx, &target).await?;
        let back = Back { input, ctx, target, names: input.names() };
        let done = async {
            let kept = back.find(&session).await?;
            if input.release {
                back.release(&session, kept).await
            } else {
                back.swap(&session, kept).await
            }
        };
        let output = tokio::select! {
            biased;
            () = ctx.cancel().cancelled() => Err(StepError::cancelled()),
            done = done => done.map_err(classify::not_applied),
        };
        commit(ctx, session, output?).await
    }
}

impl Input {
    fn names(&self) -> Vec<TableName> {
        table_names(self.table.as_deref(), self.tables.as_deref())
    }
}

impl Back<'_> {
    /// The former rows of every table.
    async fn find(&self, session: &Session) -> Result<Vec<Kept>, StepError> {
        let mut found = Vec::with_capacity(self.names.len());
        for name in &self.names {
            let kept = Kept::find(session, name, &self.input.run).await?;
            found.push(kept.ok_or_else(|| self.nothing_kept(name))?);
        }
        Ok(found)
    }

    fn nothing_kept(&self, name: &TableName) -> StepError {
        let message = format!("run `{}` keeps no former rows of `{name}`", self.input.run);
        StepError::permanent("RB0537", message).hint(
            "they were released or brought back already, or that run did not exchange them: \
             see `runbook report`",
        )
    }

    fn output(&self) -> Output {
        Output {
            tables: self.names.iter().map(ToString::to_string).collect(),
            run: self.input.run.clone(),
            released: self.input.release,
            removed: 0,
            returned: 0,
            changed: 0,
            kept: Vec::new(),
            refreshed: Vec::new(),
        }
    }

    /// Everything but the commit.
    async fn release(&self, session: &Session, kept: Vec<Kept>) -> Result<Output, StepError> {
        let timeout = self.input.lock_timeout.duration().as_millis();
        let begin = format!("BEGIN READ WRITE; SET LOCAL lock_timeout = {timeout}");
        session.execute_all("begin", &begin).await?;
        for one in &kept {
            one.drop_table(session).await?;
            self.ctx.log(format!("`{}` is released", one.name));
        }
        Ok(self.output())
    }

    /// Everything but the commit.
    async fn swap(&self, session: &Session, kept: Vec<Kept>) -> Result<Output, StepError> {
        let mut lives = Vec::new();
        for name in &self.names {
            lives.push(Live::read(session, name).await?);
        }
        may_rest(session, &lives).await?;
        let meter = Meter::new(self.ctx, None);
        let exchange = Exchange {
            ctx: self.ctx,
            target: &self.target,
            meter: &meter,
            lock_timeout: self.input.lock_timeout.duration(),
            refresh: self.input.refresh,
        };
        let lives = exchange.begin(session, &self.names).await?;
        let mut output = self.output();
        let mut aside = Vec::new();
        for (live, one) in lives.iter().zip(&kept) {
            check_columns(session, live, one).await?;
            if fingerprint(session, live).await? != one.mark.after {
                self.refuse_changed(live, one)?;
                aside.push((live, one, self.put_aside(session, live).await?));
            }
        }
        let pairs = self.compare(session, &lives, &kept, &mut output).await?;
        exchange.apply(session, &pairs, Way::Whole).await?;
        for one in &kept {
            one.drop_table(session).await?;
        }
        for (live, one, name) in aside {
            output.kept.push(one.name.to_string());
            self.keep_in_turn(session, live, one, &name).await?;
        }
        output.refreshed = exchange.settle(session, &pairs, &[]).await?;
        Ok(output)
    }

    async fn compare(
        &self,
        session: &Session,
        lives: &[Live],
        kept: &[Kept],
        output: &mut Output,
    ) -> Result<Vec<(Pair, Counts)>, StepError> {
        let mut pairs = Vec::new();
        for (index, (live, one)) in lives.iter().zip(kept).enumerate() {
            let pair = Pair { live: live.clone(), other: one.name.clone(), index };
            let counts = pair.find(session).await?;
            self.ctx.log(format!(
                "{}: {} rows go, {} come back, {} get their former values",
                live.name, counts.only_here, counts.only_there, counts.changed
            ));
            output.removed += counts.only_here;
            output.returned += counts.only_there;
            output.changed += counts.changed;
            pairs.push((pair, counts));
        }
        Ok(pairs)
    }

    fn refuse_changed(&self, live: &Live, kept: &Kept) -> Result<(), StepError> {
        if self.input.force {
            return Ok(());
        }
        let message = format!(
            "rows of `{}` were changed since step `{}` exchanged them",
            live.name, kept.mark.step
        );
        Err(StepError::needs_operator("RB0538", message).hint(
            "`force: true` brings the former rows back all the same, and keeps what is there now; \
             nothing was changed",
        ))
    }

    /// Copies what is replaced, under a name for the time being.
    async fn put_aside(&self, session: &Session, live: &Live) -> Result<TableName, StepError> {
        self.ctx.log(format!("rows of `{}` were changed since; they are kept", live.name));
        let name = TableName::new(&live.name.schema, format!("rb_aside_{}", live.oid));
        keep(session, live, &name).await?;
        Ok(name)
    }

    /// What was replaced takes the place of the former rows.
    async fn keep_in_turn(
        &self,
        session: &Session,
        live: &Live,
        kept: &Kept,
        name: &TableName,
    ) -> Result<(), StepError> {
        let rename = format!(
            "ALTER TABLE {} RENAME TO {}",
            sql::qualified(&name.schema, &name.name),
            sql::identifier(&kept.name.name)
        );
        session.execute_all("keep what is replaced", &rename).await?;
        let step = self.ctx.id().step.to_string();
        let mark = Mark { step, after: fingerprint(session, live).await?, ..kept.mark.clone() };
        write_mark(session, &kept.name, &mark).await
    }
}

/// The former rows have the columns of the table.
async fn check_columns(session: &Session, live: &Live, kept: &Kept) -> Result<(), StepError> {
    let sql = "
        SELECT a.attname::text, format_type(a.atttypid, a.atttypmod)
        FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
          JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = $1 AND c.relname = $2 AND a.attnum > 0 AND NOT a.attisdropped";
    let rows = session.query(sql, &[&kept.name.schema, &kept.name.name]).await;
    let rows = rows.map_err(|error| classify::statement("look at the former rows", &error))?;
    let mut former: Vec<(String, String)> =
        rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    let mut now: Vec<_> =
        live.columns.iter().map(|column| (column.name.clone(), column.kind.clone())).collect();
    former.sort_unstable();
    now.sort_unstable();
    if former == now {
        return Ok(());
    }
    let why = format!("its columns are not those of `{}` any more", kept.name);
    Err(unsupported(&live.name, &why)
        .hint("bring the rows over by SQL from the table that keeps them; nothing was changed"))
}
