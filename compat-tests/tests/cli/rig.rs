//! A command, how it ended, and a broker for it.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use compat_tests::cluster::Cluster;
use compat_tests::weir::{Weir, find_binary};
use serde_json::Value;

/// How a command ended.
pub struct Ended {
    pub ok: bool,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    pub fn of(mut command: Command, input: impl AsRef<[u8]>) -> Ended {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary");
        // A command that has failed reads nothing.
        let _ = child.stdin.take().expect("piped").write_all(input.as_ref());
        let output = child.wait_with_output().expect("its end");
        Ended {
            ok: output.status.success(),
            stdout: String::from_utf8(output.stdout).expect("text"),
            stderr: String::from_utf8(output.stderr).expect("text"),
        }
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", self.stdout))
    }

    /// One JSON value a line.
    pub fn lines(&self) -> Vec<Value> {
        let parse =
            |line: &str| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        self.stdout.lines().map(parse).collect()
    }
}

/// One node or several, and the command line that talks to them.
pub struct Cli {
    nodes: Nodes,
    /// Commands that ran.
    count: AtomicUsize,
}

enum Nodes {
    One(Box<Weir>),
    Several(Cluster),
}

impl Cli {
    pub fn start() -> Cli {
        Cli::of(Nodes::One(Box::new(Weir::start().expect("a broker"))))
    }

    pub fn start_three() -> Cli {
        Cli::of(Nodes::Several(Cluster::start(3).expect("three nodes")))
    }

    fn of(nodes: Nodes) -> Cli {
        Cli {
            nodes,
            count: AtomicUsize::new(0),
        }
    }

    fn nodes(&self) -> &[Weir] {
        match &self.nodes {
            Nodes::One(node) => std::slice::from_ref(node),
            Nodes::Several(cluster) => &cluster.nodes,
        }
    }

    /// The only node, or the first.
    pub fn node(&self) -> &Weir {
        &self.nodes()[0]
    }

    pub fn bootstrap(&self) -> String {
        let addresses = self.nodes().iter().map(|node| node.kafka.to_string());
        addresses.collect::<Vec<_>>().join(",")
    }

    /// Each command asks another node over HTTP than the one before it.
    pub fn fed(&self, arguments: &[&str], input: impl AsRef<[u8]>) -> Ended {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        let node = &self.nodes()[count % self.nodes().len()];
        let mut command = Command::new(find_binary().expect("the binary"));
        command
            .args(arguments)
            .current_dir(self.node().dir())
            .env("WEIR_BOOTSTRAP", self.bootstrap())
            .env("WEIR_REGISTRY", format!("http://{}", node.registry))
            .env("WEIR_HTTP", format!("http://{}", node.http));
        Ended::of(command, input)
    }

    /// Runs a command that must succeed.
    #[track_caller]
    pub fn good(&self, arguments: &[&str], input: &str) -> Ended {
        let ended = self.fed(arguments, input);
        assert!(ended.ok, "{arguments:?}: {}", ended.stderr);
        ended
    }

    /// Runs a command that must fail and say all of this.
    #[track_caller]
    pub fn bad(&self, arguments: &[&str], input: &str, said: &[&str]) {
        let ended = self.fed(arguments, input);
        assert!(!ended.ok, "{arguments:?}: {}", ended.stdout);
        for text in said {
            assert!(
                ended.stderr.contains(text),
                "{arguments:?} without {text:?}: {}",
                ended.stderr
            );
        }
    }

    pub fn file(&self, name: &str, text: &str) -> String {
        let path = self.node().dir().join(name);
        fs::write(&path, text).expect("a file");
        path.display().to_string()
    }
}

/// Has each of these run against one node, and against three.
macro_rules! by_one_and_three {
    ($($test:ident),+ $(,)?) => {
        mod by_one {
            $(#[test] fn $test() { super::$test(&crate::rig::Cli::start()); })+
        }
        mod by_three {
            $(#[test] fn $test() { super::$test(&crate::rig::Cli::start_three()); })+
        }
    };
}
pub(crate) use by_one_and_three;

/// A command that needs no broker.
pub fn alone(arguments: &[&str]) -> Ended {
    let mut command = Command::new(find_binary().expect("the binary"));
    command.args(arguments);
    Ended::of(command, "")
}

pub const ORDER: &str = r#"{"type":"record","name":"Order","fields":[
    {"name":"item","type":"string"},{"name":"cents","type":"int"}]}"#;
