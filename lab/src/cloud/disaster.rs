//! Faults that happen to servers and wires.

use std::borrow::Borrow;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::faults::{Fault, FaultKind};
use super::gate::Gate;
use super::rds::{Instance, Key, Status};
use super::world::World;
use super::{REPLICA_REGION, moment};
use crate::cluster::Cluster;

/// What a standby replays is no longer held back.
const CATCH_UP: &str = "ALTER SYSTEM RESET recovery_min_apply_delay; SELECT pg_reload_conf(); \
                        SELECT pg_wal_replay_resume() WHERE pg_is_in_recovery()";

impl World {
    /// Lets a fault begin. Blocks until servers that it kills are dead.
    pub fn begin(&self, fault: impl Borrow<Fault>) -> io::Result<()> {
        let fault = fault.borrow();
        let (kind, region) = (fault.kind(), fault.region_or_primary().to_owned());
        {
            let state = &mut *self.lock();
            state.faults.begin(fault.clone());
            let detail = json!({"args": fault.args});
            state.effects.record(("lab", &region), "FaultBegan", &kind.name(), detail);
        }
        match kind {
            FaultKind::Region => self.kill(|at, _| at == region)?,
            FaultKind::PrimaryCrash => self.kill(|at, it| at == region && it.source.is_none())?,
            FaultKind::Partition => self.links().iter().for_each(|link| {
                link.close();
                link.cut();
            }),
            FaultKind::Lag => self.hold_back(fault)?,
            FaultKind::DnsStale => self.lock().zone.freeze(),
            _ => {}
        }
        if let Some(seconds) = fault.args.for_seconds {
            self.begin_task(move |world| {
                let time = Duration::try_from_secs_f64(seconds).unwrap_or_default();
                if world.pause(time).is_ok()
                    && let Err(error) = world.end(kind)
                {
                    eprintln!("the laboratory could not end `{}`: {error}", kind.name());
                }
            });
        }
        Ok(())
    }

    /// Ends all faults of a kind. Blocks until servers that come back are there.
    pub fn end(&self, kind: FaultKind) -> io::Result<()> {
        let ended = self.lock().faults.end(kind);
        if ended.is_empty() {
            return Ok(());
        }
        for fault in &ended {
            let region = fault.region_or_primary();
            match kind {
                FaultKind::Region | FaultKind::PrimaryCrash => self.bring_back(region)?,
                FaultKind::Partition => {
                    self.links().iter().try_for_each(|link| link.open())?;
                }
                FaultKind::Lag => self.catch_up()?,
                FaultKind::DnsStale => self.lock().zone.thaw(),
                _ => {}
            }
            self.record(("lab", region), "FaultEnded", &kind.name(), json!({}));
        }
        Ok(())
    }

    /// Whether a region is lost at this moment.
    pub fn has_lost(&self, region: &str) -> bool {
        let lost = |fault: &Fault| {
            fault.kind() == FaultKind::Region && fault.region_or_primary() == region
        };
        self.lock().faults.standing().iter().any(lost)
    }

    /// The faults that stand.
    pub fn faults(&self) -> Vec<Fault> {
        self.lock().faults.standing().to_vec()
    }

    fn kill(&self, dies: impl Fn(&str, &Instance) -> bool) -> io::Result<()> {
        let mut victims = Vec::new();
        for ((region, _), instance) in &mut self.lock().rds.instances {
            if instance.down || !dies(region, instance) {
                continue;
            }
            if let Some(cluster) = &instance.cluster {
                instance.down = true;
                instance.died = Some(moment::now());
                victims.push(Arc::clone(cluster));
            }
            instance.turn()?;
        }
        victims.iter().try_for_each(|it| it.kill()).map_err(io::Error::other)
    }

    /// Starts what a fault has killed: a primary as a primary, whatever happened meanwhile.
    fn bring_back(&self, region: &str) -> io::Result<()> {
        let dead: Vec<_> = {
            let state = self.lock();
            let dead = state.rds.instances.iter().filter(|(key, it)| key.0 == region && it.down);
            let with_its_server =
                |(key, it): (&Key, &Instance)| Some((key.clone(), it.status, it.cluster.clone()?));
            dead.filter_map(with_its_server).collect()
        };
        for (key, status, cluster) in dead {
            // One that somebody had stopped stays stopped.
            if status != Status::Stopped {
                cluster.start_again().map_err(io::Error::other)?;
            }
            let mut state = self.lock();
            if let Some(instance) = state.rds.instances.get_mut(&key) {
                instance.down = false;
                instance.died = None;
                instance.turn()?;
            }
        }
        Ok(())
    }

    /// The wires between regions.
    fn links(&self) -> Vec<Arc<Gate>> {
        let state = self.lock();
        let crossing = state.rds.instances.iter().filter(|((region, _), it)| {
            it.source.as_ref().is_some_and(|source| source.0 != *region)
        });
        crossing.filter_map(|(_, it)| it.link.clone()).collect()
    }

    fn replicas(&self, region: Option<&str>) -> Vec<Arc<Cluster>> {
        let state = self.lock();
        let replicas = state.rds.instances.iter().filter(|((at, _), it)| {
            it.source.is_some() && !it.down && region.is_none_or(|region| region == at)
        });
        replicas.filter_map(|(_, it)| it.cluster.clone()).collect()
    }

    fn hold_back(&self, fault: &Fault) -> io::Result<()> {
        let sql = match fault.args.seconds {
            Some(seconds) => format!(
                "ALTER SYSTEM SET recovery_min_apply_delay = '{:.0}ms'; SELECT pg_reload_conf()",
                seconds * 1000.0
            ),
            None => "SELECT pg_wal_replay_pause()".to_owned(),
        };
        let region = fault.args.region.as_deref().unwrap_or(REPLICA_REGION);
        let replicas = self.replicas(Some(region));
        replicas.iter().try_for_each(|it| it.execute("postgres", &sql)).map_err(io::Error::other)
    }

    fn catch_up(&self) -> io::Result<()> {
        let replicas = self.replicas(None);
        replicas
            .iter()
            .try_for_each(|it| it.execute("postgres", CATCH_UP))
            .map_err(io::Error::other)
    }
}
