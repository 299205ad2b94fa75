//! As much of PromQL as it takes to say which series an expression asks for.

use std::collections::BTreeSet;

/// What is called, or aggregates; every other name is a metric's.
const FUNCTIONS: &[&str] = &[
    "changes",
    "histogram_quantile",
    "increase",
    "max",
    "predict_linear",
    "rate",
    "sum",
    "topk",
];
const OPERATORS: &[&str] = &["and", "or", "unless", "bool"];
/// They have labels in brackets behind them.
const GROUPINGS: &[&str] = &["by", "without", "on", "ignoring"];

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Query {
    pub selectors: Vec<Selector>,
    /// Labels by which is grouped.
    pub grouped_by: BTreeSet<String>,
}

/// A metric's name, and what its labels must be.
#[derive(Debug, PartialEq, Eq)]
pub struct Selector {
    pub metric: String,
    pub matchers: Vec<Matcher>,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Matcher {
    pub label: String,
    /// `=`, `!=`, `=~` or `!~`.
    pub operator: String,
    pub value: String,
}

impl Query {
    /// Fails where the text is none of PromQL's.
    pub fn parse(text: &str) -> Query {
        let mut query = Query::default();
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            if first.is_ascii_alphabetic() || first == '_' {
                let name = take(&mut rest, is_of_name);
                query.name(name, &mut rest);
            } else if first.is_ascii_digit() {
                // With its exponent.
                take(&mut rest, |c| c.is_ascii_alphanumeric() || c == '.');
            } else if first == '[' {
                rest = rest.split_once(']').expect("the end of a range").1;
            } else {
                assert!("()+-*/%<>=!,. ".contains(first), "{first} in {text}");
                rest = &rest[1..];
            }
        }
        query
    }

    fn name(&mut self, name: &str, rest: &mut &str) {
        if GROUPINGS.contains(&name) {
            let labels = enclosed(rest, '(', ')').expect("labels in brackets");
            let labels = labels.split(',').map(|label| label.trim().to_owned());
            self.grouped_by.extend(labels);
        } else if !FUNCTIONS.contains(&name) && !OPERATORS.contains(&name) {
            let matchers = enclosed(rest, '{', '}').unwrap_or_default();
            self.selectors.push(Selector {
                metric: name.to_owned(),
                matchers: split_matchers(matchers),
            });
        }
    }
}

fn is_of_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == ':'
}

fn take<'a>(rest: &mut &'a str, wanted: impl Fn(char) -> bool) -> &'a str {
    let end = rest.find(|c| !wanted(c)).unwrap_or(rest.len());
    let (taken, left) = rest.split_at(end);
    *rest = left;
    taken
}

/// What stands in brackets next, if they do.
fn enclosed<'a>(rest: &mut &'a str, open: char, close: char) -> Option<&'a str> {
    let inner = rest.trim_start().strip_prefix(open)?;
    let (inner, left) = inner.split_once(close)?;
    *rest = left;
    Some(inner)
}

/// Values here hold no comma and no bracket.
fn split_matchers(text: &str) -> Vec<Matcher> {
    let parts = text
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty());
    parts
        .map(|mut part| {
            let label = take(&mut part, is_of_name).to_owned();
            let operator = take(&mut part, |c| "=!~".contains(c)).to_owned();
            let value = part.trim_matches('"').to_owned();
            assert!(!label.is_empty() && !operator.is_empty(), "{text}");
            Matcher {
                label,
                operator,
                value,
            }
        })
        .collect()
}

#[test]
fn metrics_are_told_from_functions_labels_and_numbers() {
    let query = Query::parse(
        r#"histogram_quantile(0.99, sum by (le, api) (rate(a_bucket{api="Produce", job=~"$job"}[5m]))) > 5e9 or b"#,
    );
    let metrics: Vec<&str> = query.selectors.iter().map(|one| &*one.metric).collect();
    assert_eq!(metrics, ["a_bucket", "b"]);
    assert_eq!(query.grouped_by, ["api", "le"].map(str::to_owned).into());
    let matcher = |label: &str, operator: &str, value: &str| Matcher {
        label: label.to_owned(),
        operator: operator.to_owned(),
        value: value.to_owned(),
    };
    assert_eq!(
        query.selectors[0].matchers,
        [matcher("api", "=", "Produce"), matcher("job", "=~", "$job")]
    );
}
