use std::collections::HashMap;

use super::*;
use crate::SchemaType;
use crate::codec::compile;
use crate::framing::{Indexes, VALUE_HEADER, header_value};

/// A registry with schema 1 (a record `acme.User`) and 2 (a string), in the default context.
struct Registry {
    codecs: HashMap<i32, Arc<Codec>>,
    subjects: Vec<(&'static str, i32)>,
}

const GUID: Guid = [7; 16];

fn registry(subjects: &[(&'static str, i32)]) -> Registry {
    let user = r#"{"type":"record","name":"acme.User","fields":[{"name":"age","type":"int"}]}"#;
    let codec = |text| compile(SchemaType::Avro, text, &[]).unwrap();
    Registry {
        codecs: HashMap::from([(1, codec(user)), (2, codec("\"string\""))]),
        subjects: subjects.to_vec(),
    }
}

impl Schemas for Registry {
    fn has_id(&self, context: &str, id: i32) -> bool {
        context == DEFAULT_CONTEXT && self.codecs.contains_key(&id)
    }

    fn id_of_guid(&self, _: &str, guid: &Guid) -> Option<i32> {
        (*guid == GUID).then_some(1)
    }

    fn subject_has_id(&self, subject: &str, id: i32) -> bool {
        self.subjects.contains(&(subject, id))
    }

    fn codec(&self, _: &str, id: i32) -> Result<Arc<Codec>, SchemaError> {
        Ok(self.codecs[&id].clone())
    }
}

fn enforcer(settings: &[(&str, &str)]) -> Enforcer {
    let get = |name: &str| settings.iter().find(|(n, _)| *n == name).map(|(_, v)| *v);
    Enforcer::new("users", Settings::read(get).unwrap())
}

type Headers<'a> = Vec<(&'a str, Option<&'a [u8]>)>;
type Record<'a> = (Option<&'a [u8]>, Option<&'a [u8]>, Headers<'a>);

fn refusals(enforcer: &Enforcer, registry: &Registry, records: &[Record]) -> Vec<RecordRefusal> {
    enforcer.check(
        registry,
        records.iter().map(|(k, v, h)| (*k, *v, h.iter().copied())),
    )
}

/// The refusal of one value without key or headers.
fn value(enforcer: &Enforcer, registry: &Registry, value: &[u8]) -> Option<Refusal> {
    let found = refusals(enforcer, registry, &[(None, Some(value), vec![])]);
    found.into_iter().next().map(|r| r.refusal)
}

const FULL: &[(&str, &str)] = &[("schema.validation.value", "full")];

#[test]
fn without_settings_everything_passes() {
    let none = enforcer(&[]);
    assert!(none.is_idle());
    assert_eq!(value(&none, &registry(&[]), b"anything"), None);
}

#[test]
fn full_takes_a_payload_of_its_subjects_schema() {
    let (full, registry) = (enforcer(FULL), registry(&[("users-value", 1)]));
    assert_eq!(value(&full, &registry, &[0, 0, 0, 0, 1, 2]), None);
    let refusal = value(&full, &registry, &[0, 0, 0, 0, 1, 2, 3]).unwrap();
    assert_eq!(refusal.code, ReasonCode::DoesNotFit);
    let refusal = value(&full, &registry, &[0, 0, 0, 0, 1]).unwrap();
    assert_eq!(refusal.field, "age");
    assert_eq!(
        refusal.to_string(),
        "value field age: the payload ends inside a number (subject users-value, schema id 1); \
         send a value of the schema, or register a schema that the value fits"
    );
}

#[test]
fn id_does_not_look_at_the_payload() {
    let id = enforcer(&[("confluent.value.schema.validation", "true")]);
    assert_eq!(
        value(
            &id,
            &registry(&[("users-value", 1)]),
            &[0, 0, 0, 0, 1, 2, 3]
        ),
        None
    );
}

#[test]
fn each_reason_has_its_code() {
    let (full, registry) = (
        enforcer(FULL),
        registry(&[("users-value", 1), ("other-value", 2)]),
    );
    let code = |bytes: &[u8]| value(&full, &registry, bytes).unwrap().code;
    assert_eq!(code(b"{}"), ReasonCode::Malformed);
    assert_eq!(code(b""), ReasonCode::Malformed);
    assert_eq!(code(&[0, 0, 0, 0, 9, 2]), ReasonCode::UnknownId);
    assert_eq!(code(&[0, 0, 0, 0, 2, 0]), ReasonCode::NotInSubject);
    let unknown = value(&full, &registry, &[0, 0, 0, 0, 9, 2]).unwrap();
    assert_eq!(
        unknown.fix,
        "register the schema here under users-value, and use the id that this gives"
    );
}

#[test]
fn nulls_pass_and_a_table_needs_a_key() {
    let strict = enforcer(&[
        ("schema.validation.value", "full"),
        ("schema.validation.key", "full"),
    ]);
    let registry = registry(&[]);
    let records = [(None, None, vec![])];
    assert_eq!(refusals(&strict, &registry, &records), []);
    let table = enforcer(&[]).refusing_null_keys();
    assert!(!table.is_idle());
    assert_eq!(
        refusals(&table, &registry, &records)[0].refusal.code,
        ReasonCode::NullKey
    );
}

#[test]
fn the_last_header_counts_and_a_malformed_one_does_not_fall_back() {
    let (full, registry) = (enforcer(FULL), registry(&[("users-value", 1)]));
    let good = header_value(&GUID, Indexes::FIRST, false);
    let unknown = header_value(&[8; 16], Indexes::FIRST, false);
    let code = |bytes: &[u8], headers: Headers| {
        let found = refusals(&full, &registry, &[(None, Some(bytes), headers)]);
        found.first().map(|r| r.refusal.code)
    };
    let (good, unknown) = (
        (VALUE_HEADER, Some(&good[..])),
        (VALUE_HEADER, Some(&unknown[..])),
    );
    assert_eq!(code(&[2], vec![unknown, good, ("x", None)]), None);
    assert_eq!(code(&[2], vec![good, unknown]), Some(ReasonCode::UnknownId));
    assert_eq!(
        code(&[0, 0, 0, 0, 1, 2], vec![(VALUE_HEADER, None)]),
        Some(ReasonCode::Malformed)
    );
    assert_eq!(
        code(&[0, 0, 0, 0, 1, 2], vec![(framing::KEY_HEADER, None)]),
        None
    );
}

#[test]
fn record_name_strategies_ask_for_the_records_subject() {
    let java = "io.confluent.kafka.serializers.subject.TopicRecordNameStrategy";
    let by_record = enforcer(&[
        ("schema.validation.value", "id"),
        ("schema.value.subject.name.strategy", "record-name"),
    ]);
    let by_both = enforcer(&[
        ("schema.validation.value", "full"),
        ("confluent.value.subject.name.strategy", java),
    ]);
    let record = [0, 0, 0, 0, 1, 2];
    assert_eq!(
        value(&by_record, &registry(&[("acme.User", 1)]), &record),
        None
    );
    assert_eq!(
        value(&by_both, &registry(&[("users-acme.User", 1)]), &record),
        None
    );
    let refusal = value(&by_both, &registry(&[("users-value", 1)]), &record).unwrap();
    assert_eq!(refusal.subject.as_deref(), Some("users-acme.User"));
}

#[test]
fn another_context_has_other_subjects() {
    let staging = enforcer(FULL).in_context(".staging");
    let refusal = value(
        &staging,
        &registry(&[("users-value", 1)]),
        &[0, 0, 0, 0, 1, 2],
    )
    .unwrap();
    assert_eq!(refusal.code, ReasonCode::UnknownId);
    assert_eq!(refusal.subject.as_deref(), Some(":.staging:users-value"));
}

#[test]
fn every_bad_record_is_named_up_to_a_limit() {
    let (full, registry) = (enforcer(FULL), registry(&[("users-value", 1)]));
    let (good, bad) = (
        (None, Some(&[0, 0, 0, 0, 1, 2][..]), vec![]),
        (None, Some(&b"x"[..]), vec![]),
    );
    let found = refusals(
        &full,
        &registry,
        &[good.clone(), bad.clone(), good, bad.clone()],
    );
    assert_eq!(found.iter().map(|r| r.index).collect::<Vec<_>>(), [1, 3]);
    assert_eq!(
        refusals(&full, &registry, &vec![bad; 500]).len(),
        MAX_REFUSALS
    );
}
