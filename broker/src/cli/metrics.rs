//! `weir metrics`: the node's figures, for a look without Prometheus.

use serde_json::{Map, Value};

use super::CliError;
use super::output::{self, Format};
use super::target::Target;

#[derive(clap::Args)]
#[command(after_help = "Examples:
  weir metrics
  weir metrics weir_table lag                what has one of these in its name or labels
  weir metrics flights --format json

Histograms are shown by their count and sum; all buckets are on the HTTP port at /metrics.")]
pub struct MetricsArgs {
    /// Show only what contains one of these
    words: Vec<String>,
    #[command(flatten)]
    target: Target,
}

pub async fn run(args: MetricsArgs) -> Result<(), CliError> {
    let text = args.target.http()?.metrics().await?;
    let wanted = |name: &str| {
        args.words.is_empty() || args.words.iter().any(|word| name.contains(word.as_str()))
    };
    let samples: Vec<(&str, &str)> = samples(&text).filter(|(name, _)| wanted(name)).collect();
    match args.target.format {
        Format::Json => {
            let all: Map<String, Value> = samples
                .into_iter()
                .map(|(name, value)| (name.to_owned(), number(value)))
                .collect();
            output::json(&Value::Object(all))?;
        }
        Format::Text if samples.is_empty() => {
            return Err(CliError::No(format!(
                "no metric contains {}; `weir metrics` shows all",
                args.words.join(" or ")
            )));
        }
        Format::Text => {
            let rows = samples
                .into_iter()
                .map(|(name, value)| vec![name.to_owned(), value.to_owned()])
                .collect();
            output::columns(&["METRIC", "VALUE"], rows, "")?;
        }
    }
    Ok(())
}

/// Name with labels, and value, of what is no bucket.
fn samples(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.rsplit_once(' '))
        .filter(|(name, _)| !name.contains("_bucket{"))
}

/// What JSON has no number for, such as infinity, stays text.
fn number(value: &str) -> Value {
    let whole = value.parse::<i64>().map(Value::from);
    whole
        .or_else(|_| value.parse::<f64>().map(Value::from))
        .ok()
        .filter(Value::is_number)
        .unwrap_or_else(|| value.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_lines_without_comments_and_buckets() {
        let text = "# HELP a_b it\na_b{x=\"1 2\"} 3\nh_bucket{le=\"1\"} 4\nh_sum 0.5\n";
        let found: Vec<_> = samples(text).collect();
        assert_eq!(found, [("a_b{x=\"1 2\"}", "3"), ("h_sum", "0.5")]);
        assert_eq!(number("3"), 3);
        assert_eq!(number("0.5"), 0.5);
        assert_eq!(number("+Inf"), "+Inf");
    }
}
