//! How many values a JSON text holds, before memory is taken for them.

use crate::codec::MAX_VALUES;

/// Whether a JSON text may hold more values than one payload may come to. A short one is not looked at.
pub fn has_too_many_values(json: &[u8]) -> bool {
    // Each value takes a byte, and one beside it that tells it from the next.
    json.len() >= 2 * MAX_VALUES && count(json) > MAX_VALUES
}

/// Values and names in well-formed JSON; of other bytes some number.
fn count(json: &[u8]) -> usize {
    let mut values = 1;
    let mut rest = json.iter();
    while let Some(byte) = rest.next() {
        match byte {
            b',' | b':' | b'[' | b'{' => values += 1,
            b'"' => skip_text(&mut rest),
            _ => {}
        }
    }
    values
}

/// Skips a text up to its closing quote.
fn skip_text(rest: &mut std::slice::Iter<'_, u8>) {
    while let Some(byte) = rest.next() {
        match byte {
            b'"' => return,
            b'\\' => drop(rest.next()),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_counted_outside_of_texts() {
        assert_eq!(count(b"5"), 1);
        assert_eq!(count(br#"[1,2,"a,[{:\",\\"]"#), 4);
        assert_eq!(count(br#"{"a":1,"b":[]}"#), 6);
    }

    #[test]
    fn only_many_values_are_too_many() {
        let array = |value: &str, count: usize| {
            let values = vec![value; count];
            format!("[{}]", values.join(",")).into_bytes()
        };
        assert!(has_too_many_values(&array("0", MAX_VALUES)));
        assert!(!has_too_many_values(&array("0", MAX_VALUES - 2)));
        assert!(!has_too_many_values(&array(
            r#""a long text, and commas""#,
            MAX_VALUES / 2
        )));
    }
}
