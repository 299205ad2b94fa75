//! How a node starts: what its options say, and what ends the start.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use compat_tests::weir::find_binary;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};

use crate::rig::{Cli, alone};

/// Starts a node that must not come up, and returns what it said.
fn refused_start(arguments: &[&str]) -> String {
    let ended = alone(arguments);
    assert!(!ended.ok, "{arguments:?} ended well");
    ended.stderr
}

#[test]
fn a_node_that_cannot_start_says_what_to_change() {
    let weir = Cli::start();
    let data = weir.node().dir().join("data").display().to_string();
    let mine = weir.node().dir().join("mine").display().to_string();
    let free = [
        "--registry-listen",
        "localhost:0",
        "--http-listen",
        "localhost:0",
    ];
    let taken = weir.node().kafka.to_string();
    let said = refused_start(
        &[
            &["dev", "--data-dir", &mine, "--kafka-listen", &taken],
            &free[..],
        ]
        .concat(),
    );
    assert!(
        said.contains("is taken") && said.contains("--kafka-listen"),
        "{said}"
    );
    let kafka = ["--kafka-listen", "localhost:0"];
    let said = refused_start(&[&["dev", "--data-dir", &data], &kafka[..], &free[..]].concat());
    assert!(
        said.contains("in use by another weir") && said.contains("--data-dir"),
        "{said}"
    );
    let said = refused_start(&["dev", "--data-dir", &mine, "--kafka-listen", "localhost"]);
    assert!(said.contains("not HOST:PORT"), "{said}");
    let typo = weir.file("typo.toml", "kafka-lissen = 'x'");
    let said = refused_start(&["serve", "-c", &typo]);
    assert!(
        said.contains("kafka-lissen") && said.contains("kafka-listen"),
        "{said}"
    );
    let typo = weir.file("setting.toml", "[settings]\n'num.partitionz' = 3");
    let said = refused_start(&["serve", "-c", &typo, "--data-dir", &mine]);
    assert!(said.contains("did you mean `num.partitions`"), "{said}");
    assert!(refused_start(&["serve", "-c", "no.toml"]).contains("cannot read no.toml"));
}

/// A node that was started with other words than the fixture's, and what it has printed.
struct Node(std::process::Child, PathBuf);

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Node {
    /// The address behind a label of the greeting.
    fn address(&self, label: &str) -> String {
        let found = compat_tests::clock::wait_for(
            std::time::Duration::from_secs(30),
            std::time::Duration::from_millis(20),
            || {
                let text = fs::read_to_string(&self.1).ok()?;
                let line = text
                    .lines()
                    .find(|line| line.trim_start().starts_with(label))?;
                line.split_whitespace().nth(1).map(str::to_owned)
            },
        );
        found.unwrap_or_else(|| panic!("no {label}: {:?}", fs::read_to_string(&self.1)))
    }
}

#[test]
fn options_come_from_flag_variable_and_file_and_port_0_is_printed() {
    let dir = tempfile::tempdir().expect("a directory");
    let config = dir.path().join("weir.toml");
    let data = dir.path().join("data");
    let text = format!(
        "data-dir = '{}'\nkafka-listen = '127.0.0.1:0'\nkafka-advertise = 'file:1'\n\
         registry-listen = '127.0.0.1:0'\nhttp-listen = 'no:where'\n[settings]\n'num.partitions' = 4\n",
        data.display()
    );
    fs::write(&config, text).expect("a file");
    let printed = dir.path().join("out");
    let mut command = Command::new(find_binary().expect("the binary"));
    command
        .args(["serve", "-c"])
        .arg(&config)
        .args(["--http-listen", "127.0.0.1:0"])
        .env("WEIR_KAFKA_ADVERTISE", "variable:2")
        .current_dir(dir.path());
    let output = fs::File::create(&printed).expect("a file");
    let child = compat_tests::process::spawn_bound(&command, output).expect("a node");
    let node = Node(child, printed);
    let kafka = node.address("kafka");
    assert!(
        !kafka.ends_with(":0") && kafka.starts_with("127.0.0.1:"),
        "{kafka}"
    );
    let http = node.address("http");
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &kafka)
        .create()
        .expect("a client");
    let limit = std::time::Duration::from_secs(10);
    let metadata = consumer.fetch_metadata(None, limit).expect("metadata");
    let broker = &metadata.brokers()[0];
    assert_eq!((broker.host(), broker.port()), ("variable", 2));
    let ended = alone(&["topic", "create", "t", "--bootstrap", &kafka]);
    assert_eq!(
        ended.stdout, "created topic t with 4 partitions\n",
        "{}",
        ended.stderr
    );
    let ended = alone(&["metrics", "kafka_brokers", "--http", &http]);
    assert!(ended.ok, "{}", ended.stderr);
    assert!(
        data.join("wal").exists() || data.is_dir(),
        "no data in {}",
        data.display()
    );
}
