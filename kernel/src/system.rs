//! What exists: set once while the kernel boots, read-only from then on.

use crate::arch::gic::Target;
use crate::arch::timer;
use crate::object::Partition;
use core::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering};
use manifest::MAX_CORES;

static PARTITIONS: AtomicPtr<Partition> = AtomicPtr::new(core::ptr::null_mut());
static PARTITION_COUNT: AtomicUsize = AtomicUsize::new(0);
/// How each core is kicked; `!0` until it has started.
static TARGETS: [AtomicU64; MAX_CORES] = [const { AtomicU64::new(!0) }; MAX_CORES];
static BUNDLE: [AtomicU64; 2] = [const { AtomicU64::new(0) }; 2];
static SEED: [AtomicU64; 4] = [const { AtomicU64::new(0) }; 4];

/// All partitions.
#[inline]
#[must_use]
pub fn partitions() -> &'static [Partition] {
    let count = PARTITION_COUNT.load(Ordering::Acquire);
    if count == 0 {
        return &[];
    }
    // SAFETY: `set_partitions` stored the parts of a slice that lives for ever, the length last.
    unsafe { core::slice::from_raw_parts(PARTITIONS.load(Ordering::Relaxed), count) }
}

/// Publishes the partitions.
pub fn set_partitions(partitions: &'static [Partition]) {
    PARTITIONS.store(partitions.as_ptr().cast_mut(), Ordering::Relaxed);
    PARTITION_COUNT.store(partitions.len(), Ordering::Release);
}

/// How a core is kicked; `None` if it has not started.
#[must_use]
pub fn target(core: u16) -> Option<Target> {
    let target = TARGETS.get(usize::from(core))?.load(Ordering::Acquire);
    (target != !0).then_some(Target(target))
}

/// Says how this core is kicked: it is ready for requests.
pub fn set_target(core: u16, target: Target) {
    if let Some(place) = TARGETS.get(usize::from(core)) {
        place.store(target.0, Ordering::Release);
    }
}

/// The bundle, shown by the window; all images are in it.
#[must_use]
pub fn bundle() -> &'static [u8] {
    let [start, len] = &BUNDLE;
    let (start, len) = (start.load(Ordering::Relaxed), len.load(Ordering::Relaxed));
    if len == 0 {
        return &[];
    }
    // SAFETY: `set_bundle` stored the parts of such a slice.
    unsafe { core::slice::from_raw_parts(start as *const u8, len as usize) }
}

/// Publishes the bundle.
pub fn set_bundle(bundle: &'static [u8]) {
    let [start, len] = &BUNDLE;
    start.store(bundle.as_ptr() as u64, Ordering::Relaxed);
    len.store(bundle.len() as u64, Ordering::Relaxed);
}

/// The key from which the guests' seeds are derived.
#[must_use]
pub fn seed() -> [u32; 8] {
    let mut key = [0; 8];
    for (place, word) in key.chunks_exact_mut(2).zip(&SEED) {
        let word = word.load(Ordering::Relaxed);
        place.copy_from_slice(&[word as u32, (word >> 32) as u32]);
    }
    key
}

/// Sets the key. Without one from the boot loader, what differs between two starts is only the counter.
pub fn set_seed(seed: Option<[u64; 4]>) {
    let [first, ..] = &SEED;
    first.store(timer::now(), Ordering::Relaxed);
    for (place, word) in SEED.iter().zip(seed.unwrap_or_default()) {
        place.fetch_xor(word, Ordering::Relaxed);
    }
}
