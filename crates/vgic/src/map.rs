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

/// Where a redistributor's SGI frame begins.
const SGI_BASE: u32 = 0x1_0000;

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

impl From<BitRegister> for Register {
    #[inline]
    fn from(register: BitRegister) -> Register {
        match register {
            BitRegister::Group => Register::Group,
            BitRegister::SetEnable => Register::SetEnable,
            BitRegister::ClearEnable => Register::ClearEnable,
            BitRegister::SetPending => Register::SetPending,
            BitRegister::ClearPending => Register::ClearPending,
            BitRegister::SetActive => Register::SetActive,
            BitRegister::ClearActive => Register::ClearActive,
        }
    }
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
            || !matches!(size, 1 | 2 | 4 | 8)
            || offset & u32::from(size).wrapping_sub(1) != 0
        {
            return (Register::Impossible, Place::new(0, 0));
        }
        let v2 = self.is_v2();
        let last_block = (self.dist.config.spis >> 5) as u8;
        // The frame's private interrupts and its blocks. With affinity routing, a distributor has no private ones.
        let (home, blocks, distributor) = match frame {
            Frame::Distributor if v2 => (vcpu, (0, last_block), true),
            Frame::Distributor => (VcpuIndex::new(0), (1, last_block), true),
            Frame::Redistributor(home) => (home, (0, 0), false),
        };
        let nothing = (Register::Reserved, Place::new(home.get(), 0));
        if !distributor && (v2 || !self.has(home)) {
            return nothing;
        }
        let below = if distributor {
            offset
        } else {
            offset.wrapping_sub(SGI_BASE)
        };
        let end: u32 = if v2 { 0x1000 } else { 0x1_0000 };
        // The register, the sizes that it can be accessed with, and how many interrupts a byte is for: 8 >> scale.
        let (register, sizes, scale) = match below {
            0x080..0x400 => match BitRegister::at(below) {
                Some((register, _)) => (register.into(), 4, 0),
                None => return nothing,
            },
            0x400..0x800 => (Register::Priority, 1 | 4, 3),
            0x800..0xc00 if v2 && self.cpus.len() > 1 => (Register::Target, 1 | 4, 3),
            0xc00..0xd00 => (Register::Config, 4, 1),
            0x6000..0x8000 if distributor && !v2 => (Register::Router, 4 | 8, 6),
            _ => {
                let (register, sizes) = match offset {
                    _ if end.wrapping_sub(offset).wrapping_sub(1) < 0x30 => {
                        if distributor {
                            (Register::Identification, 4)
                        } else {
                            (Register::HomeIdentification, 4)
                        }
                    }
                    0x00 if distributor => (Register::Control, 4),
                    0x04 if distributor => (Register::Type, 4),
                    0x08 if distributor => (Register::Implementer, 4),
                    0xf00 if v2 => (Register::Sgi, 4),
                    0xf10..0xf20 if v2 => (Register::ClearSources, 1 | 4),
                    0xf20..0xf30 if v2 => (Register::SetSources, 1 | 4),
                    0x00 => (Register::HomeControl, 4),
                    0x04 => (Register::Implementer, 4),
                    0x08 => (Register::HomeType, 4 | 8),
                    0x0c if !distributor => (Register::HomeType, 4),
                    0x14 if !distributor => (Register::Waker, 4),
                    _ => return nothing,
                };
                if size & sizes == 0 {
                    return nothing;
                }
                return (register, Place::new(home.get(), offset & 15));
            }
        };
        let intid = below.wrapping_shl(3).wrapping_shr(scale) & 0x3ff;
        let block = (intid >> 5) as u8;
        let (first, last) = blocks;
        if size & sizes == 0 || block < first || block > last {
            return nothing;
        }
        (register, Place::new(home.get(), intid))
    }
}
