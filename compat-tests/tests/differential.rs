//! Every answer is Kafka's, or differs for a listed reason: `differential/README.md`.

use std::collections::BTreeSet;

use compat_tests::differential::cases;
use compat_tests::differential::report::Report;
use compat_tests::differential::run::{Judge, Options, Subject, run};
use compat_tests::differential::wire::{ANSWER_LIMIT, Connection, Reply, decode};
use compat_tests::weir::{self, Weir};
use kafka_protocol::messages::{ApiKey, ApiVersionsRequest};
use kafka_protocol::protocol::StrBytes;

#[test]
fn answers_of_one_node_and_of_one_of_three_are_kafkas() {
    let alone = compared(1, Judge::Live);
    let of_three = compared(3, Judge::Asked(alone.answers.clone()));
    for report in [alone, of_three] {
        assert!(
            report.cases >= 4_000,
            "{} cases are fewer than there were",
            report.cases
        );
        assert!(
            report.passed(true),
            "the output above names what differs, and which listed difference does not any more"
        );
    }
}

/// What so many nodes answer, beside what is right.
fn compared(nodes: usize, judge: Judge) -> Report {
    let binary = weir::find_binary().expect("a weir binary");
    let report = run(&Options {
        subject: Subject::Binary(binary, nodes),
        judge,
        ..Options::default()
    })
    .expect("the cases are played");
    report.print(true);
    report
}

#[test]
fn every_advertised_version_has_cases() {
    let cases: BTreeSet<(&str, i16)> = cases::all()
        .iter()
        .map(|case| (case.api, case.version))
        .collect();
    let missing: Vec<_> = advertised()
        .into_iter()
        // Named for clients that look for them and never use them (KAFKA-18659).
        .filter(|(api, version)| !(api == "Produce" && *version < 3))
        .filter(|(api, version)| !cases.contains(&(api.as_str(), *version)))
        .collect();
    assert!(missing.is_empty(), "no case plays {missing:?}");
}

/// Each API by its name, and each version of it.
fn advertised() -> Vec<(String, i16)> {
    let weir = Weir::start().expect("weir starts");
    let mut connection = Connection::open(weir.kafka).expect("a connection");
    let request = ApiVersionsRequest::default()
        .with_client_software_name(StrBytes::from_static_str("judge"))
        .with_client_software_version(StrBytes::from_static_str("1"));
    let correlation = connection.send(3, &request).expect("sent");
    let Reply::Frame(frame) = connection.receive(ANSWER_LIMIT).expect("an answer") else {
        panic!("ApiVersions is not answered");
    };
    let answer = decode::<ApiVersionsRequest>(3, correlation, frame).expect("decodes");
    let versions = answer.body.api_keys.into_iter().flat_map(|api| {
        let name = ApiKey::try_from(api.api_key).expect("a known API");
        (api.min_version..=api.max_version).map(move |version| (format!("{name:?}"), version))
    });
    let versions: Vec<_> = versions.collect();
    assert!(versions.len() > 100, "{} versions are few", versions.len());
    versions
}
