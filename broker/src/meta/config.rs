//! What a setting is: its type, its default, which values it takes, and how Kafka prints them.

/// Kafka's config types, with the numbers that DescribeConfigs uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i8)]
pub enum Kind {
    Boolean = 1,
    String = 2,
    Int = 3,
    Short = 4,
    Long = 5,
    Double = 6,
    List = 7,
}

/// Which values of its type a setting takes.
#[derive(Debug, Clone, Copy)]
pub enum Check {
    Any,
    AtLeast(i64),
    Between(i64, i64),
    /// Between two bounds, one value outside them also counts: gzip's levels are 1 to 9 and -1.
    BetweenOr(i64, i64, i64),
    /// A ratio from 0 to 1.
    Ratio,
    OneOf(&'static [&'static str]),
    /// A list of these.
    EachOf(&'static [&'static str]),
    /// `*`, or a list of `partition:broker`.
    ThrottledReplicas,
    /// Known, but only this value is served by this release.
    OnlyNow(&'static str),
}

/// One setting. The tables of them are [`super::topic_config::TOPIC_SETTINGS`] and
/// [`super::broker_config::BROKER_SETTINGS`].
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    pub name: &'static str,
    pub kind: Kind,
    /// As Kafka prints it; `None` is a null default.
    pub default: Option<&'static str>,
    pub check: Check,
    /// Broker settings that give a topic its default, the strongest first. Empty for broker settings.
    pub synonyms: &'static [&'static str],
    /// Whether AlterConfigs may change it. Every topic setting may be changed.
    pub dynamic: bool,
    /// Values are never shown.
    pub sensitive: bool,
    pub documentation: &'static str,
}

/// Why a setting was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    #[error("unknown setting `{name}`{}", hint(.closest))]
    Unknown {
        name: String,
        closest: Option<&'static str>,
    },
    #[error("invalid value `{value}` for `{name}`: {expected}")]
    Value {
        name: String,
        value: String,
        expected: String,
    },
    #[error("`{0}` may not be null")]
    Null(String),
    #[error("`{name}` is a {kind:?}, only a List can be appended to or subtracted from")]
    NotAList { name: String, kind: Kind },
    #[error("`{name}` cannot be changed while the broker runs")]
    ReadOnly { name: String },
    /// Settings that do not go together.
    #[error("{0}")]
    Conflict(String),
    /// A setting that may not change any more.
    #[error(
        "`{name}` of table `{topic}` is fixed since the table was made; make a new topic with the other value"
    )]
    Frozen { topic: String, name: String },
    /// The topic cannot become the table that the settings ask for.
    #[error("{0}")]
    Table(String),
}

fn hint(closest: &Option<&'static str>) -> String {
    closest
        .map(|name| format!(", did you mean `{name}`?"))
        .unwrap_or_default()
}

impl Setting {
    /// The value as Kafka would print it back, or why it is refused.
    pub fn parse(&self, value: &str) -> Result<String, ConfigError> {
        let refuse = |expected: String| ConfigError::Value {
            name: self.name.to_owned(),
            value: value.to_owned(),
            expected,
        };
        let printed = self
            .kind
            .print(value)
            .map_err(|expected| refuse(expected.to_owned()))?;
        self.check.accepts(&printed).map_err(refuse)?;
        Ok(printed)
    }
}

impl Kind {
    fn print(self, value: &str) -> Result<String, &'static str> {
        let trimmed = value.trim();
        match self {
            Kind::Boolean if trimmed.eq_ignore_ascii_case("true") => Ok("true".to_owned()),
            Kind::Boolean if trimmed.eq_ignore_ascii_case("false") => Ok("false".to_owned()),
            Kind::Boolean => Err("true or false is expected"),
            Kind::String => Ok(trimmed.to_owned()),
            Kind::Short => trimmed
                .parse::<i16>()
                .map(|n| n.to_string())
                .map_err(|_| "a 16-bit integer is expected"),
            Kind::Int => trimmed
                .parse::<i32>()
                .map(|n| n.to_string())
                .map_err(|_| "a 32-bit integer is expected"),
            Kind::Long => trimmed
                .parse::<i64>()
                .map(|n| n.to_string())
                .map_err(|_| "a 64-bit integer is expected"),
            Kind::Double => trimmed
                .parse::<f64>()
                .map(|n| format!("{n:?}"))
                .map_err(|_| "a number is expected"),
            Kind::List => Ok(distinct(split_list(trimmed)).join(",")),
        }
    }
}

/// A list's members, each once.
fn distinct(list: Vec<&str>) -> Vec<&str> {
    let mut kept = Vec::with_capacity(list.len());
    for member in list {
        if !kept.contains(&member) {
            kept.push(member);
        }
    }
    kept
}

