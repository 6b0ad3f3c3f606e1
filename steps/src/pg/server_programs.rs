//! Programs that come with a server and are not on `PATH` everywhere: of one major version, for
//! they read what the server of that version writes.

use std::path::Path;

use engine::context::StepContext;
use engine::environment;
use model::step_error::StepError;

use super::programs;

/// Where packages of Debian and of the PostgreSQL project put the programs of a major version.
fn folders(major: u32) -> [String; 3] {
    [
        format!("/usr/lib/postgresql/{major}/bin"),
        format!("/usr/pgsql-{major}/bin"),
        format!("/usr/lib/postgresql{major}/bin"),
    ]
}

/// Finds a program of that major version: in `bin` when it is given, else where packages put it,
/// else on `PATH`. Gives its path and what it says its version is.
pub(super) async fn find(
    ctx: &StepContext,
    bin: Option<&str>,
    name: &str,
    major: u32,
) -> Result<(String, String), StepError> {
    let in_folder = |folder: &str| Path::new(folder).join(name).display().to_string();
    let packaged = || folders(major).map(|folder| in_folder(&folder)).into_iter();
    let candidates: Vec<String> = bin
        .map_or_else(|| packaged().chain([name.to_owned()]).collect(), |bin| vec![in_folder(bin)]);
    let mut wrong = None;
    for candidate in candidates {
        let Some(path) = environment::find_program(&candidate) else { continue };
        let path = path.display().to_string();
        let version = programs::version_of(ctx, &path).await?;
        if programs::major_version(&version) == Some(major) {
            return Ok((path, version));
        }
        wrong = Some(format!("`{path}` is of version {version}"));
    }
    let why = wrong.unwrap_or_else(|| "it was not found".to_owned());
    let message = format!("`{name}` of PostgreSQL {major} is needed: {why}");
    Err(StepError::needs_operator("RB0620", message).hint(format!(
        "install it (`apt-get install postgresql-{major}`), or name the folder it lies in as `bin`"
    )))
}
