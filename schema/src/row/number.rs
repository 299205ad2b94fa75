//! Numbers in JSON: integers exact, floats shortest, and strings for what JSON has no number for.

use serde_json::{Number, Value};

/// The one not-a-number that keys are made of: what a JVM and most processors write.
const NAN: u64 = 0x7ff8_0000_0000_0000;
const NAN_FLOAT: u32 = 0x7fc0_0000;

/// The number, and of all that are none the one.
pub fn one_nan(number: f64) -> f64 {
    match number.is_nan() {
        true => f64::from_bits(NAN),
        false => number,
    }
}

/// [`one_nan`] in 32 bits.
pub fn one_nan_float(number: f32) -> f32 {
    match number.is_nan() {
        true => f32::from_bits(NAN_FLOAT),
        false => number,
    }
}

/// DOUBLE in JSON.
pub fn double_to_json(number: f64) -> Value {
    match Number::from_f64(number) {
        Some(number) => Value::Number(number),
        None if number.is_nan() => "NaN".into(),
        None if number > 0.0 => "Infinity".into(),
        None => "-Infinity".into(),
    }
}

/// FLOAT in JSON: the shortest number that reads back as the same f32.
pub fn float_to_json(number: f32) -> Value {
    let shortest = number.to_string().parse::<f64>();
    double_to_json(shortest.unwrap_or_else(|_| f64::from(number)))
}

/// A number, or one of the three strings.
pub fn double_from_json(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => match text.as_str() {
            "NaN" => Some(f64::from_bits(NAN)),
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            _ => None,
        },
        _ => None,
    }
}

/// FLOAT from JSON; a finite number that overflows an f32 is refused.
pub fn float_from_json(value: &Value) -> Option<f32> {
    let double = double_from_json(value)?;
    let float = one_nan_float(double as f32);
    (float.is_finite() || !double.is_finite()).then_some(float)
}

/// A whole number: an integer, or a float without a fraction that is small enough to be exact.
pub fn integer_from_json(value: &Value) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let Value::Number(number) = value else {
        return None;
    };
    number.as_i64().or_else(|| {
        let float = number.as_f64()?;
        (float.fract() == 0.0 && float.abs() <= EXACT).then_some(float as i64)
    })
}

/// BIGINT from JSON: a whole number, or the same as a string.
pub fn bigint_from_json(value: &Value) -> Option<i64> {
    match value {
        Value::String(text) => text.parse().ok(),
        _ => integer_from_json(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn floats_are_shortest_and_read_back() {
        assert_eq!(float_to_json(0.1), json!(0.1));
        assert_eq!(float_to_json(f32::MAX).to_string(), "3.4028235e+38");
        assert_eq!(float_from_json(&json!(0.1)), Some(0.1));
        assert_eq!(float_from_json(&json!(1e300)), None);
        assert_eq!(
            float_from_json(&json!("-Infinity")),
            Some(f32::NEG_INFINITY)
        );
        assert_eq!(double_to_json(f64::NAN), json!("NaN"));
    }

    #[test]
    fn integers_are_exact() {
        assert_eq!(bigint_from_json(&json!(i64::MAX)), Some(i64::MAX));
        assert_eq!(
            bigint_from_json(&json!("9223372036854775807")),
            Some(i64::MAX)
        );
        assert_eq!(bigint_from_json(&json!(3.0)), Some(3));
        assert_eq!(bigint_from_json(&json!(3.5)), None);
        assert_eq!(bigint_from_json(&json!(u64::MAX)), None);
        assert_eq!(integer_from_json(&json!("3")), None);
    }
}
