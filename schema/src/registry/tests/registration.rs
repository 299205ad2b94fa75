//! S1 to S5: ids, versions, look-ups, contexts, references, compatibility in serial order.

use super::*;

#[test]
fn one_schema_has_one_id_in_every_subject_of_a_context() {
    let mut fixture = Fixture::default();
    assert_eq!(fixture.put("a", "\"int\""), (1, 1));
    assert_eq!(fixture.put("a", "\"int\""), (1, 1));
    assert_eq!(fixture.put("b", " {\"type\" : \"int\"} "), (1, 1));
    assert_eq!(fixture.put("c", "\"string\""), (2, 1));
    assert_eq!(
        fixture.put(":.lab:c", "\"long\""),
        (1, 1),
        "a context counts for itself"
    );
    assert_eq!(fixture.log.len(), 5, "four versions and a context");
}

#[test]
fn registering_answers_what_is_stored() {
    let mut fixture = Fixture::default();
    let registered = fixture
        .register("a", " { \"type\": \"string\" }")
        .expect("registered");
    assert_eq!(registered.schema.text, "\"string\"");
    assert_eq!(
        registered.guid.to_string(),
        "095d71cf-1255-6b9d-5e33-0ad575b3df5d"
    );
    let found = fixture
        .registry
        .schema_by_guid(registered.guid)
        .expect("by guid");
    assert_eq!((found.id, found.schema.text.as_str()), (1, "\"string\""));
}

#[test]
fn of_two_racing_incompatible_schemas_the_second_loses() {
    let mut fixture = Fixture::default();
    fixture.put("a", &record(&["x"]));
    let one = r#"{"type":"record","name":"R","fields":[{"name":"x","type":"long","default":0}]}"#;
    let two = r#"{"type":"record","name":"R","fields":[{"name":"x","type":"int","default":0},{"name":"y","type":"int"}]}"#;
    fixture.register("a", one).expect("int promotes to long");
    let refused = fixture.register("a", two);
    let Err(RegistryError::Incompatible { messages, .. }) = refused else {
        panic!("expected a conflict, got {refused:?}");
    };
    assert!(messages[0].contains("TYPE_MISMATCH"), "{messages:?}");
    assert!(
        messages[1].contains("READER_FIELD_MISSING_DEFAULT_VALUE"),
        "{messages:?}"
    );
    assert_eq!(messages[2], "{oldSchemaVersion: 2}");
    assert_eq!(
        messages.last().map(String::as_str),
        Some("{validateFields: 'false', compatibility: 'BACKWARD'}")
    );
    assert_eq!(fixture.versions("a", Listing::Live), [1, 2]);
}

#[test]
fn lookup_finds_the_version_of_exactly_this_schema() {
    let mut fixture = Fixture::default();
    fixture.put("a", &record(&["x"]));
    fixture.put("a", &record(&["x", "y"]));
    let subject = Subject::parse("a");
    let lookup = |schema: &str| {
        fixture
            .registry
            .lookup(&subject, &request(schema), false, false)
    };
    assert_eq!(lookup(&record(&["x"])).map(|found| found.version), Ok(1));
    assert_eq!(
        lookup("\"int\"").map(|found| found.version),
        Err(RegistryError::SchemaNotFound)
    );
    assert!(matches!(
        lookup("nonsense"),
        Err(RegistryError::InvalidSchema(_))
    ));
    let missing = Subject::parse("b");
    assert_eq!(
        fixture
            .registry
            .lookup(&missing, &request("\"int\""), false, false),
        Err(RegistryError::SubjectNotFound(missing))
    );
}

#[test]
fn normalizing_makes_spellings_of_one_schema_equal() {
    let mut fixture = Fixture::default();
    let one = r#"{"type":"record","name":"R","namespace":"n","fields":[{"name":"x","type":{"type":"int","b":1,"a":2},"order":"ascending"}]}"#;
    let two = r#"{"type":"record","name":"n.R","fields":[{"name":"x","type":{"type":"int","a":2,"b":1}}]}"#;
    let mut put = |schema: &str| {
        let (subject, request) = (Subject::parse("a"), Box::new(request(schema)));
        fixture.run(Command::Register {
            subject,
            request,
            normalize: true,
            force: false,
        })
    };
    let Ok(Answer::Registered(first)) = put(one) else {
        panic!("registers")
    };
    let Ok(Answer::Registered(second)) = put(two) else {
        panic!("registers")
    };
    assert_eq!((first.id, first.version), (second.id, second.version));
    assert_eq!(
        first.schema.text,
        r#"{"type":"record","name":"R","namespace":"n","fields":[{"name":"x","type":{"type":"int","a":2,"b":1}}]}"#
    );
}

#[test]
fn a_schema_of_which_nothing_is_left_is_empty() {
    let mut fixture = Fixture::default();
    let command = Command::Register {
        subject: Subject::parse("a"),
        request: Box::new(RegisterRequest {
            schema_type: Some("PROTOBUF".to_owned()),
            ..request("// later")
        }),
        normalize: true,
        force: false,
    };
    assert!(matches!(
        fixture.run(command),
        Err(RegistryError::InvalidSchema(reason)) if reason == "Empty schema"
    ));
}

