//! Each series that an alert or the board asks for is one that a cluster at work has.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::time::Duration;

use compat_tests::cluster::Cluster;
use compat_tests::weir::find_binary;
use compat_tests::{clock, http};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use serde_json::Value;

use crate::promql::{Query, Selector};

/// Labels that Prometheus adds to what it scrapes.
const OF_TARGETS: &[&str] = &["instance", "job"];
/// A metric that Prometheus makes of each scrape.
const OF_SCRAPES: &str = "up";
/// Less is not all of them.
const FEWEST: usize = 15;

/// An expression, and the labels that the text beside it shows.
struct Asked {
    what: String,
    query: Query,
    shown: BTreeSet<String>,
}

/// Labels of each series by its name.
type Scrape = BTreeMap<String, Vec<BTreeMap<String, String>>>;

/// The alerts: `expr:` is on one line, as the file says.
fn alerts() -> Vec<Asked> {
    let text = crate::read("prometheus-rules.yml");
    let rules = text.split("- alert: ").skip(1);
    rules
        .map(|rule| {
            let name = rule.lines().next().unwrap_or_default();
            let (_, rest) = rule.split_once("expr: ").expect("an expression");
            let expression = rest.lines().next().unwrap_or_default();
            Asked {
                what: name.to_owned(),
                query: Query::parse(expression),
                shown: names_behind(rule, "$labels."),
            }
        })
        .collect()
}

/// The board's panels, and what its variables are made of.
fn panels() -> Vec<Asked> {
    let board: Value = serde_json::from_str(&crate::read("grafana/weir.json")).expect("JSON");
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let mut asked = Vec::new();
    for panel in list(&board["panels"]) {
        for target in list(&panel["targets"]) {
            asked.push(Asked {
                what: panel["title"].to_string(),
                query: Query::parse(target["expr"].as_str().expect("an expression")),
                shown: names_behind(target["legendFormat"].as_str().expect("a legend"), "{{"),
            });
        }
    }
    for variable in list(&board["templating"]["list"]) {
        let query = variable["query"].as_str().expect("a query");
        let Some(values) = query.strip_prefix("label_values(") else {
            continue;
        };
        let (selector, label) = values.rsplit_once(',').expect("a label");
        asked.push(Asked {
            what: variable["name"].to_string(),
            query: Query::parse(selector),
            shown: [label.trim().trim_end_matches(')').to_owned()].into(),
        });
    }
    asked
}

fn names_behind(text: &str, mark: &str) -> BTreeSet<String> {
    let parts = text.split(mark).skip(1);
    parts
        .map(|part| {
            let end = part.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            part[..end.unwrap_or(part.len())].to_owned()
        })
        .filter(|name| !name.is_empty())
        .collect()
}

/// All nodes' series.
fn scrape(cluster: &Cluster) -> Scrape {
    let mut scrape = Scrape::new();
    for node in &cluster.nodes {
        let answer = http::get(node.http, "/metrics").expect("metrics");
        for line in answer.body.lines().filter(|line| !line.starts_with('#')) {
            let (series, _) = line.rsplit_once(' ').expect("a value");
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            let labels = labels.trim_end_matches('}').split("\",");
            let labels = labels.filter_map(|label| label.split_once("=\""));
            let labels = labels
                .map(|(name, value)| (name.to_owned(), value.trim_end_matches('"').to_owned()));
            scrape
                .entry(name.to_owned())
                .or_default()
                .push(labels.collect());
        }
    }
    scrape
}

/// What of an expression no node has.
fn lacks(scrape: &Scrape, asked: &Asked) -> Vec<String> {
    let mut lacks: Vec<String> = asked
        .query
        .selectors
        .iter()
        .filter(|selector| selector.metric != OF_SCRAPES)
        .filter_map(|selector| mismatch(scrape, selector))
        .collect();
    let known = |label: &str| {
        let series = asked.query.selectors.iter();
        let mut series = series.filter_map(|one| scrape.get(&one.metric)).flatten();
        OF_TARGETS.contains(&label) || series.any(|labels| labels.contains_key(label))
    };
    let grouped_by = &asked.query.grouped_by;
    let gone = |label: &&String| !grouped_by.is_empty() && !grouped_by.contains(*label);
    let unknown = asked
        .shown
        .iter()
        .chain(grouped_by)
        .filter(|label| !known(label));
    lacks.extend(unknown.map(|label| format!("the label {label}")));
    let dropped = asked.shown.iter().filter(gone);
    lacks.extend(dropped.map(|label| format!("the label {label} after grouping")));
    lacks
}

