//! `git.commit`: records a file or a folder of a work tree.

use engine::context::StepContext;
use engine::step::{Observation, Step};
use model::catalog::InputProblem;
use model::effect::{Effect, Repeat};
use model::footprint::Footprint;
use model::step_error::StepError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::repository::Repository;
use crate::file::local::path_problem;

/// Commits a file or a folder of a Git work tree, and pushes it.
///
/// ## What it does
/// It commits what is at `path`, and nothing else, to the branch that is checked out. The message
/// ends with the lines `Runbook-Run:` and `Runbook-Step:`, by which a later look finds the commit.
/// When nothing changed there is no commit, and `committed` is false. With `push` the branch is
/// pushed, also when there was nothing new, and never by force. Hooks are not run.
///
/// ## When to use it
/// To keep the history of something that is generated: the schema of a database (`schema_file` of
/// `pg.dump`), a report. Push to a branch of its own and let people review it: a push to `main` is
/// unreviewed.
///
/// ## What it changes
/// At most one commit is added to the work tree's branch, and to the branch of the remote.
///
/// ## How it can fail
/// When the folder is not the top of a work tree, or has another branch checked out than `branch`;
/// when `git` refuses, as in the middle of a merge; when the remote has commits that the work tree
/// lacks, because a push that would lose them is refused.
///
/// ## Example
/// ```yaml
/// - id: record
///   uses: git.commit
///   with:
///     repository: /srv/lms-schema
///     path: schema.sql
///     message: Schema of lms
///     push: {remote: origin, branch: schema-snapshots}
/// ```
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The absolute path of the work tree.
    repository: String,
    /// The file or folder to commit, relative to the work tree.
    path: String,
    /// What the commit is about.
    message: String,
    /// The branch that must be checked out; without it, any.
    branch: Option<String>,
    /// The name in the commit.
    #[serde(default = "author_name")]
    author_name: String,
    /// The address in the commit.
    #[serde(default = "author_email")]
    author_email: String,
    /// Where the branch is pushed to; without it, nowhere.
    push: Option<Push>,
}

/// Where a branch is pushed to.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Push {
    /// The remote's name, or its address without a password.
    #[serde(default = "origin")]
    remote: String,
    /// The branch there.
    branch: String,
}

/// What was recorded.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Output {
    /// This step made a commit.
    committed: bool,
    /// The newest commit of the branch, after the step; absent when it has none.
    commit: Option<String>,
    /// The branch that is checked out.
    branch: String,
    /// The remote's branch has that commit.
    pushed: bool,
}

/// The step kind.
pub struct Commit;

fn author_name() -> String {
    "runbook".to_owned()
}

fn author_email() -> String {
    "runbook@localhost".to_owned()
}

fn origin() -> String {
    "origin".to_owned()
}

/// The lines by which the commit of this step is found.
fn trailers(ctx: &StepContext) -> [String; 2] {
    [format!("Runbook-Run: {}", ctx.id().run), format!("Runbook-Step: {}", ctx.id().step)]
}

/// The work tree, and the name of its branch.
async fn open<'a>(
    input: &Input,
    ctx: &'a StepContext,
) -> Result<(Repository<'a>, String), StepError> {
    let Input { repository, author_name, author_email, .. } = input;
    let repository = Repository::open(ctx, repository, author_name, author_email).await?;
    let branch = repository.call(&["symbolic-ref", "--quiet", "--short", "HEAD"]).await?;
    let branch = branch.stdout;
    match &input.branch {
        Some(wanted) if *wanted != branch => {
            let found = if branch.is_empty() { "no branch" } else { &branch };
            let message =
                format!("`{}` has `{found}` checked out, not `{wanted}`", input.repository);
            Err(StepError::needs_operator("RB0752", message)
                .hint(format!("git -C {} switch {wanted}", input.repository)))
        }
        _ if branch.is_empty() => {
            let message = format!("`{}` has no branch checked out", input.repository);
            Err(StepError::needs_operator("RB0752", message)
                .hint("a commit on no branch would be lost: check one out with `git switch`"))
        }
        _ => Ok((repository, branch)),
    }
}

