//! Every answer is Kafka's, or differs for a listed reason: `differential/README.md`.

use compat_tests::differential::run::{Options, Subject, run};
use compat_tests::weir;

#[test]
fn answers_are_kafkas() {
    let binary = weir::find_binary().expect("a weir binary");
    let report = run(&Options {
        subject: Subject::Binary(binary),
        ..Options::default()
    })
    .expect("the cases are played against Kafka and Weir");
    report.print(true);
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
