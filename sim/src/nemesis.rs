//! Does faults to a cluster, one after the other and several at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep};
use weir_raft::Seat;

use crate::app::App;
use crate::cluster::{Cluster, Crash};
use crate::disk::DiskFault;
use crate::life::Life;
use crate::network::Weather;
use crate::planted::Mistake;
use crate::random::Rng;

/// What is done, and how often.
#[derive(Debug, Clone, Copy)]
pub struct Dose {
    /// Between two faults.
    pub pause_min: Duration,
    pub pause_max: Duration,
    /// Whether stored bytes may be damaged, of one node at a time.
    pub damages: bool,
}

pub struct Nemesis<A: App> {
    cluster: Cluster<A>,
    rng: Arc<Rng>,
    dose: Dose,
    /// Whether every replica has all that it should have, so that one may lose it.
    whole: Arc<AtomicBool>,
}

/// Bytes of a write of more than one block.
const LONG_WRITE: usize = 8 << 10;
const SECOND: Duration = Duration::from_secs(1);

impl<A: App> Nemesis<A> {
    /// `whole` is for the caller to set; a node is damaged or wiped only while it is true, and it is false from
    /// then on.
    pub fn new(cluster: Cluster<A>, rng: Rng, dose: Dose, whole: Arc<AtomicBool>) -> Nemesis<A> {
        Nemesis {
            cluster,
            rng: Arc::new(rng),
            dose,
            whole,
        }
    }

