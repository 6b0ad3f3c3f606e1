//! Sessions: a client with its pump, pinned settings and a name in `pg_stat_activity`.

use std::ops::Deref;
use std::time::Duration;

use engine::context::StepContext;
use engine::settings::ConnectionSettings;
use model::step_error::StepError;
use secrecy::ExposeSecret;
use tokio::task::JoinHandle;
use tokio_postgres::config::{ChannelBinding, SslMode};
use tokio_postgres::{CancelToken, Client, Config};

use super::classify;
use super::target::{Target, Tls, TlsMode};
use super::tls;

/// How long a server may take to hear of a cancellation.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(15);

/// Between keepalive probes on an idle connection, so that a lost server is noticed.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// What a session that reads or writes content sets, so that text does not depend on the
/// server's, the database's or the role's settings. Text without an encoding travels as it is.
/// `row_security = off` makes a policy that would hide rows an error.
pub const PINS: &str = "\
    SELECT set_config('client_encoding', CASE getdatabaseencoding() \
    WHEN 'SQL_ASCII' THEN 'SQL_ASCII' ELSE 'UTF8' END, false); SET TimeZone = 'UTC'; SET DateStyle = 'ISO, YMD'; \
    SET IntervalStyle = 'postgres'; SET extra_float_digits = 3; SET bytea_output = 'hex'; \
    SET xmloption = 'content'; SET search_path = pg_catalog; \
    SET standard_conforming_strings = on; SET row_security = off; SET statement_timeout = 0; \
    SET lock_timeout = 0; SET idle_in_transaction_session_timeout = 0; \
    SET quote_all_identifiers = off; SET synchronize_seqscans = off; SET jit = off";

/// An open connection. Dropping it cancels the statement that runs and ends the session;
/// [`Session::close`] ends an idle one politely.
pub struct Session {
    client: Client,
    abandon: Abandon,
    target: Target,
}

/// Ends a session whose owner went away.
struct Abandon {
    pump: Option<JoinHandle<()>>,
    cancel: CancelToken,
    tls: Tls,
    mode: TlsMode,
}

impl Deref for Session {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

/// Renders the named connection and opens it.
pub async fn connect_named(ctx: &StepContext, name: &str) -> Result<Session, StepError> {
    connect(ctx, &Target::resolve(&ctx.connection(name).await?)?).await
}

/// Opens a connection by its settings.
pub async fn connect_with(
    ctx: &StepContext,
    settings: &ConnectionSettings,
) -> Result<Session, StepError> {
    connect(ctx, &Target::resolve(settings)?).await
}

/// Opens a connection. Ends early when the step is cancelled.
pub async fn connect(ctx: &StepContext, target: &Target) -> Result<Session, StepError> {
    let application = application_name(ctx);
    tokio::select! {
        biased;
        () = ctx.cancel().cancelled() => Err(StepError::cancelled()),
        session = open(target, &application) => session,
    }
}

/// Opens a connection also when the step is cancelled: to clear up.
pub(super) async fn connect_even_cancelled(
    ctx: &StepContext,
    target: &Target,
) -> Result<Session, StepError> {
    open(target, &application_name(ctx)).await
}

/// Logs in outside any run: to look before one starts.
pub(crate) async fn connect_to_look(settings: &ConnectionSettings) -> Result<Session, StepError> {
    open(&Target::resolve(settings)?, "runbook/preflight").await
}

/// Opens a connection with the settings pinned under which content is read and written.
pub async fn connect_pinned(ctx: &StepContext, target: &Target) -> Result<Session, StepError> {
    let session = connect(ctx, target).await?;
    let pinned = session.execute_all("set up a session", PINS).await;
    pinned.map_err(classify::not_applied)?;
    Ok(session)
}

async fn open(target: &Target, application: &str) -> Result<Session, StepError> {
    let attempts = if target.is_socket() { &[TlsMode::Disable] } else { target.tls.attempts() };
    let mut refused = None;
    for mode in attempts {
        let connector = tls::connector(&target.tls, *mode)?;
        match config(target, *mode, application).connect(connector).await {
            Ok((client, connection)) => {
                let pump = tokio::spawn(async move {
                    // The error reaches whoever waits on the client, too.
                    connection.await.ok();
                });
                let cancel = client.cancel_token();
                let abandon =
                    Abandon { pump: Some(pump), cancel, tls: target.tls.clone(), mode: *mode };
                return Ok(Session { client, abandon, target: target.clone() });
            }
            Err(error) if classify::depends_on_tls(&error) => refused = Some(error),
            Err(error) => return Err(classify::connecting(target, &error)),
        }
    }
    let refused = refused.expect("there is at least one attempt");
    Err(classify::connecting(target, &refused))
}

fn config(target: &Target, mode: TlsMode, application: &str) -> Config {
    let mut config = Config::new();
    let encrypted = mode != TlsMode::Disable;
    config
        .host(&target.host)
        .port(target.port)
        .dbname(&target.dbname)
        .user(&target.user)
        .application_name(application)
        .keepalives_idle(KEEPALIVE)
        .ssl_mode(if encrypted { SslMode::Require } else { SslMode::Disable });
    if let Some(timeout) = target.connect_timeout {
        config.connect_timeout(timeout);
    }
    if let Some(address) = target.address {
        config.hostaddr(address);
    }
    if target.bound_to_channel {
        config.channel_binding(ChannelBinding::Require);
    }
    if let Some(password) = &target.password {
        config.password(password.expose_secret());
    }
    if let Some(options) = &target.options {
        config.options(options);
    }
    config
}

/// `runbook/<run>/<step>`; the server cuts it at 63 bytes.
pub fn application_name(ctx: &StepContext) -> String {
    format!("runbook/{}/{}", ctx.id().run, ctx.id().step)
}

impl Session {
    /// Where it is connected.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Ends the session and waits until the server was told.
    pub async fn close(self) {
        let Self { client, mut abandon, .. } = self;
        drop(client);
        if let Some(pump) = abandon.pump.take() {
            pump.await.ok();
        }
    }

    /// Runs statements without parameters and results.
    pub async fn execute_all(&self, what: &str, sql: &str) -> Result<(), StepError> {
        self.client.batch_execute(sql).await.map_err(|error| classify::statement(what, &error))
    }

    /// The first column of the only row, as text.
    pub async fn text(&self, what: &str, sql: &str) -> Result<String, StepError> {
        let row = self.client.query_one(sql, &[]).await;
        let value = row.and_then(|row| row.try_get(0));
        value.map_err(|error| classify::statement(what, &error))
    }

    /// `server_version_num`.
    pub async fn server_version(&self) -> Result<u32, StepError> {
        let text =
            self.text("read the server's version", "SELECT current_setting('server_version_num')");
        Ok(text.await?.parse().expect("`server_version_num` is a number"))
    }
}

impl Drop for Abandon {
    fn drop(&mut self) {
        let Some(pump) = self.pump.take().filter(|pump| !pump.is_finished()) else { return };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let (cancel, connector) = (self.cancel.clone(), tls::connector(&self.tls, self.mode));
        // The server notices a closed socket only when it next writes: a running statement is
        // told to stop, then the socket is closed.
        runtime.spawn(async move {
            if let Ok(connector) = connector {
                let asked = cancel.cancel_query(connector);
                tokio::time::timeout(CANCEL_TIMEOUT, asked).await.ok();
            }
            pump.abort();
        });
    }
}
