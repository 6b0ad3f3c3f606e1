//! Client programs in the server's container, by `docker exec`: they have the server's version and
//! reach it through its socket.
//! <https://docs.docker.com/reference/cli/docker/container/exec/>

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use engine::context::StepContext;
use engine::files;
use engine::process::Program;
use model::step_error::StepError;

use super::succeeded;
use crate::pg::pgpass;
use crate::pg::target::Target;

/// Tells the folders of one attempt apart.
static CALLS: AtomicUsize = AtomicUsize::new(0);

/// A program to run in a container, and the files that go in and come out.
pub(super) struct Inside<'a> {
    ctx: &'a StepContext,
    container: &'a str,
    /// A folder of this call's own, when it needs one.
    folder: Option<String>,
    /// What the program writes: here, and there.
    written: Vec<(PathBuf, String)>,
}

impl<'a> Inside<'a> {
    /// Copies what the arguments name in the step's scratch folder into the container; gives the
    /// arguments as they read there.
    pub(super) async fn enter(
        ctx: &'a StepContext,
        container: &'a str,
        args: &[String],
    ) -> Result<(Self, Vec<String>), StepError> {
        let mut inside = Self { ctx, container, folder: None, written: Vec::new() };
        let scratch = ctx.scratch_folder()?;
        let mut there = Vec::with_capacity(args.len());
        for arg in args {
            match arg.find(&*scratch.to_string_lossy()) {
                Some(at) => {
                    let path = inside.bring(Path::new(&arg[at..])).await?;
                    there.push(format!("{}{path}", &arg[..at]));
                }
                None => there.push(arg.clone()),
            }
        }
        Ok((inside, there))
    }

    /// The path in the container of a file or folder that is there, or is to come out.
    async fn bring(&mut self, here: &Path) -> Result<String, StepError> {
        let folder = self.folder().await?;
        let name = here.file_name().unwrap_or_default().to_string_lossy();
        let there = format!("{folder}/{name}");
        if files::facts(here).is_ok() {
            let to = format!("{}:{there}", self.container);
            self.docker(&["cp", "--quiet", "--", &here.to_string_lossy(), &to]).await?;
        } else {
            self.written.push((here.to_owned(), there.clone()));
        }
        Ok(there)
    }

    async fn folder(&mut self) -> Result<String, StepError> {
        if let Some(folder) = &self.folder {
            return Ok(folder.clone());
        }
        let (id, number) = (self.ctx.id(), CALLS.fetch_add(1, Ordering::Relaxed));
        let folder = format!("/tmp/runbook-{}-{}-{}-{number}", id.run, id.step, id.attempt);
        self.docker(&["exec", self.container, "mkdir", "-m", "0700", &folder]).await?;
        Ok(self.folder.insert(folder).clone())
    }

    /// The program there, with the variables that lead to the server. Their values travel in the
    /// environment of `docker`, never in its arguments.
    pub(super) fn program(&self, target: &Target, name: &str, args: &[String]) -> Program {
        let variables = pgpass::inside(self.ctx, target);
        let program = Program::new("docker").args(["exec", "--interactive"]);
        let program = variables.into_iter().fold(program, |program, (name, value)| {
            program.arg(format!("--env={name}")).env(name, value)
        });
        program.arg(self.container).arg(name).args(args)
    }

    /// Brings out what the program wrote when it `went_well`, and clears up.
    pub(super) async fn leave(self, went_well: bool) -> Result<(), StepError> {
        let mut brought = Ok(());
        for (here, there) in self.written.iter().filter(|_| went_well) {
            let from = format!("{}:{there}", self.container);
            brought = self.docker(&["cp", "--quiet", "--", &from, &here.to_string_lossy()]).await;
            if brought.is_err() {
                break;
            }
        }
        if let Some(folder) = &self.folder {
            let cleared = self.docker(&["exec", self.container, "rm", "-rf", "--", folder]).await;
            if let Err(error) = cleared {
                self.ctx.log(format!("`{folder}` is left in the container: {error}"));
            }
        }
        brought
    }

    async fn docker(&self, args: &[&str]) -> Result<(), StepError> {
        let child = Program::new("docker").args(args.iter().copied()).start(self.ctx).await?;
        succeeded(&child.wait().await?)
    }
}
