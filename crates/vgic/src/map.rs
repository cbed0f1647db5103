//! The register maps: what lies at an offset of a frame (IHI 0048, 4.3; IHI 0069, 12.9 to 12.11).
//!
//! The distributor of a GICv2, the distributor of a GICv3 and the SGI frame of a redistributor have the same registers at
//! the same offsets below 0xd00. They differ in whose interrupts 0 to 31 are, and in which blocks of 32 interrupts they have
//! at all. So one function says for a read and for a write which register it is, and of which interrupt.
//!
//! GICv2, without the Security Extensions:
//!
//! - SGIs are enabled for good, as in the GIC-400. They are pending per source; the active state is one per SGI.
//! - With one vCPU the ITARGETSRs are RAZ/WI, and all SPIs go to that vCPU.
//! - An SPI with several targets goes to the lowest of them.
//!
//! GICv3: one security state (GICD_CTLR.DS=1), affinity routing always on (ARE=1), no LPIs and no message-based
//! SPIs, priorities of five bits. What these choices leave out is RAZ/WI. An SPI with IROUTER.IRM=1 goes to
//! vCPU 0. GICR_WAKER keeps its handshake, but a redistributor whose guest never woke it works
//! all the same, as it does on QEMU's board.

use crate::id::VcpuIndex;
use crate::registers::Frame;
use crate::vgic::{Spot, Vgic};

/// A register with a bit per interrupt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BitRegister {
    Group,
    SetEnable,
    ClearEnable,
    SetPending,
    ClearPending,
    SetActive,
    ClearActive,
}

impl BitRegister {
    /// The register at `offset` of a frame, and the block of interrupts that it is for.
    #[inline]
    pub(crate) const fn at(offset: u32) -> Option<(BitRegister, u8)> {
        let register = match offset >> 7 {
            1 => BitRegister::Group,
            2 => BitRegister::SetEnable,
            3 => BitRegister::ClearEnable,
            4 => BitRegister::SetPending,
            5 => BitRegister::ClearPending,
            6 => BitRegister::SetActive,
            7 => BitRegister::ClearActive,
            _ => return None,
        };
        Some((register, (offset >> 2 & 0x1f) as u8))
    }
}

/// What lies at an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Register {
    /// IGROUPR.
    Group,
    /// ISENABLER.
    SetEnable,
    /// ICENABLER.
    ClearEnable,
    /// ISPENDR.
    SetPending,
    /// ICPENDR.
    ClearPending,
    /// ISACTIVER.
    SetActive,
    /// ICACTIVER.
    ClearActive,
    /// IPRIORITYR.
    Priority,
    /// ITARGETSR (GICv2).
    Target,
    /// ICFGR.
    Config,
    /// IROUTER (GICv3).
    Router,
    /// CPENDSGIR (GICv2).
    ClearSources,
    /// SPENDSGIR (GICv2).
    SetSources,
    /// GICD_SGIR (GICv2).
    Sgi,
    /// GICD_CTLR.
    Control,
    /// GICD_TYPER.
    Type,
    /// GICD_IIDR and GICR_IIDR.
    Implementer,
    /// PIDR4 to PIDR7, PIDR0 to PIDR3 and CIDR0 to CIDR3, at the end of a frame.
    Identification,
    /// The same, of a redistributor.
    HomeIdentification,
    /// GICR_CTLR.
    HomeControl,
    /// GICR_TYPER.
    HomeType,
    /// GICR_WAKER.
    Waker,
    /// Nothing: reads as 0 and ignores what is written.
    Reserved,
    /// What cannot be an access at all.
    Impossible,
}

/// The first interrupt that a register is about, and whose private ones those of its frame are. It is one word, as it is
/// passed on in one register of the processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct Place(u32);

impl Place {
    #[inline]
    const fn new(home: u8, intid: u32) -> Place {
        Place(intid | (home as u32) << 16)
    }

    #[inline]
    pub(crate) const fn spot(self) -> Spot {
        Spot::of((self.0 >> 16) as u8, self.0 as u16)
    }
}

/// The frames that a register is in: those of a GICv2, of a GICv2 with several vCPUs, and of a GICv3.
const V2: u8 = 1 << 0;
const V2_SEVERAL: u8 = 1 << 1;
const V3: u8 = 1 << 2;
const RD_BASE: u8 = 1 << 3;
const SGI_FRAME: u8 = 1 << 4;
/// All that have registers with something for each interrupt.
const ALL: u8 = V2 | V3 | SGI_FRAME;

/// The scale of a register that is not about interrupts.
const NONE: u8 = 16;

/// A row of the map.
struct Row {
    first: u16,
    last: u16,
    register: Register,
    frames: u8,
    /// The sizes of an access, or-ed.
    sizes: u8,
    /// A byte is for `8 >> scale` interrupts.
    scale: u8,
}

