//! Options, and what containers and machines start, against the binary.

use std::collections::BTreeSet;
use std::process::Command;

use compat_tests::process::runs;
use compat_tests::weir::{Weir, find_binary};

/// What the chart's files are rendered for; a helm that was built by hand takes itself for an old one.
const KUBERNETES: &str = "1.31.0";

/// The `WEIR_…` words of a text.
fn variables(text: &str) -> BTreeSet<String> {
    let is_of_name = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    let words = text.split(|c| !is_of_name(c));
    let words = words.filter(|word| word.len() > 5 && word.starts_with("WEIR_"));
    words.map(str::to_owned).collect()
}

fn help() -> String {
    let output = Command::new(find_binary().expect("the binary"))
        .args(["serve", "--help"])
        .output()
        .expect("help");
    String::from_utf8(output.stdout).expect("text")
}

/// What a Dockerfile says of the image, without what it is built in.
fn image() -> String {
    let text = crate::read("Dockerfile");
    let (_, last) = text.rsplit_once("\nFROM ").expect("a stage");
    last.to_owned()
}

#[test]
fn variables_are_those_of_weir_serve() {
    let known = variables(&help());
    for (name, text, at_least) in [
        ("Dockerfile", image(), 0),
        ("compose.yaml", crate::read("compose.yaml"), 5),
        ("compose.tls.yaml", crate::read("compose.tls.yaml"), 5),
        ("weir.env", crate::read("weir.env"), 3),
        (
            "statefulset.yaml",
            crate::read("helm/weir/templates/statefulset.yaml"),
            4,
        ),
    ] {
        let used = variables(&text);
        let unknown: Vec<_> = used.difference(&known).collect();
        assert!(unknown.is_empty(), "{name}: {unknown:?}");
        assert!(used.len() >= at_least, "{name} has {used:?}");
    }
}

/// Each node tells clients the port that leads to it.
#[test]
fn nodes_of_compose_advertise_the_ports_that_are_mapped() {
    let text = crate::read("compose.yaml");
    let nodes: Vec<&str> = text.split("WEIR_BROKER_ID: ").skip(1).collect();
    assert_eq!(nodes.len(), 3);
    for node in nodes {
        let (_, rest) = node.split_once("WEIR_KAFKA_ADVERTISE: ").expect("one");
        let advertised = rest.lines().next().unwrap_or_default();
        let (_, port) = advertised.rsplit_once(':').expect("a port");
        let mapped = format!("}}:{port}:9092\n");
        assert!(rest.contains(&mapped), "{mapped} in {rest}");
    }
}

/// The lines of a block of `values.yaml` as TOML.
fn values(block: &str) -> Vec<String> {
    let text = crate::read("helm/weir/values.yaml");
    let (_, rest) = text.split_once(&format!("\n{block}:\n")).expect(block);
    let lines = rest.lines().take_while(|line| line.starts_with("  "));
    let lines = lines.filter(|line| !line.starts_with("  #"));
    let pairs = lines.filter_map(|line| line.trim().split_once(": "));
    pairs
        .map(|(name, value)| match block {
            "settings" => format!("\"{name}\" = {value}"),
            _ => format!("{name} = {value}"),
        })
        .collect()
}

/// The chart's `weir.toml` as its template and values say it, lines in order of their names.
fn chart_options() -> Vec<String> {
    let text = crate::read("helm/weir/templates/configmap.yaml");
    let (_, file) = text.split_once("weir.toml: |\n").expect("a file");
    let (options, _) = file.split_once("[settings]").expect("settings");
    let fixed = options.lines().map(str::trim);
    let fixed = fixed.filter(|line| !line.is_empty() && !line.contains("{{"));
    let mut lines: Vec<String> = fixed.map(str::to_owned).collect();
    lines.extend(values("options"));
    lines.push("[settings]".to_owned());
    lines.extend(values("settings"));
    lines
}