/// The members of a list value; an empty value has none.
pub fn split_list(value: &str) -> Vec<&str> {
    match value.trim() {
        "" => Vec::new(),
        list => list.split(',').map(str::trim).collect(),
    }
}

impl Check {
    /// `value` is printed form.
    fn accepts(&self, value: &str) -> Result<(), String> {
        let number = || value.parse::<i64>().expect("a number was printed");
        match self {
            Check::Any => Ok(()),
            Check::AtLeast(min) => {
                ensure(number() >= *min, || format!("at least {min} is expected"))
            }
            Check::Between(min, max) => ensure((*min..=*max).contains(&number()), || {
                format!("{min} to {max} is expected")
            }),
            Check::BetweenOr(min, max, or) => {
                ensure((*min..=*max).contains(&number()) || number() == *or, || {
                    format!("{min} to {max}, or {or}, is expected")
                })
            }
            Check::Ratio => {
                let ratio = value.parse::<f64>().expect("a number was printed");
                ensure((0.0..=1.0).contains(&ratio), || {
                    "0 to 1 is expected".to_owned()
                })
            }
            Check::OneOf(values) => ensure(values.contains(&value), || {
                format!("one of {} is expected", values.join(", "))
            }),
            Check::EachOf(values) => {
                let list = split_list(value);
                ensure(list.iter().all(|v| values.contains(v)), || {
                    format!("a list of {} is expected", values.join(", "))
                })
            }
            Check::ThrottledReplicas => {
                let list = split_list(value);
                let pair = |v: &&str| {
                    v.split_once(':')
                        .is_some_and(|(p, b)| digits(p) && digits(b))
                };
                ensure(value == "*" || list.iter().all(pair), || {
                    "`*` or a list of partition:broker is expected".to_owned()
                })
            }
            Check::OnlyNow(only) => {
                ensure(value == *only, || format!("only `{only}` is served yet"))
            }
        }
    }
}

fn digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

fn ensure(condition: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if condition { Ok(()) } else { Err(otherwise()) }
}

/// The setting of that name, or an error that names the closest one.
pub fn find(settings: &'static [Setting], name: &str) -> Result<&'static Setting, ConfigError> {
    settings
        .iter()
        .find(|s| s.name == name)
        .ok_or_else(|| ConfigError::Unknown {
            name: name.to_owned(),
            closest: closest(settings, name),
        })
}

/// The known name that takes the fewest edits to reach, if they are few for its length.
fn closest(settings: &'static [Setting], name: &str) -> Option<&'static str> {
    let name = name.get(..name.len().min(128)).unwrap_or(name);
    settings
        .iter()
        .map(|s| (edit_distance(s.name, name), s.name))
        .min()
        .filter(|(distance, known)| *distance * 3 <= known.len().max(3))
        .map(|(_, known)| known)
}

fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: &[Setting] = &[Setting {
        name: "retention.ms",
        kind: Kind::Long,
        default: Some("1"),
        check: Check::AtLeast(-1),
        synonyms: &[],
        dynamic: true,
        sensitive: false,
        documentation: "",
    }];

    #[test]
    fn an_unknown_setting_names_the_closest_one() {
        let error = find(SETTINGS, "retention.mss").unwrap_err();
        assert_eq!(
            error.to_string(),
            "unknown setting `retention.mss`, did you mean `retention.ms`?"
        );
        let error = find(SETTINGS, "something.else.entirely").unwrap_err();
        assert_eq!(
            error.to_string(),
            "unknown setting `something.else.entirely`"
        );
    }

    #[test]
    fn values_are_printed_as_kafka_prints_them() {
        assert_eq!(SETTINGS[0].parse(" 07 ").unwrap(), "7");
        assert_eq!(
            SETTINGS[0].parse("-2").unwrap_err().to_string(),
            "invalid value `-2` for `retention.ms`: at least -1 is expected"
        );
        assert!(SETTINGS[0].parse("7d").is_err());
        assert_eq!(Kind::Boolean.print(" TRUE"), Ok("true".to_owned()));
        assert_eq!(Kind::Double.print("1"), Ok("1.0".to_owned()));
        assert_eq!(
            Kind::List.print("compact , delete"),
            Ok("compact,delete".to_owned())
        );
        assert_eq!(Kind::List.print("delete,delete"), Ok("delete".to_owned()));
    }

    #[test]
    fn throttled_replicas_are_pairs_or_a_star() {
        let check = Check::ThrottledReplicas;
        assert!(check.accepts("*").is_ok());
        assert!(check.accepts("").is_ok());
        assert!(check.accepts("0:1,1:2").is_ok());
        assert!(check.accepts("0-1").is_err());
    }
}
