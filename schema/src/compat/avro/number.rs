//! Numbers in JSON as Java prints them, since schemas are told apart by their text.

use std::fmt::Write;

/// A double as Java's `Double.toString` writes it: plain from 10^-3 to 10^7, else with an exponent.
pub fn java_double(value: f64) -> String {
    let magnitude = value.abs();
    if magnitude == 0.0 || (1e-3..1e7).contains(&magnitude) {
        return format!("{value:?}");
    }
    // Rust writes `1e21` where Java writes `1.0E21`; the digits are the shortest in both.
    let text = format!("{value:e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let mut java = mantissa.to_owned();
    if !mantissa.contains('.') {
        java.push_str(".0");
    }
    let _ = write!(java, "E{exponent}");
    java
}

#[cfg(test)]
mod tests {
    use super::java_double;

    #[test]
    fn doubles_print_as_java_prints_them() {
        for (value, text) in [
            (0.0, "0.0"),
            (1.0, "1.0"),
            (0.1, "0.1"),
            (1e6, "1000000.0"),
            (1e7, "1.0E7"),
            (1.5e21, "1.5E21"),
            (1e-4, "1.0E-4"),
            (-123456789.0, "-1.23456789E8"),
        ] {
            assert_eq!(java_double(value), text);
        }
    }
}
