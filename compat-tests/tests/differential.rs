//! Weir answers every recorded or live case as Kafka does, up to the listed deliberate differences.

use compat_tests::differential::kafka;
use compat_tests::differential::run::{Judge, Options, Subject, run};
use compat_tests::weir;

/// Compares with a live Kafka where one can be started, else with the record of its answers.
#[test]
fn weir_answers_as_kafka_does() {
    let judge = if kafka::available() {
        Judge::Live
    } else {
        Judge::Recorded
    };
    println!("judged by {judge:?}");
    let binary = weir::find_binary().expect("a weir binary");
    let options = Options {
        subject: Subject::Binary(binary),
        judge,
        ..Options::default()
    };
    let report = run(&options).expect("both brokers answer");
    report.print(true);
    assert!(report.cases >= 300, "only {} cases", report.cases);
    assert!(
        report.passed(true),
        "{} cases differ",
        report.unexplained.len()
    );
}
