//! A command, how it ended, and a broker for it.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

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

/// A broker, and the command line that talks to it.
pub struct Cli(pub Weir);

impl Cli {
    pub fn start() -> Cli {
        Cli(Weir::start().expect("a broker"))
    }

    pub fn fed(&self, arguments: &[&str], input: impl AsRef<[u8]>) -> Ended {
        let mut command = Command::new(find_binary().expect("the binary"));
        command
            .args(arguments)
            .current_dir(self.0.dir())
            .env("WEIR_BOOTSTRAP", self.0.kafka.to_string())
            .env("WEIR_REGISTRY", format!("http://{}", self.0.registry))
            .env("WEIR_HTTP", format!("http://{}", self.0.http));
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
        let path = self.0.dir().join(name);
        fs::write(&path, text).expect("a file");
        path.display().to_string()
    }
}

pub fn alone(arguments: &[&str]) -> Ended {
    let mut command = Command::new(find_binary().expect("the binary"));
    command.args(arguments);
    Ended::of(command, "")
}

pub const ORDER: &str = r#"{"type":"record","name":"Order","fields":[
    {"name":"item","type":"string"},{"name":"cents","type":"int"}]}"#;
