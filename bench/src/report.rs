//! RESULTS.md: every table that is saved beside it, with a picture of each.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use clap::ValueEnum;

use crate::measures::Measure;
use crate::picture;
use crate::results::{Aim, Better, Row, Spread, Table};
use crate::turns::Size;

const HEAD: &str = "# Results

Written by `bench/run`; [README.md](README.md) says how it measures. A figure is the median over pairs with the least and
the greatest in brackets. A ratio is Weir's figure over a peer's of the same pair, its median over pairs. ⚠ marks figures of
which a run had company: other programs took more than 5 % of the machine or the hypervisor 2 %, or tasks waited for
more than 10 % of the second before it.
";

/// Writes RESULTS.md and the pictures from the tables in `dir`.
pub fn write(dir: &Path) -> Result<()> {
    let mut text = HEAD.to_owned();
    for name in names() {
        if let Some(table) = Table::load(dir, name)? {
            let picture = dir.join("results").join(format!("{name}.svg"));
            fs::write(&picture, picture::draw(&table))?;
            text += &section(&table);
        }
    }
    let path = dir.join("RESULTS.md");
    fs::write(&path, text).with_context(|| format!("writing {}", path.display()))
}

/// Of all tables, in the order in which they are shown.
fn names() -> Vec<&'static str> {
    let plans = Measure::value_variants()
        .iter()
        .flat_map(|measure| measure.plans(Size::Full));
    plans.map(|plan| plan.name).collect()
}

fn section(table: &Table) -> String {
    let mut text = format!("\n## {}\n\n", table.title);
    for note in &table.notes {
        let _ = writeln!(text, "{note}\n");
    }
    text += &markdown(table);
    for failed in &table.failed {
        let _ = writeln!(text, "\nNo figure: {failed}");
    }
    let taken = &table.taken;
    let _ = writeln!(text, "\n![{}](results/{}.svg)", table.title, table.name);
    let _ = writeln!(
        text,
        "\n{}, commit {}, `{}`, {}.",
        taken.date, taken.commit, taken.command, taken.machine
    );
    text
}

fn markdown(table: &Table) -> String {
    let peers = table.servers.get(1..).unwrap_or_default();
    let mut head = vec!["what".to_owned(), "unit".to_owned()];
    head.extend(table.servers.iter().cloned());
    head.extend(peers.iter().map(|peer| format!("Weir / {}", short(peer))));
    if table.rows.iter().any(|row| !aims_of(table, row).is_empty()) {
        head.push("aim".to_owned());
    }
    let mut text = line(&head);
    text += &line(&vec!["---".to_owned(); head.len()]);
    for row in &table.rows {
        let mut cells = vec![row.what.clone(), row.unit.clone()];
        cells.extend(table.servers.iter().map(|server| cell(row, server)));
        cells.extend(peers.iter().map(|peer| {
            let ratio = row.ratio(&table.servers[0], peer);
            ratio.map_or_else(|| "–".to_owned(), |ratio| number(ratio.median))
        }));
        if cells.len() < head.len() {
            cells.push(aims_of(table, row));
        }
        text += &line(&cells);
    }
    text
}

fn line(cells: &[String]) -> String {
    format!("| {} |\n", cells.join(" | "))
}

/// `Kafka` of `Kafka, fsync`.
fn short(server: &str) -> &str {
    server.split(',').next().unwrap_or(server)
}

fn cell(row: &Row, server: &str) -> String {
    let Some(spread) = row.spread(server) else {
        return "–".to_owned();
    };
    let busy = if row.busy(server) > 0 { " ⚠" } else { "" };
    format!("{}{busy}", spread_text(spread))
}

pub fn spread_text(spread: Spread) -> String {
    if spread.min == spread.max {
        return number(spread.median);
    }
    format!(
        "{} ({}–{})",
        number(spread.median),
        number(spread.min),
        number(spread.max)
    )
}

