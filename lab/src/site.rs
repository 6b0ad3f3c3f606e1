//! The laboratory as a whole: two regions with PostgreSQL, an AWS, S3, DNS, receivers of messages
//! and an application that writes all the time, in one folder.

mod control;
mod daemon;
mod disaster;
mod environment;
mod handle;
mod messages;

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

pub use self::control::{Ending, Served};
pub use self::daemon::{hold, up};
pub use self::disaster::{Asked, DISASTERS, Disaster};
pub use self::handle::{Handle, HandleError, State};
pub use self::messages::Told;
use crate::cloud::{
    ACCESS_KEY, Cloud, CloudOptions, FaultKind, PRIMARY_REGION, Pace, REPLICA_REGION, SECRET_KEY,
    Seen, World, ZONE,
};
use crate::cluster::{Cluster, ClusterOptions, USER};
use crate::dns::{Dns, Record};
use crate::ledger::{Ledger, LedgerOptions};
use crate::s3::{S3, S3Options};
use crate::sample;
use crate::sink::Sink;

/// The sample application's database.
pub const DATABASE: &str = "lms";
/// The bucket in the primary's region.
pub const BUCKET: &str = "lab-backups";
/// The bucket in the standby's region.
pub const BUCKET_WEST: &str = "lab-backups-west";
/// The name by which the application finds its database.
pub const DATABASE_HOST: &str = "db.lab.internal";
/// The parameter that says otherwise, read by the application when it starts.
pub const HOST_PARAMETER: &str = "/lab/app/database-host";

/// The application writes within this time.
const PATIENCE: Duration = Duration::from_secs(20);

/// How a laboratory is made.
#[derive(Clone)]
pub struct SiteOptions {
    folder: PathBuf,
    rows: u32,
    pace: Pace,
    writing: Duration,
}

impl SiteOptions {
    /// A laboratory in a folder, with little data.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        let (pace, writing) = (Pace::QUICK, Duration::from_millis(20));
        Self { folder: folder.into(), rows: 20_000, pace, writing }
    }

    /// About so many rows of sample data.
    #[must_use]
    pub fn rows(mut self, rows: u32) -> Self {
        self.rows = rows;
        self
    }

    /// How long in the cloud takes what takes time.
    #[must_use]
    pub fn pace(mut self, pace: Pace) -> Self {
        self.pace = pace;
        self
    }
}

/// A running laboratory. Dropping it ends all of it; what its servers wrote stays in the folder.
pub struct Site {
    // The order is that of the end: whoever asks ends before whoever answers.
    ledger: Ledger,
    dns: Dns,
    cloud: Cloud,
    s3: Arc<S3>,
    sink: Sink,
    scratch: Cluster,
    password: String,
    folder: PathBuf,
}

impl Site {
    /// Starts a laboratory.
    pub fn start(options: &SiteOptions) -> io::Result<Self> {
        Self::start_telling(options, &mut |_| Ok(()))
    }

    /// Starts a laboratory and says what is being done; an error of `tell` ends it.
    pub fn start_telling(
        options: &SiteOptions,
        tell: &mut dyn FnMut(&str) -> io::Result<()>,
    ) -> io::Result<Self> {
        let folder = &options.folder;
        fs::create_dir_all(folder)?;
        tell("S3 and the receivers of messages")?;
        let world: Arc<OnceLock<World>> = Arc::default();
        let s3 = Arc::new(store(folder, &world)?);
        let sink = Sink::start_with_log(&folder.join("messages.jsonl"))?;
        let scratch = ClusterOptions::new().start().map_err(io::Error::other)?;
        scratch.execute(USER, sample::roles()).map_err(io::Error::other)?;
        tell("the primary in us-east-1, its standby in us-west-2, and the AWS before them")?;
        let (cloud, password) = cloud(options, &s3)?;
        // The only one who sets it.
        drop(world.set(cloud.world().clone()));
        tell("DNS and the application")?;
        let dns = names(cloud.world())?;
        let ledger = application(options, &cloud, &dns, &password)?;
        let site = Self { ledger, dns, cloud, s3, sink, scratch, password, folder: folder.clone() };
        site.wait_until_it_writes()?;
        Ok(site)
    }

