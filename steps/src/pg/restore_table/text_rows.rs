//! The rows of one table out of SQL text as `pg_dump` writes it: what stands between
//! `COPY schema.table (...) FROM stdin;` and `\.`.
//!
//! `pg_restore` prints an archive as such text, so that rows of every format reach a table of
//! another name. <https://www.postgresql.org/docs/current/sql-copy.html>

use bytes::{Bytes, BytesMut};
use model::set::manifest::{FileKind, Format, Table};
use model::step_error::StepError;
use tokio::sync::{mpsc, oneshot};

use super::staging::Load;
use crate::pg::connection::connect_pinned;
use crate::pg::copy::{Fault, newlines, receive, send_text};
use crate::pg::meter::Meter;
use crate::pg::restore::{Staged, stage_dump};
use crate::pg::{programs, sql};

/// Rows of a block that travel together.
const WAITING: usize = 4;

/// Where in the text the reader is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    /// Between blocks.
    Outside,
    /// In the block of another table.
    Elsewhere,
    /// In the block that is looked for.
    Inside,
}

/// Takes the rows of one table out of the text.
#[derive(Debug)]
struct Block {
    schema: String,
    name: String,
    place: Place,
    /// The columns, once the block began.
    columns: Option<Vec<String>>,
    /// The encoding of the text, as it says itself.
    encoding: Option<String>,
    /// The start of a line whose end has not come yet.
    line: Vec<u8>,
}

impl Block {
    fn of(table: &Table) -> Self {
        let (schema, name) = (table.schema.clone(), table.name.clone());
        let (columns, encoding, line) = (None, None, Vec::new());
        Self { schema, name, place: Place::Outside, columns, encoding, line }
    }

    /// The rows in the next piece of the text.
    fn take(&mut self, chunk: &[u8]) -> Bytes {
        let mut rows = BytesMut::new();
        for piece in chunk.split_inclusive(|&byte| byte == b'\n') {
            self.line.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                let line = std::mem::take(&mut self.line);
                if self.is_row(&line) {
                    rows.extend_from_slice(&line);
                }
            }
        }
        rows.freeze()
    }

    fn is_row(&mut self, line: &[u8]) -> bool {
        match self.place {
            Place::Outside => {
                if let Some((schema, name, columns)) = heading(line) {
                    let is_ours = self.schema == schema && self.name == name;
                    self.place = if is_ours { Place::Inside } else { Place::Elsewhere };
                    if is_ours {
                        self.columns = Some(columns);
                    }
                } else if let Some(encoding) = encoding(line) {
                    self.encoding = Some(encoding);
                }
                false
            }
            _ if line == b"\\.\n" => {
                self.place = Place::Outside;
                false
            }
            Place::Elsewhere => false,
            Place::Inside => true,
        }
    }
}

/// Schema, table and columns of `COPY schema.table (a, b) FROM stdin;`.
fn heading(line: &[u8]) -> Option<(String, String, Vec<String>)> {
    let text = std::str::from_utf8(line).ok()?;
    let mut rest = text.strip_prefix("COPY ")?;
    let schema = identifier(&mut rest)?;
    rest = rest.strip_prefix('.')?;
    let name = identifier(&mut rest)?;
    rest = rest.strip_prefix(" (")?;
    let mut columns = vec![identifier(&mut rest)?];
    while let Some(more) = rest.strip_prefix(", ") {
        rest = more;
        columns.push(identifier(&mut rest)?);
    }
    (rest == ") FROM stdin;\n").then_some((schema, name, columns))
}

/// The encoding of `SET client_encoding = 'UTF8';`.
fn encoding(line: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(line).ok()?;
    let name = text.strip_prefix("SET client_encoding = '")?.strip_suffix("';\n")?;
    Some(name.to_owned())
}

/// Takes one identifier from the front, quoted or not.
fn identifier(rest: &mut &str) -> Option<String> {
    if let Some(quoted) = rest.strip_prefix('"') {
        let (mut name, mut places) = (String::new(), quoted.char_indices().peekable());
        while let Some((place, letter)) = places.next() {
            match letter {
                '"' if places.next_if(|(_, next)| *next == '"').is_some() => name.push('"'),
                '"' => {
                    *rest = &quoted[place + 1..];
                    return Some(name);
                }
                _ => name.push(letter),
            }
        }
        return None;
    }
    let end = rest.find(['.', ' ', ',', ')']).filter(|end| *end > 0)?;
    let (name, after) = rest.split_at(end);
    *rest = after;
    Some(name.to_owned())
}

/// Copies the rows of one table of a set that is an archive or a text into `to`.
pub(super) async fn load(
    work: &Load<'_>,
    table: &Table,
    to: &Table,
    archive: Option<&Staged>,
) -> Result<(), StepError> {
    let what = format!("restore `{}`", table.table_name());
    let session = connect_pinned(work.ctx, work.target).await?;
    session.execute_all(&what, "BEGIN").await?;
    let (text, printed) = mpsc::channel(WAITING);
    let (rows, batches) = mpsc::channel(WAITING);
    let mut block = Block::of(table);
    let (says, said) = oneshot::channel::<Option<String>>();
    let receiving = async {
        if let Ok(Some(encoding)) = said.await {
            let set = format!("SET client_encoding = {}", sql::literal(&encoding));
            session.execute_all(&what, &set).await?;
        }
        receive(&session, to, &what, batches).await
    };
    let (read, sent, received) = tokio::join!(
        Box::pin(print(work, table, archive, text)),
        pick(&mut block, printed, (says, rows), work.meter),
        receiving
    );
    read?;
    let received = received?;
    check_columns(table, block.columns.as_deref())?;
    if received != sent {
        let message = format!("{what}: the server took {received} rows of {sent}");
        return Err(StepError::permanent("RB0519", message));
    }
    session.execute_all(&what, "COMMIT").await?;
    session.close().await;
    Ok(())
}

