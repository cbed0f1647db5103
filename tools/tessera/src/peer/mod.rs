//! Other hypervisors, to measure against: the same machine, the same guests, the same counter.
//!
//! A peer runs one guest and nothing else. What differs between peers, how they are started and
//! how they are told about the guest, is in a module for each; what they give back is the same.

mod lines;
pub mod xen;
mod xen_image;
mod xen_traps;
mod xen_tree;

pub use lines::Lines;

use crate::machine::Config;
use std::ops::Range;

/// The only guest of a peer.
#[derive(Clone, Debug)]
pub struct Guest {
    /// Its program: an arm64 `Image`.
    pub image: Vec<u8>,
    /// Its initial RAM disk.
    pub initramfs: Option<Vec<u8>>,
    /// Its `/chosen/bootargs`.
    pub bootargs: String,
    /// Its memory in MiB.
    pub memory_mib: u64,
    /// Its virtual cores.
    pub vcpus: u32,
    /// What it writes its text to.
    pub console: Console,
}

/// What a guest writes its text to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Console {
    /// A UART that the peer emulates. What the guest writes comes between the peer's own lines:
    /// [`Lines`] takes it out again.
    Emulated,
    /// The machine's PL011, which the peer leaves alone: for a guest that drives all of a PL011,
    /// and for one whose text is to cost nothing at EL2. The peer itself is silent then.
    PassedThrough,
}

/// How virtual cores share the machine's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheduling {
    /// As little as the peer can do: a guest that waits keeps its core.
    Pinned,
    /// As the peer does it by itself.
    Shared,
}

/// A peer with its guest, ready to be started.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The machine.
    pub config: Config,
    /// What counts its instructions needs.
    pub counting: Counting,
}

/// Where a peer's code is, for the plugin `tools/meter`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counting {
    /// The addresses that it is linked to, code and data.
    pub code: Range<u64>,
    /// The physical address of the first of them.
    pub physical: u64,
    /// Its vector table.
    pub vectors: u64,
    /// Places that tell its events apart; none if they could not be found.
    pub marks: Vec<Mark>,
}

/// The first instruction that is an event's own, as linked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// What the event is: `hvc`.
    pub name: &'static str,
    /// Where it is.
    pub address: u64,
}

impl Counting {
    /// The plugin's arguments.
    #[must_use]
    pub fn words(&self) -> String {
        let mut words = format!(
            "el2={:#x}-{:#x},image={:#x},vectors={:#x}",
            self.code.start, self.code.end, self.physical, self.vectors
        );
        for Mark { name, address } in &self.marks {
            words.push_str(&format!(",mark={name}:{address:#x}"));
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counter_is_told_addresses_in_its_own_words() {
        let counting = Counting {
            code: 0x20_0000..0x33_60c8,
            physical: 0x4020_0000,
            vectors: 0x25_7800,
            marks: vec![Mark {
                name: "hvc",
                address: 0x26_abd8,
            }],
        };
        assert_eq!(
            counting.words(),
            "el2=0x200000-0x3360c8,image=0x40200000,vectors=0x257800,mark=hvc:0x26abd8"
        );
    }
}