    fn wait_until_it_writes(&self) -> io::Result<()> {
        let until = Instant::now() + PATIENCE;
        while !self.ledger.is_healthy() {
            if Instant::now() > until {
                return Err(io::Error::other("the application did not get to write in time"));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// The AWS.
    pub fn cloud(&self) -> &Cloud {
        &self.cloud
    }

    /// The S3.
    pub fn s3(&self) -> &S3 {
        &self.s3
    }

    /// The name server.
    pub fn dns(&self) -> &Dns {
        &self.dns
    }

    /// The receiver of messages.
    pub fn sink(&self) -> &Sink {
        &self.sink
    }

    /// The application.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The instance of that identifier.
    fn instance(&self, region: &str) -> Option<Seen> {
        let instances = self.cloud.world().instances();
        instances.into_iter().find(|it| it.region == region && it.port.is_some())
    }

    fn url(&self, region: &str) -> String {
        let seen = self.instance(region);
        let address = seen.as_ref().and_then(|it| it.address.clone());
        let port = seen.and_then(|it| it.port);
        let (address, port) = (address.unwrap_or_default(), port.unwrap_or_default());
        format!("postgresql://{USER}:{}@{address}:{port}/{DATABASE}", self.password)
    }
}

/// The S3 with its buckets. What lies in a lost region is out of reach.
fn store(folder: &Path, world: &Arc<OnceLock<World>>) -> io::Result<S3> {
    let world = Arc::clone(world);
    let s3 = S3Options::default()
        .key(ACCESS_KEY, SECRET_KEY)
        .strict_regions()
        .lost_when(move |region| world.get().is_some_and(|world| is_lost(world, region)))
        .start(&folder.join("s3"))?;
    s3.create_bucket_in(BUCKET, PRIMARY_REGION)?;
    s3.create_bucket_in(BUCKET_WEST, REPLICA_REGION)?;
    Ok(s3)
}

/// Whether a region is lost.
fn is_lost(world: &World, region: &str) -> bool {
    world
        .faults()
        .iter()
        .any(|fault| fault.kind() == FaultKind::Region && disaster::region_of(fault) == region)
}

/// The cloud, and the password of its databases.
fn cloud(options: &SiteOptions, s3: &S3) -> io::Result<(Cloud, String)> {
    let password: Arc<Mutex<String>> = Arc::default();
    let (kept, rows) = (Arc::clone(&password), options.rows);
    let cloud = CloudOptions::new()
        .folder(options.folder.join("cloud"))
        .s3(s3.url())
        .pace(options.pace)
        .prepare(move |cluster| {
            cluster.password().clone_into(&mut kept.lock().unwrap_or_else(PoisonError::into_inner));
            cluster.create_database(DATABASE).map_err(io::Error::other)?;
            cluster.execute(DATABASE, &sample::application(rows)).map_err(io::Error::other)
        })
        .start()?;
    let password = password.lock().unwrap_or_else(PoisonError::into_inner).clone();
    Ok((cloud, password))
}

/// The name server of the zone.
fn names(world: &World) -> io::Result<Dns> {
    let world = world.clone();
    let records = move || {
        let records = world.records().into_iter();
        records.map(|record| told(&world, record)).collect()
    };
    Dns::start(ZONE, Arc::new(records))
}

/// A record as the name server takes it. A record with a health check is healthy while the server
/// behind it is.
fn told(world: &World, record: crate::cloud::Record) -> Record {
    let down = |value: &String| {
        let named = value.trim_end_matches('.');
        world.instances().iter().any(|it| {
            let endpoint = format!("{}.{}.rds.{}", it.id, it.region, ZONE.trim_end_matches('.'));
            it.down && (named == endpoint || it.address.as_deref() == Some(named))
        })
    };
    Record {
        healthy: record.health_check.is_none() || !record.values.iter().any(down),
        name: record.name,
        kind: record.kind,
        ttl: record.ttl.unwrap_or(60),
        values: record.values,
        weight: record.weight,
        failover: record.failover,
        alias: record.alias.map(|alias| alias.name),
    }
}

fn application(
    options: &SiteOptions,
    cloud: &Cloud,
    dns: &Dns,
    password: &str,
) -> io::Result<Ledger> {
    let port = cloud.world().instances().into_iter().find_map(|it| it.port);
    let cloud = cloud.url();
    Ledger::start(LedgerOptions {
        dns: dns.address(),
        host: DATABASE_HOST.to_owned(),
        port: port.ok_or_else(|| io::Error::other("no instance has a port"))?,
        user: USER.to_owned(),
        password: password.to_owned(),
        database: DATABASE.to_owned(),
        file: options.folder.join("acknowledged"),
        pace: options.writing,
        setting: Some(Arc::new(move || host_parameter(&cloud))),
    })
}

/// Writes a file that only its owner reads.
fn private(path: &Path, text: &str) -> io::Result<()> {
    let mut options = fs::File::options();
    let mut file = options.create(true).write(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())
}

/// Where the database is, as SSM says it in the standby's region.
fn host_parameter(cloud: &str) -> Option<String> {
    let port = cloud.rsplit(':').next()?.parse().ok()?;
    let identity = format!(
        "authorization: AWS4-HMAC-SHA256 \
         Credential={ACCESS_KEY}/20260101/{REPLICA_REGION}/ssm/aws4_request, \
         SignedHeaders=host, Signature=none\r\n\
         x-amz-target: AmazonSSM.GetParameter\r\ncontent-type: application/x-amz-json-1.1"
    );
    let asked = format!("{{\"Name\":\"{HOST_PARAMETER}\",\"WithDecryption\":true}}");
    let answer = crate::plain::Plain::new(port, identity).request("POST", "/", &[], &asked).ok()?;
    let told: serde_json::Value = serde_json::from_str(&answer.body).ok()?;
    Some(told["Parameter"]["Value"].as_str()?.to_owned())
}
