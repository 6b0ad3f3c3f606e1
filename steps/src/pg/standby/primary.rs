//! The primary of a standby, as SQL tells it.

use engine::context::StepContext;
use model::step_error::StepError;

use crate::pg::classify;
use crate::pg::connection::Session;

/// A base backup streams over two connections.
const SENDERS: i32 = 2;

const PRIMARY: &str = "\
    SELECT pg_is_in_recovery(), s.system_identifier::text, \
    current_setting('server_version_num')::int4, current_setting('wal_level'), \
    current_setting('max_wal_senders')::int4 - \
    (SELECT count(*)::int4 FROM pg_stat_replication), \
    (SELECT rolreplication OR rolsuper FROM pg_roles WHERE rolname = current_user), \
    (SELECT count(*)::int4 FROM pg_tablespace WHERE spcname NOT IN ('pg_default', 'pg_global')), \
    (SELECT sum(pg_database_size(oid))::int8 FROM pg_database), \
    current_setting('full_page_writes') = 'on' \
    FROM pg_control_system() AS s";

const STREAMING: &str = "SELECT state = 'streaming', sent_lsn::text FROM pg_stat_replication \
    WHERE application_name = $1";

/// The fact that is durable before a replication slot is made.
pub(super) const SLOT_FACT: &str = "slot";

const SLOT: &str = "SELECT active FROM pg_replication_slots WHERE slot_name = $1";

/// The server from which a standby gets its WAL.
pub(super) struct Primary {
    in_recovery: bool,
    pub(super) system_identifier: String,
    pub(super) version: u32,
    wal_level: String,
    free_senders: i32,
    may_replicate: bool,
    tablespaces: i32,
    /// Bytes of all its databases.
    pub(super) bytes: u64,
    /// It writes whole pages to the WAL, which `pg_rewind` needs.
    pub(super) writes_full_pages: bool,
}

fn failed(error: &tokio_postgres::Error) -> StepError {
    classify::not_applied(classify::statement("look at the primary", error))
}

/// It cannot be what a standby is made from.
pub(super) fn unfit(connection: &str, why: &str, hint: &str) -> StepError {
    let message = format!("the server of `{connection}` cannot serve a standby: {why}");
    StepError::needs_operator("RB0565", message).hint(hint)
}

pub(super) async fn ask(session: &Session) -> Result<Primary, StepError> {
    let row = session.query_one(PRIMARY, &[]).await.map_err(|error| failed(&error))?;
    Ok(Primary {
        in_recovery: row.get(0),
        system_identifier: row.get(1),
        version: row.get::<_, i32>(2).unsigned_abs(),
        wal_level: row.get(3),
        free_senders: row.get(4),
        may_replicate: row.get(5),
        tablespaces: row.get(6),
        bytes: row.get::<_, i64>(7).unsigned_abs(),
        writes_full_pages: row.get(8),
    })
}

impl Primary {
    pub(super) fn major(&self) -> u32 {
        self.version / 10_000
    }

    /// Refuses what no standby can stream from.
    pub(super) fn check(&self, connection: &str) -> Result<(), StepError> {
        let refused = |why: &str, hint: &str| Err(unfit(connection, why, hint));
        if self.in_recovery {
            return refused("it is in recovery: it is no primary", "check the connection");
        }
        if self.wal_level == "minimal" {
            let hint = "set `wal_level = replica` and restart it";
            return refused("its `wal_level` is `minimal`", hint);
        }
        if !self.may_replicate {
            let hint = "`ALTER ROLE ... REPLICATION`, and a line for it with `replication` as the \
                        database in `pg_hba.conf`";
            return refused("the role may not replicate", hint);
        }
        Ok(())
    }

    /// Refuses what cannot be copied.
    pub(super) fn check_copy(&self, connection: &str) -> Result<(), StepError> {
        if self.free_senders < SENDERS {
            let why = format!("{} of its `max_wal_senders` are free", self.free_senders.max(0));
            let hint = "a base backup takes two: raise `max_wal_senders` and restart it, or stop \
                        another standby or backup";
            return Err(unfit(connection, &why, hint));
        }
        if self.tablespaces > 0 {
            let why = "it has tablespaces, which would lie at the same paths";
            let hint = "make this standby with `pg_basebackup --tablespace-mapping`";
            return Err(unfit(connection, why, hint));
        }
        Ok(())
    }
}

/// Whether a standby of that name streams, and up to where; nothing when none is connected.
pub(super) async fn streaming(
    session: &Session,
    name: &str,
) -> Result<Option<(bool, String)>, StepError> {
    let row = session.query_opt(STREAMING, &[&name]).await.map_err(|error| failed(&error))?;
    let sent = |row: &tokio_postgres::Row| row.get::<_, Option<String>>(1).unwrap_or_default();
    Ok(row.map(|row| (row.get::<_, Option<bool>>(0) == Some(true), sent(&row))))
}

/// Whether the slot is in use; nothing when there is none of that name.
async fn slot(session: &Session, name: &str) -> Result<Option<bool>, StepError> {
    let row = session.query_opt(SLOT, &[&name]).await.map_err(|error| failed(&error))?;
    Ok(row.map(|row| row.get(0)))
}

/// Makes the slot unless it is there, and none is in use by another standby.
pub(super) async fn ensure_slot(
    ctx: &StepContext,
    session: &Session,
    name: Option<&str>,
) -> Result<(), StepError> {
    let Some(name) = name else { return Ok(()) };
    match slot(session, name).await? {
        Some(true) => {
            let hint = "give another name, or see who streams in `pg_stat_replication`";
            let connection = &session.target().name;
            Err(unfit(connection, &format!("its slot `{name}` is in use"), hint))
        }
        Some(false) => Ok(()),
        None => {
            ctx.record(SLOT_FACT, name).await?;
            let sql = "SELECT pg_create_physical_replication_slot($1, true)";
            let made = session.query_one(sql, &[&name]).await;
            made.map(drop).map_err(|error| classify::statement("make the replication slot", &error))
        }
    }
}

/// Refuses a name by which another standby is connected already.
pub(super) async fn check_name(session: &Session, name: &str) -> Result<(), StepError> {
    if streaming(session, name).await?.is_none() {
        return Ok(());
    }
    let why = format!("a standby named `{name}` is connected already");
    Err(unfit(&session.target().name, &why, "give the new one another `name`"))
}

pub(super) async fn drop_slot(session: &Session, name: &str) -> Result<(), StepError> {
    let sql = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots \
               WHERE slot_name = $1 AND NOT active";
    let dropped = session.query_opt(sql, &[&name]).await;
    dropped.map(drop).map_err(|error| classify::statement("drop the replication slot", &error))
}
