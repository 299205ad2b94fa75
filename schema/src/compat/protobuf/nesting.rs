//! A look at a file's brackets before it is parsed, since parsers follow them by recursion.

use crate::registry::limits::NESTING_MAX;

/// # Errors
/// When brackets nest deeper than schemas may.
pub fn check(text: &str) -> Result<(), String> {
    let mut depth = 0usize;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' | '\'' => skip_string(&mut chars, c),
            '/' if chars.peek() == Some(&'/') => {
                chars.by_ref().find(|c| *c == '\n');
            }
            '#' => {
                chars.by_ref().find(|c| *c == '\n');
            }
            '/' if chars.peek() == Some(&'*') => {
                chars.next();
                skip_comment(&mut chars);
            }
            '{' | '[' | '(' | '<' => depth += 1,
            '}' | ']' | ')' | '>' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > NESTING_MAX {
            return Err(format!("brackets nest deeper than {NESTING_MAX}"));
        }
    }
    Ok(())
}

type Chars<'a> = std::iter::Peekable<std::str::Chars<'a>>;

fn skip_string(chars: &mut Chars<'_>, quote: char) {
    while let Some(c) = chars.next() {
        match c {
            '\\' => {
                chars.next();
            }
            '\n' => return,
            c if c == quote => return,
            _ => {}
        }
    }
}

fn skip_comment(chars: &mut Chars<'_>) {
    while let Some(c) = chars.next() {
        if c == '*' && chars.peek() == Some(&'/') {
            chars.next();
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_brackets_outside_strings_and_comments_count() {
        let deep = "{".repeat(NESTING_MAX + 1);
        assert!(check(&deep).is_err());
        assert!(check(&"message M { ".repeat(50_000)).is_err());
        assert_eq!(
            check(&format!("// {deep}\n\"{deep}\" /* {deep} */")),
            Ok(())
        );
        assert_eq!(check(&"{}".repeat(10_000)), Ok(()));
    }
}
