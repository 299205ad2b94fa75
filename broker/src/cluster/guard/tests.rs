//! Two ends on loopback: who takes whom, and what both are told where one does not.

use std::path::Path;

use rcgen::{ExtendedKeyUsagePurpose, date_time_ymd};
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::tls::testing::Authority;

const HOST: &str = "127.0.0.1";
const PLAIN_HELLO: &[u8; 8] = b"WEIRNET\n";

/// A node's options with these files, which the others dial at [`HOST`].
fn options(files: &Files) -> Options {
    Options {
        cluster_advertise: Some(format!("{HOST}:9093")),
        cluster_tls: ClusterTls {
            cert: Some(files.cert.clone()),
            key: Some(files.key.clone()),
            ca: Some(files.ca.clone()),
            ..ClusterTls::default()
        },
        ..Options::default()
    }
}

fn guard_of(options: &Options) -> Arc<dyn Guard> {
    guard(options, &Handle::current()).expect("legal")
}

/// A certificate of this CA in a folder of its own, for the host alone.
fn node(authority: &Authority) -> (TempDir, Files) {
    let dir = tempfile::tempdir().expect("a folder");
    let files = authority.issue(dir.path(), &[HOST]);
    (dir, files)
}

fn refusal(options: &Options) -> String {
    let refused = guard(options, &Handle::current()).err();
    refused.expect("refused").to_string()
}

/// What each end has heard from the other, or why nothing.
struct Met {
    dialler: Result<[u8; 4], String>,
    acceptor: Result<[u8; 4], String>,
}

impl Met {
    fn well(&self) -> bool {
        self.dialler == Ok(*b"pong") && self.acceptor == Ok(*b"ping")
    }

    fn refused(self) -> (String, String) {
        let dialler = self.dialler.expect_err("the dialler is refused");
        (dialler, self.acceptor.expect_err("the acceptor refuses"))
    }
}

async fn meet(dialler: &Arc<dyn Guard>, acceptor: &Arc<dyn Guard>) -> Met {
    let listener = TcpListener::bind((HOST, 0)).await.expect("a port");
    let address = listener.local_addr().expect("bound").to_string();
    let dialled = async {
        let stream = TcpStream::connect(&address).await?;
        let mut stream = dialler.connect(stream, &address).await?;
        stream.write_all(b"ping").await?;
        stream.flush().await?;
        heard(&mut stream).await
    };
    let accepted = async {
        let (stream, _) = listener.accept().await?;
        let mut stream = acceptor.accept(stream).await?;
        let heard = heard(&mut stream).await?;
        stream.write_all(b"pong").await?;
        stream.flush().await?;
        Ok::<_, io::Error>(heard)
    };
    let (dialled, accepted) = tokio::join!(dialled, accepted);
    Met {
        dialler: dialled.map_err(|error| dialler.explain(&error)),
        acceptor: accepted.map_err(|error| acceptor.explain(&error)),
    }
}

async fn heard(stream: &mut Box<dyn Wire>) -> io::Result<[u8; 4]> {
    let mut bytes = [0; 4];
    stream.read_exact(&mut bytes).await?;
    Ok(bytes)
}

fn assert_says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part} in: {text}");
    }
}

/// Appends another CA to the ones that are trusted.
fn trust_too(files: &Files, authority: &Authority) {
    let known = std::fs::read_to_string(&files.ca).expect("read");
    std::fs::write(&files.ca, known + &authority.pem()).expect("written");
}

#[tokio::test]
async fn nodes_with_certificates_of_one_ca_meet() {
    let authority = Authority::new("nodes");
    let ((_a, a), (_b, b)) = (node(&authority), node(&authority));
    let (a, b) = (guard_of(&options(&a)), guard_of(&options(&b)));
    assert!(meet(&a, &b).await.well());
    assert!(meet(&b, &a).await.well());
}

