//! What is said without a broker, at the wrong port, and on `--help`.

use crate::rig::{Cli, alone};

#[test]
fn without_a_broker_errors_say_how_to_reach_one() {
    for (arguments, flag) in [
        (
            ["topic", "list", "--bootstrap", "localhost:1"],
            "--bootstrap",
        ),
        (
            ["schema", "list", "--registry", "http://localhost:1"],
            "--registry",
        ),
        (["table", "list", "--http", "http://localhost:1"], "--http"),
    ] {
        let ended = alone(&arguments);
        assert!(!ended.ok);
        for text in ["localhost:1", "weir dev", flag] {
            assert!(
                ended.stderr.contains(text),
                "{arguments:?}: {}",
                ended.stderr
            );
        }
    }
    let ended = alone(&["topic", "list", "--bootstrap", "localhost"]);
    assert!(
        ended.stderr.contains("is not HOST:PORT"),
        "{}",
        ended.stderr
    );
}

#[test]
fn the_wrong_port_is_said_to_be_wrong() {
    let weir = Cli::start();
    let http = weir.node().http.to_string();
    weir.bad(
        &["topic", "list", "--bootstrap", &http],
        "",
        &["is that the Kafka port?"],
    );
    let kafka = format!("http://{}", weir.node().kafka);
    weir.bad(
        &["schema", "list", "--registry", &kafka],
        "",
        &["--registry"],
    );
}

#[test]
fn every_verb_has_examples_in_its_help() {
    let nouns = [
        (
            "topic",
            "list create describe delete alter consume produce rejects",
        ),
        ("group", "list describe delete"),
        ("schema", "list show register check delete"),
        ("table", "list create describe get scan put delete"),
    ];
    for (noun, verbs) in nouns {
        for verb in verbs.split(' ') {
            let help = alone(&[noun, verb, "--help"]);
            assert!(
                help.ok && help.stdout.contains("Examples:"),
                "{noun} {verb}: {}",
                help.stdout
            );
            assert!(
                help.stdout.contains(&format!("weir {noun} {verb}")),
                "{noun} {verb}"
            );
        }
    }
    for verb in ["dev", "serve", "metrics"] {
        let help = alone(&[verb, "--help"]);
        assert!(help.stdout.contains("Examples:"), "{verb}: {}", help.stdout);
    }
}
