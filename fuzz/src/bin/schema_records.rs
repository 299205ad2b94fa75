//! Records of `_schemas`, which other tools may have written, and the registry that is folded from them.
//!
//! Input: records, each as a switch (u8) for a value, the key and the value, both behind a u16 length.
#![no_main]

use weir_fuzz::{Bounds, Input, piece};
use weir_schema::registry::{Command, RegisterRequest, Registry, Subject, decide};

weir_fuzz::target!(Bounds::new(1 << 20, 512, 1000), seeds, run);

fn run(bytes: &[u8]) {
    let _ = Registry::decode(bytes);
    let mut input = Input(bytes);
    let mut registry = Registry::new();
    let mut offset = 0;
    while !input.is_empty() {
        let has_value = input.u8() & 1 == 1;
        let (key, value) = (input.piece(), input.piece());
        let before = registry.clone();
        let applied = registry.apply(key, has_value.then_some(value), offset, 1000);
        if applied.is_err() {
            assert_eq!(registry, before, "an unreadable record changes nothing");
        }
        offset += 1;
    }
    registry.validate();
    let stored = registry.encode();
    let restored = Registry::decode(&stored).expect("our own is read");
    restored.validate();
    assert_eq!(restored.encode(), stored, "a state has one form");
    asked(&registry);
}

/// What is asked of any registry, whatever its records say.
fn asked(registry: &Registry) {
    let subject = Subject::parse("s");
    let request = RegisterRequest {
        schema: r#""long""#.to_owned(),
        ..RegisterRequest::default()
    };
    registry.contexts();
    registry.highest_id(None);
    registry.config_in_scope(&registry.resolve_alias(&subject));
    let command = Command::Register {
        subject,
        request: Box::new(request),
        normalize: false,
        force: false,
    };
    if let Ok(decision) = decide(registry, command) {
        let mut next = registry.clone();
        for record in decision.records {
            let value = record.value.as_ref().map(|value| value.as_bytes());
            let applied = next.apply(record.key.as_bytes(), value, 1, 1);
            applied.expect("our own is read");
        }
        next.validate();
    }
}

fn seeds() -> Vec<Vec<u8>> {
    const SCHEMA: &str = r#"{"keytype":"SCHEMA","subject":"s","version":1,"magic":1}"#;
    const VALUE: &str = r#"{"subject":"s","version":1,"id":1,"schema":"\"int\"","deleted":false}"#;
    let all = [
        (SCHEMA, Some(VALUE)),
        (
            r#"{"keytype":"SCHEMA","subject":"s","version":2,"magic":1}"#,
            Some(
                r#"{"subject":"s","version":2,"id":2,"schemaType":"JSON","references":[{"name":"r","subject":"s","version":1}],"metadata":{"properties":{"a":"b"},"tags":{"t":["x"]},"sensitive":["a"]},"ruleSet":{"domainRules":[{"name":"n","kind":"CONDITION","mode":"WRITE","type":"CEL","expr":"true"}]},"schema":"{\"type\":\"object\"}","deleted":false}"#,
            ),
        ),
        (
            r#"{"keytype":"CONFIG","subject":"s","magic":0}"#,
            Some(r#"{"subject":"s","compatibilityLevel":"FULL","alias":"t","normalize":true}"#),
        ),
        (
            r#"{"keytype":"CONFIG","magic":0}"#,
            Some(r#"{"compatibilityLevel":"NONE"}"#),
        ),
        (
            r#"{"keytype":"MODE","subject":"s","magic":0}"#,
            Some(r#"{"subject":"s","mode":"IMPORT"}"#),
        ),
        (
            r#"{"keytype":"DELETE_SUBJECT","subject":"s","magic":0}"#,
            Some(r#"{"subject":"s","version":1}"#),
        ),
        (
            r#"{"keytype":"CLEAR_SUBJECT","subject":"s","magic":0}"#,
            Some(r#"{"subject":"s"}"#),
        ),
        (
            r#"{"keytype":"CONTEXT","tenant":"default","context":".c","magic":0}"#,
            Some(r#"{"tenant":"default","context":".c"}"#),
        ),
        (
            r#"{"keytype":"NOOP","subject":"s","version":3,"magic":0}"#,
            Some(
                r#"{"subject":"s","version":3,"id":3,"schemaType":"AVRO","guid":"00000000-0000-0000-0000-000000000001"}"#,
            ),
        ),
        (SCHEMA, None),
        (
            r#"{"keytype":"SCHEMA","subject":":.c:s","version":1,"magic":1}"#,
            Some(r#"{"subject":":.c:s","version":1,"id":7,"schema":"\"string\""}"#),
        ),
    ];
    let record = |(key, value): &(&str, Option<&str>)| {
        let has_value = u8::from(value.is_some());
        let value = piece(value.unwrap_or_default().as_bytes());
        [&[has_value], &piece(key.as_bytes())[..], &value].concat()
    };
    let mut seeds: Vec<Vec<u8>> = all.iter().map(record).collect();
    seeds.push(seeds.concat());
    seeds.push(seeds[..6].concat());
    seeds
}
