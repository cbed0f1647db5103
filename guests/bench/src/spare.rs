//! SPIs that nothing uses: the highest that the controller has, without the console's.

use bare::board::IntId;

/// The most that are wanted.
pub const MOST: usize = 16;
/// The first SPI.
const FIRST: u32 = 32;

/// Up to [`MOST`] SPIs below `end`, the highest first, without `used`.
pub fn spare(end: u32, used: Option<IntId>) -> impl Iterator<Item = IntId> {
    (FIRST..end)
        .rev()
        .map(IntId)
        .filter(move |spi| Some(*spi) != used)
        .take(MOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(end: u32, used: Option<u32>) -> Vec<u32> {
        spare(end, used.map(IntId)).map(|spi| spi.0).collect()
    }

    #[test]
    fn the_highest_are_taken() {
        assert_eq!(numbers(288, Some(33)), (272..288).rev().collect::<Vec<_>>());
    }

    #[test]
    fn the_consoles_is_left_out() {
        assert_eq!(numbers(36, Some(34)), [35, 33, 32]);
    }

    #[test]
    fn a_controller_without_spis_has_none() {
        assert_eq!(numbers(32, None), []);
    }
}
