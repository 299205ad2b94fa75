//! Good requests of every API and version, changed at random: from the cases that are played against Kafka.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Result, ensure};
use compat_tests::clock;
use compat_tests::differential::cases;
use compat_tests::differential::target::Target;
use compat_tests::differential::trial::Trial;

use crate::scene::Scene;
use crate::wire::{connect, framed};

/// Cases of each API and version whose requests are taken.
const CASES_EACH: usize = 2;
const SEED: u64 = 0x5eed;
/// Changed requests of each API and version, and the time after which no more are sent.
const MUTANTS_EACH: usize = 40;
const TIME: Duration = Duration::from_secs(12);
const SENDERS: usize = 4;

/// API and version, and the requests of it.
type Frames = BTreeMap<(i16, i16), Vec<Vec<u8>>>;

pub fn attacks(scene: &mut Scene) {
    let mut frames = Frames::new();
    scene.attack("good requests of every API", 64, |scene| {
        frames = good_frames(scene.target())?;
        Ok(())
    });
    scene.attack("changed requests of every API", 300, |scene| {
        let apis: Vec<_> = frames.keys().map(|(key, _)| *key).collect();
        ensure!(
            frames.len() > 100 && apis.contains(&0) && apis.contains(&75),
            "requests of {} APIs and versions",
            frames.len()
        );
        let until = clock::now_ms() + TIME.as_millis() as i64;
        let all: Vec<&Vec<Vec<u8>>> = frames.values().collect();
        std::thread::scope(|scope| {
            let senders: Vec<_> = (0..SENDERS)
                .map(|at| {
                    let part: Vec<_> = all.iter().skip(at).step_by(SENDERS).copied().collect();
                    scope.spawn(move || mutate(scene.weir().kafka, &part, SEED + at as u64, until))
                })
                .collect();
            for sender in senders {
                sender.join().expect("a sender")?;
            }
            Ok(())
        })
    });
}

/// What the first cases of each API and version ask.
fn good_frames(target: &Target) -> Result<Frames> {
    let mut taken: BTreeMap<(&str, i16), usize> = BTreeMap::new();
    let mut cases = cases::all();
    cases.retain(|case| {
        let taken = taken.entry((case.api, case.version)).or_default();
        *taken += 1;
        *taken <= CASES_EACH && case.api != "Frames"
    });
    let (cases, frames) = (Mutex::new(cases), Mutex::new(Frames::new()));
    let play = || -> Result<()> {
        while let Some(case) = { cases.lock().expect("not poisoned").pop() } {
            let mut trial = Trial::new(target, format!("mutant-{}", case.slug()));
            (case.play)(&mut trial, case.version)?;
            let mut frames = frames.lock().expect("not poisoned");
            for frame in trial.sent() {
                let word = |at: usize| i16::from_be_bytes([frame[at], frame[at + 1]]);
                let same = frames.entry((word(0), word(2))).or_default();
                same.push(frame.to_vec());
            }
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let players: Vec<_> = (0..SENDERS).map(|_| scope.spawn(play)).collect();
        players
            .into_iter()
            .try_for_each(|player| player.join().expect("a player"))
    })?;
    Ok(frames.into_inner().expect("not poisoned"))
}

fn mutate(kafka: SocketAddr, frames: &[&Vec<Vec<u8>>], seed: u64, until_ms: i64) -> Result<()> {
    let mut noise = Noise::new(seed);
    for _ in 0..MUTANTS_EACH {
        for good in frames {
            if clock::now_ms() > until_ms {
                return Ok(());
            }
            let mut frame = good[noise.below(good.len())].clone();
            for _ in 0..=noise.below(3) {
                change(&mut frame, &mut noise);
            }
            throw(kafka, &frame)?;
        }
    }
    Ok(())
}

/// Sends a frame and leaves, mostly before the broker has said anything.
fn throw(kafka: SocketAddr, frame: &[u8]) -> Result<()> {
    let mut stream = connect(kafka)?;
    // The broker may hang up in the middle of it.
    let _ = stream.write_all(&framed(frame));
    stream.set_read_timeout(Some(Duration::from_millis(2)))?;
    let _ = std::io::Read::read(&mut stream, &mut [0; 64]);
    Ok(())
}

/// Numbers that lengths, counts and offsets are afraid of.
const EXTREMES: [i32; 10] = [0, 1, -1, -2, 127, 128, 0x7fff, 0xffff, i32::MAX, i32::MIN];
/// API key, version and correlation id stay, so that the change meets the API that it is meant for.
const HEADER: usize = 8;

fn change(frame: &mut Vec<u8>, noise: &mut Noise) {
    if frame.len() <= HEADER + 4 {
        frame.push(noise.next() as u8);
        return;
    }
    let at = HEADER + noise.below(frame.len() - HEADER);
    match noise.below(8) {
        0 => frame[at] ^= 1 << noise.below(8),
        1 => frame[at] = noise.next() as u8,
        2 => frame.truncate(at),
        3 => {
            let bytes: Vec<u8> = (0..noise.below(9)).map(|_| noise.next() as u8).collect();
            frame.splice(at..at, bytes);
        }
        4 => {
            let end = (at + 1 + noise.below(16)).min(frame.len());
            frame.drain(at..end);
        }
        5 => {
            let end = (at + 1 + noise.below(64)).min(frame.len());
            let again = frame[at..end].to_vec();
            frame.splice(at..at, again);
        }
        kind => {
            let extreme = EXTREMES[noise.below(EXTREMES.len())].to_be_bytes();
            let bytes = if kind == 6 {
                &extreme[..]
            } else {
                &extreme[2..]
            };
            let at = at.min(frame.len() - bytes.len());
            frame[at..at + bytes.len()].copy_from_slice(bytes);
        }
    }
}

/// Numbers that look random and are the same in each run (xorshift64*).
pub struct Noise(u64);

impl Noise {
    pub fn new(seed: u64) -> Noise {
        Noise(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 8
    }

    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    pub fn fill(&mut self, bytes: &mut [u8]) {
        bytes.fill_with(|| self.next() as u8);
    }
}
