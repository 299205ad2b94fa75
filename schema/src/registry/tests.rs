//! The registry as its clients see it, command by command.

mod deletion;
mod random;
mod registration;
mod settings;

use super::*;

/// A registry that runs commands as the leader does: decide, append, apply.
#[derive(Default)]
pub struct Fixture {
    pub registry: Registry,
    /// All of `_schemas`.
    pub log: Vec<Record>,
}

impl Fixture {
    pub fn run(&mut self, command: Command) -> Result<Answer, RegistryError> {
        let decision = decide(&self.registry, command.clone())?;
        let again = decide(&self.registry, command)?;
        assert_eq!(decision, again, "a decision is deterministic");
        for record in decision.records {
            self.append(record);
        }
        self.registry.validate();
        Ok(decision.answer)
    }

    fn append(&mut self, record: Record) {
        let offset = self.log.len() as i64;
        let value = record.value.as_ref().map(String::as_bytes);
        self.registry
            .apply(record.key.as_bytes(), value, offset, 1_000 + offset)
            .expect("own records are readable");
        self.log.push(record);
    }

    pub fn register(&mut self, subject: &str, schema: &str) -> Result<Registered, RegistryError> {
        self.register_request(subject, request(schema))
    }

    pub fn register_request(
        &mut self,
        subject: &str,
        request: RegisterRequest,
    ) -> Result<Registered, RegistryError> {
        let subject = Subject::parse(subject);
        let answer = self.run(Command::Register {
            subject,
            request: Box::new(request),
            normalize: false,
            force: false,
        })?;
        match answer {
            Answer::Registered(registered) => Ok(registered),
            other => panic!("registering answered {other:?}"),
        }
    }

    /// Registers and gives (id, version).
    pub fn put(&mut self, subject: &str, schema: &str) -> (i32, i32) {
        let registered = self.register(subject, schema).expect("a schema that fits");
        (registered.id, registered.version)
    }

    pub fn delete(&mut self, subject: &str, permanent: bool) -> Result<Answer, RegistryError> {
        self.run(Command::DeleteSubject {
            subject: Subject::parse(subject),
            permanent,
        })
    }

    pub fn delete_version(
        &mut self,
        subject: &str,
        version: i32,
        permanent: bool,
    ) -> Result<Answer, RegistryError> {
        let version = VersionSpec::Number(version);
        self.run(Command::DeleteVersion {
            subject: Subject::parse(subject),
            version,
            permanent,
        })
    }

    pub fn set_level(&mut self, subject: &str, level: &str) {
        let update = ConfigUpdate {
            compatibility_level: Some(Some(level.to_owned())),
            ..ConfigUpdate::default()
        };
        self.run(Command::UpdateConfig {
            subject: Subject::parse(subject),
            update: Box::new(update),
        })
        .expect("a level");
    }

    pub fn set_mode(&mut self, subject: &str, mode: &str) -> Result<Answer, RegistryError> {
        let (subject, mode) = (Subject::parse(subject), Some(mode.to_owned()));
        self.run(Command::SetMode {
            subject,
            mode,
            force: false,
        })
    }

    pub fn versions(&self, subject: &str, listing: Listing) -> Vec<i32> {
        self.registry
            .versions(&Subject::parse(subject), listing)
            .map(|v| v.version)
            .collect()
    }

    /// The state folded again from the whole topic.
    pub fn replayed(&self) -> Registry {
        let mut replay = Fixture::default();
        self.log
            .iter()
            .for_each(|record| replay.append(record.clone()));
        replay.registry
    }
}

pub fn request(schema: &str) -> RegisterRequest {
    RegisterRequest {
        schema: schema.to_owned(),
        ..RegisterRequest::default()
    }
}

/// An Avro record whose fields each have a default, so that versions are compatible.
pub fn record(fields: &[&str]) -> String {
    let fields: Vec<String> = fields
        .iter()
        .map(|name| format!(r#"{{"name":"{name}","type":"int","default":0}}"#))
        .collect();
    format!(
        r#"{{"type":"record","name":"R","fields":[{}]}}"#,
        fields.join(",")
    )
}

/// As other tools may write them.
#[test]
fn a_record_that_gives_an_id_another_meaning_changes_nothing() {
    let mut registry = Registry::new();
    let key = |subject: &str| {
        format!(r#"{{"keytype":"SCHEMA","subject":"{subject}","version":1,"magic":1}}"#)
    };
    let value = |subject: &str, schema: &str| {
        format!(r#"{{"subject":"{subject}","version":1,"id":7,"schema":"\"{schema}\""}}"#)
    };
    let mut apply = |subject: &str, schema: &str| {
        let (key, value) = (key(subject), value(subject, schema));
        let before = registry.clone();
        let applied = registry.apply(key.as_bytes(), Some(value.as_bytes()), 0, 0);
        registry.validate();
        applied.inspect_err(|_| assert_eq!(registry, before))
    };
    apply("s", "int").expect("an id that is new");
    apply("t", "int").expect("the same meaning");
    apply(":.other:s", "long").expect("another context has ids of its own");
    for subject in ["s", "u"] {
        let refused = apply(subject, "long").expect_err("another meaning");
        let subject = Subject::parse(subject);
        assert_eq!(refused, RecordError::IdTaken { subject, id: 7 });
    }
}

#[test]
fn a_snapshot_and_a_replay_give_the_same_state() {
    let mut fixture = Fixture::default();
    fixture.put("a", &record(&["x"]));
    fixture.put("a", &record(&["x", "y"]));
    fixture.put(":.lab:a", &record(&["x"]));
    fixture.set_level("a", "NONE");
    fixture.set_mode("b", "READONLY").expect("a mode");
    fixture.put("c", "\"int\"");
    fixture.delete("c", false).expect("soft");
    fixture.delete("c", true).expect("permanent");
    fixture.delete_version("a", 1, false).expect("soft");

    let bytes = fixture.registry.encode();
    let restored = Registry::decode(&bytes).expect("a snapshot");
    assert_eq!(restored, fixture.registry);
    assert_eq!(restored.encode(), bytes);
    assert_eq!(fixture.replayed(), fixture.registry);
    assert!(Registry::decode(b"{}").is_err());
}

#[test]
fn a_compacted_topic_still_never_gives_an_id_or_version_twice() {
    let mut fixture = Fixture::default();
    let first = fixture.put("a", "\"int\"");
    fixture.delete("a", false).expect("soft");
    fixture.delete("a", true).expect("permanent");

    // Compaction keeps each key's last value, and drops tombstones.
    let mut compacted = Fixture::default();
    for (index, record) in fixture.log.iter().enumerate() {
        let superseded = fixture.log[index + 1..]
            .iter()
            .any(|later| later.key == record.key);
        if !superseded && record.value.is_some() {
            compacted.append(record.clone());
        }
    }
    assert_eq!(first, (1, 1));
    assert_eq!(compacted.put("a", "\"string\""), (2, 2));
}