/// The newest commit of the branch.
async fn head(repository: &Repository<'_>) -> Result<Option<String>, StepError> {
    let head = repository.call(&["rev-parse", "--quiet", "--verify", "HEAD"]).await?;
    Ok((head.status == Some(0)).then_some(head.stdout))
}

/// The commit that this step made in an earlier attempt.
async fn made_before(
    repository: &Repository<'_>,
    ctx: &StepContext,
) -> Result<Option<String>, StepError> {
    if head(repository).await?.is_none() {
        return Ok(None);
    }
    let [run, step] = trailers(ctx).map(|line| format!("--grep=^{line}$"));
    let args = ["log", "-1", "--format=%H", "--all-match", &run, &step, "HEAD"];
    let found = repository.run(&args).await?;
    Ok((!found.is_empty()).then_some(found))
}

impl Input {
    /// Whether `path` differs from the newest commit.
    async fn changes(&self, repository: &Repository<'_>) -> Result<bool, StepError> {
        repository.run(&["add", "--all", "--", &self.path]).await?;
        let differs = repository.call(&["diff", "--cached", "--quiet", "--", &self.path]).await?;
        match differs.status {
            Some(0) => Ok(false),
            Some(1) => Ok(true),
            _ => Err(differs.failed("RB0751", "diff")),
        }
    }

    async fn commit(
        &self,
        repository: &Repository<'_>,
        ctx: &StepContext,
    ) -> Result<(), StepError> {
        let message = format!("{}\n\n{}\n", self.message.trim_end(), trailers(ctx).join("\n"));
        let args =
            ["commit", "--quiet", "--only", "--cleanup=whitespace", "--file=-", "--", &self.path];
        repository.feed(&args, Some(&message)).await?.succeeded("commit").map(drop)
    }

    async fn push(&self, repository: &Repository<'_>) -> Result<bool, StepError> {
        let Some(push) = &self.push else { return Ok(false) };
        if head(repository).await?.is_none() {
            return Ok(false);
        }
        let branch = format!("HEAD:refs/heads/{}", push.branch);
        let said = repository.call(&["push", "--porcelain", "--", &push.remote, &branch]).await?;
        if said.status == Some(0) {
            return Ok(true);
        }
        let refused = said.stdout.lines().find(|line| line.starts_with('!'));
        let mut error = said.failed("RB0753", "push");
        if let Some(refused) = refused {
            error.class = model::step_error::ErrorClass::NeedsOperator;
            error.causes.insert(0, refused.replace('\t', " "));
            error = error.hint(format!(
                "bring the work tree up to date: git -C {} pull --rebase {} {}",
                self.repository, push.remote, push.branch
            ));
        }
        Err(error)
    }

    /// Whether the remote's branch stands at this commit.
    async fn is_pushed(
        &self,
        repository: &Repository<'_>,
        commit: &str,
    ) -> Result<bool, StepError> {
        let Some(push) = &self.push else { return Ok(false) };
        let branch = format!("refs/heads/{}", push.branch);
        let tip = repository.run(&["ls-remote", "--", &push.remote, &branch]).await?;
        Ok(tip.split_whitespace().next() == Some(commit))
    }
}

/// What is wrong with a path inside a work tree.
fn inner_path_problem(path: &str) -> Option<InputProblem> {
    let strange = |part: &str| matches!(part, "" | "." | ".." | ".git");
    let problem = InputProblem::at("path", format!("`{path}` is no path inside a work tree"));
    path.split('/').any(strange).then(|| problem.help("write it as `schema/lms.sql`"))
}

/// What is wrong with a name that `git` would take for an option.
fn option_problem(key: [&str; 2], text: &str) -> Option<InputProblem> {
    (text.is_empty() || text.starts_with('-')).then(|| InputProblem {
        path: key.iter().filter(|part| !part.is_empty()).map(|part| (*part).to_owned()).collect(),
        message: format!("`{text}` is no name"),
        help: None,
    })
}