/// Prints the set as SQL text: of an archive, only this table.
async fn print(
    work: &Load<'_>,
    table: &Table,
    archive: Option<&Staged>,
    text: mpsc::Sender<Bytes>,
) -> Result<(), StepError> {
    if let Some(archive) = archive {
        let args = [
            "--data-only".to_owned(),
            format!("--schema={}", table.schema),
            format!("--table={}", table.name),
            "--file=-".to_owned(),
            archive.path().to_string_lossy().into_owned(),
        ];
        return programs::send_output(work.ctx, work.target, "pg_restore", &args, &text).await;
    }
    let dump = work.from.set.manifest.files.iter().find(|file| file.kind == FileKind::Dump);
    let dump = dump.ok_or_else(|| StepError::permanent("RB0614", "the set has no dump"))?;
    match send_text(work.from, dump, text).await? {
        // Whoever took it went away and says why.
        Ok(()) | Err(Fault::NotTaken) => Ok(()),
        Err(fault) => Err(fault.error(dump)),
    }
}

/// Hands the rows of the block on, the encoding of the text first; gives their number.
async fn pick(
    block: &mut Block,
    mut printed: mpsc::Receiver<Bytes>,
    (says, rows): (oneshot::Sender<Option<String>>, mpsc::Sender<Bytes>),
    meter: &Meter,
) -> u64 {
    let (mut count, mut says) = (0, Some(says));
    while let Some(chunk) = printed.recv().await {
        let batch = block.take(&chunk);
        if let Some(says) = says.take_if(|_| block.columns.is_some()) {
            says.send(block.encoding.clone()).ok();
        }
        meter.add("read the dump", chunk.len() as u64);
        count += newlines(&batch);
        if !batch.is_empty() && rows.send(batch).await.is_err() {
            break;
        }
    }
    count
}

/// The rows were copied in the manifest's order of columns.
fn check_columns(table: &Table, found: Option<&[String]>) -> Result<(), StepError> {
    match found {
        Some(found) if found == table.columns => Ok(()),
        None if table.rows == Some(0) => Ok(()),
        Some(_) => Err(other_text(table, "it writes its columns in another order")),
        None => Err(other_text(table, "it has no rows of it")),
    }
}

fn other_text(table: &Table, why: &str) -> StepError {
    let message =
        format!("the dump does not hold `{}` as its manifest says: {why}", table.table_name());
    StepError::permanent("RB0613", message).hint("restore from another set, and take a new backup")
}

/// The archive of the set on this machine; nothing when it is a text, which is read as it streams.
pub(super) async fn archive(work: &Load<'_>) -> Result<Option<Staged>, StepError> {
    match work.from.set.manifest.format {
        Format::Objects | Format::Plain => Ok(None),
        Format::Custom | Format::Directory => {
            stage_dump(work.ctx, work.from, work.meter).await.map(Some)
        }
    }
}

#[cfg(test)]
mod tests {
    use model::set::manifest::{TableData, TableKind};

    use super::*;

    fn table(schema: &str, name: &str) -> Table {
        Table {
            schema: schema.to_owned(),
            name: name.to_owned(),
            kind: TableKind::Table,
            data: TableData::All,
            columns: vec!["id".to_owned(), "a \"b\"".to_owned()],
            rows: Some(2),
            hash: None,
            parts: Vec::new(),
        }
    }

    const TEXT: &str = "SET client_encoding = 'LATIN1';\n\
        COPY public.orders (id, \"a \"\"b\"\"\") FROM stdin;\n9\tno\n\\.\n\
        COPY public.\"Orders\" (id, \"a \"\"b\"\"\") FROM stdin;\n1\tCOPY public.\"Orders\" (id) FROM stdin;\n\
        2\t\\\\.\n\\.\n\nCOPY a.\"Orders\" (id) FROM stdin;\n8\n\\.\n";

    #[test]
    fn only_the_rows_of_that_table_are_taken_however_the_text_is_cut() {
        for size in [1, 3, 7, 1000] {
            let mut block = Block::of(&table("public", "Orders"));
            let rows: Vec<u8> =
                TEXT.as_bytes().chunks(size).flat_map(|chunk| block.take(chunk)).collect();
            let expected = "1\tCOPY public.\"Orders\" (id) FROM stdin;\n2\t\\\\.\n";
            assert_eq!(String::from_utf8(rows).unwrap(), expected, "{size}");
            assert_eq!(block.columns.unwrap(), ["id", "a \"b\""]);
            assert_eq!(block.encoding.unwrap(), "LATIN1");
        }
    }

    #[test]
    fn a_dump_without_the_rows_is_not_taken_for_an_empty_table() {
        let table = table("public", "orders");
        assert!(check_columns(&table, None).is_err());
        assert!(check_columns(&table, Some(&["a".to_owned()])).is_err());
        assert!(check_columns(&Table { rows: Some(0), ..table }, None).is_ok());
    }
}
