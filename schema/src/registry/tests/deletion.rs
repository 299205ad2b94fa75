//! S3 and S6: soft and permanent deletion, what stays taken, what cannot go.

use super::*;

#[test]
fn versions_go_softly_first_and_their_numbers_are_not_given_again() {
    let mut fixture = Fixture::default();
    fixture.put("a", &record(&["x"]));
    fixture.put("a", &record(&["x", "y"]));
    let early = fixture.delete_version("a", 2, true);
    assert!(matches!(
        early,
        Err(RegistryError::VersionNotSoftDeleted { version: 2, .. })
    ));
    assert_eq!(
        fixture.delete_version("a", 2, false),
        Ok(Answer::Version(2))
    );
    let twice = fixture.delete_version("a", 2, false);
    assert!(matches!(
        twice,
        Err(RegistryError::VersionSoftDeleted { version: 2, .. })
    ));
    assert_eq!(fixture.versions("a", Listing::Live), [1]);
    assert_eq!(fixture.versions("a", Listing::DeletedOnly), [2]);
    assert!(
        fixture
            .registry
            .subject_has_id(&Subject::parse("a"), 2, true)
    );
    assert_eq!(fixture.delete_version("a", 2, true), Ok(Answer::Version(2)));
    assert!(
        !fixture
            .registry
            .subject_has_id(&Subject::parse("a"), 2, true)
    );
    assert_eq!(fixture.registry.schema_by_id(2, None), None);
    assert_eq!(fixture.put("a", &record(&["x", "z"])), (3, 3));
}

#[test]
fn an_id_keeps_its_meaning_after_permanent_deletion() {
    let mut fixture = Fixture::default();
    assert_eq!(fixture.put("a", "\"int\""), (1, 1));
    fixture.delete("a", false).expect("soft");
    fixture.delete("a", true).expect("permanent");
    assert_eq!(fixture.put("a", "\"string\""), (2, 2));
    fixture.set_mode("b", "IMPORT").expect("mode");
    let import = RegisterRequest {
        id: Some(1),
        version: Some(1),
        ..request("\"long\"")
    };
    let refused = fixture.register_request("b", import);
    assert!(matches!(refused, Err(RegistryError::IdTaken { id: 1, .. })));
    assert_eq!(
        fixture.put("c", "\"int\""),
        (1, 1),
        "the same schema gets its id back"
    );
}

#[test]
fn a_subject_goes_softly_first() {
    let mut fixture = Fixture::default();
    let subject = Subject::parse("a");
    let unknown = fixture.delete("a", false);
    assert_eq!(
        unknown,
        Err(RegistryError::SubjectNotFound(subject.clone()))
    );
    fixture.put("a", &record(&["x"]));
    fixture.put("a", &record(&["x", "y"]));
    let early = fixture.delete("a", true);
    assert_eq!(
        early,
        Err(RegistryError::SubjectNotSoftDeleted(subject.clone()))
    );
    assert_eq!(fixture.delete("a", false), Ok(Answer::Versions(vec![1, 2])));
    let twice = fixture.delete("a", false);
    assert_eq!(
        twice,
        Err(RegistryError::SubjectSoftDeleted(subject.clone()))
    );
    let listed = |listing| fixture.registry.subjects("", listing).count();
    assert_eq!(
        (listed(Listing::Live), listed(Listing::DeletedOnly)),
        (0, 1)
    );
    assert_eq!(fixture.delete("a", true), Ok(Answer::Versions(vec![1, 2])));
    assert_eq!(
        fixture.registry.subjects("", Listing::WithDeleted).count(),
        0
    );
}

#[test]
fn registering_again_brings_a_soft_deleted_schema_back_as_a_new_version() {
    let mut fixture = Fixture::default();
    fixture.put("a", "\"int\"");
    fixture.delete("a", false).expect("soft");
    assert_eq!(fixture.put("a", "\"int\""), (1, 2));
    assert_eq!(fixture.versions("a", Listing::WithDeleted), [2]);
}

#[test]
fn a_referenced_version_cannot_be_deleted() {
    let mut fixture = Fixture::default();
    fixture.put("inner", r#"{"type":"record","name":"Inner","fields":[]}"#);
    let mut outer = request(r#"{"type":"array","items":"Inner"}"#);
    outer.references = vec![Reference {
        name: "Inner".into(),
        subject: "inner".into(),
        version: 1,
    }];
    let id = fixture
        .register_request("outer", outer)
        .expect("registers")
        .id;
    let inner = Subject::parse("inner");
    assert_eq!(fixture.registry.referenced_by(&inner, 1, false), [id]);
    let expected = || {
        Err(RegistryError::ReferenceExists {
            subject: Subject::parse("inner"),
            version: 1,
        })
    };
    assert_eq!(fixture.delete("inner", false), expected());
    assert_eq!(fixture.delete_version("inner", 1, false), expected());
    fixture.delete("outer", false).expect("soft");
    fixture
        .delete("inner", false)
        .expect("only a deleted schema references it");
    assert_eq!(
        fixture.delete("inner", true),
        expected(),
        "which could come back"
    );
    fixture.delete("outer", true).expect("permanent");
    fixture
        .delete("inner", true)
        .expect("nothing references it");
}

#[test]
fn a_context_goes_when_it_is_empty() {
    let mut fixture = Fixture::default();
    fixture.put(":.lab:a", "\"int\"");
    assert_eq!(fixture.registry.contexts(), [".", ".lab"]);
    let delete = || Command::DeleteContext {
        context: ".lab".to_owned(),
    };
    assert_eq!(
        fixture.run(delete()),
        Err(RegistryError::ContextNotEmpty(".lab".to_owned()))
    );
    fixture.delete(":.lab:a", false).expect("soft");
    fixture.delete(":.lab:a", true).expect("permanent");
    assert_eq!(fixture.run(delete()), Ok(Answer::Done));
    assert_eq!(fixture.registry.contexts(), ["."]);
    assert_eq!(
        fixture.put(":.lab:a", "\"string\""),
        (2, 2),
        "its numbers stay taken"
    );
}
