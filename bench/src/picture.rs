//! A table as a picture: for each row a bar for each server, with a line from the least to the greatest.

use std::fmt::Write;

use crate::report::{direction, number};
use crate::results::{Row, Table};

const WIDTH: f64 = 860.0;
const LABEL_WIDTH: f64 = 290.0;
const BARS_WIDTH: f64 = 420.0;
const BAR_HEIGHT: f64 = 16.0;
const ROW_GAP: f64 = 14.0;
const HEAD_HEIGHT: f64 = 62.0;
/// For a bright page and a dark one. Bars carry their server's name in the legend, and their order is the legend's.
const STYLE: &str = "
  text { font: 13px system-ui, sans-serif; fill: #1f2328; }
  .title { font-size: 16px; font-weight: 600; }
  .unit { font-size: 11px; fill: #59636e; }
  .spread { stroke: #1f2328; stroke-width: 1.5; }
  .s0 { fill: #0969da; } .s1 { fill: #bf8700; } .s2 { fill: #8250df; } .s3 { fill: #1a7f37; }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc; }
    .unit { fill: #9198a1; }
    .spread { stroke: #f0f6fc; }
    .s0 { fill: #4493f8; } .s1 { fill: #d29922; } .s2 { fill: #ab7df8; } .s3 { fill: #3fb950; }
  }
";

pub fn draw(table: &Table) -> String {
    let mut body = String::new();
    let mut top = HEAD_HEIGHT;
    for row in &table.rows {
        top = draw_row(&mut body, table, row, top) + ROW_GAP;
    }
    let mut picture = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {top:.0}\" role=\"img\" aria-label=\"{title}\">\n\
         <style>{STYLE}</style>\n<text class=\"title\" x=\"8\" y=\"22\">{title}</text>\n",
        title = escaped(&table.title)
    );
    let mut left = 8.0;
    for (place, server) in table.servers.iter().enumerate() {
        let _ = writeln!(
            picture,
            "<rect class=\"s{place}\" x=\"{left}\" y=\"34\" width=\"12\" height=\"12\"/>\
             <text x=\"{}\" y=\"45\">{}</text>",
            left + 17.0,
            escaped(server)
        );
        left += 40.0 + 7.5 * server.len() as f64;
    }
    picture + &body + "</svg>\n"
}

/// Draws a row from `top` on, its bars relative to the greatest in it; returns where it ends.
fn draw_row(body: &mut String, table: &Table, row: &Row, top: f64) -> f64 {
    let spreads: Vec<_> = table
        .servers
        .iter()
        .map(|server| row.spread(server))
        .collect();
    let most = spreads.iter().flatten().map(|spread| spread.max);
    let most = most.fold(f64::MIN_POSITIVE, f64::max);
    let x = |value: f64| LABEL_WIDTH + BARS_WIDTH * (value / most).clamp(0.0, 1.0);
    let _ = writeln!(
        body,
        "<text x=\"8\" y=\"{:.1}\">{}</text><text class=\"unit\" x=\"8\" y=\"{:.1}\">{}, {}</text>",
        top + 12.0,
        escaped(&row.what),
        top + 26.0,
        escaped(&row.unit),
        direction(row.better)
    );
    let mut y = top;
    for (place, spread) in spreads.iter().enumerate() {
        let Some(spread) = spread else { continue };
        let middle = y + BAR_HEIGHT / 2.0 - 1.0;
        let _ = writeln!(
            body,
            "<rect class=\"s{place}\" x=\"{LABEL_WIDTH}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{}\"/>\
             <line class=\"spread\" x1=\"{:.1}\" y1=\"{middle:.1}\" x2=\"{:.1}\" y2=\"{middle:.1}\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            (x(spread.median) - LABEL_WIDTH).max(1.0),
            BAR_HEIGHT - 2.0,
            x(spread.min),
            x(spread.max),
            x(spread.max) + 6.0,
            y + 12.0,
            number(spread.median)
        );
        y += BAR_HEIGHT;
    }
    y.max(top + 30.0)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::{Better, Figure, Taken};

    #[test]
    fn bars_are_relative_to_the_greatest_of_their_row() {
        let mut table = Table {
            name: "name".to_owned(),
            title: "a < b".to_owned(),
            notes: Vec::new(),
            failed: Vec::new(),
            taken: Taken {
                date: String::new(),
                commit: String::new(),
                command: String::new(),
                machine: String::new(),
            },
            servers: vec!["Weir".to_owned(), "Kafka".to_owned()],
            rows: Vec::new(),
        };
        let figure = |value| Figure::new("what", "MB/s", Better::Higher, value);
        table.add("Weir", 1, false, figure(100.0));
        table.add("Kafka", 1, false, figure(25.0));
        let picture = draw(&table);
        assert!(picture.contains("a &lt; b"), "{picture}");
        assert!(picture.contains("width=\"420.0\""), "{picture}");
        assert!(picture.contains("width=\"105.0\""), "{picture}");
        assert_eq!(picture.matches("class=\"spread\"").count(), 2);
    }
}
