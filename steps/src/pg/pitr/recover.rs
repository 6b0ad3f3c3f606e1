//! From a base backup to the moment.

use engine::context::StepContext;
use engine::environment;
use engine::files;
use model::step_error::{ErrorClass, StepError};

use super::config::{CONFIG, Fetch, configure};
use super::instance::{Instance, Mark, Stage, refused};
use super::way::{Map, Way};
use super::{Action, INSTANCE, Input, Inspected, Output, announce, fill, opened, output, watch};
use crate::pg::asked::{Asked, Rows, begin_on};
use crate::pg::connection::Session;
use crate::pg::programs;
use crate::store::{self, Store};

/// Rows of an inspection that are kept.
const MAX_ROWS: u32 = 100;

/// Recovers, or takes up what an earlier attempt of this step has begun.
pub(super) async fn recover(input: &Input, ctx: &StepContext) -> Result<Output, StepError> {
    let instance = Instance::of(input)?;
    instance.check_free(ctx)?;
    if let Some(mark) = running(&instance, ctx) {
        ctx.log("the server of an earlier attempt runs: it is waited for");
        return settled(input, ctx, &instance, &mark).await;
    }
    let (from, to) = (input.store.as_deref().unwrap_or_default(), input.archive.as_deref());
    let bases = store::open_named(ctx, from).await?;
    let settings = ctx.store(to.unwrap_or(from)).await?;
    let archive = store::open(&settings)?;
    let target = input.target.as_ref().expect("validate asks for a target");
    let map = Map { input, ctx, bases: bases.as_ref(), archive: archive.as_ref(), target };
    let way = map.way().await?;
    let fetch = Fetch {
        program: program(input)?,
        url: settings.url.clone(),
        cluster: way.base().server.system_identifier.clone(),
    };
    let made = make(input, ctx, &instance, (bases.as_ref(), &way, &fetch)).await;
    let done = match made {
        Ok(mark) => settled(input, ctx, &instance, &mark).await,
        Err(error) => Err(error),
    };
    if done.as_ref().is_err_and(|error| error.class == ErrorClass::Cancelled) {
        leave_nothing(&instance, ctx, way.major()).await;
    }
    done
}

/// The instance of an earlier attempt of this step, when its server lives.
fn running(instance: &Instance, ctx: &StepContext) -> Option<Mark> {
    let mark = instance.mark().filter(|mark| mark.is_of(ctx) && mark.stage == Stage::Ready)?;
    instance.server().map(|_| mark)
}

/// The `runbook` that the server calls.
fn program(input: &Input) -> Result<String, StepError> {
    if let Some(program) = &input.program {
        return Ok(program.clone());
    }
    let own = environment::own_program().map_err(|error| {
        let message = "where the program lies that runs is not known";
        StepError::needs_operator("RB0633", message).caused_by(&error).hint("name it as `program`")
    })?;
    Ok(own.display().to_string())
}

/// Unpacks, writes the settings and starts the server. What an earlier attempt has unpacked to its
/// end is used again.
async fn make(
    input: &Input,
    ctx: &StepContext,
    instance: &Instance,
    (bases, way, fetch): (&dyn Store, &Way, &Fetch),
) -> Result<Mark, StepError> {
    let id = ctx.id();
    let mark = |stage| Mark {
        version: 1,
        run: id.run.to_string(),
        step: id.step.to_string(),
        stage,
        system_identifier: way.base().server.system_identifier.clone(),
        server_major: way.major(),
        base: way.base().base.to_string(),
        target: input.target.as_ref().map(ToString::to_string).unwrap_or_default(),
        timeline: way.timeline,
        port: input.port,
        last_commit: way.last_commit.clone(),
    };
    let ready = instance.mark().is_some_and(|found| {
        found.is_of(ctx) && found.stage == Stage::Ready && found.base == way.base().base.as_str()
    });
    if ready {
        ctx.log("what an earlier attempt has unpacked is used again");
    } else {
        fill::check_room(instance, way)?;
        announce(ctx, INSTANCE, input, Some(way.timeline)).await?;
        clear(instance)?;
        instance.make(&instance.folder)?;
        instance.write_mark(&mark(Stage::Filling))?;
        probe(ctx, instance, way, fetch).await?;
        fill::fill(instance, ctx, bases, way).await?;
    }
    configure(instance, ctx, input, way, fetch).await?;
    instance.write_mark(&mark(Stage::Ready))?;
    if ctx.cancel().is_cancelled() {
        return Err(StepError::cancelled());
    }
    instance.start(ctx, way.major(), CONFIG).await.map_err(not_started)?;
    Ok(mark(Stage::Ready))
}