#[test]
fn references_resolve_within_the_referrers_context() {
    let mut fixture = Fixture::default();
    fixture.put(
        ":.lab:inner",
        r#"{"type":"record","name":"Inner","fields":[]}"#,
    );
    let outer = r#"{"type":"record","name":"Outer","fields":[{"name":"inner","type":"Inner"}]}"#;
    let mut with_reference = request(outer);
    with_reference.references = vec![Reference {
        name: "Inner".into(),
        subject: "inner".into(),
        version: -1,
    }];
    assert!(matches!(
        fixture.register_request("outer", with_reference.clone()),
        Err(RegistryError::InvalidSchema(reason)) if reason.contains("No schema reference found")
    ));
    let registered = fixture
        .register_request(":.lab:outer", with_reference)
        .expect("resolves");
    assert_eq!(
        registered.schema.references[0].version, 1,
        "the latest is pinned"
    );
    assert_eq!(
        registered.schema.text, outer,
        "referenced types are only named"
    );

    // The definitions in place of the reference are the same schema to a look-up.
    let inline = r#"{"type":"record","name":"Outer","fields":[{"name":"inner","type":{"type":"record","name":"Inner","fields":[]}}]}"#;
    let subject = Subject::parse(":.lab:outer");
    let found = fixture
        .registry
        .lookup(&subject, &request(inline), false, false);
    assert_eq!(found.map(|found| found.version), Ok(1));
}

#[test]
fn importing_keeps_the_clients_ids_and_versions() {
    let mut fixture = Fixture::default();
    let import = |schema: &str, id, version| RegisterRequest {
        id: Some(id),
        version: Some(version),
        ..request(schema)
    };
    let refused = fixture.register_request("a", import("\"int\"", 7, 3));
    assert!(
        matches!(refused, Err(RegistryError::NotInImportMode { .. })),
        "{refused:?}"
    );
    fixture.set_mode("a", "IMPORT").expect("nothing there yet");
    let registered = fixture
        .register_request("a", import("\"int\"", 7, 3))
        .expect("imports");
    assert_eq!((registered.id, registered.version), (7, 3));
    let clash = fixture.register_request("a", import("\"string\"", 7, 4));
    assert!(
        matches!(clash, Err(RegistryError::IdTaken { id: 7, .. })),
        "{clash:?}"
    );
    let overwrite = fixture.register_request("a", import("\"string\"", 8, 3));
    assert!(matches!(
        overwrite,
        Err(RegistryError::VersionTaken { version: 3, .. })
    ));
    let repeated = fixture
        .register_request("a", import("\"int\"", 7, 3))
        .expect("idempotent");
    assert_eq!((repeated.id, repeated.version), (7, 3));
    assert_eq!(
        fixture.put("b", "\"string\""),
        (8, 1),
        "ids go on above the imported ones"
    );
}

#[test]
fn metadata_and_rules_come_from_settings_and_the_version_before() {
    let mut fixture = Fixture::default();
    let update: ConfigUpdate = serde_json::from_str(
        r#"{"defaultMetadata":{"properties":{"owner":"ops"}},"overrideMetadata":{"properties":{"tier":"1"}}}"#,
    )
    .expect("an update");
    fixture
        .run(Command::UpdateConfig {
            subject: Subject::parse("a"),
            update: Box::new(update),
        })
        .expect("set");
    let mut first = request(&record(&["x"]));
    first.metadata = serde_json::from_str(r#"{"properties":{"tier":"2","note":"n"}}"#).ok();
    fixture.register_request("a", first).expect("registers");
    let second = fixture
        .register("a", &record(&["x", "y"]))
        .expect("registers");
    let properties = second.schema.metadata.clone().expect("metadata").properties;
    let expected = [("note", "n"), ("owner", "ops"), ("tier", "1")];
    assert!(
        properties
            .iter()
            .map(|(k, v)| (k.as_str(), v.as_str()))
            .eq(expected)
    );
    // A look-up completes the schema in the same way.
    let found = fixture.registry.lookup(
        &Subject::parse("a"),
        &request(&record(&["x"])),
        false,
        false,
    );
    assert_eq!(found.map(|found| found.version), Ok(1));
}

#[test]
fn oversized_and_bottomless_schemas_are_refused() {
    let mut fixture = Fixture::default();
    let huge = format!(
        "{{\"type\":\"int\",\"doc\":\"{}\"}}",
        "x".repeat(limits::SCHEMA_BYTES_MAX)
    );
    assert!(matches!(
        fixture.register("a", &huge),
        Err(RegistryError::SchemaTooLarge(_))
    ));
    let nested = |depth: usize| {
        let open = r#"{"type":"array","items":"#.repeat(depth);
        format!("{open}\"int\"{}", "}".repeat(depth))
    };
    assert!(fixture.register("a", &nested(90)).is_ok());
    for depth in [limits::NESTING_MAX + 2, 20_000] {
        let refused = fixture.register("b", &nested(depth));
        assert!(
            matches!(refused, Err(RegistryError::InvalidSchema(_))),
            "{refused:?}"
        );
    }
}

#[test]
fn a_chain_of_named_types_is_compared_without_a_stack_overflow() {
    let chain = |suffix: &str| {
        let mut types = vec![format!(
            r#"{{"type":"record","name":"R0","fields":[{{"name":"f","type":"{suffix}"}}]}}"#
        )];
        types.extend((1..5_000).map(|n| {
            let inner = n - 1;
            format!(
                r#"{{"type":"record","name":"R{n}","fields":[{{"name":"f","type":"R{inner}"}}]}}"#
            )
        }));
        types.reverse();
        let (first, rest) = types.split_first().expect("types");
        // The last type defined is compared first, by way of a union in reverse order.
        let mut in_order: Vec<&String> = rest.iter().rev().collect();
        in_order.push(first);
        let texts: Vec<&str> = in_order.into_iter().map(String::as_str).collect();
        format!(
            r#"{{"type":"record","name":"Top","fields":[{{"name":"u","type":[{}]}}]}}"#,
            texts.join(",")
        )
    };
    let mut fixture = Fixture::default();
    fixture.put("a", &chain("int"));
    let refused = fixture.register("a", &chain("string"));
    assert!(matches!(refused, Err(RegistryError::Incompatible { .. })));
}
