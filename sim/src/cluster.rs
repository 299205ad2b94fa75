//! Seats, and the processes and disks on them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use weir_raft::{Env, NodeId, Seat};

use crate::app::{App, Site};
use crate::disk::SimDisk;
use crate::env::SimClock;
use crate::judge::Judge;
use crate::life::Life;
use crate::network::SimNetwork;
use crate::planted::Mistake;
use crate::random::Rng;
use crate::threads::SimThreads;
use crate::trace::Trace;

/// How a process ends before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crash {
    /// The process alone: what it wrote is in the cache.
    Process,
    /// The machine: what was not synced may be lost.
    Power,
}

/// A node's incarnations on a seat are this far apart.
const INCARNATION: u64 = 100;
/// How long a start may take.
const START_LIMIT: Duration = Duration::from_secs(120);
/// How long a process that did not start is left alone.
const START_AGAIN: Duration = Duration::from_secs(1);
/// So many starts in a row may fail on a disk of which nothing is wrong any more.
const FAILED_STARTS: u32 = 3;

/// The seat of a node.
pub fn seat_of(node: NodeId) -> Seat {
    Seat((node.0 % INCARNATION) as i32)
}

#[derive(Debug, Clone, Copy)]
pub struct Settings {
    pub seats: u32,
    /// The nodes on the first so many seats found the cluster; the others join it.
    pub founders: u32,
}

/// A simulated cluster. Clones share it.
pub struct Cluster<A: App> {
    inner: Arc<Inner<A>>,
}

impl<A: App> Clone for Cluster<A> {
    fn clone(&self) -> Cluster<A> {
        Cluster {
            inner: self.inner.clone(),
        }
    }
}

struct Inner<A: App> {
    app: A,
    trace: Arc<Trace>,
    judge: Arc<Judge>,
    network: SimNetwork,
    clock: Arc<SimClock>,
    rng: Rng,
    places: Mutex<BTreeMap<Seat, Place<A::Running>>>,
}

struct Place<R> {
    node: NodeId,
    /// Of the process that runs, or the next one.
    life: Life,
    disk: SimDisk,
    process: Process<R>,
    /// Starts that have failed, one after the other, on a disk without faults.
    failed: u32,
    /// What was stored was changed behind the node's back.
    damaged: bool,
    founders: Vec<NodeId>,
}

enum Process<R> {
    None,
    Starting,
    Runs(Arc<R>),
    /// It said that its disk is damaged.
    Refused,
}

impl<A: App> Cluster<A> {
    /// Seats 1 to `settings.seats` with empty disks; nothing runs yet.
    pub fn new(app: A, settings: Settings, trace: Arc<Trace>, rng: &Rng) -> Cluster<A> {
        let judge = Arc::new(Judge::new(trace.clone()));
        let network = SimNetwork::new(trace.clone(), judge.clone(), rng.fork());
        let nodes: Vec<NodeId> = (1..=settings.seats)
            .map(|seat| NodeId(INCARNATION + u64::from(seat)))
            .collect();
        let (founders, _) = nodes.split_at(settings.founders as usize);
        let mut places = BTreeMap::new();
        for node in &nodes {
            let life = Life::new(*node);
            let place = Place {
                node: *node,
                disk: SimDisk::new(life.clone(), trace.clone(), rng.fork()),
                life,
                process: Process::None,
                failed: 0,
                damaged: false,
                founders: match founders.contains(node) {
                    true => founders.to_vec(),
                    false => Vec::new(),
                },
            };
            places.insert(seat_of(*node), place);
        }
        Cluster {
            inner: Arc::new(Inner {
                app,
                trace,
                judge,
                network,
                clock: Arc::new(SimClock::start()),
                rng: rng.fork(),
                places: Mutex::new(places),
            }),
        }
    }

    pub fn app(&self) -> &A {
        &self.inner.app
    }

    pub fn trace(&self) -> &Arc<Trace> {
        &self.inner.trace
    }

    pub fn judge(&self) -> &Arc<Judge> {
        &self.inner.judge
    }

    pub fn network(&self) -> &SimNetwork {
        &self.inner.network
    }

    pub fn seats(&self) -> Vec<Seat> {
        self.inner.places.lock().keys().copied().collect()
    }

    /// The node that has a seat now.
    pub fn node(&self, seat: Seat) -> NodeId {
        self.inner.places.lock()[&seat].node
    }