    /// Goes on for so long. Some of what it began lasts a little longer.
    pub async fn run(&self, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            sleep(self.rng.time(self.dose.pause_min..self.dose.pause_max)).await;
            let seat = *self.rng.pick(&self.cluster.seats());
            match self.rng.below(100) {
                0..25 => self.crash(seat),
                25..30 => self.crash_all(),
                30..55 => self.network(seat),
                55..80 => self.disk(seat),
                80..85 => self.stop(seat),
                _ if self.dose.damages && self.take_whole() => self.damage(seat),
                _ => {}
            }
        }
    }

    fn take_whole(&self) -> bool {
        let up = self.cluster.all_running().len() == self.cluster.seats().len();
        up && self.whole.swap(false, Ordering::Relaxed)
    }

    fn crash(&self, seat: Seat) {
        let node = self.cluster.node(seat).0;
        let trace = self.cluster.trace();
        let crash = *self.rng.pick(&[Crash::Power, Crash::Power, Crash::Process]);
        match self.rng.below(4) {
            0 => {
                // Of more than one block, so that a part of an entry may be lost.
                trace.fault("crash within a long write", [node]);
                self.cluster.disk(seat).crash_in_write(LONG_WRITE, crash);
            }
            1 => {
                let ops = self.rng.below(60);
                trace.fault("crash within a disk operation", [node, ops]);
                self.cluster.disk(seat).crash_after(ops, crash);
            }
            _ => {
                let class = match crash {
                    Crash::Power => "power loss",
                    Crash::Process => "process crash",
                };
                trace.fault(class, [node]);
                self.cluster.crash(seat, crash);
            }
        }
        self.start_later(seat);
    }

    fn crash_all(&self) {
        self.cluster.trace().fault("power loss of all nodes", []);
        for seat in self.cluster.seats() {
            self.cluster.crash(seat, Crash::Power);
            self.start_later(seat);
        }
    }

    /// Starts whatever has no process, now and then.
    fn start_later(&self, seat: Seat) {
        let (cluster, rng) = (self.cluster.clone(), self.rng.clone());
        let quick = rng.chance(700);
        let longest = if quick { SECOND } else { 15 * SECOND };
        let pause = rng.time(Duration::from_millis(50)..longest);
        tokio::spawn(async move {
            sleep(pause).await;
            start_again(cluster, seat).await;
        });
    }

    fn stop(&self, seat: Seat) {
        self.cluster
            .trace()
            .fault("clean stop", [self.cluster.node(seat).0]);
        let (cluster, pause) = (self.cluster.clone(), self.rng.time(SECOND / 10..5 * SECOND));
        tokio::spawn(async move {
            cluster.stop(seat).await;
            sleep(pause).await;
            cluster.start(seat);
        });
    }

    fn network(&self, seat: Seat) {
        let others: Vec<Seat> = self.cluster.seats();
        let others: Vec<Seat> = others.into_iter().filter(|other| *other != seat).collect();
        if others.is_empty() {
            return;
        }
        let other = *self.rng.pick(&others);
        let trace = self.cluster.trace();
        let name = |seat: Seat| seat.0 as u64;
        let time = self.rng.time(SECOND / 2..15 * SECOND);
        match self.rng.below(6) {
            0 => {
                trace.fault("isolated node", [name(seat)]);
                let both = |other: &Seat| [(seat, *other), (*other, seat)];
                self.cut_for(others.iter().flat_map(both).collect(), time);
                self.crash_after(seat, time);
            }
            1 => {
                trace.fault("link cut one way", [name(seat), name(other)]);
                self.cut_for(vec![(seat, other)], time);
            }
            2 => {
                trace.fault("link cut both ways", [name(seat), name(other)]);
                self.cut_for(vec![(seat, other), (other, seat)], time);
            }
            3 => {
                trace.fault("node that is not heard", [name(seat)]);
                self.cut_for(others.iter().map(|other| (seat, *other)).collect(), time);
            }
            4 => {
                trace.fault("flapping link", [name(seat), name(other)]);
                self.flap(seat, other);
            }
            _ => {
                trace.fault("bad weather", []);
                self.weather(time);
            }
        }
    }

    fn cut_for(&self, links: Vec<(Seat, Seat)>, time: Duration) {
        let network = self.cluster.network().clone();
        tokio::spawn(async move {
            links.iter().for_each(|(from, to)| network.cut(*from, *to));
            sleep(time).await;
            links.iter().for_each(|(from, to)| network.join(*from, *to));
        });
    }

    /// Crashes a node that comes back, half of the time: it may have cut off entries a moment ago.
    fn crash_after(&self, seat: Seat, time: Duration) {
        if self.rng.chance(500) {
            return;
        }
        let (cluster, rng) = (self.cluster.clone(), self.rng.clone());
        tokio::spawn(async move {
            sleep(time + rng.time(Duration::ZERO..SECOND / 2)).await;
            let (node, ops) = (cluster.node(seat).0, rng.below(30));
            let trace = cluster.trace();
            trace.fault("crash of a node that comes back", [node, ops]);
            cluster.disk(seat).crash_after(ops, Crash::Power);
            start_again(cluster, seat).await;
        });
    }

    fn flap(&self, one: Seat, other: Seat) {
        let (network, rng) = (self.cluster.network().clone(), self.rng.clone());
        tokio::spawn(async move {
            for _ in 0..rng.within(3..12) {
                network.cut(one, other);
                network.cut(other, one);
                sleep(rng.time(SECOND / 10..2 * SECOND)).await;
                network.join(one, other);
                network.join(other, one);
                sleep(rng.time(SECOND / 10..2 * SECOND)).await;
            }
        });
    }

    fn weather(&self, time: Duration) {
        let network = self.cluster.network().clone();
        let weather = Weather {
            delay_min: Duration::from_micros(100),
            delay_max: *self.rng.pick(&[
                Duration::from_millis(2),
                Duration::from_millis(50),
                Duration::from_millis(600),
            ]),
            loss: *self.rng.pick(&[0, 20, 200]),
            duplicates: *self.rng.pick(&[0, 50]),
            reordered: *self.rng.pick(&[0, 500]),
        };
        tokio::spawn(async move {
            network.set_weather(weather);
            sleep(time).await;
            network.set_weather(Weather::FAIR);
        });
    }

    fn disk(&self, seat: Seat) {
        let disk = self.cluster.disk(seat);
        let node = self.cluster.node(seat).0;
        let trace = self.cluster.trace();
        match self.rng.below(7) {
            0 => disk.inject(DiskFault::Sync),
            1 => disk.inject(DiskFault::Write),
            2 => disk.inject(DiskFault::Read),
            3 => disk.inject(DiskFault::Full),
            4 | 5 => {
                trace.fault("slow disk", [node]);
                disk.inject(DiskFault::Slow(*self.rng.pick(&[10, 100, 500])));
            }
            _ => {
                trace.fault("stalled disk", [node]);
                disk.inject(DiskFault::Stall(self.rng.time(SECOND / 10..5 * SECOND)));
            }
        }
        let (cluster, time) = (self.cluster.clone(), self.rng.time(SECOND..8 * SECOND));
        tokio::spawn(async move {
            sleep(time).await;
            cluster.disk(seat).heal();
            // An error may have ended the process.
            sleep(SECOND).await;
            cluster.start(seat);
        });
    }

    /// Damages or loses what one node stores; it comes back as another one.
    fn damage(&self, seat: Seat) {
        let (cluster, rng) = (self.cluster.clone(), self.rng.clone());
        if Mistake::OldImageRestored.is_made() {
            tokio::spawn(restore_old_image(cluster, rng, seat));
            return;
        }
        cluster.set_damaged(seat);
        tokio::spawn(async move {
            match rng.below(6) {
                0 => wipe(&cluster, seat, "lost disk"),
                1 => lose_file(&cluster, &rng, seat).await,
                2 => swap_files(&cluster, &rng, seat).await,
                3 => {
                    // Found when the block is read, or at a start.
                    cluster.disk(seat).inject(DiskFault::Misdirect);
                    sleep(5 * SECOND).await;
                    cluster.crash(seat, Crash::Power);
                    cluster.start(seat);
                }
                _ => rot(&cluster, &rng, seat).await,
            }
            sleep(5 * SECOND).await;
            // Who was refused, or was lucky.
            if cluster.is_damaged(seat) {
                wipe(&cluster, seat, "node that was replaced");
            }
            cluster.start(seat);
        });
    }
}

