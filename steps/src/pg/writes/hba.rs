//! `reject` lines in a server's `pg_hba.conf`, between two marks at its beginning, where they win.
//! The server itself reads and writes the file: it need not be on this machine.
//! <https://www.postgresql.org/docs/current/auth-pg-hba-conf.html>

use model::step_error::StepError;

use crate::pg::classify::{not_applied, statement};
use crate::pg::connection::Session;
use crate::pg::sql::literal;

const BEGIN: &str =
    "# runbook: writes are blocked; `pg.unblock_writes` removes the lines up to the end mark";
const END: &str = "# runbook: end of blocked writes";

/// Everyone who may log in but superusers, those who replicate, and ourselves.
const ROLES: &str = "SELECT rolname::text FROM pg_roles WHERE rolcanlogin AND NOT rolsuper \
    AND NOT rolreplication AND rolname <> session_user ORDER BY 1";

const FILE: &str = "SELECT current_setting('hba_file'), \
    encode(pg_read_binary_file(current_setting('hba_file')), 'hex')";

const ERRORS: &str = "SELECT format('line %s: %s', line_number, error) FROM pg_hba_file_rules \
    WHERE error IS NOT NULL ORDER BY line_number LIMIT 1";

/// The file as the server has it on disk.
pub(super) struct HbaFile {
    path: String,
    lines: Vec<String>,
    /// It can be written again as it is.
    plain: bool,
}

fn unfit(message: String) -> StepError {
    StepError::needs_operator("RB0578", message)
        .hint("mend the file on the server, or use `method: read_only`")
}

/// The roles that are rejected: those that are named, or all there are.
pub(super) async fn roles(session: &Session, named: &[String]) -> Result<Vec<String>, StepError> {
    if !named.is_empty() {
        return Ok(named.to_vec());
    }
    let rows = session.query(ROLES, &[]).await;
    let rows = rows.map_err(|error| not_applied(statement("list the roles", &error)))?;
    if rows.is_empty() {
        let message = "no role may log in but superusers, which are not rejected";
        return Err(StepError::needs_operator("RB0574", message)
            .hint("let the application log in as a role of its own, or use `method: read_only`"));
    }
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// Whether a role can be named in the file.
pub(super) fn is_namable(role: &str) -> bool {
    !role.is_empty() && !role.contains(['"', '\n', '\r', '\u{1}', '\u{2}'])
}

fn decoded(hex: &str) -> Option<String> {
    let byte = |at: usize| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok();
    let bytes: Option<Vec<u8>> = (0..hex.len()).step_by(2).map(byte).collect();
    String::from_utf8(bytes?).ok()
}

impl HbaFile {
    pub(super) async fn read(session: &Session) -> Result<Self, StepError> {
        let row = session.query_one(FILE, &[]).await;
        let row = row.map_err(|error| not_applied(statement("read `pg_hba.conf`", &error)))?;
        let text = decoded(row.get(1)).filter(|text| !text.contains(['\r', '\u{1}', '\u{2}']));
        let (plain, text) = (text.is_some(), text.unwrap_or_default());
        Ok(Self { path: row.get(0), lines: text.lines().map(str::to_owned).collect(), plain })
    }

    /// Whether our lines are in it.
    pub(super) fn is_marked(&self) -> bool {
        self.lines.iter().any(|line| line == BEGIN)
    }

    /// The file without our lines.
    pub(super) fn unmarked(&self) -> Self {
        let mut inside = false;
        let outside = |line: &&String| {
            inside |= *line == BEGIN;
            let kept = !inside;
            inside &= *line != END;
            kept
        };
        let lines = self.lines.iter().filter(outside).cloned().collect();
        Self { path: self.path.clone(), lines, plain: self.plain }
    }

    /// The file with lines that reject `roles`.
    pub(super) fn rejecting(&self, roles: &[String]) -> Self {
        let rejected = roles.iter().flat_map(|role| {
            [format!("local all \"{role}\" reject"), format!("host all \"{role}\" all reject")]
        });
        let begin = std::iter::once(BEGIN.to_owned()).chain(rejected).chain([END.to_owned()]);
        let lines = begin.chain(self.unmarked().lines).collect();
        Self { path: self.path.clone(), lines, plain: self.plain }
    }

    /// Writes the file. `COPY` writes an empty line for nothing, and quotes nothing that has no
    /// such quote in it.
    async fn write(&self, session: &Session) -> Result<(), StepError> {
        if !self.plain {
            let path = &self.path;
            let message = format!("`{path}` is not plain text in UTF-8 with Unix line ends");
            return Err(unfit(message));
        }
        let lines: Vec<_> = self.lines.iter().map(|line| literal(line)).collect();
        let sql = format!(
            "COPY (SELECT nullif(line, '') FROM unnest(ARRAY[{}]::text[]) WITH ORDINALITY \
             AS l (line, n) ORDER BY n) TO {} WITH (FORMAT csv, DELIMITER E'\\x02', \
             QUOTE E'\\x01', ENCODING 'UTF8')",
            lines.join(", "),
            literal(&self.path)
        );
        session.execute_all("write `pg_hba.conf`", &sql).await
    }

    /// Writes the file, and puts `former` back when the server cannot read what was written.
    pub(super) async fn write_checked(
        &self,
        session: &Session,
        former: &Self,
    ) -> Result<(), StepError> {
        self.write(session).await?;
        let wrong = session.query_opt(ERRORS, &[]).await;
        let wrong = wrong.map_err(|error| statement("check `pg_hba.conf`", &error))?;
        let Some(row) = wrong else { return Ok(()) };
        former.write(session).await?;
        let why: String = row.get(0);
        Err(unfit(format!("the server cannot read `{}`: {why}", self.path)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> HbaFile {
        let lines = text.lines().map(str::to_owned).collect();
        HbaFile { path: "/srv/pg_hba.conf".to_owned(), lines, plain: true }
    }

    #[test]
    fn lines_that_were_added_go_and_everything_else_stays() {
        let before = file("# head\n\nlocal all all trust\n# runbook: end of blocked writes\n");
        let roles = ["app".to_owned(), "it's \\ me".to_owned()];
        let blocked = before.rejecting(&roles);
        assert!(blocked.is_marked() && !before.is_marked());
        assert_eq!(blocked.lines[1], "local all \"app\" reject");
        assert_eq!(blocked.unmarked().lines, before.lines);
        // Twice is once.
        assert_eq!(blocked.rejecting(&roles).lines, blocked.lines);
    }

    #[test]
    fn only_text_is_decoded() {
        assert_eq!(decoded("6162").as_deref(), Some("ab"));
        assert_eq!(decoded("ff"), None);
        assert!(is_namable("Größe, x") && !is_namable("a\"b") && !is_namable(""));
    }
}
