//! The random bytes that each start of each guest gets as its `/chosen/rng-seed`.
//!
//! They are one block of ChaCha8 (D. J. Bernstein, "ChaCha, a variant of Salsa20"; words laid out as in RFC 8439, section
//! 2.3), under a key that the boot loader gave, with the partition and the number of the start as the nonce: no two
//! starts get the same bytes, and none says anything of another. The block is made in steps because it is made with
//! interrupts masked.

/// Double rounds of a block.
pub const DOUBLE_ROUNDS: u8 = 4;

/// A block that is being made.
#[derive(Clone, Debug)]
pub struct Seed {
    first: [u32; 16],
    state: [u32; 16],
}

impl Seed {
    /// Begins the block of a partition's start.
    #[must_use]
    pub fn begin(key: &[u32; 8], partition: u8, start: u32) -> Self {
        let [k0, k1, k2, k3, k4, k5, k6, k7] = *key;
        let first = [
            // "expand 32-byte k"
            0x6170_7865,
            0x3320_646e,
            0x7962_2d32,
            0x6b20_6574, //
            k0,
            k1,
            k2,
            k3,
            k4,
            k5,
            k6,
            k7, //
            0,
            partition as u32,
            start,
            0,
        ];
        Self {
            first,
            state: first,
        }
    }

    /// Does one of the [`DOUBLE_ROUNDS`].
    pub fn double_round(&mut self) {
        let [
            a0,
            a1,
            a2,
            a3,
            b0,
            b1,
            b2,
            b3,
            c0,
            c1,
            c2,
            c3,
            d0,
            d1,
            d2,
            d3,
        ] = &mut self.state;
        quarter(a0, b0, c0, d0);
        quarter(a1, b1, c1, d1);
        quarter(a2, b2, c2, d2);
        quarter(a3, b3, c3, d3);
        quarter(a0, b1, c2, d3);
        quarter(a1, b2, c3, d0);
        quarter(a2, b3, c0, d1);
        quarter(a3, b0, c1, d2);
    }

    /// The block, once all rounds are done.
    #[must_use]
    pub fn bytes(&self) -> [u8; 64] {
        let mut bytes = [0; 64];
        let words = self
            .first
            .iter()
            .zip(&self.state)
            .map(|(a, b)| a.wrapping_add(*b));
        for (place, word) in bytes.chunks_exact_mut(4).zip(words) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }
}

fn quarter(a: &mut u32, b: &mut u32, c: &mut u32, d: &mut u32) {
    *a = a.wrapping_add(*b);
    *d = (*d ^ *a).rotate_left(16);
    *c = c.wrapping_add(*d);
    *b = (*b ^ *c).rotate_left(12);
    *a = a.wrapping_add(*b);
    *d = (*d ^ *a).rotate_left(8);
    *c = c.wrapping_add(*d);
    *b = (*b ^ *c).rotate_left(7);
}

#[cfg(test)]
mod tests {
    use super::*;
    use chacha20::cipher::{KeyIvInit, StreamCipherCore};
    use proptest::prelude::*;

    type Stream = chacha20::ChaChaCore<chacha20::R8, chacha20::variants::Ietf>;

    fn block(key: &[u32; 8], partition: u8, start: u32) -> [u8; 64] {
        let mut seed = Seed::begin(key, partition, start);
        for _ in 0..DOUBLE_ROUNDS {
            seed.double_round();
        }
        seed.bytes()
    }

    proptest! {
        #[test]
        fn it_is_the_key_stream_of_chacha8(key: [u32; 8], partition: u8, start: u32) {
            let mut bytes = [0; 32];
            for (place, word) in bytes.chunks_exact_mut(4).zip(key) {
                place.copy_from_slice(&word.to_le_bytes());
            }
            let mut nonce = [0; 12];
            nonce[0] = partition;
            nonce[4..8].copy_from_slice(&start.to_le_bytes());
            let mut expected = chacha20::cipher::Block::<Stream>::default();
            let mut stream = Stream::new(&bytes.into(), &nonce.into());
            stream.write_keystream_block(&mut expected);
            let expected: &[u8] = &expected;
            prop_assert_eq!(&block(&key, partition, start)[..], expected);
        }
    }

    #[test]
    fn starts_and_partitions_differ() {
        let key = [7; 8];
        assert_ne!(block(&key, 0, 0), block(&key, 0, 1));
        assert_ne!(block(&key, 0, 0), block(&key, 1, 0));
        assert_eq!(block(&key, 3, 9), block(&key, 3, 9));
    }
}
