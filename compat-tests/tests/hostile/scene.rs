//! A broker, its neighbour, and the measure of each attack.

use std::io::Write;
use std::time::Duration;

use anyhow::{Context, Result};
use compat_tests::clock;
use compat_tests::cluster::Cluster;
use compat_tests::differential::target::Target;
use compat_tests::differential::topics::Topic;
use compat_tests::differential::trial::Trial;
use compat_tests::weir::{Weir, find_binary};

use crate::neighbour::Neighbour;
use crate::{http, memory};

/// An ack or a read of the neighbour's takes less, whatever happens. Without optimisation everything takes longer.
const SLOWEST_MS: i64 = if cfg!(debug_assertions) { 8_000 } else { 1_000 };
/// Rounds of the neighbour's that an attack must at least have met.
const ROUNDS: u64 = 3;
/// What an attack may leave behind for good, all of a scene's attacks together.
const LEFT_MIB: i64 = 64;
/// The allocator gives memory back after ten seconds, when its thread has something to do.
const CALM_LIMIT: Duration = Duration::from_secs(30);

pub struct Scene {
    /// One, or several that form a cluster; the first is attacked.
    nodes: Vec<Weir>,
    target: Target,
    neighbour: Neighbour,
    resident_mib: i64,
    faults: Vec<String>,
}

impl Scene {
    pub fn open(nodes: usize) -> Result<Scene> {
        let nodes = match nodes {
            1 => vec![Weir::start()?],
            several => Cluster::start_still_dev(&find_binary()?, several)?.nodes,
        };
        let kafka = nodes[0].kafka;
        let target = Target::meet("Weir", kafka)?;
        let topic = led_topic(&target, "neighbour", &[])?;
        let neighbour = Neighbour::start(kafka, topic)?;
        clock::pause(Duration::from_millis(300));
        let mut scene = Scene {
            nodes,
            target,
            neighbour,
            resident_mib: 0,
            faults: Vec::new(),
        };
        scene.resident_mib = memory::resident_mib(scene.pid()?)?;
        Ok(scene)
    }

    /// The node that is attacked.
    pub fn weir(&self) -> &Weir {
        &self.nodes[0]
    }

    /// A topic of one partition for attacks, which the node that is attacked leads and all nodes hold.
    pub fn topic(&self, name: &str, configs: &[(&str, &str)]) -> Result<Topic> {
        led_topic(&self.target, name, configs)
    }

    pub fn target(&self) -> &Target {
        &self.target
    }

    fn pid(&self) -> Result<u32> {
        self.weir().pid().context("not started")
    }

    /// Runs an attack during which memory may rise by `peak_mib` above what is held at its start.
    pub fn attack(&mut self, name: &str, peak_mib: i64, act: impl FnOnce(&Scene) -> Result<()>) {
        if let Err(error) = self.try_attack(name, peak_mib, act) {
            self.faults.push(format!("{name}: {error:#}"));
        }
    }

    fn try_attack(
        &mut self,
        name: &str,
        peak_mib: i64,
        act: impl FnOnce(&Scene) -> Result<()>,
    ) -> Result<()> {
        let pid = self.pid()?;
        memory::reset_peak(pid)?;
        let before = memory::resident_mib(pid)?;
        self.neighbour.take_slowest_ms();
        let (began, rounds) = (clock::now_ms(), self.neighbour.rounds());
        let outcome = act(self);
        let more_rounds = || (self.neighbour.rounds() >= rounds + ROUNDS).then_some(());
        let met = clock::wait_for(
            Duration::from_millis(SLOWEST_MS as u64 * ROUNDS),
            Duration::from_millis(5),
            more_rounds,
        );
        let rose = memory::peak_mib(pid)? - before;
        let slowest = self.neighbour.take_slowest_ms();
        say(&format!(
            "{name}, of {} nodes: {:.1} s, memory +{rose} of {peak_mib} MiB, neighbour {} rounds, slowest {slowest} ms",
            self.nodes.len(),
            (clock::now_ms() - began) as f64 / 1000.0,
            self.neighbour.rounds() - rounds,
        ));
        if rose > peak_mib {
            self.faults.push(format!(
                "{name}: memory rose by {rose} MiB, over {peak_mib}"
            ));
        }
        if slowest > SLOWEST_MS || met.is_none() {
            self.faults.push(format!(
                "{name}: the neighbour waited {slowest} ms, over {SLOWEST_MS}"
            ));
        }
        outcome
    }

    /// Waits until memory is back, and fails if anything of the scene went wrong.
    pub fn close(mut self) {
        if let Err(error) = self.calm() {
            self.faults.push(format!("{error:#}"));
        }
        self.faults.extend(self.neighbour.failure());
        for node in &self.nodes {
            let output = node.output();
            let panics = output.lines().filter(|line| line.contains("panicked"));
            self.faults.extend(panics.map(str::to_string));
            match http::get(node.http, "/readyz") {
                Ok(200) => {}
                other => self.faults.push(format!("a node is not ready: {other:?}")),
            }
        }
        assert!(self.faults.is_empty(), "{:#?}", self.faults);
    }

    fn calm(&mut self) -> Result<()> {
        let pid = self.pid()?;
        let mut resident = 0;
        let calmed = clock::wait_for(CALM_LIMIT, Duration::from_millis(200), || {
            for address in [self.weir().http, self.weir().registry] {
                if let Err(error) = http::get(address, "/subjects") {
                    return Some(Err(error));
                }
            }
            match memory::resident_mib(pid) {
                Ok(mib) => resident = mib,
                Err(error) => return Some(Err(error)),
            }
            (resident <= self.resident_mib + LEFT_MIB).then_some(Ok(()))
        });
        say(&format!(
            "afterwards: {resident} MiB, {} at the start",
            self.resident_mib
        ));
        calmed.with_context(|| {
            format!(
                "memory stays at {resident} MiB, {} at the start",
                self.resident_mib
            )
        })?
    }
}

/// Makes a topic of one partition with a replica on each node, which the target leads.
fn led_topic(target: &Target, name: &str, configs: &[(&str, &str)]) -> Result<Topic> {
    Trial::new(target, name.to_owned()).topic_with("t", 1, configs)
}

/// To the process's own output, which a test does not swallow.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}
