//! How long a content is made, so that its length tells little [R-con-05].

/// Least length of a content in octets.
pub const FLOOR: u64 = 4096;

/// Length of the content with padding, for a length `len` without: Padmé with a floor of 4 KiB.
/// At most 12 % more than `len` above the floor. Saturates at `u64::MAX`.
#[must_use]
pub const fn padded(len: u64) -> u64 {
    let len = if len < FLOOR { FLOOR } else { len };
    let e = len.ilog2();
    let s = e.ilog2() + 1;
    let mask = (1u64 << (e - s)) - 1;
    len.saturating_add(mask) & !mask
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_lengths() {
        // [R-con-05], by hand: E = 12, S = 4, z = 8 from 4,096 to 8,191.
        for (len, expected) in [
            (0, 4096),
            (1, 4096),
            (4095, 4096),
            (4096, 4096),
            (4097, 4352),
            (8191, 8192),
            (8192, 8192),
            (8193, 8704),
            (100_000, 100_352),
            (1 << 20, 1 << 20),
            ((1 << 20) + 1, (1 << 20) + (1 << 15)),
        ] {
            assert_eq!(padded(len), expected, "{len}");
        }
    }

    proptest! {
        #[test]
        fn grows_little_and_is_a_fixed_point(len in 1u64..1 << 50) {
            let padded_len = padded(len);
            prop_assert!(padded_len >= len.max(FLOOR));
            prop_assert!(padded_len - len.max(FLOOR) <= len.max(FLOOR) * 12 / 100);
            prop_assert_eq!(padded(padded_len), padded_len);
            prop_assert!(padded(len + 1) >= padded_len);
        }
    }
}
