//! Messages that stand for one value.

use super::schema::{Field, Kind, Meaning};

/// What a message stands for. Its fields are looked at too, since anyone can write a file by a known name.
pub(super) fn meaning(full_name: &str, fields: &[Field]) -> Meaning {
    let kinds: Vec<(u32, Kind)> = fields.iter().map(|f| (f.number, f.kind)).collect();
    let ints = |count: u32| (1..=count).map(|n| (n, Kind::Int32)).collect::<Vec<_>>();
    match full_name {
        "google.protobuf.Timestamp" if kinds == [(1, Kind::Int64), (2, Kind::Int32)] => {
            Meaning::Timestamp
        }
        "google.type.Date" if kinds == ints(3) => Meaning::Date,
        "google.type.TimeOfDay" if kinds == ints(4) => Meaning::TimeOfDay,
        _ if is_wrapper(full_name) => match kinds[..] {
            [(1, kind)] if !matches!(kind, Kind::Message(_) | Kind::Group(_)) => Meaning::Wrapper,
            _ => Meaning::Plain,
        },
        _ => Meaning::Plain,
    }
}

fn is_wrapper(full_name: &str) -> bool {
    let name = full_name
        .strip_prefix("google.protobuf.")
        .and_then(|n| n.strip_suffix("Value"));
    let wrapped = [
        "Double", "Float", "Int64", "UInt64", "Int32", "UInt32", "Bool", "String", "Bytes",
    ];
    name.is_some_and(|name| wrapped.contains(&name))
}