/// The CAs have one name too, as those that were made by the same script.
#[tokio::test]
async fn a_certificate_of_another_ca_is_refused_at_either_end_and_both_say_so() {
    for name in ["others", "nodes"] {
        let (ours, theirs) = (Authority::new("nodes"), Authority::new(name));
        let ((_a, ours_files), (_b, theirs_files)) = (node(&ours), node(&theirs));
        let stranger = guard_of(&options(&theirs_files));
        let member = guard_of(&options(&ours_files));
        let (dialler, acceptor) = meet(&stranger, &member).await.refused();
        assert_says(&dialler, &["its certificate", "no CA that is trusted here"]);
        assert_says(
            &acceptor,
            &["refuses this node", "no CA that is trusted there"],
        );
        // It trusts the members, and is none: in TLS 1.3 it learns that only once it listens.
        trust_too(&theirs_files, &ours);
        let stranger = guard_of(&options(&theirs_files));
        let (dialler, acceptor) = meet(&stranger, &member).await.refused();
        assert_says(
            &dialler,
            &["refuses this node", "no CA that is trusted there"],
        );
        assert_says(
            &acceptor,
            &["its certificate", "no CA that is trusted here"],
        );
    }
}

#[tokio::test]
async fn a_caller_without_a_certificate_is_refused() {
    let authority = Authority::new("nodes");
    let (_dir, files) = node(&authority);
    let acceptor = guard_of(&options(&files));
    let mut roots = RootCertStore::empty();
    let ca = CertificateDer::from_pem_slice(authority.pem().as_bytes()).expect("a CA");
    roots.add(ca).expect("a CA");
    let client = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&TLS13])
        .expect("1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let listener = TcpListener::bind((HOST, 0)).await.expect("a port");
    let stream = TcpStream::connect(listener.local_addr().expect("bound")).await;
    let host = ServerName::try_from(HOST).expect("a name");
    let dialled = TlsConnector::from(Arc::new(client)).connect(host, stream.expect("connected"));
    let (accepted, _) = listener.accept().await.expect("accepted");
    let (accepted, _dialled) = tokio::join!(acceptor.accept(accepted), dialled);
    let error = accepted.err().expect("refused");
    assert_says(&acceptor.explain(&error), &["it shows no certificate"]);
}

#[tokio::test]
async fn who_answers_must_be_the_host_that_was_dialled_unless_all_share_a_name() {
    let authority = Authority::new("nodes");
    let (_a, files) = node(&authority);
    let other = tempfile::tempdir().expect("a folder");
    let other = authority.issue(other.path(), &["other.internal", "weir.internal"]);
    // Its own address is not in its certificate: that is said at the start.
    let mut elsewhere = options(&other);
    assert_says(
        &refusal(&elsewhere),
        &["is not for 127.0.0.1", "other.internal"],
    );
    elsewhere.cluster_advertise = Some("other.internal:9093".to_owned());
    let (member, elsewhere) = (guard_of(&options(&files)), guard_of(&elsewhere));
    let (dialler, acceptor) = meet(&member, &elsewhere).await.refused();
    assert_says(&dialler, &["is not for 127.0.0.1", "other.internal"]);
    assert_says(&acceptor, &["refuses this node", "another name"]);
    assert!(
        meet(&elsewhere, &member).await.well(),
        "who calls may be anywhere"
    );
}

#[tokio::test]
async fn nodes_that_share_a_name_take_nobody_else_of_their_ca_from_whatever_address() {
    let authority = Authority::new("all");
    let shared = |names: &[&str]| {
        let dir = tempfile::tempdir().expect("a folder");
        let files = authority.issue(dir.path(), names);
        let mut options = options(&files);
        options.cluster_tls.name = Some("weir.internal".to_owned());
        (dir, options)
    };
    let ((_a, a), (_b, b)) = (shared(&["weir.internal"]), shared(&["weir.internal", HOST]));
    let (a, b) = (guard_of(&a), guard_of(&b));
    assert!(meet(&a, &b).await.well());
    assert!(meet(&b, &a).await.well());
    let (_client, mut client) = shared(&["client.internal", HOST]);
    assert_says(&refusal(&client), &["is not for weir.internal"]);
    client.cluster_tls.name = None;
    let (dialler, acceptor) = meet(&guard_of(&client), &b).await.refused();
    assert_says(&dialler, &["refuses this node", "another name"]);
    assert_says(&acceptor, &["is not for weir.internal", "client.internal"]);
}

