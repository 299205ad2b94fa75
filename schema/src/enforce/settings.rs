//! The topic settings that ask for enforcement, under our names and Confluent's.
//!
//! | ours | values | Confluent's | values |
//! |---|---|---|---|
//! | `schema.validation.{key,value}` | none (default), id, full | `confluent.{key,value}.schema.validation` | true = id, false = none |
//! | `schema.{key,value}.subject.name.strategy` | topic-name (default), record-name, topic-record-name | `confluent.{key,value}.subject.name.strategy` | a Java class |

use std::fmt;
use std::str::FromStr;

use crate::framing::Part;

/// How much of a part is checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Mode {
    #[default]
    None,
    /// The part names a schema that is registered under the expected subject.
    Id,
    /// That, and the payload is a value of the schema.
    Full,
}

/// Which subject a part's schema must be registered under.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SubjectNameStrategy {
    /// `topic-key`, `topic-value`.
    #[default]
    TopicName,
    /// The record's full name.
    RecordName,
    /// `topic-` and the record's full name.
    TopicRecordName,
}

const JAVA_PACKAGE: &str = "io.confluent.kafka.serializers.subject.";

impl Mode {
    pub fn as_str(self) -> &'static str {
        match self {
            Mode::None => "none",
            Mode::Id => "id",
            Mode::Full => "full",
        }
    }
}

impl SubjectNameStrategy {
    pub fn as_str(self) -> &'static str {
        match self {
            SubjectNameStrategy::TopicName => "topic-name",
            SubjectNameStrategy::RecordName => "record-name",
            SubjectNameStrategy::TopicRecordName => "topic-record-name",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for SubjectNameStrategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Mode {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        [Mode::None, Mode::Id, Mode::Full]
            .into_iter()
            .find(|m| m.as_str() == text)
            .ok_or(())
    }
}

impl FromStr for SubjectNameStrategy {
    type Err = ();

    /// Reads our names and Confluent's Java classes.
    fn from_str(text: &str) -> Result<Self, ()> {
        use SubjectNameStrategy::{RecordName, TopicName, TopicRecordName};
        let class = text
            .strip_prefix(JAVA_PACKAGE)
            .and_then(|c| c.strip_suffix("Strategy"));
        match class.unwrap_or(text) {
            "topic-name" | "TopicName" => Ok(TopicName),
            "record-name" | "RecordName" => Ok(RecordName),
            "topic-record-name" | "TopicRecordName" => Ok(TopicRecordName),
            _ => Err(()),
        }
    }
}

/// What is asked for one part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct PartSettings {
    pub mode: Mode,
    pub strategy: SubjectNameStrategy,
}

/// What a topic asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Settings {
    pub key: PartSettings,
    pub value: PartSettings,
}

/// A setting that cannot be taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingError {
    #[error("{name}={value:?} is not valid: use {expected}")]
    Invalid {
        name: String,
        value: String,
        expected: &'static str,
    },
    #[error(
        "{name}={value} and {other}={other_value} disagree: remove one of them, or set {other}={agreeing}"
    )]
    Conflict {
        name: String,
        value: String,
        other: String,
        other_value: String,
        agreeing: String,
    },
}

/// The name of our setting and of Confluent's for a part's mode.
pub fn mode_names(part: Part) -> [&'static str; 2] {
    match part {
        Part::Key => ["schema.validation.key", "confluent.key.schema.validation"],
        Part::Value => [
            "schema.validation.value",
            "confluent.value.schema.validation",
        ],
    }
}

/// The name of our setting and of Confluent's for a part's subject name strategy.
pub fn strategy_names(part: Part) -> [&'static str; 2] {
    match part {
        Part::Key => [
            "schema.key.subject.name.strategy",
            "confluent.key.subject.name.strategy",
        ],
        Part::Value => [
            "schema.value.subject.name.strategy",
            "confluent.value.subject.name.strategy",
        ],
    }
}

impl Settings {
    /// Reads a topic's settings; `get` gives a setting's value where it is set on the topic.
    pub fn read<'a>(get: impl Fn(&str) -> Option<&'a str>) -> Result<Settings, SettingError> {
        Ok(Settings {
            key: read_part(Part::Key, &get)?,
            value: read_part(Part::Value, &get)?,
        })
    }

    pub fn part(&self, part: Part) -> PartSettings {
        match part {
            Part::Key => self.key,
            Part::Value => self.value,
        }
    }
}

fn read_part<'a>(
    part: Part,
    get: &impl Fn(&str) -> Option<&'a str>,
) -> Result<PartSettings, SettingError> {
    Ok(PartSettings {
        mode: read_mode(part, get)?,
        strategy: read_strategy(part, get)?,
    })
}