    /// The process that runs on a seat, if it has started.
    pub fn running(&self, seat: Seat) -> Option<(Life, Arc<A::Running>)> {
        let places = self.inner.places.lock();
        let place = &places[&seat];
        match &place.process {
            Process::Runs(running) if !place.life.is_over() => {
                Some((place.life.clone(), running.clone()))
            }
            _ => None,
        }
    }

    /// All processes that run.
    pub fn all_running(&self) -> Vec<(Seat, Life, Arc<A::Running>)> {
        let seats = self.seats().into_iter();
        seats
            .filter_map(|seat| self.running(seat).map(|(life, one)| (seat, life, one)))
            .collect()
    }

    pub fn disk(&self, seat: Seat) -> SimDisk {
        self.inner.places.lock()[&seat].disk.clone()
    }

    pub fn is_down(&self, seat: Seat) -> bool {
        matches!(self.inner.places.lock()[&seat].process, Process::None)
    }

    pub fn is_refused(&self, seat: Seat) -> bool {
        matches!(self.inner.places.lock()[&seat].process, Process::Refused)
    }

    /// Whether what is stored on the seat was damaged.
    pub fn is_damaged(&self, seat: Seat) -> bool {
        self.inner.places.lock()[&seat].damaged
    }

    /// Notes that what is stored on the seat was changed behind the node's back.
    pub fn set_damaged(&self, seat: Seat) {
        let mut places = self.inner.places.lock();
        let place = places.get_mut(&seat).expect("a seat");
        place.damaged = true;
        self.inner.judge.damaged(place.node);
    }

    /// Whether what is stored on some seat was damaged, and it was not wiped since.
    pub fn any_damaged(&self) -> bool {
        let places = self.inner.places.lock();
        places.values().any(|place| place.damaged)
    }

    /// Starts a process on a seat without one; returns at once.
    pub fn start(&self, seat: Seat) {
        let (site, disk) = {
            let mut places = self.inner.places.lock();
            let place = places.get_mut(&seat).expect("a seat");
            if !matches!(place.process, Process::None) {
                return;
            }
            place.process = Process::Starting;
            (self.site(place), place.disk.clone())
        };
        let life = site.life.clone();
        self.inner.trace.event("start", [life.node().0]);
        self.inner.judge.begun(&life, &disk, Path::new(DIR).into());
        if self.is_damaged(seat) {
            self.inner.judge.damaged(life.node());
        }
        let watching = self.clone();
        let watched = life.clone();
        tokio::spawn(async move {
            let (crash, at) = watched.doomed().await;
            sleep_until(at).await;
            watching.end(&watched, crash, at);
            // As whatever supervises a process does.
            sleep(START_AGAIN).await;
            watching.start(seat);
        });
        let cluster = self.clone();
        tokio::spawn(async move {
            let started = timeout(START_LIMIT, cluster.inner.app.start(site)).await;
            match started {
                Ok(Ok(running)) => cluster.started(&life, Arc::new(running)),
                Ok(Err(failure)) => {
                    let what = failure.what;
                    cluster.not_started(&life, failure.damage, &what).await;
                }
                Err(_) if life.is_over() => {}
                Err(_) => cluster
                    .judge()
                    .violated(&format!("node {} does not start", life.node())),
            }
        });
    }

    fn site(&self, place: &Place<A::Running>) -> Site {
        let life = place.life.clone();
        let (dying, disk) = (life.clone(), place.disk.clone());
        let trace = self.inner.trace.clone();
        let env = Env {
            clock: self.inner.clock.clone(),
            random: Arc::new(self.inner.rng.fork()),
            threads: Arc::new(SimThreads::new(place.disk.clone())),
            disk: Arc::new(place.disk.clone()),
            transport: Arc::new(self.inner.network.port(life.clone())),
            fatal: Arc::new(move |_| {
                if !dying.is_over() {
                    trace.event("fatal", [dying.node().0]);
                }
                dying.doom(Crash::Process, disk.busy_until());
            }),
        };
        Site {
            seat: seat_of(place.node),
            node: place.node,
            life,
            env,
            judge: self.inner.judge.clone(),
            rng: Arc::new(self.inner.rng.fork()),
            founders: place.founders.clone(),
            network: self.inner.network.clone(),
        }
    }