const fn row(frames: u8, first: u16, last: u16, sizes: u8, scale: u8, register: Register) -> Row {
    Row {
        first,
        last,
        register,
        frames,
        sizes,
        scale,
    }
}

/// All registers.
static MAP: [Row; 24] = [
    row(ALL, 0x080, 0x0ff, 4, 0, Register::Group),
    row(ALL, 0x100, 0x17f, 4, 0, Register::SetEnable),
    row(ALL, 0x180, 0x1ff, 4, 0, Register::ClearEnable),
    row(ALL, 0x200, 0x27f, 4, 0, Register::SetPending),
    row(ALL, 0x280, 0x2ff, 4, 0, Register::ClearPending),
    row(ALL, 0x300, 0x37f, 4, 0, Register::SetActive),
    row(ALL, 0x380, 0x3ff, 4, 0, Register::ClearActive),
    row(ALL, 0x400, 0x7ff, 1 | 4, 3, Register::Priority),
    row(V2_SEVERAL, 0x800, 0xbff, 1 | 4, 3, Register::Target),
    row(ALL, 0xc00, 0xcff, 4, 1, Register::Config),
    row(V3, 0x6000, 0x7fff, 4 | 8, 6, Register::Router),
    row(V2 | V3, 0x00, 0x03, 4, NONE, Register::Control),
    row(V2 | V3, 0x04, 0x07, 4, NONE, Register::Type),
    row(V2 | V3, 0x08, 0x0b, 4, NONE, Register::Implementer),
    row(V2, 0xf00, 0xf03, 4, NONE, Register::Sgi),
    row(V2, 0xf10, 0xf1f, 1 | 4, 3, Register::ClearSources),
    row(V2, 0xf20, 0xf2f, 1 | 4, 3, Register::SetSources),
    row(V2, 0xfd0, 0xfff, 4, NONE, Register::Identification),
    row(V3, 0xffd0, 0xffff, 4, NONE, Register::Identification),
    row(RD_BASE, 0x00, 0x03, 4, NONE, Register::HomeControl),
    row(RD_BASE, 0x04, 0x07, 4, NONE, Register::Implementer),
    row(RD_BASE, 0x08, 0x0f, 4 | 8, NONE, Register::HomeType),
    row(RD_BASE, 0x14, 0x17, 4, NONE, Register::Waker),
    row(
        RD_BASE,
        0xffd0,
        0xffff,
        4,
        NONE,
        Register::HomeIdentification,
    ),
];

impl Vgic<'_> {
    /// Which register an access of `size` bytes by `vcpu` is to, and the first interrupt that it is about.
    #[inline(never)]
    pub(crate) fn decode(
        &self,
        vcpu: VcpuIndex,
        frame: Frame,
        offset: u32,
        size: u8,
    ) -> (Register, Place) {
        if !self.has(vcpu)
            || !size.is_power_of_two()
            || size > 8
            || offset & u32::from(size).wrapping_sub(1) != 0
        {
            return (Register::Impossible, Place::new(0, 0));
        }
        let v2 = self.is_v2();
        let mut last = (self.dist.config.spis >> 5) as u8;
        // With affinity routing, a distributor has no private interrupts, and a redistributor nothing else.
        let (frame, first, home) = match frame {
            Frame::Distributor if v2 && self.cpus.len() > 1 => (V2 | V2_SEVERAL, 0, vcpu),
            Frame::Distributor if v2 => (V2, 0, vcpu),
            Frame::Distributor => (V3, 1, VcpuIndex::new(0)),
            Frame::Redistributor(home) if v2 || !self.has(home) => (0, 0, vcpu),
            Frame::Redistributor(home) => {
                last = 0;
                let frame = match offset >> 16 {
                    0 => RD_BASE,
                    1 => SGI_FRAME,
                    _ => 0,
                };
                (frame, 0, home)
            }
        };
        let place = Place::new(home.get(), 0);
        if frame != SGI_FRAME && offset >> 16 != 0 {
            return (Register::Reserved, place);
        }
        let offset = offset as u16;
        for row in &MAP {
            if row.frames & frame == 0 || offset < row.first || offset > row.last {
                continue;
            }
            if row.sizes & size == 0 {
                break;
            }
            if row.scale == NONE {
                return (row.register, place);
            }
            let bytes = u32::from(offset.wrapping_sub(row.first));
            let intid = bytes.wrapping_shl(3).wrapping_shr(u32::from(row.scale));
            let block = (intid >> 5) as u8;
            if block < first || block > last {
                break;
            }
            return (row.register, Place::new(home.get(), intid));
        }
        (Register::Reserved, place)
    }
}
