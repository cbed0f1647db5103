//! The records of a manifest: plain bytes, little-endian, no alignment needed.

use crate::little::{U16, U32, U64};
use core::fmt;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

macro_rules! record {
    ($(#[$doc:meta])* pub struct $name:ident { $($(#[$fdoc:meta])* pub $field:ident: $ty:ty,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, PartialEq, Eq)]
        #[repr(C)]
        pub struct $name { $($(#[$fdoc])* pub $field: $ty,)* }
    };
}

record! {
    /// A run of records of one kind: `count` of them, `offset` bytes from the manifest's start.
    pub struct Span {
        /// Byte offset from the start of the manifest.
        pub offset: U32,
        /// Number of records.
        pub count: U32,
    }
}

record! {
    /// Opens the manifest.
    pub struct Header {
        /// [`MAGIC`](crate::MAGIC).
        pub magic: [u8; 8],
        /// [`VERSION`](crate::VERSION).
        pub version: U16,
        /// Size of this record in bytes.
        pub header_len: U16,
        /// Length of the whole manifest in bytes, this header included.
        pub manifest_len: U32,
        /// Length of the whole bundle in bytes, so that one that was cut short is noticed.
        pub bundle_len: U64,
        /// CRC-32 of the manifest after this header.
        pub tables_crc: U32,
        /// Name of the system, padded with zeros.
        pub system: Name,
        /// The cores and their policies ([`Core`]); their number is the number of cores the board must have.
        pub cores: Span,
        /// The partitions ([`Partition`]).
        pub partitions: Span,
        /// All partitions' virtual processors ([`Vcpu`]).
        pub vcpus: Span,
        /// All partitions' memory ([`Region`]).
        pub regions: Span,
        /// All partitions' images ([`Load`]).
        pub loads: Span,
        /// All partitions' device models ([`Device`]).
        pub devices: Span,
        /// Which partition owns the keyboard at first: its index.
        pub focus: U16,
        /// Must be zero.
        pub reserved: [u8; 2],
        /// Bytes of records of each core's trace ring ([`TRACE_BYTES`](crate::TRACE_BYTES)); 0 for no tracing.
        pub trace_bytes: U32,
        /// CRC-32 of all bytes of this header before this field.
        pub header_crc: U32,
    }
}

record! {
    /// A physical core.
    pub struct Core {
        /// [`CorePolicy`] as a number.
        pub policy: u8,
        /// Must be zero.
        pub reserved: [u8; 3],
    }
}

record! {
    /// A partition: a guest with its own address space, its own VMID and its own devices.
    pub struct Partition {
        /// Its name, which every message about it carries.
        pub name: Name,
        /// [`Gic`] as a number: the interrupt controller its image needs, or any.
        pub gic: u8,
        /// [`OnFault`] as a number.
        pub on_fault: u8,
        /// 1 if it starts at boot, 0 if it waits for a start from the menu.
        pub autostart: u8,
        /// Must be zero.
        pub reserved: u8,
        /// Most restarts after faults before it stays stopped; 0 means no limit.
        pub max_restarts: U16,
        /// Number of shared peripheral interrupts of its distributor, a multiple of 32, at most 256.
        pub spis: U16,
        /// First record in the table of vCPUs.
        pub first_vcpu: U16,
        /// Number of vCPUs; vCPU `i` has affinity `Aff0 = i`.
        pub vcpus: U16,
        /// First record in the table of regions.
        pub first_region: U16,
        /// Number of regions.
        pub regions: U16,
        /// First record in the table of loads.
        pub first_load: U16,
        /// Number of loads.
        pub loads: U16,
        /// First record in the table of devices.
        pub first_device: U16,
        /// Number of devices.
        pub devices: U16,
        /// Where vCPU 0 starts (a guest-physical address).
        pub entry: U64,
        /// What x0 to x3 hold then.
        pub arguments: [U64; 4],
        /// Guest-physical address of the distributor (64 KiB).
        pub gicd: U64,
        /// Guest-physical address of the first redistributor (GICv3; 128 KiB for each vCPU).
        pub gicr: U64,
        /// Guest-physical address of the CPU interface (GICv2; 8 KiB).
        pub gicc: U64,
    }
}

record! {
    /// A virtual processor, bound to one core for ever.
    pub struct Vcpu {
        /// Index of the physical core.
        pub core: U16,
        /// Its priority: a higher number is more urgent.
        pub priority: u8,
        /// Must be zero.
        pub reserved: u8,
        /// Execution time it may use in each `period_ns`, in nanoseconds; 0 means no budget.
        pub budget_ns: U64,
        /// The period of the budget, in nanoseconds; 0 means no budget.
        pub period_ns: U64,
    }
}

record! {
    /// A piece of a partition's guest-physical address space.
    pub struct Region {
        /// Guest-physical address, a multiple of 4 KiB.
        pub ipa: U64,
        /// Size in bytes, a multiple of 4 KiB.
        pub size: U64,
        /// Host-physical address, or [`ANYWHERE`] for RAM that the kernel chooses.
        pub pa: U64,
        /// [`RegionKind`] as a number.
        pub kind: u8,
        /// Must be zero.
        pub reserved: [u8; 7],
    }
}

record! {
    /// Bytes of the bundle that are copied into a partition's memory before it starts.
    pub struct Load {
        /// Offset in the bundle, a multiple of four.
        pub offset: U64,
        /// Number of bytes in the bundle.
        pub len: U64,
        /// Guest-physical address they are copied to, a multiple of eight.
        pub ipa: U64,
        /// Number of bytes they take there; what exceeds `len` is filled with zeros. At least `len`.
        pub memory_len: U64,
        /// CRC-32 of the bytes in the bundle.
        pub crc: U32,
        /// [`LoadKind`] as a number.
        pub kind: u8,
        /// [`Gic`] as a number: this load is for that interrupt controller only (a device tree for each).
        pub gic: u8,
        /// Must be zero.
        pub reserved: U16,
        /// Offset in the loaded bytes of a seed that the kernel writes anew at every start; 0 for none.
        pub seed_offset: U32,
        /// Length of that seed in bytes, at most 64; 0 for none.
        pub seed_len: U32,
    }
}

record! {
    /// A device model of a partition.
    pub struct Device {
        /// [`DeviceKind`] as a number.
        pub kind: u8,
        /// Must be zero.
        pub reserved: u8,
        /// Its interrupt (INTID, 32 and up); 0 for none.
        pub intid: U16,
        /// Size of its registers in bytes.
        pub size: U32,
        /// Guest-physical address of its registers, a multiple of 4 KiB.
        pub ipa: U64,
    }
}

/// A region with this host-physical address is placed by the kernel.
pub const ANYWHERE: u64 = u64::MAX;

macro_rules! kind {
    ($(#[$doc:meta])* pub enum $name:ident { $($(#[$vdoc:meta])* $variant:ident = $value:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum $name { $($(#[$vdoc])* $variant = $value,)* }

        impl $name {
            /// Decodes the number of a record; `None` for one that has no meaning.
            #[must_use]
            pub const fn decode(value: u8) -> Option<Self> {
                match value { $($value => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

kind! {
    /// What runs on a core.
    pub enum CorePolicy {
        /// Several contexts by priority and budget.
        Shared = 0,
        /// One vCPU owns the core: it waits for interrupts by itself, nothing is scheduled.
        Pinned = 1,
    }
}

kind! {
    /// An interrupt controller version.
    pub enum Gic {
        /// Whichever the board has.
        Any = 0,
        /// GICv2.
        V2 = 2,
        /// GICv3.
        V3 = 3,
    }
}

impl Gic {
    /// Whether something that needs `self` runs on a board with `board`.
    #[must_use]
    pub fn suits(self, board: Self) -> bool {
        self == Self::Any || self == board
    }
}

kind! {
    /// What happens to a partition that faults.
    pub enum OnFault {
        /// It stays stopped.
        Stop = 0,
        /// It is restarted from its pristine images.
        Restart = 1,
    }
}

kind! {
    /// What a region is.
    pub enum RegionKind {
        /// Memory that the guest may read, write and execute.
        Ram = 0,
        /// Memory that the guest may read and execute; its writes are ignored, as by a ROM on a bus.
        Rom = 1,
    }
}

kind! {
    /// What a load is.
    pub enum LoadKind {
        /// A program.
        Image = 0,
        /// A device tree.
        DeviceTree = 1,
        /// An initial RAM disk.
        Initrd = 2,
        /// Anything else.
        Data = 3,
    }
}

kind! {
    /// The device models that a partition can have.
    pub enum DeviceKind {
        /// Arm PL011 UART: the partition's console.
        Pl011 = 1,
        /// Arm PL031 real-time clock.
        Pl031 = 2,
        /// virtio-mmio transports with no device behind, 512 bytes each.
        VirtioEmpty = 3,
    }
}

/// A name of at most 15 bytes, padded with zeros.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Eq)]
#[repr(transparent)]
pub struct Name([u8; 16]);

impl Name {
    /// Makes a name; `None` if it is empty, longer than 15 bytes, or has a byte outside `[a-z0-9-_]`.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let mut bytes = [0; 16];
        if text.len() >= bytes.len() {
            return None;
        }
        bytes
            .get_mut(..text.len())?
            .copy_from_slice(text.as_bytes());
        let name = Self(bytes);
        name.is_valid().then_some(name)
    }

    /// The bytes before the padding. They are ASCII, if the name is valid.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        let end = self.0.iter().position(|&b| b == 0).unwrap_or(0);
        self.0.get(..end).unwrap_or(&[])
    }

    /// The name as text; empty if it is none.
    #[must_use]
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(self.as_bytes()).unwrap_or("")
    }

    /// Whether it is between 1 and 15 bytes of `[a-z0-9-_]` and zeros after them.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        let text = self.as_bytes();
        !text.is_empty()
            && self.0.iter().enumerate().all(|(i, b)| match b {
                b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => i < text.len(),
                b => *b == 0,
            })
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        same(&self.0, &other.0)
    }
}

/// Whether bytes are the same. A call, because a comparison of few bytes is otherwise made of a load for each.
#[inline(never)]
pub(crate) fn same(a: &[u8], b: &[u8]) -> bool {
    a == b
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
