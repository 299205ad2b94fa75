//! Modes and configs by level: subject, context, global context.

use super::*;

#[test]
fn settings_come_from_the_nearest_level() {
    let mut fixture = Fixture::default();
    let level = |fixture: &Fixture, subject: &str| {
        fixture
            .registry
            .config_in_scope(&Subject::parse(subject))
            .level()
    };
    assert_eq!(level(&fixture, "a"), CompatibilityLevel::Backward);
    fixture.set_level(":.__GLOBAL:", "NONE");
    assert_eq!(level(&fixture, "a"), CompatibilityLevel::None);
    assert_eq!(level(&fixture, ":.lab:a"), CompatibilityLevel::None);
    fixture.set_level("", "FORWARD");
    assert_eq!(level(&fixture, "a"), CompatibilityLevel::Forward);
    assert_eq!(level(&fixture, ":.lab:a"), CompatibilityLevel::None);
    fixture.set_level(":.lab:", "FULL");
    fixture.set_level("a", "BACKWARD_TRANSITIVE");
    assert_eq!(level(&fixture, ":.lab:a"), CompatibilityLevel::Full);
    assert_eq!(level(&fixture, "a"), CompatibilityLevel::BackwardTransitive);
    assert_eq!(fixture.registry.config(&Subject::parse("b")), None);
    fixture
        .run(Command::DeleteConfig {
            subject: Subject::parse("a"),
        })
        .expect("deleted");
    assert_eq!(level(&fixture, "a"), CompatibilityLevel::Forward);
}

#[test]
fn an_update_changes_only_what_it_names() {
    let mut fixture = Fixture::default();
    fixture.set_level("a", "FULL");
    let update = ConfigUpdate {
        normalize: Some(Some(true)),
        ..ConfigUpdate::default()
    };
    let answer = fixture.run(Command::UpdateConfig {
        subject: Subject::parse("a"),
        update: Box::new(update),
    });
    let Ok(Answer::Config(config)) = answer else {
        panic!("{answer:?}")
    };
    assert_eq!(config.compatibility_level, Some(CompatibilityLevel::Full));
    assert_eq!(config.normalize, Some(true));
    let update = ConfigUpdate {
        compatibility_level: Some(Some("SIDEWAYS".to_owned())),
        ..ConfigUpdate::default()
    };
    let refused = fixture.run(Command::UpdateConfig {
        subject: Subject::parse("a"),
        update: Box::new(update),
    });
    assert_eq!(
        refused,
        Err(RegistryError::InvalidCompatibility("SIDEWAYS".to_owned()))
    );
}

#[test]
fn a_read_only_subject_takes_no_writes_but_answers_what_it_holds() {
    let mut fixture = Fixture::default();
    fixture.put("a", "\"int\"");
    fixture
        .set_mode("a", "readonly")
        .expect("a mode in any case");
    assert!(matches!(
        fixture.register("a", "\"long\""),
        Err(RegistryError::ReadOnly { .. })
    ));
    assert!(matches!(
        fixture.delete("a", false),
        Err(RegistryError::ReadOnly { .. })
    ));
    assert_eq!(fixture.put("a", "\"int\""), (1, 1));
    fixture.put("b", "\"long\"");
    fixture.set_mode("", "READONLY_OVERRIDE").expect("mode");
    fixture.set_mode("b", "READWRITE").expect("mode");
    assert!(matches!(
        fixture.delete("b", false),
        Err(RegistryError::ReadOnly { .. })
    ));
}

#[test]
fn import_mode_needs_empty_ground_or_force() {
    let mut fixture = Fixture::default();
    fixture.put("a", "\"int\"");
    assert_eq!(
        fixture.set_mode("", "IMPORT"),
        Err(RegistryError::SubjectsExist)
    );
    assert_eq!(
        fixture.set_mode("a", "IMPORT"),
        Err(RegistryError::SubjectsExist)
    );
    fixture.delete("a", false).expect("soft");
    fixture
        .set_mode("a", "IMPORT")
        .expect("only a soft-deleted version is there");
    assert_eq!(fixture.versions("a", Listing::WithDeleted), [0i32; 0]);
    let (subject, mode) = (Subject::parse("b"), Some("IMPORT".to_owned()));
    fixture.put("b", "\"int\"");
    fixture
        .run(Command::SetMode {
            subject,
            mode,
            force: true,
        })
        .expect("forced");
    let refused = fixture.register("b", "\"long\"");
    assert!(
        matches!(refused, Err(RegistryError::NotInReadWriteMode { .. })),
        "{refused:?}"
    );
}

#[test]
fn a_mode_can_be_removed_below_a_context() {
    let mut fixture = Fixture::default();
    let subject = Subject::parse("a");
    let delete = |recursive| Command::DeleteMode {
        subject: Subject::parse("a"),
        recursive,
    };
    assert_eq!(
        fixture.run(delete(false)),
        Err(RegistryError::SubjectNotFound(subject.clone()))
    );
    fixture.set_mode("a", "READONLY").expect("mode");
    assert_eq!(
        fixture.run(delete(false)),
        Ok(Answer::Mode(Some(Mode::ReadOnly)))
    );
    fixture.set_mode("a", "READONLY").expect("mode");
    let everything = Command::DeleteMode {
        subject: Subject::parse(""),
        recursive: true,
    };
    fixture.run(everything).expect("deleted");
    assert_eq!(fixture.registry.mode(&subject), None);
}

#[test]
fn an_alias_stands_for_another_subject() {
    let mut fixture = Fixture::default();
    let update = ConfigUpdate {
        alias: Some(Some("orders".to_owned())),
        ..ConfigUpdate::default()
    };
    fixture
        .run(Command::UpdateConfig {
            subject: Subject::parse("o"),
            update: Box::new(update),
        })
        .expect("set");
    assert_eq!(
        fixture.registry.resolve_alias(&Subject::parse("o")),
        Subject::parse("orders")
    );
    assert_eq!(
        fixture.registry.resolve_alias(&Subject::parse("x")),
        Subject::parse("x")
    );
}