fn mismatch(scrape: &Scrape, selector: &Selector) -> Option<String> {
    let Some(series) = scrape.get(&selector.metric) else {
        return Some(selector.metric.clone());
    };
    let matchers = selector.matchers.iter();
    let own = matchers.filter(|matcher| !OF_TARGETS.contains(&&*matcher.label));
    let mut missing = own.filter(|matcher| {
        !series.iter().any(|labels| {
            let value = labels.get(&matcher.label);
            value.is_some_and(|value| matcher.operator != "=" || *value == matcher.value)
        })
    });
    missing
        .next()
        .map(|matcher| format!("{} with {matcher:?}", selector.metric))
}

/// `sh`, with `weir` on the path, for a cluster.
fn shell(cluster: &Cluster, line: &str) -> bool {
    let binary = find_binary().expect("the binary");
    let folder = binary.parent().expect("a folder").display();
    let path = std::env::var("PATH").unwrap_or_default();
    let status = Command::new("sh")
        .args(["-c", line])
        .env("PATH", format!("{folder}:{path}"))
        .env("WEIR_BOOTSTRAP", cluster.bootstrap())
        .env("WEIR_HTTP", format!("http://{}", cluster.nodes[0].http))
        .env(
            "WEIR_REGISTRY",
            format!("http://{}", cluster.nodes[0].registry),
        )
        .status();
    status.expect("a shell").success()
}

/// Makes what has series only once there is some.
fn work(cluster: &Cluster) {
    for line in [
        "weir topic create measured",
        "echo hello | weir topic produce measured",
        "weir table create rows --value-format string",
        "weir topic create checked --set schema.validation.value=id",
    ] {
        assert!(shell(cluster, line), "{line}\n{}", cluster.outputs());
    }
    assert!(!shell(
        cluster,
        "echo none | weir topic produce checked --raw"
    ));
    let put = http::ask(
        cluster.nodes[0].http,
        "PUT",
        "/v1/tables/rows/rows/k",
        r#"{"value":"v"}"#,
    );
    assert_eq!(put.expect("an answer").status, 200);
    let group: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", cluster.bootstrap())
        .set("group.id", "measuring")
        .create()
        .expect("a consumer");
    let mut offsets = TopicPartitionList::new();
    let set = offsets.add_partition_offset("measured", 0, Offset::Offset(1));
    set.expect("an offset");
    let committed = group.commit(&offsets, CommitMode::Sync);
    committed.expect("committed");
}

#[test]
fn alerts_and_board_ask_for_series_that_a_cluster_has() {
    let file = crate::path("cluster.toml").display().to_string();
    let mut cluster = Cluster::prepare_with(3, &["-c", &file]).expect("three nodes");
    cluster.spawn_all().expect("spawned");
    cluster.await_all().expect("three nodes start");
    work(&cluster);
    let (alerts, panels) = (alerts(), panels());
    assert!(alerts.len() >= FEWEST && panels.len() >= FEWEST);
    let asked: Vec<Asked> = alerts.into_iter().chain(panels).collect();
    let lacking = || -> Vec<String> {
        let scrape = scrape(&cluster);
        let each = asked.iter().flat_map(|one| {
            let lacks = lacks(&scrape, one);
            lacks
                .into_iter()
                .map(|what| format!("{}: {what}", one.what))
        });
        each.collect()
    };
    // A follower is told late of what its leader has.
    let complete = clock::wait_for(Duration::from_secs(5), Duration::from_millis(100), || {
        lacking().is_empty().then_some(())
    });
    assert!(complete.is_some(), "no node has {:#?}", lacking());
}
