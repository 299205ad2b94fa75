//! The lines that repeat a step, for this broker's addresses and with the tools that are here.

use std::path::{Path, PathBuf};

use super::Endpoints;
use crate::cli::target;

/// Prints steps and their lines.
pub struct Lines {
    endpoints: Endpoints,
    /// How a shell starts this very program.
    weir: String,
    step: u32,
}

impl Lines {
    pub fn new(endpoints: &Endpoints) -> Lines {
        Lines {
            endpoints: endpoints.clone(),
            weir: this_program(),
            step: 0,
        }
    }

    /// The heading of the next step.
    pub fn step(&mut self, title: &str) {
        self.step += 1;
        println!();
        println!("{}. {title}", self.step);
    }

    /// A line of what happened.
    pub fn say(&self, text: &str) {
        println!("   {text}");
    }

    /// A `weir` line; the addresses are added that it needs and that are not the default.
    pub fn weir(&self, arguments: &str) {
        self.piped("", arguments);
    }

    /// A `weir` line that another feeds, such as `echo text | `.
    pub fn piped(&self, before: &str, arguments: &str) {
        let flags: String = needed(arguments)
            .iter()
            .map(|port| match port {
                Port::Kafka => ("--bootstrap", &self.endpoints.kafka, target::BOOTSTRAP),
                Port::Registry => ("--registry", &self.endpoints.registry, target::REGISTRY),
                Port::Http => ("--http", &self.endpoints.http, target::HTTP),
            })
            .filter(|(_, value, default)| value.as_str() != *default)
            .map(|(flag, value, _)| format!(" {flag} {value}"))
            .collect();
        println!("     $ {before}{} {arguments}{flags}", self.weir);
    }

    /// A curl line; `{http}` and `{registry}` are replaced.
    pub fn curl(&self, arguments: &str) {
        let arguments = arguments
            .replace("{http}", &self.endpoints.http)
            .replace("{registry}", &self.endpoints.registry);
        self.tool("curl", "", &arguments);
    }

    /// A kcat line, which another may feed.
    pub fn kcat(&self, before: &str, arguments: &str) {
        let arguments = format!("-b {} {arguments}", self.endpoints.kafka);
        self.tool("kcat", before, &arguments);
    }

    fn tool(&self, name: &str, before: &str, arguments: &str) {
        let missing = match on_path(name) {
            Some(_) => String::new(),
            None => format!("   # {name} is not installed here"),
        };
        println!("     $ {before}{name} {arguments}{missing}");
    }
}

enum Port {
    Kafka,
    Registry,
    Http,
}

/// The ports that a command talks to.
fn needed(arguments: &str) -> &'static [Port] {
    let mut words = arguments.split(' ');
    match (words.next(), words.next()) {
        (Some("topic"), Some("rejects")) => &[Port::Http],
        (Some("topic"), Some("consume")) => &[Port::Kafka, Port::Registry],
        (Some("topic"), Some("produce")) => &[Port::Kafka, Port::Registry, Port::Http],
        (Some("topic"), _) => &[Port::Kafka],
        (Some("schema"), _) => &[Port::Registry],
        _ => &[Port::Http],
    }
}

/// Where the shell finds a program.
pub fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

/// `weir` where the shell finds this program under that name, else its path.
fn this_program() -> String {
    let Ok(this) = std::env::current_exe() else {
        return "weir".to_owned();
    };
    let same = |found: PathBuf| found.canonicalize().ok() == this.canonicalize().ok();
    match on_path("weir").is_some_and(same) {
        true => "weir".to_owned(),
        false => shell_word(&this),
    }
}

fn shell_word(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+".contains(c);
    match text.chars().all(plain) {
        true => text,
        false => quoted(&text),
    }
}

/// Text as one word of a shell.
pub fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_with_a_quote_in_it_stays_one_word() {
        assert_eq!(quoted("O'Hare"), r"'O'\''Hare'");
        assert_eq!(shell_word(Path::new("/opt/weir")), "/opt/weir");
        assert_eq!(shell_word(Path::new("/my files/weir")), "'/my files/weir'");
    }
}