impl Step for Commit {
    const KIND: &'static str = "git.commit";
    const SUMMARY: &'static str = "commits a file or a folder of a Git work tree, and pushes it";
    type Input = Input;
    type Output = Output;

    fn validate(input: &Input) -> Result<(), Vec<InputProblem>> {
        let mut problems: Vec<_> =
            path_problem("repository", &input.repository).into_iter().collect();
        problems.extend(inner_path_problem(&input.path));
        if input.message.trim().is_empty() {
            problems.push(InputProblem::at("message", "the message is empty"));
        }
        if let Some(push) = &input.push {
            problems.extend(option_problem(["push", "remote"], &push.remote));
            problems.extend(option_problem(["push", "branch"], &push.branch));
        }
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    fn footprint(input: &Input) -> Footprint {
        let Input { repository, path, .. } = input;
        let mut footprint = Footprint::new(Effect::Reversible, Repeat::Observable)
            .tool("git")
            .reads(format!("`{path}` in the work tree `{repository}`"))
            .writes(format!("a commit in the work tree `{repository}`"));
        if let Some(push) = &input.push {
            let (remote, branch) = (&push.remote, &push.branch);
            footprint = footprint
                .writes(format!("branch `{branch}` of the Git remote `{remote}`"))
                .endpoint(format!("the Git remote `{remote}`"));
        }
        footprint
    }

    fn example() -> Output {
        Output {
            committed: true,
            commit: Some("3f6c1b0d5a7e9c8b2d4f6a1e3c5b7d9f0a2c4e6b".to_owned()),
            branch: "schema-snapshots".to_owned(),
            pushed: true,
        }
    }

    async fn observe(input: &Input, ctx: &StepContext) -> Result<Observation<Output>, StepError> {
        let (repository, branch) = open(input, ctx).await?;
        let Some(commit) = made_before(&repository, ctx).await? else {
            return Ok(Observation::NotDone);
        };
        let pushed = input.is_pushed(&repository, &commit).await?;
        if input.push.is_some() && !pushed {
            // Pushing what is there already changes nothing.
            return Ok(Observation::NotDone);
        }
        let commit = Some(commit);
        Ok(Observation::Done(Output { committed: true, commit, branch, pushed }))
    }

    async fn run(input: &Input, ctx: &StepContext) -> Result<Output, StepError> {
        let (repository, branch) = open(input, ctx).await?;
        let mut committed = made_before(&repository, ctx).await?.is_some();
        if !committed {
            committed = input.changes(&repository).await?;
            if committed {
                input.commit(&repository, ctx).await?;
            }
        }
        let pushed = input.push(&repository).await?;
        let commit = head(&repository).await?;
        Ok(Output { committed, commit, branch, pushed })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn what_leads_elsewhere_is_refused_by_its_key() {
        let refused = |keys: Value| {
            let mut with = json!({"repository": "/srv/r", "path": "a/b.sql", "message": "m"});
            with.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
            let problems = Commit::validate(&serde_json::from_value(with).unwrap());
            let problems = problems.err().unwrap_or_default();
            problems.into_iter().map(|problem| problem.path.join(".")).collect::<Vec<_>>()
        };
        assert_eq!(refused(json!({})), [""; 0]);
        assert_eq!(refused(json!({"repository": "r"})), ["repository"]);
        for path in ["", "/etc/passwd", "../x", "a/../../x", ".git/config", "a//b", "."] {
            assert_eq!(refused(json!({"path": path})), ["path"], "{path}");
        }
        assert_eq!(refused(json!({"message": " "})), ["message"]);
        assert_eq!(refused(json!({"push": {"branch": "--force"}})), ["push.branch"]);
        let remote = json!({"push": {"remote": "--exec=x", "branch": "b"}});
        assert_eq!(refused(remote), ["push.remote"]);
    }
}
