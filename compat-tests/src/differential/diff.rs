//! Where two normalised answers differ.

use std::collections::BTreeSet;

use serde_json::Value;

/// One place at which the judge and the subject do not say the same; `None` where one says nothing.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// The names on the way to the value, joined by `/`.
    pub path: String,
    pub judge: Option<Value>,
    pub subject: Option<Value>,
}

/// All differences, in the order of the paths.
pub fn differences(judge: &Value, subject: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    compare("", Some(judge), Some(subject), &mut found);
    found
}

fn compare(
    path: &str,
    judge: Option<&Value>,
    subject: Option<&Value>,
    found: &mut Vec<Difference>,
) {
    let below = |name: &str| {
        if path.is_empty() {
            name.to_string()
        } else {
            format!("{path}/{name}")
        }
    };
    match (judge, subject) {
        (Some(Value::Object(left)), Some(Value::Object(right))) => {
            let names: BTreeSet<&String> = left.keys().chain(right.keys()).collect();
            for name in names {
                compare(&below(name), left.get(name), right.get(name), found);
            }
        }
        (Some(Value::Array(left)), Some(Value::Array(right))) => {
            for at in 0..left.len().max(right.len()) {
                compare(&below(&at.to_string()), left.get(at), right.get(at), found);
            }
        }
        (left, right) if left == right => {}
        (left, right) => {
            found.push(Difference {
                path: path.to_string(),
                judge: left.cloned(),
                subject: right.cloned(),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_path_of_every_difference_is_named() {
        let judge = json!([{"a": 1, "b": [1, 2]}, "same"]);
        let subject = json!([{"a": 2, "b": [1]}, "same", null]);
        let paths: Vec<String> = differences(&judge, &subject)
            .into_iter()
            .map(|found| found.path)
            .collect();
        assert_eq!(paths, ["0/a", "0/b/1", "2"]);
    }

    #[test]
    fn an_answer_equals_itself() {
        let answer = json!({"a": [1, null, {"b": "c"}]});
        assert_eq!(differences(&answer, &answer), []);
    }
}
