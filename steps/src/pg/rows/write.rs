//! Writing the rows, and looking at them afterwards.

use model::rows::Role;
use model::step_error::StepError;
use tokio_postgres::Error;

use super::asking;
use super::order;
use super::staged::{Staged, State, is_in, shortened};
use super::target::Opened;
use crate::pg::connection::Session;
use crate::pg::sql::identifier;

/// The groups in which the tables are written, those referenced first.
pub(super) fn groups(opened: &Opened) -> Vec<Vec<usize>> {
    let number = |oid| opened.tables.iter().position(|table| table.live.oid == oid);
    let edges = opened.between.iter();
    let edges: Vec<_> =
        edges.filter_map(|key| Some((number(key.child)?, number(key.parent)?))).collect();
    order::groups(opened.tables.len(), &edges)
}

/// Runs what writes the tables of one group: several as one statement, whose foreign keys the
/// server checks at its end.
pub(super) async fn together(
    session: &Session,
    what: &str,
    statements: Vec<String>,
) -> Result<(), StepError> {
    let sql = match &statements[..] {
        [one] => one.clone(),
        several => {
            let with = several.iter().enumerate();
            let with: Vec<_> = with.map(|(index, sql)| format!("w{index} AS ({sql})")).collect();
            format!("WITH {} SELECT 1", with.join(", "))
        }
    };
    session.execute(&sql, &[]).await.map(drop).map_err(|error| refused(what, &error))
}

/// A constraint that does not hold is for a person; all else is the server's error.
fn refused(what: &str, error: &Error) -> StepError {
    let told = asking::failed(what, error);
    let state = error.code().map(tokio_postgres::error::SqlState::code).unwrap_or_default();
    if !state.starts_with("23") {
        return told;
    }
    let message = format!("the target refuses a row: {}", told.message);
    let mut refusal = StepError::permanent("RB0549", message);
    // The server shows whole rows to some refusals; a key is told, other values are not.
    refusal.causes = told.causes.into_iter().filter(|cause| cause.starts_with("Key (")).collect();
    refusal.hint("everything was rolled back; see which row has the value now")
}

/// Checks constraints that would wait for the end of the transaction.
pub(super) async fn check_constraints(session: &Session) -> Result<(), StepError> {
    let checked = session.batch_execute("SET CONSTRAINTS ALL IMMEDIATE").await;
    checked.map_err(|error| refused("check the constraints", &error))
}

/// Inserts and overwrites.
pub(super) async fn write(opened: &Opened) -> Result<(), StepError> {
    asking::as_role(&opened.session).await?;
    for group in groups(opened) {
        let tables: Vec<_> = group.iter().map(|number| &opened.tables[*number]).collect();
        let names: Vec<_> = tables.iter().map(|table| format!("`{}`", table.told)).collect();
        let names = names.join(", ");
        let inserts = tables.iter().map(|table| table.insert()).collect();
        together(&opened.session, &format!("insert into {names}"), inserts).await?;
        let updates: Vec<_> =
            tables.iter().filter_map(|table| table.update(State::Overwrite, None)).collect();
        if !updates.is_empty() {
            together(&opened.session, &format!("overwrite rows of {names}"), updates).await?;
        }
    }
    check_constraints(&opened.session).await?;
    asking::as_pinned(&opened.session).await
}

/// Refuses what is not as the bundle says, after it was written.
pub(super) async fn verify(opened: &Opened) -> Result<(), StepError> {
    let mut wrong = Vec::new();
    for table in &opened.tables {
        let condition = format!(
            "{} AND (t.ctid IS NULL OR {})",
            is_in("s", &[State::Insert, State::Overwrite]),
            table.differs("s", "t")
        );
        wrong.extend(table.explain(&opened.session, &condition).await?);
    }
    if wrong.is_empty() {
        return Ok(());
    }
    let message = "what was written is not what the bundle says";
    let mut error = StepError::permanent("RB0548", message);
    error.causes = shortened(wrong);
    Err(error.hint(
        "everything was rolled back; a trigger of the target changes rows while they are written: \
         say `triggers: disable` to bring them back as they were",
    ))
}

impl Staged {
    fn insert(&self) -> String {
        let (list, live, temp) = (self.list(), self.live.quoted(), &self.temp);
        format!(
            "INSERT INTO {live} ({list}) OVERRIDING SYSTEM VALUE SELECT {list} FROM {temp} s WHERE {}",
            is_in("s", &[State::Insert])
        )
    }

    /// Gives live rows the contents of staged ones in that state; `from` are those whose contents
    /// are taken, by role, when they are not the ones that have the state. Nothing when the table
    /// has no column besides its key.
    pub(super) fn update(&self, state: State, from: Option<Role>) -> Option<String> {
        let settable = self.columns.iter().filter(|name| {
            let live = self.live.columns.iter().find(|column| column.name == **name);
            !self.key.columns.contains(name) && live.is_some_and(|column| !column.identity_always)
        });
        let source = if from.is_some() { "b" } else { "s" };
        let set: Vec<_> =
            settable.map(|name| format!("{0} = {source}.{0}", identifier(name))).collect();
        let (more, condition) = match from {
            Some(role) => (
                format!(", {} b", self.temp),
                format!(
                    " AND {} AND {}",
                    super::staged::has_role("b", role),
                    self.same_key("b", "s")
                ),
            ),
            None => (String::new(), String::new()),
        };
        let sql = format!(
            "UPDATE {} t SET {} FROM {} s{more} WHERE {} AND {}{condition}",
            self.live.from(),
            set.join(", "),
            self.temp,
            is_in("s", &[state]),
            self.same_key("s", "t"),
        );
        (!set.is_empty()).then_some(sql)
    }
}
