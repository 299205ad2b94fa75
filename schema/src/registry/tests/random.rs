//! Random commands, checked against the invariants after each.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

const SUBJECTS: [&str; 4] = ["a", "b", ":.lab:a", ":.lab:b"];
const SCHEMAS: [&str; 5] = [
    "\"int\"",
    "\"long\"",
    "\"string\"",
    r#"{"type":"record","name":"R","fields":[]}"#,
    r#"{"type":"record","name":"R","fields":[{"name":"x","type":"int","default":0}]}"#,
];

fn subject() -> impl Strategy<Value = Subject> {
    (0..SUBJECTS.len()).prop_map(|index| Subject::parse(SUBJECTS[index]))
}

fn command() -> impl Strategy<Value = Command> {
    let register = (
        subject(),
        0..SCHEMAS.len(),
        any::<bool>(),
        proptest::option::of((0..6, 1..6)),
    );
    prop_oneof![
        6 => register.prop_map(|(subject, schema, force, import)| {
            let mut request = request(SCHEMAS[schema]);
            (request.id, request.version) = (import.map(|i| i.0), import.map(|i| i.1));
            Command::Register { subject, request: Box::new(request), normalize: false, force }
        }),
        3 => (subject(), 1..4, any::<bool>()).prop_map(|(subject, version, permanent)| {
            let version = VersionSpec::Number(version);
            Command::DeleteVersion { subject, version, permanent }
        }),
        2 => (subject(), any::<bool>())
            .prop_map(|(subject, permanent)| Command::DeleteSubject { subject, permanent }),
        1 => (subject(), any::<bool>(), prop::sample::select(vec!["IMPORT", "READWRITE"]))
            .prop_map(|(subject, force, mode)| {
                Command::SetMode { subject, mode: Some(mode.to_owned()), force }
            }),
        1 => Just(Command::DeleteContext { context: ".lab".to_owned() }),
    ]
}

/// What was ever answered, to hold later answers against.
#[derive(Default)]
struct History {
    text_of: BTreeMap<(String, i32), String>,
    versions: BTreeSet<(Subject, i32)>,
}

impl History {
    fn note(&mut self, before: &Registry, answer: &Answer, chose_version: bool) {
        let Answer::Registered(registered) = answer else {
            return;
        };
        let id = (registered.subject.context().to_owned(), registered.id);
        let text = self
            .text_of
            .entry(id)
            .or_insert_with(|| registered.schema.text.clone());
        assert_eq!(
            *text, registered.schema.text,
            "S1: an id stands for one schema for ever"
        );
        let version = (registered.subject.clone(), registered.version);
        let was_there = before
            .versions(&registered.subject, Listing::WithDeleted)
            .any(|known| known.version == registered.version);
        let is_new = self.versions.insert(version);
        assert!(
            is_new || was_there || chose_version,
            "S3: a version is given once"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn invariants_hold_after_any_commands(commands in prop::collection::vec(command(), 1..40)) {
        let mut fixture = Fixture::default();
        let mut history = History::default();
        for command in commands {
            let chose_version = matches!(
                &command,
                Command::Register { request, .. } if request.version.is_some()
            );
            let before = fixture.registry.clone();
            if let Ok(answer) = fixture.run(command) {
                history.note(&before, &answer, chose_version);
            }
        }
        prop_assert_eq!(&fixture.replayed(), &fixture.registry);
        let restored = Registry::decode(&fixture.registry.encode());
        prop_assert_eq!(restored.as_ref(), Ok(&fixture.registry));
    }
}