/// Starts what has no process, for a while: a crash within an operation is yet to come.
async fn start_again<A: App>(cluster: Cluster<A>, seat: Seat) {
    for _ in 0..20 {
        cluster.start(seat);
        sleep(SECOND / 2).await;
    }
}

fn wipe<A: App>(cluster: &Cluster<A>, seat: Seat, class: &'static str) {
    cluster.trace().fault(class, [cluster.node(seat).0]);
    cluster.crash(seat, Crash::Power);
    cluster.wipe(seat);
}

async fn restore_old_image<A: App>(cluster: Cluster<A>, rng: Arc<Rng>, seat: Seat) {
    let image = cluster.disk(seat).copied(Life::new(cluster.node(seat)));
    sleep(rng.time(2 * SECOND..20 * SECOND)).await;
    cluster.crash(seat, Crash::Power);
    cluster.put_disk(seat, |life| image.copied(life));
    cluster.start(seat);
}

async fn lose_file<A: App>(cluster: &Cluster<A>, rng: &Rng, seat: Seat) {
    use weir_raft::disk::Disk;
    cluster.crash(seat, Crash::Process);
    let disk = cluster.disk(seat);
    let files = disk.files("wal");
    if !files.is_empty() {
        let path = rng.pick(&files);
        let removed = disk.remove(path);
        let gone = removed.is_ok() && path.parent().is_some_and(|dir| disk.sync_dir(dir).is_ok());
        if gone {
            let node = cluster.node(seat).0;
            cluster.trace().fault("lost file", [node]);
        }
    }
    cluster.start(seat);
    sleep(SECOND).await;
}

async fn swap_files<A: App>(cluster: &Cluster<A>, rng: &Rng, seat: Seat) {
    cluster.crash(seat, Crash::Process);
    let disk = cluster.disk(seat);
    let files = disk.files("wal");
    if files.len() >= 2 {
        let (one, other) = (rng.pick(&files), rng.pick(&files));
        if one != other {
            disk.swap(one, other);
            let node = cluster.node(seat).0;
            cluster.trace().fault("swapped files", [node]);
        }
    }
    cluster.start(seat);
    sleep(SECOND).await;
}

/// Inverts a bit on the platter while the process runs; some time later it starts again.
async fn rot<A: App>(cluster: &Cluster<A>, rng: &Rng, seat: Seat) {
    let disk = cluster.disk(seat);
    let files = disk.files(if rng.chance(800) { "wal" } else { "snap" });
    for _ in 0..20 {
        let Some(path) = (!files.is_empty()).then(|| rng.pick(&files)) else {
            break;
        };
        let offset = rng.below(*rng.pick(&[128, 4096, 65536])) as usize;
        if disk.rot(path, offset, rng.below(8) as u8) {
            let node = cluster.node(seat).0;
            cluster.trace().fault("flipped bit", [node, offset as u64]);
            break;
        }
    }
    sleep(rng.time(SECOND / 10..20 * SECOND)).await;
    cluster.crash(seat, Crash::Power);
    cluster.start(seat);
    sleep(SECOND).await;
}