    fn started(&self, life: &Life, running: Arc<A::Running>) {
        let mut places = self.inner.places.lock();
        let place = places.get_mut(&seat_of(life.node())).expect("a seat");
        if life.is_over() || !place.life.is(life) {
            tokio::spawn(self.inner.app.stop(running));
        } else {
            self.inner.trace.event("started", [life.node().0]);
            place.process = Process::Runs(running);
            place.failed = 0;
        }
    }

    async fn not_started(&self, life: &Life, damage: bool, what: &str) {
        if life.is_over() {
            return;
        }
        let seat = seat_of(life.node());
        self.inner
            .trace
            .event("not started", [life.node().0, u64::from(damage)]);
        if damage && !self.is_damaged(seat) {
            self.inner.judge.violated(&format!(
                "node {} finds damage that nobody did: {what}",
                life.node()
            ));
        }
        if damage {
            self.inner
                .trace
                .fault("damage that was refused", [life.node().0]);
            let mut places = self.inner.places.lock();
            places.get_mut(&seat).expect("a seat").process = Process::Refused;
            return;
        }
        let failed = {
            let mut places = self.inner.places.lock();
            let place = places.get_mut(&seat).expect("a seat");
            let is_faulty = place.disk.is_faulty();
            place.failed = if is_faulty { 0 } else { place.failed + 1 };
            place.failed
        };
        if failed == FAILED_STARTS {
            let node = life.node();
            let judge = &self.inner.judge;
            judge.violated(&format!("node {node} does not start: {what}"));
        }
        self.end(life, Crash::Process, Instant::now());
        sleep(START_AGAIN).await;
        self.start(seat);
    }

    /// Ends the process on a seat now.
    pub fn crash(&self, seat: Seat, crash: Crash) {
        let life = self.inner.places.lock()[&seat].life.clone();
        self.end(&life, crash, Instant::now());
    }

    /// Ends a life, if it has not ended yet; its disk keeps what it had at `at`.
    fn end(&self, life: &Life, crash: Crash, at: Instant) {
        let mut places = self.inner.places.lock();
        let place = places.get_mut(&seat_of(life.node())).expect("a seat");
        if !place.life.is(life) || matches!(place.process, Process::None) {
            return;
        }
        self.inner
            .trace
            .event("end", [life.node().0, u64::from(crash == Crash::Power)]);
        life.end();
        self.inner.network.detach(life.node());
        self.inner.judge.ended(life.node());
        let process = std::mem::replace(&mut place.process, Process::None);
        place.life = Life::new(place.node);
        place.disk = place.disk.after(crash, at, place.life.clone());
        if let Process::Runs(running) = process {
            tokio::spawn(self.inner.app.stop(running));
        }
    }

    /// Stops the process on a seat as an operator does.
    pub async fn stop(&self, seat: Seat) {
        let Some((life, running)) = self.running(seat) else {
            return;
        };
        self.inner.trace.event("stop", [life.node().0]);
        life.stop();
        self.inner.app.stop(running).await;
        self.end(&life, Crash::Process, Instant::now());
    }

    /// Gives a seat whose process has ended an empty disk and a new incarnation, which joins the others.
    pub fn wipe(&self, seat: Seat) {
        let life = self.inner.places.lock()[&seat].life.clone();
        self.end(&life, Crash::Power, Instant::now());
        let mut places = self.inner.places.lock();
        let place = places.get_mut(&seat).expect("a seat");
        if !Mistake::LostNodeKeepsId.is_made() {
            place.node = NodeId(place.node.0 + INCARNATION);
        }
        self.inner.trace.event("wipe", [place.node.0]);
        place.life = Life::new(place.node);
        let (life, trace) = (place.life.clone(), self.inner.trace.clone());
        place.disk = SimDisk::new(life, trace, self.inner.rng.fork());
        place.damaged = false;
        place.founders = Vec::new();
    }

    /// Gives a seat whose process has ended another disk, under the same incarnation.
    pub fn put_disk(&self, seat: Seat, disk: impl FnOnce(Life) -> SimDisk) {
        let mut places = self.inner.places.lock();
        let place = places.get_mut(&seat).expect("a seat");
        assert!(
            matches!(place.process, Process::None),
            "the process has ended"
        );
        place.life = Life::new(place.node);
        place.disk = disk(place.life.clone());
    }
}

/// Everything that a node stores lies below it.
pub const DIR: &str = "/node";