/// A node without TLS that dials one with it hears an alert, whose first byte it knows.
#[tokio::test]
async fn a_caller_without_tls_is_refused_and_hears_an_alert() {
    let (_dir, files) = node(&Authority::new("nodes"));
    let acceptor = guard_of(&options(&files));
    let listener = TcpListener::bind((HOST, 0)).await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let mut dialled = TcpStream::connect(address).await.expect("connected");
    let greeted = dialled.write_all(PLAIN_HELLO).await;
    greeted.expect("said");
    let (accepted, _) = listener.accept().await.expect("accepted");
    let error = acceptor.accept(accepted).await.err().expect("refused");
    let said = acceptor.explain(&error);
    assert_says(
        &said,
        &["does not speak TLS", "--cluster-tls-cert", "prefer"],
    );
    assert_eq!(dialled.read_u8().await.expect("an alert"), 0x15);
}

/// As a node without TLS does: it closes the connection at the first byte.
async fn hangs_up(dialler: &Arc<dyn Guard>, listener: &TcpListener) -> String {
    let address = listener.local_addr().expect("bound").to_string();
    let stream = TcpStream::connect(&address).await.expect("connected");
    let (mut accepted, _) = listener.accept().await.expect("accepted");
    let closed = async {
        assert_eq!(accepted.read_u8().await.expect("greeted"), HANDSHAKE);
        drop(accepted);
    };
    let (dialled, ()) = tokio::join!(dialler.connect(stream, &address), closed);
    dialler.explain(&dialled.err().expect("no TLS"))
}

#[tokio::test]
async fn a_node_that_requires_tls_does_without_nobody_who_has_none() {
    let (_dir, files) = node(&Authority::new("nodes"));
    let dialler = guard_of(&options(&files));
    let listener = TcpListener::bind((HOST, 0)).await.expect("a port");
    for _ in 0..3 {
        let said = hangs_up(&dialler, &listener).await;
        assert_says(&said, &["hung up", "--cluster-tls-cert", "prefer"]);
    }
}

#[tokio::test]
async fn a_node_that_prefers_tls_takes_what_it_gets_and_tries_tls_again_after_that() {
    let authority = Authority::new("nodes");
    let (_dir, files) = node(&authority);
    let mut changing = options(&files);
    changing.cluster_tls.mode = Some(TlsMode::Prefer);
    let (changing, requiring) = (guard_of(&changing), guard_of(&options(&files)));
    let open: Arc<dyn Guard> = Arc::new(Open);
    assert!(
        meet(&open, &changing).await.well(),
        "plain, from one of before"
    );
    assert!(
        meet(&requiring, &changing).await.well(),
        "TLS, from one of after"
    );
    assert!(
        meet(&changing, &requiring).await.well(),
        "TLS, to one of after"
    );

    let listener = TcpListener::bind((HOST, 0)).await.expect("a port");
    let address = listener.local_addr().expect("bound").to_string();
    hangs_up(&changing, &listener).await;
    let stream = TcpStream::connect(&address).await.expect("connected");
    let (mut accepted, _) = listener.accept().await.expect("accepted");
    let mut plain = changing.connect(stream, &address).await.expect("plain");
    plain.write_all(PLAIN_HELLO).await.expect("said");
    let mut bytes = [0; 8];
    accepted.read_exact(&mut bytes).await.expect("heard");
    assert_eq!(bytes, *PLAIN_HELLO);
    // The next time it may have TLS.
    hangs_up(&changing, &listener).await;

    // One that has TLS and refuses is not asked to do without.
    let (_stranger, stranger) = node(&Authority::new("others"));
    let stranger = guard_of(&options(&stranger));
    for _ in 0..2 {
        let (dialler, _) = meet(&changing, &stranger).await.refused();
        assert_says(&dialler, &["no CA that is trusted here"]);
    }
}

