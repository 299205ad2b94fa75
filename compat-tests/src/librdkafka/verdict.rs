//! What a test's process said.

use std::fmt;

/// What a failure says, and what it therefore lacks.
const EXCUSES: [(&str, &str); 8] = [
    ("does not support transactions yet", "transactions"),
    // Its records come from a Java program, which ends for want of them.
    ("\"0098_consumer_txn\"", "transactions"),
    ("ACLs Admin API (KIP-140) not supported", "ACLs"),
    ("kafka-acls.sh", "ACLs"),
    ("unknown setting `sasl.kerberos", "the settings of SASL"),
    ("resources of type 32", "the settings of groups (KIP-848)"),
    // Kafka 4 refuses them too, and its tools do before they ask.
    ("--config segment.bytes=10000 ", "segments of 10 KB"),
    (
        "invalid value `20000` for `segment.bytes`",
        "segments of 20 KB",
    ),
];

/// Of one test, or one part of it.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    Passed,
    /// By the test itself, with its reason: another Kafka, or another client, is asked for.
    Skipped(String),
    /// It asks for what is known to be missing.
    Lacks(&'static str),
    Failed(String),
}

impl Verdict {
    /// `ended_well`: the process's exit status; `printed`: all that it printed.
    pub fn of(ended_well: bool, printed: &str) -> Verdict {
        let printed = without_colours(printed);
        if let Some(failure) = first_failure(&printed) {
            let excuse = EXCUSES.iter().find(|(says, _)| failure.contains(says));
            return excuse.map_or(Verdict::Failed(failure), |(_, lacks)| Verdict::Lacks(lacks));
        }
        if !ended_well {
            return Verdict::Failed(last_line(&printed));
        }
        let rows = || printed.lines().filter_map(row);
        if rows().any(|(state, _)| state == "PASSED") {
            return Verdict::Passed;
        }
        match rows().next() {
            Some((_, reason)) => Verdict::Skipped(reason.to_owned()),
            None => Verdict::Failed("no test of that name ran".to_owned()),
        }
    }

    pub fn is_failure(&self) -> bool {
        matches!(self, Verdict::Failed(_))
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Passed => f.write_str("passed"),
            Verdict::Skipped(reason) => write!(f, "skipped: {reason}"),
            Verdict::Lacks(what) => write!(f, "lacks {what}"),
            Verdict::Failed(why) => write!(f, "FAILED: {why}"),
        }
    }
}

/// The line that names the test and the one that says why, of the first failure; the runner's own follow from it.
fn first_failure(printed: &str) -> Option<String> {
    let mut lines = printed.lines();
    let place = lines.find(|line| line.starts_with("### Test "))?;
    let reason = lines.next().unwrap_or_default();
    Some(format!("{} {reason}", place.trim_matches(['#', ' '])))
}

/// State and reason of a test, of a line of the table at the end.
fn row(line: &str) -> Option<(&str, &str)> {
    let mut cells = line.strip_prefix("| ")?.split('|').map(str::trim);
    let name = cells.next()?;
    let state = cells.next()?;
    let reason = cells.nth(1).unwrap_or_default();
    name.starts_with(|first: char| first.is_ascii_digit())
        .then_some((state, reason))
}

fn last_line(printed: &str) -> String {
    let line = printed.lines().rfind(|line| !line.trim().is_empty());
    line.unwrap_or("it printed nothing").to_owned()
}

fn without_colours(printed: &str) -> String {
    let mut parts = printed.split("\u{1b}[");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        plain.push_str(part.split_once('m').map_or(part, |(_, text)| text));
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
#==================================================================#
| <MAIN>                                   |     PASSED |   0.200s |
\u{1b}[32m| 0022_consume_batch                       |     PASSED |   0.054s |\u{1b}[0m
| 0022_consume_batch_local                 |    SKIPPED |   0.000s | Filtered due to negative test flags
#==================================================================#
";

    fn failing(reason: &str) -> String {
        format!(
            "\u{1b}[31m[0061_lag / 9s] TEST FAILURE\n### Test \"0061_lag\" failed at x.c:1: ###\n{reason}\n\
             ### Test \"<MAIN>\" failed at test.c:1798: ###\n3 thread(s) still active\n"
        )
    }

    #[test]
    fn a_part_that_passed_counts_beside_one_that_was_left_out() {
        assert_eq!(Verdict::of(true, TABLE), Verdict::Passed);
    }

    #[test]
    fn a_test_of_which_all_was_left_out_says_why() {
        let table = TABLE.replace("    PASSED |   0.054s |", "   SKIPPED |   0.000s | no json");
        assert_eq!(
            Verdict::of(true, &table),
            Verdict::Skipped("no json".to_owned())
        );
    }

    #[test]
    fn the_first_failure_decides() {
        let lacking = failing("init: this broker does not support transactions yet; unset it");
        assert_eq!(Verdict::of(false, &lacking), Verdict::Lacks("transactions"));
        let other = failing("expected 3 messages, got 2") + &lacking;
        assert_eq!(
            Verdict::of(false, &other),
            Verdict::Failed(
                "Test \"0061_lag\" failed at x.c:1: expected 3 messages, got 2".to_owned()
            )
        );
    }

    #[test]
    fn a_process_that_broke_off_has_failed() {
        let verdict = Verdict::of(false, "started\nassertion failed\n\n");
        assert_eq!(verdict, Verdict::Failed("assertion failed".to_owned()));
        assert!(Verdict::of(true, "nothing ran").is_failure());
    }
}
