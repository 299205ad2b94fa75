//! CRC-32C of a frame's parts, taken as they arrive, while the processor's cache still has them.
//!
//! A batch's checksum is composed of them. Taken only once the frame is whole, it would bring a megabyte into the cache
//! a second time.

/// Bytes of a part.
const PART_BYTES: usize = 32 << 10;
/// Frames that are shorter are still in the cache when they are whole.
const LEAST_FRAME_BYTES: usize = 4 * PART_BYTES;

/// The sum of each whole part of a frame, from its start. By default there are none.
#[derive(Debug, Default)]
pub struct Sums {
    parts: Vec<u32>,
    is_taken: bool,
}

impl Sums {
    /// For a frame of this size; of a short one no sums are taken.
    pub fn of_frame(size: usize) -> Sums {
        Sums {
            parts: Vec::new(),
            is_taken: size >= LEAST_FRAME_BYTES,
        }
    }

    /// Takes the sums of the parts that are whole now; `arrived` is all of the frame that has come.
    pub fn extend(&mut self, arrived: &[u8]) {
        if self.is_taken {
            let parts = arrived.chunks_exact(PART_BYTES).skip(self.parts.len());
            self.parts.extend(parts.map(weir_crc::crc32c));
        }
    }

    /// The CRC-32C of `bytes`, which begin at `at` in the frame.
    pub fn crc(&self, at: usize, bytes: &[u8]) -> u32 {
        let first = at.div_ceil(PART_BYTES);
        let end = ((at + bytes.len()) / PART_BYTES).min(self.parts.len());
        if first >= end {
            return weir_crc::crc32c(bytes);
        }
        let before = weir_crc::crc32c(&bytes[..first * PART_BYTES - at]);
        let parts = self.parts[first..end].iter();
        let until = parts.fold(before, |crc, part| {
            weir_crc::combine(crc, *part, PART_BYTES as u32)
        });
        weir_crc::append(until, &bytes[end * PART_BYTES - at..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_of_any_bytes_of_a_frame_is_theirs() {
        let frame: Vec<u8> = (0..6 * PART_BYTES + 77)
            .map(|n| ((n * 31) >> 3) as u8)
            .collect();
        let mut sums = Sums::of_frame(frame.len());
        for arrived in [
            5,
            PART_BYTES - 1,
            PART_BYTES,
            3 * PART_BYTES + 9,
            frame.len(),
        ] {
            sums.extend(&frame[..arrived]);
        }
        assert_eq!(sums.parts.len(), 6);
        let edges = [
            0,
            1,
            PART_BYTES - 1,
            PART_BYTES,
            PART_BYTES + 61,
            5 * PART_BYTES,
        ];
        for at in edges {
            for end in edges
                .into_iter()
                .chain([frame.len()])
                .filter(|end| at <= *end)
            {
                let bytes = &frame[at..end];
                assert_eq!(
                    sums.crc(at, bytes),
                    weir_crc::crc32c(bytes),
                    "{at} to {end}"
                );
            }
        }
    }

    #[test]
    fn without_sums_the_bytes_are_looked_at() {
        let bytes = vec![7; 3 * PART_BYTES];
        let mut short = Sums::of_frame(bytes.len());
        short.extend(&bytes);
        assert!(short.parts.is_empty());
        assert_eq!(short.crc(0, &bytes), weir_crc::crc32c(&bytes));
    }
}
