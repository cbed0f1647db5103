//! GICv2 (IHI 0048) with the virtualization extensions: GICD, GICC and GICH, all behind MMIO.

use super::gic::{self, Target, VirtualState};
use super::mmio::Mmio;
use vgic::{Groups, ListRegister, Maintenance, Was};

const GICD_CTLR: usize = 0;
const GICD_TYPER: usize = 4;
const ISENABLER: usize = 0x100;
const ICENABLER: usize = 0x180;
const ISACTIVER: usize = 0x300;
const ICACTIVER: usize = 0x380;
const ITARGETSR: usize = 0x800;
const SGIR: usize = 0xf00;
const GICC_CTLR: usize = 0;
const GICC_PMR: usize = 4;
const GICC_BPR: usize = 8;
const GICC_IAR: usize = 0xc;
const GICC_EOIR: usize = 0x10;
const GICC_DIR: usize = 0x1000;
const GICH_HCR: usize = 0;
const GICH_VTR: usize = 4;
const GICH_VMCR: usize = 8;
const GICH_EISR: usize = 0x20;
const GICH_ELRSR: usize = 0x30;
const GICH_APR: usize = 0xf0;
const GICH_LR: usize = 0x100;

const EN: u32 = 1;
const LRENPIE: u32 = 1 << 2;
const NPIE: u32 = 1 << 3;

/// One core's GICv2.
#[derive(Debug)]
pub struct Core {
    distributor: Mmio,
    interface: Mmio,
    hypervisor: Mmio,
    mask: u8,
    pub(super) list_registers: usize,
    hcr: u32,
}

/// Sets up the distributor, once, on the boot core. In a GIC with the Security Extensions the group registers
/// ignore these writes and the firmware has put everything into group 1; else group 0 is what IRQ means.
pub fn start_distributor(distributor: Mmio) {
    distributor.write32(GICD_CTLR, 0);
    let words = (distributor.read32(GICD_TYPER) as usize & 31) + 1;
    for word in 1..words {
        gic::quiet(distributor, word, 0);
        for i in 0..8 {
            distributor.write32(ITARGETSR + 32 * word + 4 * i, 0);
        }
    }
    distributor.write32(GICD_CTLR, 1);
}

impl Core {
    /// Sets up this core's interfaces.
    #[must_use]
    pub fn start(distributor: Mmio, interface: Mmio, hypervisor: Mmio) -> Self {
        gic::quiet(distributor, 0, 0);
        // The first target registers are banked and read as the reading core's own bit, in every byte.
        let mask = (0..8)
            .map(|i| distributor.read32(ITARGETSR + 4 * i))
            .find(|&word| word != 0)
            .unwrap_or(0x0101_0101);
        let mask = (mask | mask >> 8 | mask >> 16 | mask >> 24) as u8;
        interface.write32(GICC_PMR, 0xff);
        interface.write32(GICC_BPR, 0);
        interface.write32(GICC_CTLR, 1 | 1 << 9); // enable; EOI mode 1
        hypervisor.write32(GICH_HCR, EN);
        hypervisor.write32(GICH_APR, 0);
        Self {
            distributor,
            interface,
            hypervisor,
            mask,
            list_registers: (hypervisor.read32(GICH_VTR) as usize & 63) + 1,
            hcr: EN,
        }
    }

    #[inline(always)]
    pub(super) fn acknowledge(&self) -> u32 {
        self.interface.read32(GICC_IAR) & 0x1fff
    }

    #[inline(always)]
    pub(super) fn end(&self, raw: u32) {
        self.interface.write32(GICC_EOIR, raw);
    }

    #[inline(always)]
    pub(super) fn deactivate(&self, raw: u32) {
        self.interface.write32(GICC_DIR, raw);
    }

    pub(super) fn enable(&self, intid: u32) {
        self.distributor.write32(ISENABLER + 4 * (intid as usize / 32), 1 << (intid % 32));
    }

    pub(super) fn disable(&self, intid: u32) {
        self.distributor.write32(ICENABLER + 4 * (intid as usize / 32), 1 << (intid % 32));
    }

    #[inline(always)]
    pub(super) fn set_active(&self, intid: u32, active: bool) {
        let register = if active { ISACTIVER } else { ICACTIVER };
        self.distributor.write32(register, 1 << (intid % 32));
        // It has arrived when it can be read back.
        let _ = self.distributor.read32(register);
    }

    pub(super) fn route_here(&self, intid: u32) {
        self.distributor.write8(ITARGETSR + intid as usize, self.mask);
    }

    pub(super) fn kick(&self, target: Target) {
        super::cpu::dsb();
        self.distributor.write32(SGIR, (target.0 as u32 & 0xff) << 16 | gic::KICK);
    }

    pub(super) fn target(&self) -> Target {
        Target(u64::from(self.mask))
    }

    fn write_hcr(&mut self, hcr: u32) {
        if self.hcr != hcr {
            self.hcr = hcr;
            self.hypervisor.write32(GICH_HCR, hcr);
        }
    }

    pub(super) fn set_maintenance(&mut self, m: Maintenance) {
        let mut hcr = EN;
        if m.no_pending() {
            hcr |= NPIE;
        }
        if m.not_present() {
            hcr |= LRENPIE;
        }
        self.write_hcr(hcr);
    }

    #[inline(always)]
    pub(super) fn empty(&self) -> u32 {
        self.hypervisor.read32(GICH_ELRSR)
    }

    #[inline(always)]
    pub(super) fn ended(&self) -> u32 {
        self.hypervisor.read32(GICH_EISR)
    }

    #[inline(always)]
    pub(super) fn eoi_count(&self) -> u32 {
        self.hypervisor.read32(GICH_HCR) >> 27
    }

    pub(super) fn clear_eoi_count(&mut self) {
        self.hypervisor.write32(GICH_HCR, self.hcr);
    }

    #[inline(always)]
    pub(super) fn read(&self, index: usize) -> ListRegister {
        ListRegister::from_v2(self.hypervisor.read32(GICH_LR + 4 * index))
    }

    #[inline(always)]
    pub(super) fn write(&self, index: usize, value: ListRegister) {
        self.hypervisor.write32(GICH_LR + 4 * index, value.to_v2());
    }

    /// Sets the pending bit of a list register, if that was as `was` says.
    #[inline(always)]
    pub(super) fn make_pending(&self, index: usize, was: Was) -> bool {
        const PENDING: u32 = 1 << 28;
        let (mask, value) = was.v2();
        let now = self.hypervisor.read32(GICH_LR + 4 * index);
        let fits = now & mask == value;
        if fits {
            self.hypervisor.write32(GICH_LR + 4 * index, now | PENDING);
        }
        fits
    }

    pub(super) fn save_virtual(&mut self, state: &mut VirtualState) {
        state.vmcr = self.hypervisor.read32(GICH_VMCR);
        state.active[0][0] = self.hypervisor.read32(GICH_APR);
    }

    pub(super) fn load_virtual(&mut self, state: &VirtualState) {
        self.hypervisor.write32(GICH_VMCR, state.vmcr);
        self.hypervisor.write32(GICH_APR, state.active[0][0]);
    }

    pub(super) fn virtual_mask(&self) -> (u8, Groups) {
        let vmcr = self.hypervisor.read32(GICH_VMCR);
        let pmr = (vmcr >> 27 << 3) as u8;
        (gic::mask(pmr, self.hypervisor.read32(GICH_APR)), Groups::from_bits(vmcr as u8 & 3))
    }
}