#[tokio::test]
async fn renewed_files_are_used_by_the_next_connection() {
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let ((a_dir, a), (b_dir, b), (_c, c)) = (node(&old), node(&old), node(&old));
    let (a_guard, b_guard) = (guard_of(&options(&a)), guard_of(&options(&b)));
    let left_behind = guard_of(&options(&c));
    let all_meet =
        async || meet(&a_guard, &b_guard).await.well() && meet(&b_guard, &a_guard).await.well();
    assert!(all_meet().await);
    // One after the other, and nobody is refused meanwhile.
    for files in [&a, &b] {
        trust_too(files, &new);
        assert!(all_meet().await, "both CAs are trusted");
    }
    for (dir, other) in [(&a_dir, &old), (&b_dir, &old)] {
        let renewed = new.issue(dir.path(), &[HOST]);
        trust_too(&renewed, other);
        assert!(all_meet().await, "certificates of either CA");
    }
    assert!(
        !meet(&left_behind, &a_guard).await.well(),
        "it trusts the old CA alone"
    );
    // What is no use is not used.
    std::fs::write(&a.cert, "no certificate").expect("written");
    assert!(all_meet().await, "the last one that was of use");
}

fn changed(change: impl FnOnce(&Path, &mut Options)) -> String {
    let (dir, files) = node(&Authority::new("nodes"));
    let mut options = options(&files);
    change(dir.path(), &mut options);
    refusal(&options)
}

#[tokio::test]
async fn what_others_would_refuse_is_refused_at_the_start() {
    let authority = Authority::new("nodes");
    let expired = changed(|dir, _| {
        authority.issue_with(dir, &[HOST], |params| {
            params.not_after = date_time_ymd(2001, 1, 1);
        });
    });
    assert_says(&expired, &["node.crt", "has expired"]);
    let for_servers = changed(|dir, _| {
        authority.issue_with(dir, &[HOST], |params| {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        });
    });
    assert_says(&for_servers, &["serverAuth and clientAuth"]);
    let other_ca = changed(|dir, _| {
        let pem = Authority::new("others").pem();
        std::fs::write(dir.join("ca.crt"), pem).expect("written");
    });
    assert_says(&other_ca, &["node.crt", "no CA that is trusted here"]);
}

#[tokio::test]
async fn files_that_are_missing_or_mixed_up_are_named() {
    let no_key = changed(|_, options| options.cluster_tls.key = None);
    assert_says(&no_key, &["--cluster-tls-key is missing"]);
    let mode_alone = changed(|_, options| {
        options.cluster_tls = ClusterTls {
            mode: Some(TlsMode::Require),
            ..ClusterTls::default()
        };
    });
    assert_says(&mode_alone, &["--cluster-tls-cert is missing"]);
    let gone = changed(|dir, _| std::fs::remove_file(dir.join("node.key")).expect("removed"));
    assert_says(&gone, &["cannot read", "node.key"]);
    let swapped = changed(|_, options| options.cluster_tls.cert = options.cluster_tls.key.clone());
    assert_says(&swapped, &["node.key: no certificate in PEM"]);
    let of_another = changed(|dir, _| {
        let (_other, files) = node(&Authority::new("nodes"));
        std::fs::copy(files.key, dir.join("node.key")).expect("copied");
    });
    assert_says(&of_another, &["is not the key of"]);
    let name = changed(|_, options| options.cluster_tls.name = Some("10.0.0.1".to_owned()));
    assert_says(&name, &["--cluster-tls-name 10.0.0.1"]);
    assert!(
        guard(&Options::default(), &Handle::current()).is_ok(),
        "none is wanted"
    );
}
