//! Processes that do not outlive the test that started them.

use std::fs::File;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};

/// Starts `program` as [`bound`] says. `output` receives what it prints; it reads nothing.
pub fn spawn_bound(program: &Command, output: File) -> Result<Child> {
    bound(program)
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        .spawn()
        .with_context(|| format!("cannot start {}", program.get_program().display()))
}

/// `program`, so that the system kills it when the thread that starts it ends, however it ends.
///
/// That thread must therefore live as long as the process is wanted. Where `setpriv` (util-linux) is missing, only the
/// fixture that holds the process ends it. What `program` says about its streams is not taken over.
pub fn bound(program: &Command) -> Command {
    let mut bound = Command::new("setpriv");
    bound
        .args(["--pdeathsig", "KILL"])
        .arg(program.get_program());
    let mut command = if runs("setpriv", "--version") {
        bound
    } else {
        Command::new(program.get_program())
    };
    command.args(program.get_args());
    if let Some(dir) = program.get_current_dir() {
        command.current_dir(dir);
    }
    for (name, value) in program.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command
}

/// Whether `program flag` ends well.
pub fn runs(program: &str, flag: &str) -> bool {
    let command = Command::new(program)
        .arg(flag)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    command.is_ok_and(|status| status.success())
}
