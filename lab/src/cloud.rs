//! The AWS of the laboratory on one loopback port: RDS over real PostgreSQL, Route 53, SSM,
//! Secrets Manager, STS and the policy simulator of IAM, in the wire protocols of AWS.
//!
//! The service and the region of a request are read from the scope of its signature, which is not
//! verified; only the access key has to be the laboratory's. Requests for S3 are handed on to
//! another server. Paths under `/_lab/` are the laboratory's own: its state, its effects, its
//! faults.

mod call;
mod control;
mod disaster;
mod door;
mod effects;
mod faults;
mod gate;
mod iam;
mod moment;
mod proxy;
mod rds;
mod refusal;
mod route53;
mod secrets;
mod ssm;
mod sts;
mod world;
mod xml;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

pub use self::effects::Effect;
pub use self::faults::{Fault, FaultKind};
pub use self::rds::Seen;
pub use self::route53::{Alias, Record};
pub use self::world::World;
use crate::cluster::Cluster;
use crate::http::Server;

/// The account that everything belongs to.
pub const ACCOUNT: &str = "123456789012";
/// The access key that is let in.
pub const ACCESS_KEY: &str = "AKIALABORATORY000000";
/// The secret of that key. Signatures are not verified.
pub const SECRET_KEY: &str = "laboratory";
/// The region of the primary.
pub const PRIMARY_REGION: &str = "us-east-1";
/// The region of the read replica.
pub const REPLICA_REGION: &str = "us-west-2";
/// The primary.
pub const PRIMARY: &str = "app-primary";
/// Its read replica.
pub const REPLICA: &str = "app-replica";
/// The hosted zone, as Route 53 writes it.
pub const ZONE: &str = "lab.internal.";
/// The hosted zone's id.
pub const ZONE_ID: &str = "Z0LABORATORY";

/// How long what takes time takes.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// A promotion is accepted and the status is still `available`.
    pub unnoticed: Duration,
    /// An instance is `modifying`.
    pub modifying: Duration,
    /// An instance is `rebooting`, besides what PostgreSQL takes.
    pub rebooting: Duration,
    /// An instance is `backing-up`, besides what the backup takes.
    pub backing_up: Duration,
    /// A new security group is `adding`.
    pub groups: Duration,
    /// A change of records is `PENDING`.
    pub pending: Duration,
    /// How far the latest restorable time lies behind.
    pub restorable: Duration,
}

impl Pace {
    /// A promotion takes about three seconds.
    pub const QUICK: Self = Self {
        unnoticed: Duration::from_millis(500),
        modifying: Duration::from_millis(900),
        rebooting: Duration::from_millis(500),
        backing_up: Duration::from_millis(500),
        groups: Duration::from_millis(300),
        pending: Duration::from_millis(500),
        restorable: Duration::from_secs(1),
    };
}

type Prepare = Box<dyn FnOnce(&Cluster) -> io::Result<()> + Send>;

/// How the cloud is made.
#[must_use]
pub struct CloudOptions {
    folder: Option<PathBuf>,
    s3: Option<String>,
    pace: Pace,
    databases: bool,
    prepare: Option<Prepare>,
    aurora: Option<String>,
}

impl Default for CloudOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl CloudOptions {
    /// A primary and its read replica, quick, without S3.
    pub fn new() -> Self {
        let (folder, s3, prepare, aurora) = (None, None, None, None);
        Self { folder, s3, pace: Pace::QUICK, databases: true, prepare, aurora }
    }

    /// Keeps the effect log and the backups in this folder, which outlives the cloud.
    pub fn folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = Some(folder.into());
        self
    }

    /// Hands requests for S3 on to the server at this `http://host:port`.
    pub fn s3(mut self, url: impl Into<String>) -> Self {
        self.s3 = Some(url.into());
        self
    }

    /// How long what takes time takes.
    pub fn pace(mut self, pace: Pace) -> Self {
        self.pace = pace;
        self
    }

    /// Starts without instances of RDS: at once, for what needs none.
    pub fn without_databases(mut self) -> Self {
        self.databases = false;
        self
    }

    /// Fills the primary before the replica is made.
    pub fn prepare(
        mut self,
        fill: impl FnOnce(&Cluster) -> io::Result<()> + Send + 'static,
    ) -> Self {
        self.prepare = Some(Box::new(fill));
        self
    }

    /// Adds an instance of Aurora to the primary's region: it is described, and nothing else.
    pub fn aurora(mut self, id: impl Into<String>) -> Self {
        self.aurora = Some(id.into());
        self
    }

    /// Starts the cloud. Blocks for about two seconds, unless it has no databases.
    pub fn start(self) -> io::Result<Cloud> {
        Cloud::start(self)
    }
}

/// A running cloud. Dropping it ends its servers and removes its instances.
pub struct Cloud {
    // Before the world: nothing asks it any more when it ends.
    server: Server,
    world: World,
    own_folder: Option<tempfile::TempDir>,
}

impl Cloud {
    /// Starts a cloud, as [`CloudOptions::start`] does.
    pub fn start(mut options: CloudOptions) -> io::Result<Self> {
        let own_folder = match &options.folder {
            Some(folder) => {
                std::fs::create_dir_all(folder)?;
                None
            }
            None => Some(tempfile::Builder::new().prefix("runbook-cloud-").tempdir()?),
        };
        let given = options.folder.take();
        let own = own_folder.as_ref().map(|own| own.path().to_path_buf());
        let folder = given.or(own).expect("a folder is given or made");
        let world = World::new(folder, options.pace, options.s3.take())?;
        // From here on a failure ends what was begun.
        let begun = Begun(Some(world.clone()));
        if options.databases {
            rds::settle(&world, options.prepare.take())?;
        }
        if let Some(id) = &options.aurora {
            rds::settle_aurora(&world, id);
        }
        let server = Server::start("cloud", door::app(world))?;
        let world = begun.kept();
        Ok(Self { server, world, own_folder })
    }

    /// Where all services of all regions answer: what `AWS_ENDPOINT_URL` takes.
    pub fn url(&self) -> String {
        format!("http://{}", self.server.address)
    }

    /// What is in it.
    pub fn world(&self) -> &World {
        &self.world
    }

    /// The folder of `effects.jsonl`.
    pub fn folder(&self) -> PathBuf {
        self.world.folder().to_path_buf()
    }

    /// What the environment of an AWS client needs.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", SECRET_KEY.to_owned()),
            ("AWS_REGION", PRIMARY_REGION.to_owned()),
            ("AWS_DEFAULT_REGION", PRIMARY_REGION.to_owned()),
            ("AWS_ENDPOINT_URL", self.url()),
            ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
        ]
    }
}

impl Drop for Cloud {
    fn drop(&mut self) {
        self.world.end_all();
        drop(self.own_folder.take());
    }
}

/// A world that ends with this value unless it is kept.
struct Begun(Option<World>);

impl Begun {
    fn kept(mut self) -> World {
        self.0.take().expect("it is kept once")
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        if let Some(world) = &self.0 {
            world.end_all();
        }
    }
}