fn read_mode<'a>(part: Part, get: &impl Fn(&str) -> Option<&'a str>) -> Result<Mode, SettingError> {
    let [ours, confluents] = mode_names(part);
    let mode = get(ours)
        .map(|text| {
            text.parse::<Mode>()
                .map_err(|()| invalid(ours, text, "none, id or full"))
        })
        .transpose()?;
    let flag = get(confluents)
        .map(|text| match text.to_ascii_lowercase().as_str() {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(invalid(confluents, text, "true or false")),
        })
        .transpose()?;
    match (mode, flag) {
        (Some(mode), Some(flag)) if (mode != Mode::None) != flag => Err(SettingError::Conflict {
            name: ours.into(),
            value: mode.to_string(),
            other: confluents.into(),
            other_value: flag.to_string(),
            agreeing: (!flag).to_string(),
        }),
        (Some(mode), _) => Ok(mode),
        (None, Some(true)) => Ok(Mode::Id),
        (None, Some(false) | None) => Ok(Mode::None),
    }
}

fn read_strategy<'a>(
    part: Part,
    get: &impl Fn(&str) -> Option<&'a str>,
) -> Result<SubjectNameStrategy, SettingError> {
    const OURS: &str = "topic-name, record-name or topic-record-name";
    const CONFLUENTS: &str = "io.confluent.kafka.serializers.subject.TopicNameStrategy, \
                              …RecordNameStrategy or …TopicRecordNameStrategy";
    let [ours, confluents] = strategy_names(part);
    let read = |name: &str, expected| {
        let parse = |text: &'a str| text.parse().map_err(|()| invalid(name, text, expected));
        get(name).map(parse).transpose()
    };
    let strategy: Option<SubjectNameStrategy> = read(ours, OURS)?;
    match (strategy, read(confluents, CONFLUENTS)?) {
        (Some(a), Some(b)) if a != b => Err(SettingError::Conflict {
            name: ours.into(),
            value: a.to_string(),
            other: confluents.into(),
            other_value: get(confluents).unwrap_or_default().into(),
            agreeing: java_class(a),
        }),
        (a, b) => Ok(a.or(b).unwrap_or_default()),
    }
}

/// The class that Confluent's setting names the strategy by.
pub fn java_class(strategy: SubjectNameStrategy) -> String {
    let name = match strategy {
        SubjectNameStrategy::TopicName => "TopicName",
        SubjectNameStrategy::RecordName => "RecordName",
        SubjectNameStrategy::TopicRecordName => "TopicRecordName",
    };
    format!("{JAVA_PACKAGE}{name}Strategy")
}

fn invalid(name: &str, value: &str, expected: &'static str) -> SettingError {
    SettingError::Invalid {
        name: name.into(),
        value: value.into(),
        expected,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(settings: &[(&str, &str)]) -> Result<Settings, String> {
        let get = |name: &str| settings.iter().find(|(n, _)| *n == name).map(|(_, v)| *v);
        Settings::read(get).map_err(|e| e.to_string())
    }

    #[test]
    fn nothing_is_checked_by_default() {
        assert_eq!(read(&[]), Ok(Settings::default()));
    }

    #[test]
    fn confluents_names_are_aliases() {
        let java = "io.confluent.kafka.serializers.subject.TopicRecordNameStrategy";
        let settings = read(&[
            ("confluent.value.schema.validation", "true"),
            ("confluent.key.subject.name.strategy", java),
            ("schema.validation.key", "full"),
        ])
        .unwrap();
        assert_eq!(
            (settings.value.mode, settings.key.mode),
            (Mode::Id, Mode::Full)
        );
        assert_eq!(settings.key.strategy, SubjectNameStrategy::TopicRecordName);
        assert_eq!(java_class(settings.key.strategy), java);
    }

    #[test]
    fn two_names_that_agree_are_taken() {
        let both = [
            ("schema.validation.value", "full"),
            ("confluent.value.schema.validation", "TRUE"),
        ];
        assert_eq!(read(&both).unwrap().value.mode, Mode::Full);
    }

    #[test]
    fn two_names_that_disagree_are_refused_with_both() {
        let both = [
            ("schema.validation.value", "none"),
            ("confluent.value.schema.validation", "true"),
        ];
        assert_eq!(
            read(&both).unwrap_err(),
            "schema.validation.value=none and confluent.value.schema.validation=true disagree: \
             remove one of them, or set confluent.value.schema.validation=false"
        );
        let both = [
            ("schema.key.subject.name.strategy", "record-name"),
            (
                "confluent.key.subject.name.strategy",
                "io.confluent.kafka.serializers.subject.TopicNameStrategy",
            ),
        ];
        assert!(
            read(&both)
                .unwrap_err()
                .ends_with("subject.RecordNameStrategy")
        );
    }

    #[test]
    fn a_value_that_is_not_known_names_those_that_are() {
        let error = read(&[("schema.validation.key", "strict")]).unwrap_err();
        assert_eq!(
            error,
            "schema.validation.key=\"strict\" is not valid: use none, id or full"
        );
        assert!(read(&[("confluent.key.subject.name.strategy", "com.acme.Mine")]).is_err());
    }
}
