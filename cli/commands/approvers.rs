//! `runbook approvers`.

use model::approval::{People, Person};
use serde_json::{Value, json};

use crate::approvers_file;
use crate::cli::{Approvers, Format};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::settings::Settings;
use crate::show::{print, table};

/// Checks `approvers.yaml` and lists who is in it.
pub(crate) fn approvers(args: &Approvers, settings: &Settings) -> Result<Exit, Failure> {
    let state = settings.state()?;
    let (given, runbook) = (args.approvers.as_deref(), args.file.as_deref());
    let path = approvers_file::locate(given, runbook, &state).ok_or_else(|| {
        let beside = state.path().join("approvers.yaml");
        Failure::new(Exit::Invalid, "RB0998", "there is no `approvers.yaml`")
            .why("names are only claimed without it")
            .help(format!("write one beside the runbook, or as `{}`", beside.display()))
    })?;
    let people = approvers_file::read(&path, settings.colour)?;
    match args.format {
        Format::Text => print_text(&people),
        Format::Json => print::json(&as_json(&people)),
    }
    Ok(Exit::Done)
}

fn print_text(people: &People) {
    let rows = people.persons.iter().map(|person| {
        let (kind, fingerprint) = key(person);
        let roles = person.roles.join(", ");
        vec![person.name.clone(), roles, kind.unwrap_or("none: claimed").to_owned(), fingerprint]
    });
    let header = ["name", "roles", "key", "fingerprint"];
    print::text(&(table::plain(&header, rows) + "\n"));
    print::message(&format!("{}, sha256 {}\n", people.file, people.sha256));
}

/// The type of a person's key and its fingerprint.
fn key(person: &Person) -> (Option<&str>, String) {
    let fingerprint = person.public_key().map(|key| key.fingerprint()).unwrap_or_default();
    (person.key.as_deref().and_then(|key| key.split(' ').next()), fingerprint)
}

fn as_json(people: &People) -> Value {
    let persons = people.persons.iter().map(|person| {
        let (kind, fingerprint) = key(person);
        json!({
            "name": person.name, "roles": person.roles, "login": person.login,
            "key": kind, "fingerprint": kind.map(|_| fingerprint),
        })
    });
    json!({"file": people.file, "sha256": people.sha256, "approvers": persons.collect::<Value>()})
}
