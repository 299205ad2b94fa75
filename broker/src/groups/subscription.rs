//! The topics in a consumer's protocol metadata, as far as all its versions begin alike:
//! `version i16 | topics: count i32, each length i16 and UTF-8 | …`

/// The topics that a consumer reads; `None` when the bytes are not a consumer's.
pub fn topics(metadata: &[u8]) -> Option<Vec<String>> {
    let mut rest = metadata;
    let version = i16::from_be_bytes(take(&mut rest)?);
    let count = i32::from_be_bytes(take(&mut rest)?);
    if version < 0 || count < 0 {
        return None;
    }
    let mut topics = Vec::new();
    for _ in 0..count {
        let length = usize::try_from(i16::from_be_bytes(take(&mut rest)?)).ok()?;
        let (name, after) = rest.split_at_checked(length)?;
        topics.push(std::str::from_utf8(name).ok()?.to_owned());
        rest = after;
    }
    // Opaque data follows, null where its length is -1.
    let length = i32::from_be_bytes(take(&mut rest)?);
    let fits = length == -1 || usize::try_from(length).is_ok_and(|length| length <= rest.len());
    fits.then_some(topics)
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, after) = rest.split_first_chunk::<N>()?;
    *rest = after;
    Some(*head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_consumers_metadata_names_its_topics() {
        let bytes = b"\0\x01\0\0\0\x02\0\x01a\0\x02bc\xff\xff\xff\xff\0\0\0\0";
        assert_eq!(topics(bytes), Some(vec!["a".to_owned(), "bc".to_owned()]));
    }

    #[test]
    fn other_bytes_name_none() {
        let bytes = b"\0\x01\0\0\0\x02\0\x01a\0\x02bc\xff\xff\xff\xff";
        for length in 0..bytes.len() {
            assert_eq!(topics(&bytes[..length]), None, "cut to {length}");
        }
        assert_eq!(topics(b"\0\0\x7f\xff\xff\xff"), None);
    }
}