/// Three digits that say something, and commas between thousands.
pub fn number(value: f64) -> String {
    let decimals = match value.abs() {
        0.0 => 0,
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 1.0 => 2,
        _ => 3,
    };
    let text = format!("{value:.decimals$}");
    let (whole, rest) = text.split_once('.').unwrap_or((&text, ""));
    let mut grouped = String::new();
    for (place, digit) in whole.chars().enumerate() {
        if place > 0
            && digit != '-'
            && (whole.len() - place).is_multiple_of(3)
            && !grouped.ends_with('-')
        {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    if rest.is_empty() {
        grouped
    } else {
        format!("{grouped}.{rest}")
    }
}

/// As short as a round number can be.
fn bound(value: f64) -> String {
    let text = number(value);
    if !text.contains('.') {
        return text;
    }
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Each aim, and whether Weir's median reaches it.
fn aims_of(table: &Table, row: &Row) -> String {
    let weir = table.servers.first();
    let Some(weir) = weir.filter(|name| name.starts_with("Weir")) else {
        return String::new();
    };
    let Some(own) = row.spread(weir) else {
        return String::new();
    };
    let peer = table.servers.get(1).map_or("", String::as_str);
    let ratio = row.ratio(weir, peer).map(|ratio| ratio.median);
    let aims = row.aims.iter().map(|aim| {
        let (text, reached) = match *aim {
            Aim::AtLeast(value) => (format!("≥ {}", bound(value)), Some(own.median >= value)),
            Aim::AtMost(value) => (format!("≤ {}", bound(value)), Some(own.median <= value)),
            Aim::TimesPeer(times) => (
                format!("≥ {} × {}", bound(times), short(peer)),
                ratio.map(|ratio| ratio >= times),
            ),
            Aim::PartOfPeer(part) => (
                format!("≤ {} × {}", bound(part), short(peer)),
                ratio.map(|ratio| ratio <= part),
            ),
            Aim::PartOfFirst(part) => {
                let other = table.first_of(&row.unit);
                let value = other.and_then(|other| other.spread(weir));
                (
                    format!("≥ {} × {}", bound(part), other.map_or("", |row| &row.what)),
                    value.map(|value| own.median >= part * value.median),
                )
            }
        };
        let verdict = match reached {
            Some(true) => "reached",
            Some(false) => "**missed**",
            None => "not compared",
        };
        format!("{text}: {verdict}")
    });
    aims.collect::<Vec<_>>().join("; ")
}

/// What the arrow beside a unit says.
pub fn direction(better: Better) -> &'static str {
    match better {
        Better::Higher => "more is better",
        Better::Lower => "less is better",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::{Figure, Taken};

    pub fn table() -> Table {
        let mut table = Table {
            name: "latency".to_owned(),
            title: "Title".to_owned(),
            notes: vec!["Note.".to_owned()],
            failed: vec!["case, Kafka: no java".to_owned()],
            taken: Taken {
                date: "2026-01-02".to_owned(),
                commit: "abc".to_owned(),
                command: "bench/run".to_owned(),
                machine: "2 x chip".to_owned(),
            },
            servers: vec!["Weir".to_owned(), "Kafka, fsync".to_owned()],
            rows: Vec::new(),
        };
        let figure = |what: &str, value, aims: &[Aim]| {
            Figure::new(what, "MB/s", Better::Higher, value).aiming(aims)
        };
        let aims = [Aim::TimesPeer(2.0), Aim::AtLeast(1000.0)];
        for (pair, weir, kafka) in [(1, 500.0, 250.0), (2, 700.0, 200.0)] {
            table.add("Weir", pair, pair == 2, figure("ten", weir, &aims));
            table.add("Kafka, fsync", pair, false, figure("ten", kafka, &aims));
        }
        table.add(
            "Weir",
            1,
            false,
            figure("one", 450.0, &[Aim::PartOfFirst(0.5)]),
        );
        table
    }

    #[test]
    fn numbers_have_three_digits_that_count_and_commas() {
        let shown = [0.0, 0.0123, 1.5, 12.34, 123.4, 1234.0, 1_234_567.0].map(number);
        assert_eq!(
            shown,
            ["0", "0.012", "1.50", "12.3", "123", "1,234", "1,234,567"]
        );
    }

    #[test]
    fn a_row_shows_spread_ratio_company_and_aims() {
        let text = section(&table());
        let row = "| ten | MB/s | 600 (500–700) ⚠ | 225 (200–250) | 2.75 | \
                   ≥ 2 × Kafka: reached; ≥ 1,000: **missed** |";
        assert!(text.contains(row), "{text}");
        let row = "| one | MB/s | 450 | – | – | ≥ 0.5 × ten: reached |";
        assert!(text.contains(row), "{text}");
        assert!(text.contains("No figure: case, Kafka: no java"), "{text}");
        assert!(text.contains("commit abc, `bench/run`, 2 x chip"), "{text}");
    }

    #[test]
    fn aims_are_those_of_the_first_column_where_that_is_weirs() {
        let mut table = table();
        let name = "Weir, write.caching".to_owned();
        for row in &mut table.rows {
            let samples = row.columns.shift_remove("Weir").expect("samples");
            row.columns.insert(name.clone(), samples);
        }
        table.servers[0] = name;
        let text = section(&table);
        assert!(text.contains("≥ 2 × Kafka: reached"), "{text}");
        assert!(text.contains("≥ 0.5 × ten: reached"), "{text}");
        table.servers.remove(0);
        let text = section(&table);
        assert!(!text.contains("reached"), "{text}");
    }

    #[test]
    fn saved_tables_come_back_as_a_page_with_pictures() {
        let dir = tempfile::tempdir().expect("a directory");
        fs::create_dir(dir.path().join("results")).expect("a directory");
        table().save(dir.path()).expect("saved");
        write(dir.path()).expect("written");
        let page = fs::read_to_string(dir.path().join("RESULTS.md")).expect("a page");
        assert!(page.contains("![Title](results/latency.svg)"), "{page}");
        let picture = fs::read_to_string(dir.path().join("results/latency.svg"));
        assert!(picture.expect("a picture").contains("</svg>"));
    }
}
