//! Query parameters, read as leniently as the JVM's registry reads them: booleans in any case,
//! numbers with a sign, what is unknown or unreadable as if it were not there.

use percent_encoding::percent_decode_str;

#[derive(Debug, Default)]
pub struct Query {
    pairs: Vec<(String, String)>,
}

impl Query {
    pub fn parse(text: &str) -> Query {
        let pair = |pair: &str| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name), decode(value))
        };
        let pairs = text.split('&').filter(|pair| !pair.is_empty());
        Query {
            pairs: pairs.map(pair).collect(),
        }
    }

    pub fn text(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        let named = self.pairs.iter().filter(move |(n, _)| n == name);
        named.map(|(_, value)| value.as_str())
    }

    pub fn flag(&self, name: &str) -> bool {
        self.text(name)
            .is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    /// The part of a listing that `offset` and `limit` ask for; a limit below 1 is none.
    pub fn page<T>(&self, items: impl IntoIterator<Item = T>) -> Vec<T> {
        let number = |name| self.text(name).and_then(|value| value.parse::<i64>().ok());
        let offset = number("offset").and_then(|offset| usize::try_from(offset).ok());
        let limit = number("limit").filter(|limit| *limit > 0);
        let limit = limit.and_then(|limit| usize::try_from(limit).ok());
        let items = items.into_iter().skip(offset.unwrap_or(0));
        items.take(limit.unwrap_or(usize::MAX)).collect()
    }
}

fn decode(text: &str) -> String {
    let spaced = text.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_that_clients_send_are_all_read() {
        let query =
            Query::parse("normalize=False&deleted=TRUE&limit=-1&offset=1&x&subject=a%2Fb+c");
        assert!(!query.flag("normalize"));
        assert!(query.flag("deleted"));
        assert!(!query.flag("x"));
        assert_eq!(query.text("subject"), Some("a/b c"));
        assert_eq!(query.page([1, 2, 3]), [2, 3]);
        assert_eq!(Query::parse("limit=2&offset=-5").page([1, 2, 3]), [1, 2]);
        assert_eq!(Query::parse("limit=many").page([1, 2]), [1, 2]);
    }
}
