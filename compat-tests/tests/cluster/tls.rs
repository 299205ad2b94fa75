//! Nodes that speak TLS with each other: who is one of them, who is kept out and is told so, and how a cluster that runs
//! without is changed over.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use compat_tests::certificates::Authority;
use compat_tests::cluster::{Cluster, PATIENCE};

use crate::failover::{Acks, PARTITIONS, TOPIC, await_in_sync, check, client, write};
use crate::kafka::{brokers, create};

const HOST: &str = "127.0.0.1";
/// The first byte of a TLS alert.
const ALERT: u8 = 0x15;

/// What a node reads at its starts, beside its command line.
fn options_file(cluster: &Cluster, place: usize) -> PathBuf {
    cluster.nodes[place].dir().join("tls.toml")
}

/// Three nodes that read options, of which there are none yet.
fn prepare() -> Cluster {
    let mut cluster = Cluster::prepare(3).expect("prepared");
    (0..3).for_each(|place| read_options(&mut cluster, place));
    cluster
}

fn read_options(cluster: &mut Cluster, place: usize) {
    let file = options_file(cluster, place);
    std::fs::write(&file, "").expect("written");
    cluster.add_options(place, &["-c", &file.display().to_string()]);
}

/// Gives a node a certificate of this CA, from its next start on; one that has files of before finds them renewed.
fn certify(cluster: &Cluster, place: usize, authority: &Authority, more: &str) {
    let issued = authority.issue(cluster.nodes[place].dir(), HOST);
    let options = issued.expect("a certificate") + more;
    std::fs::write(options_file(cluster, place), options).expect("written");
}

/// How a node without TLS begins, of which nobody has heard.
fn introduction() -> Vec<u8> {
    let mut bytes = b"WEIRNET\n".to_vec();
    // Versions of the protocol, a broker.id, an incarnation.
    bytes.extend([1, 0, 1, 0]);
    bytes.extend(99_i32.to_le_bytes());
    bytes.extend(99_u64.to_le_bytes());
    let sum = crc32c::crc32c(&bytes);
    bytes.extend(sum.to_le_bytes());
    bytes
}

/// Whether a node answers one without TLS with an introduction, or with an alert.
fn answers_plainly(address: SocketAddr) -> bool {
    let mut stream = TcpStream::connect(address).expect("connected");
    stream.set_read_timeout(Some(PATIENCE)).expect("set");
    stream.write_all(&introduction()).expect("said");
    let mut first = [0];
    stream.read_exact(&mut first).expect("an answer");
    assert!([ALERT, b'W'].contains(&first[0]), "{first:?}");
    first == *b"W"
}

/// Waits until a node has said this.
fn says(cluster: &Cluster, place: usize, what: &str) {
    let node = &cluster.nodes[place];
    cluster.eventually(what, || node.output().contains(what).then_some(()));
}

/// Waits until every node names so many brokers.
fn has_nodes(cluster: &Cluster, count: usize, places: std::ops::Range<usize>) {
    for node in &cluster.nodes[places] {
        cluster.eventually("all brokers", || {
            let (_, found) = brokers(node.kafka)?;
            (found.len() == count).then_some(())
        });
    }
}

#[test]
fn nodes_with_certificates_of_one_ca_form_a_cluster_and_keep_all_others_out() {
    let (ours, others) = (Authority::new("ours"), Authority::new("others"));
    let (ours, others) = (ours.expect("a CA"), others.expect("a CA"));
    let mut cluster = prepare();
    (0..3).for_each(|place| certify(&cluster, place, &ours, ""));
    cluster.spawn_all().expect("started");
    cluster.await_all().expect("ready");
    has_nodes(&cluster, 3, 0..3);
    assert_eq!(create(cluster.nodes[0].kafka, TOPIC, PARTITIONS, 3), 0);
    await_in_sync(&cluster, cluster.nodes[1].kafka);
    for place in 0..3 {
        assert!(!answers_plainly(cluster.peer_address(place)), "{place}");
    }

    let stranger = cluster.prepare_another().expect("prepared");
    read_options(&mut cluster, stranger);
    certify(&cluster, stranger, &others, "");
    cluster.nodes[stranger].spawn().expect("started");
    says(
        &cluster,
        stranger,
        "its certificate is signed by no CA that is trusted here",
    );
    says(
        &cluster,
        0,
        "this node's certificate is signed by no CA that is trusted there",
    );
    let plain = cluster.prepare_another().expect("prepared");
    cluster.nodes[plain].spawn().expect("started");
    says(
        &cluster,
        plain,
        "it speaks TLS and this node does not: give this node TLS",
    );
    says(&cluster, 0, "it does not speak TLS: if it has no TLS");
    has_nodes(&cluster, 3, 0..3);

    // With a certificate of the right CA it joins, without a restart.
    certify(&cluster, stranger, &ours, "");
    cluster.nodes[stranger].await_ready().expect("it joins");
    has_nodes(&cluster, 4, 0..4);
    assert!(!cluster.nodes[plain].output().contains("is up"));
}

#[test]
fn a_cluster_is_changed_over_to_tls_node_by_node_while_it_is_written_to() {
    let authority = Authority::new("ours").expect("a CA");
    let mut cluster = prepare();
    cluster.spawn_all().expect("started");
    cluster.await_all().expect("ready");
    assert_eq!(create(cluster.nodes[0].kafka, TOPIC, PARTITIONS, 3), 0);
    assert!(answers_plainly(cluster.peer_address(0)));
    let config = client(&cluster);
    let (acks, done) = (Acks::default(), Arc::new(AtomicBool::new(false)));
    let writer = std::thread::spawn({
        let (config, acks, done) = (config.clone(), acks.clone(), done.clone());
        move || write(config, acks, &done)
    });
    for (mode, is_plain) in [("cluster-tls-mode = 'prefer'\n", true), ("", false)] {
        for place in 0..3 {
            await_in_sync(&cluster, cluster.nodes[(place + 1) % 3].kafka);
            cluster.nodes[place].stop().expect("stopped");
            certify(&cluster, place, &authority, mode);
            cluster.nodes[place].launch().expect("it comes back");
            assert_eq!(answers_plainly(cluster.peer_address(place)), is_plain);
        }
    }
    await_in_sync(&cluster, cluster.nodes[0].kafka);
    done.store(true, Ordering::Release);
    let sent = writer.join().expect("the writer ends");
    check(&config, &acks, sent);
}