fn not_started(error: StepError) -> StepError {
    if error.class == ErrorClass::Cancelled {
        return error;
    }
    let mut found = StepError::permanent("RB0634", "the server of the instance does not start");
    found.causes = error.causes;
    found.hint("its log is in `data_directory`; repair what it names, then resume")
}

/// Empties the folder of a former attempt of this step; the folder itself may be a person's.
fn clear(instance: &Instance) -> Result<(), StepError> {
    let failed = |error: std::io::Error| {
        refused(&instance.folder, &error.to_string(), "remove what is in it")
    };
    files::remove_folder(&instance.parts()).map_err(failed)?;
    for name in files::list(&instance.folder).map_err(failed)? {
        let path = instance.file(&name);
        let is_folder = path.symlink_metadata().is_ok_and(|facts| facts.is_dir());
        let removed = if is_folder { files::remove_folder(&path) } else { files::remove(&path) };
        removed.map_err(failed)?;
    }
    Ok(())
}

/// The server fetches as its own account: whether it can is known before anything is unpacked.
async fn probe(
    ctx: &StepContext,
    instance: &Instance,
    way: &Way,
    fetch: &Fetch,
) -> Result<(), StepError> {
    let Some(first) = way.path.first() else { return Ok(()) };
    let to = instance.file("runbook_pitr.probe");
    let program = fetch.of(&first.to_string(), &to.display().to_string());
    let fetched = programs::run_program(ctx, program.run_as(instance.account.as_ref())).await;
    let removed = files::remove(&to);
    fetched.map_err(|error| {
        if error.class == ErrorClass::Cancelled {
            return error;
        }
        let account = instance.account.as_ref().map_or("this account", |account| &account.name);
        let message =
            format!("the server, as `{account}`, cannot fetch `{first}` from the archive");
        let mut found = StepError::needs_operator("RB0633", message).hint(
            "let that account read the archive and run the program (`program`), or name another \
             account as `run_as`",
        );
        found.causes = error.causes;
        found
    })?;
    removed.map_err(|error| refused(&to, &error.to_string(), "see the disk"))
}

/// Waits for the moment and asks what is to be asked there.
async fn settled(
    input: &Input,
    ctx: &StepContext,
    instance: &Instance,
    mark: &Mark,
) -> Result<Output, StepError> {
    if input.action == Action::Promote {
        let done = opened(input, ctx, instance, mark).await?;
        let session = instance.connect(ctx, mark.port).await?;
        let inspected = inspect(input, ctx, &session).await?;
        session.close().await;
        return Ok(Output { inspected, ..done });
    }
    let (session, standing) =
        watch::wait(instance, ctx, mark, |standing| standing.paused || !standing.in_recovery)
            .await?;
    if !standing.in_recovery || watch::stopped(instance).is_none() {
        let message = if standing.in_recovery {
            "recovery is paused, and not at the moment"
        } else {
            "the instance did not stay at the moment: it is open"
        };
        return Err(StepError::needs_operator("RB0634", message).hint(format!(
            "its log in `{}` says why; another value for what it names goes into `settings`",
            instance.folder.display()
        )));
    }
    let inspected = inspect(input, ctx, &session).await?;
    session.close().await;
    Ok(Output { inspected, ..output(input, instance, mark, &standing) })
}

/// Asks the queries, read-only. What a query cannot tell is told, too: the instance is what it is.
pub(super) async fn inspect(
    input: &Input,
    ctx: &StepContext,
    session: &Session,
) -> Result<Vec<Inspected>, StepError> {
    let mut inspected = Vec::new();
    for query in &input.inspect {
        begin_on(session, true).await?;
        let asked = Asked { sql: query, params: &[], max_rows: MAX_ROWS };
        let found = match asked.run(session, ctx).await {
            Err(error) if error.class == ErrorClass::Cancelled => return Err(error),
            found => found,
        };
        session.execute_all("end the inspection", "ROLLBACK").await?;
        let (rows, error) = match found {
            Ok(rows) => (rows, None),
            Err(error) => (Rows::default(), Some(error.message)),
        };
        let (query, count) = (query.clone(), rows.count);
        inspected.push(Inspected { query, rows: rows.kept, count, error });
    }
    Ok(inspected)
}

/// A run that was cancelled leaves no server behind.
async fn leave_nothing(instance: &Instance, ctx: &StepContext, major: u32) {
    // The programs that stop it listen to a cancellation themselves.
    let calm = ctx.uncancelled();
    let left = instance.stop(&calm, major).await.and_then(|()| instance.remove());
    if let Err(error) = left {
        ctx.log(format!("the instance is left: {error}"));
    }
}