#[test]
fn a_node_starts_with_the_charts_options() {
    let weir = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(weir.path(), chart_options().join("\n")).expect("written");
    let file = weir.path().display().to_string();
    let command = ["serve", "-c", &file];
    Weir::start_with(&find_binary().expect("the binary"), &command).expect("it starts");
}

#[test]
fn helm_renders_what_the_templates_say() {
    if !runs("helm", "version") {
        eprintln!("helm is not there: the chart was not rendered");
        return;
    }
    let render = |set: &str| {
        let chart = crate::path("helm/weir");
        Command::new("helm")
            .args(["template", "prod"])
            .arg(chart)
            .args(["--kube-version", KUBERNETES, "--set", set])
            .output()
            .expect("helm runs")
    };
    let output = render("replicas=5");
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let (_, file) = text.split_once("weir.toml: |\n").expect("the options");
    let (file, _) = file.split_once("---").expect("the end");
    let lines = |text: &str| -> BTreeSet<String> {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        lines.map(str::to_owned).collect()
    };
    assert_eq!(lines(file), lines(&chart_options().join("\n")));
    let seed =
        |number| format!("prod-weir-{number}.prod-weir-nodes.default.svc.cluster.local:9093");
    let seeds = [0, 1, 2].map(seed).join(",");
    // Nodes that are added later are none of the seeds.
    assert!(text.contains(&format!("value: {seeds}\n")), "{text}");
    let known = variables(&help());
    let unknown: Vec<_> = variables(&text).difference(&known).cloned().collect();
    assert!(unknown.is_empty(), "{unknown:?}");
    assert!(
        !render("replicas=2").status.success(),
        "fewer than founders"
    );
    let secured = render("clusterTls.secret=certificates");
    let secured = String::from_utf8(secured.stdout).expect("text");
    let used = variables(&secured);
    assert!(used.contains("WEIR_CLUSTER_TLS_CERT") && used.is_subset(&known));
    assert!(
        secured.contains("secretName: \"certificates\""),
        "{secured}"
    );
    assert!(!text.contains("cluster-tls"), "without a secret: {text}");
}

#[test]
fn the_image_is_built_with_the_toolchain_and_its_health_check_works() {
    let text = crate::read("Dockerfile");
    let toolchain = include_str!("../../../rust-toolchain.toml");
    let (_, channel) = toolchain.split_once("channel = \"").expect("a channel");
    let channel = channel.split('"').next().unwrap_or_default();
    assert!(text.contains(&format!("ARG RUST_VERSION={channel}\n")));

    let (_, check) = text.split_once("HEALTHCHECK ").expect("a check");
    let (_, words) = check.split_once("CMD ").expect("a command");
    let words = words.replace("\\\n", "");
    let words: Vec<String> =
        serde_json::from_str(words.lines().next().unwrap_or_default()).expect("words in JSON");
    let mut weir = Weir::start().expect("weir starts");
    let port = weir.http.port().to_string();
    let well = || {
        let words: Vec<String> = words
            .iter()
            .map(|word| word.replace("8080", &port))
            .collect();
        let output = Command::new(&words[0]).args(&words[1..]).output();
        output.expect("it runs").status.success()
    };
    assert!(well());
    weir.stop().expect("it stops");
    assert!(!well(), "nobody is there");
}

#[test]
fn the_unit_is_one_that_systemd_takes() {
    let unit = crate::read("weir.service");
    assert!(unit.contains("\nExecStart=/usr/local/bin/weir serve -c /etc/weir/weir.toml\n"));
    if !runs("systemd-analyze", "--version") {
        eprintln!("systemd-analyze is not there: the unit was not verified");
        return;
    }
    let binary = find_binary().expect("the binary").display().to_string();
    let dir = tempfile::tempdir().expect("a folder");
    let copy = dir.path().join("weir.service");
    std::fs::write(&copy, unit.replace("/usr/local/bin/weir", &binary)).expect("written");
    let output = Command::new("systemd-analyze")
        .arg("verify")
        .arg(&copy)
        .output();
    let output = output.expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    // Of what is unknown it only warns.
    assert!(
        output.status.success() && !said.contains("weir.service"),
        "{said}"
    );
}
