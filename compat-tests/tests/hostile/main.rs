//! Hostile input over TCP: whatever is sent, the answer is an error or a closed connection, memory stays within the
//! bound that stands beside each attack, another client's records are acknowledged and read in time all along, and
//! the process lives. Invariants: Q1, Q2, Q3, Q5.

mod batches;
mod crowd;
mod frames;
mod http;
mod memory;
mod mutations;
mod neighbour;
mod scene;
mod schemas;
mod wire;

use std::sync::Mutex;

use scene::Scene;

/// The machine is small: attacks take turns, so that none slows another's neighbour.
static TURN: Mutex<()> = Mutex::new(());

/// One node is attacked that is alone, and one of three.
fn play(attacks: impl Fn(&mut Scene)) {
    let _turn = TURN
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    for nodes in [1, 3] {
        let mut scene = Scene::open(nodes).expect("a broker and its neighbour");
        attacks(&mut scene);
        scene.close();
    }
}

#[test]
fn frames_that_lie_close_their_connection_only() {
    play(frames::attacks);
}

#[test]
fn batches_that_lie_or_explode_are_refused() {
    play(batches::attacks);
}

#[test]
fn mutated_requests_of_every_api_and_version_harm_nobody() {
    play(mutations::attacks);
}

#[test]
fn http_bodies_and_headers_are_bounded() {
    play(http::attacks);
}

#[test]
fn schemas_that_explode_are_refused() {
    play(schemas::attacks);
}

#[test]
fn idle_slow_and_deaf_connections_cost_little() {
    play(crowd::attacks);
}
