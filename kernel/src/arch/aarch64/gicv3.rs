//! GICv3 (IHI 0069): distributor, redistributor, and the system registers of both interfaces.

use super::gic::{self, Target, VirtualState};
use super::mmio::Mmio;
use super::{cpu, mrs, msr};
use vgic::{Groups, ListRegister, ListRegisters, Maintenance, Was};

const GICD_CTLR: usize = 0;
const GICD_TYPER: usize = 4;
const ISENABLER: usize = 0x100;
const ICENABLER: usize = 0x180;
const ISACTIVER: usize = 0x300;
const ICACTIVER: usize = 0x380;
const GICD_IROUTER: usize = 0x6000;
const GICR_TYPER: usize = 8;
const GICR_WAKER: usize = 0x14;
/// The SGI and PPI registers lie in the second 64 KiB of a redistributor.
const SGI_FRAME: usize = 0x1_0000;
/// Register write pending.
const RWP: u32 = 1 << 31;

/// ICH_HCR_EL2 bits.
const EN: u64 = 1;
const LRENPIE: u64 = 1 << 2;
const NPIE: u64 = 1 << 3;
const TDIR: u64 = 1 << 14;
const EOI_COUNT: u64 = 31 << 27;

/// One core's GICv3.
#[derive(Debug)]
pub struct Core {
    distributor: Mmio,
    redistributor: Mmio,
    affinity: u64,
    pub(super) list_registers: usize,
    active_words: usize,
    can_trap_dir: bool,
    /// ICH_HCR_EL2 as it was written last.
    hcr: u64,
}

/// Sets up the distributor, once, on the boot core: everything off, in group 1, to be routed by who wants it.
pub fn start_distributor(distributor: Mmio) {
    let wait = || while distributor.read32(GICD_CTLR) & RWP != 0 {};
    distributor.write32(GICD_CTLR, 0);
    wait();
    let words = (distributor.read32(GICD_TYPER) as usize & 31) + 1;
    for word in 1..words {
        gic::quiet(distributor, word, !0);
    }
    wait();
    // Affinity routing, group 1; the second enable bit is for a distributor with one security state.
    distributor.write32(GICD_CTLR, 1 << 4);
    wait();
    distributor.write32(GICD_CTLR, 1 << 4 | 1 << 1 | 1);
    wait();
}

impl Core {
    /// Sets up this core's redistributor and interfaces. `None` if `redistributors` holds none for this core.
    #[must_use]
    pub fn start(distributor: Mmio, redistributors: &[Mmio]) -> Option<Self> {
        let affinity = cpu::affinity();
        let redistributor = redistributors.iter().find_map(|&r| find(r, affinity))?;
        let waker = redistributor.read32(GICR_WAKER);
        redistributor.write32(GICR_WAKER, waker & !2);
        while redistributor.read32(GICR_WAKER) & 4 != 0 {}
        let sgi = redistributor.part(SGI_FRAME, 0x1_0000);
        gic::quiet(sgi, 0, !0);
        // SAFETY: gives EL2 and EL1 the system-register interface (EL1's accesses are virtual) and keeps EL1 from giving it back; EOI mode 1.
        unsafe {
            msr!("s3_4_c12_c9_5", 0xfu64); // ICC_SRE_EL2: SRE, no bypass, Enable
            cpu::isb();
            msr!("s3_0_c12_c12_5", 7u64); // ICC_SRE_EL1
            cpu::isb();
            msr!("s3_4_c12_c9_5", 7u64); // ICC_SRE_EL2 without Enable: EL1's ICC_SRE_EL1 traps
            cpu::isb();
            msr!("s3_0_c4_c6_0", 0xffu64); // ICC_PMR_EL1
            msr!("s3_0_c12_c12_3", 0u64); // ICC_BPR1_EL1
            msr!("s3_0_c12_c12_4", 2u64); // ICC_CTLR_EL1: EOImode
            msr!("s3_0_c12_c12_7", 1u64); // ICC_IGRPEN1_EL1
            msr!("s3_4_c12_c11_0", EN); // ICH_HCR_EL2
            cpu::isb();
        }
        let vtr = mrs!("s3_4_c12_c11_1"); // ICH_VTR_EL2
        let core = Self {
            distributor,
            redistributor: sgi,
            affinity,
            list_registers: (vtr as usize & 15) + 1,
            active_words: 1 << ((vtr >> 26 & 7).clamp(4, 6) - 4),
            can_trap_dir: vtr >> 19 & 1 != 0,
            hcr: EN,
        };
        let none = VirtualState::default();
        core.load_virtual(&none);
        Some(core)
    }

    #[inline(always)]
    pub(super) fn acknowledge(&self) -> u32 {
        let intid: u64;
        // SAFETY: acknowledging is the purpose; it changes only the interrupt's state.
        unsafe { core::arch::asm!("mrs {}, s3_0_c12_c12_0", out(reg) intid, options(nostack, preserves_flags)) }
        intid as u32
    }

    #[inline(always)]
    pub(super) fn end(&self, intid: u32) {
        // SAFETY: ICC_EOIR1_EL1 with EOI mode 1 drops the priority only.
        unsafe { msr!("s3_0_c12_c12_1", u64::from(intid)) }
    }

    #[inline(always)]
    pub(super) fn deactivate(&self, intid: u32) {
        // SAFETY: ICC_DIR_EL1 ends an active interrupt.
        unsafe { msr!("s3_0_c12_c11_1", u64::from(intid)) }
    }

    fn frame(&self, intid: u32) -> Mmio {
        if intid < 32 { self.redistributor } else { self.distributor }
    }

    pub(super) fn enable(&self, intid: u32) {
        self.frame(intid).write32(ISENABLER + 4 * (intid as usize / 32), 1 << (intid % 32));
    }

    pub(super) fn disable(&self, intid: u32) {
        self.frame(intid).write32(ICENABLER + 4 * (intid as usize / 32), 1 << (intid % 32));
    }

    #[inline(always)]
    pub fn set_active(&self, intid: u32, active: bool) {
        let register = if active { ISACTIVER } else { ICACTIVER };
        self.redistributor.write32(register, 1 << (intid % 32));
        // It has arrived when it has been read back: only then may what drives the interrupt be let loose.
        let _ = self.redistributor.read32(register);
        cpu::dsb();
    }

    pub(super) fn route_here(&self, intid: u32) {
        self.distributor.write64(GICD_IROUTER + 8 * intid as usize, self.affinity);
    }

    pub(super) fn kick(&self, target: Target) {
        let a = target.0;
        let aff0 = a & 0xff;
        let value = (a >> 32 & 0xff) << 48 | (aff0 >> 4) << 44 | (a >> 16 & 0xff) << 32
            | u64::from(gic::KICK) << 24 | (a >> 8 & 0xff) << 16 | 1 << (aff0 & 15);
        // SAFETY: ICC_SGI1R_EL1 sends an interrupt to a core of this kernel; the barrier publishes the request before it.
        unsafe {
            core::arch::asm!("dsb ishst", "msr s3_0_c12_c11_5, {}", "isb", in(reg) value, options(nostack, preserves_flags));
        }
    }

    pub(super) fn target(&self) -> Target {
        Target(self.affinity)
    }

    fn write_hcr(&mut self, hcr: u64) {
        if self.hcr != hcr {
            self.hcr = hcr;
            // SAFETY: ICH_HCR_EL2 governs only the virtual interface. EOIcount is written as it is kept: zero.
            unsafe { msr!("s3_4_c12_c11_0", hcr) }
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
        if m.not_present() && self.can_trap_dir {
            hcr |= TDIR;
        }
        self.write_hcr(hcr);
    }

    #[inline(always)]
    pub(super) fn empty(&self) -> u32 {
        // List registers that have just been written count: what is read here depends on them.
        cpu::isb();
        mrs!("s3_4_c12_c11_5") as u32 // ICH_ELRSR_EL2
    }

    #[inline(always)]
    pub(super) fn ended(&self) -> u32 {
        mrs!("s3_4_c12_c11_3") as u32 // ICH_EISR_EL2
    }

    #[inline(always)]
    pub(super) fn eoi_count(&self) -> u32 {
        (mrs!("s3_4_c12_c11_0") & EOI_COUNT) as u32 >> 27
    }

    pub(super) fn clear_eoi_count(&mut self) {
        // SAFETY: as for `write_hcr`.
        unsafe { msr!("s3_4_c12_c11_0", self.hcr) }
    }

    #[inline(always)]
    pub(super) fn read(&self, index: usize) -> ListRegister {
        macro_rules! at {
            ($($n:literal => $name:literal),*) => {
                match index { $($n => mrs!($name),)* _ => 0 }
            };
        }
        ListRegister::from_v3(at!(
            0 => "s3_4_c12_c12_0", 1 => "s3_4_c12_c12_1", 2 => "s3_4_c12_c12_2", 3 => "s3_4_c12_c12_3",
            4 => "s3_4_c12_c12_4", 5 => "s3_4_c12_c12_5", 6 => "s3_4_c12_c12_6", 7 => "s3_4_c12_c12_7",
            8 => "s3_4_c12_c13_0", 9 => "s3_4_c12_c13_1", 10 => "s3_4_c12_c13_2", 11 => "s3_4_c12_c13_3",
            12 => "s3_4_c12_c13_4", 13 => "s3_4_c12_c13_5", 14 => "s3_4_c12_c13_6", 15 => "s3_4_c12_c13_7"
        ))
    }

    #[inline(always)]
    pub(super) fn write(&self, index: usize, value: ListRegister) {
        macro_rules! at {
            ($($n:literal => $name:literal),*) => {
                match index {
                    // SAFETY: a list register only offers the loaded guest an interrupt; it exists, as ICH_VTR_EL2 said.
                    $($n => unsafe { msr!($name, value.to_v3()) },)*
                    _ => {}
                }
            };
        }
        at!(
            0 => "s3_4_c12_c12_0", 1 => "s3_4_c12_c12_1", 2 => "s3_4_c12_c12_2", 3 => "s3_4_c12_c12_3",
            4 => "s3_4_c12_c12_4", 5 => "s3_4_c12_c12_5", 6 => "s3_4_c12_c12_6", 7 => "s3_4_c12_c12_7",
            8 => "s3_4_c12_c13_0", 9 => "s3_4_c12_c13_1", 10 => "s3_4_c12_c13_2", 11 => "s3_4_c12_c13_3",
            12 => "s3_4_c12_c13_4", 13 => "s3_4_c12_c13_5", 14 => "s3_4_c12_c13_6", 15 => "s3_4_c12_c13_7"
        );
    }

    /// Sets the pending bit of one of the first four list registers, if that was as `was` says.
    #[inline(always)]
    pub(super) fn make_pending(&self, index: usize, was: Was) -> bool {
        let (mask, value) = was.v3();
        let done: u64;
        // SAFETY: the routine reads and writes one list register that exists, to offer the loaded guest its interrupt again; it
        // changes no other register than those named, and no memory.
        unsafe {
            core::arch::asm!(
                "bl {routine}",
                routine = sym list_make_pending,
                inout("x9") index => done, in("x10") mask, in("x11") value,
                out("x12") _, out("x30") _,
                options(nomem, nostack)
            );
        }
        done != 0
    }

    /// Whether [`save_simple`](Self::save_simple) and [`load_simple`](Self::load_simple) suffice: one word of active
    /// priorities for each group.
    #[inline(always)]
    pub fn is_simple(&self) -> bool {
        self.active_words == 1
    }

    #[inline(always)]
    pub fn save_simple(&self, state: &mut VirtualState) {
        let (vmcr, group0, group1) = (mrs!("s3_4_c12_c11_7"), mrs!("s3_4_c12_c8_0"), mrs!("s3_4_c12_c9_0"));
        state.vmcr = vmcr as u32;
        state.active[0] = [group0 as u32, group1 as u32];
    }

    #[inline(always)]
    pub fn load_simple(&self, state: &VirtualState) {
        let (vmcr, [group0, group1]) = (state.vmcr, state.active[0]);
        // SAFETY: these registers govern only the loaded guest's virtual interface.
        unsafe {
            msr!("s3_4_c12_c11_7", u64::from(vmcr));
            msr!("s3_4_c12_c8_0", u64::from(group0));
            msr!("s3_4_c12_c9_0", u64::from(group1));
        }
    }

    pub(super) fn save_virtual(&self, state: &mut VirtualState) {
        self.save_simple(state);
        if self.active_words > 1 {
            state.active[1] = [mrs!("s3_4_c12_c8_1") as u32, mrs!("s3_4_c12_c9_1") as u32];
        }
        if self.active_words > 2 {
            state.active[2] = [mrs!("s3_4_c12_c8_2") as u32, mrs!("s3_4_c12_c9_2") as u32];
            state.active[3] = [mrs!("s3_4_c12_c8_3") as u32, mrs!("s3_4_c12_c9_3") as u32];
        }
    }

    pub(super) fn load_virtual(&self, state: &VirtualState) {
        self.load_simple(state);
        let [_, second, third, fourth] = &state.active;
        // SAFETY: as for `load_simple`; those written exist.
        unsafe {
            if self.active_words > 1 {
                msr!("s3_4_c12_c8_1", u64::from(second[0]));
                msr!("s3_4_c12_c9_1", u64::from(second[1]));
            }
            if self.active_words > 2 {
                msr!("s3_4_c12_c8_2", u64::from(third[0]));
                msr!("s3_4_c12_c9_2", u64::from(third[1]));
                msr!("s3_4_c12_c8_3", u64::from(fourth[0]));
                msr!("s3_4_c12_c9_3", u64::from(fourth[1]));
            }
        }
    }

    pub(super) fn virtual_mask(&self) -> (u8, Groups) {
        let vmcr = mrs!("s3_4_c12_c11_7");
        let active = (mrs!("s3_4_c12_c8_0") | mrs!("s3_4_c12_c9_0")) as u32;
        // With more preemption levels a word covers fewer priorities; only its order matters here.
        let mask = if self.active_words == 1 { gic::mask((vmcr >> 24) as u8, active) } else { (vmcr >> 24) as u8 };
        (mask, Groups::from_bits(vmcr as u8 & 3))
    }
}

/// The short ways: most cores have four list registers, and the lowest are used first.
impl ListRegisters for Core {
    const PARKED: u32 = 0xf;

    #[inline(always)]
    fn take(&mut self, used: u32, into: &mut [ListRegister; 16]) {
        // SAFETY: reads and empties list registers that exist, of the vCPU that leaves; `into` has room for all. The routine
        // changes the registers that are named.
        unsafe {
            core::arch::asm!(
                "bl {take}", take = sym lists_take, in("x15") into, inout("x16") used => _, out("x17") _, out("x30") _,
                options(nostack, preserves_flags)
            );
        }
    }

    #[inline(always)]
    fn put(&mut self, used: u32, from: &[ListRegister; 16]) {
        // SAFETY: as for `write` and `take`.
        unsafe {
            core::arch::asm!(
                "bl {put}", put = sym lists_put, in("x15") from, inout("x16") used => _, out("x17") _, out("x30") _,
                options(nostack, preserves_flags)
            );
        }
    }
}

unsafe extern "C" {
    fn list_make_pending();
    fn lists_take();
    fn lists_put();
}

core::arch::global_asm!(
    r#"
    .macro each_list what
    .irp    n, 0, 1, 2, 3
    \what   \n, s3_4_c12_c12_\n, 8 * \n
    .endr
1:  ret
    .endm
    .macro take_list n, register, at
    cbz     w16, 1f
    tbz     w16, #0, 2f
    mrs     x17, \register
    msr     \register, xzr
    str     x17, [x15, #\at]
2:  lsr     w16, w16, #1
    .endm
    .macro put_list n, register, at
    cbz     w16, 1f
    tbz     w16, #0, 2f
    ldr     x17, [x15, #\at]
    msr     \register, x17
2:  lsr     w16, w16, #1
    .endm

    .section .text.low, "ax"
    .global lists_take
lists_take:
    each_list take_list
    .global lists_put
lists_put:
    each_list put_list

    // x9 = index, x10 = mask, x11 = value; x9 = whether it was done. Uses x12.
    .macro make_pending_in n
    mrs     x12, s3_4_c12_c12_\n
    and     x9, x12, x10
    cmp     x9, x11
    b.ne    4f
    orr     x12, x12, #1 << 62
    msr     s3_4_c12_c12_\n, x12
    mov     x9, #1
    ret
    .endm
    .global list_make_pending
list_make_pending:
    cbnz    x9, 1f
    make_pending_in 0
1:  cmp     x9, #2
    b.hi    3f
    b.eq    2f
    make_pending_in 1
2:  make_pending_in 2
3:  cmp     x9, #3
    b.ne    4f
    make_pending_in 3
4:  mov     x9, xzr
    ret
    .text
    "#
);

/// Walks a region of redistributors for the one of a core (GICR_TYPER: affinity in the upper half, Last bit 4, VLPIS bit 1).
fn find(region: Mmio, affinity: u64) -> Option<Mmio> {
    let packed = affinity & 0xff_ffff | (affinity >> 32 & 0xff) << 24;
    let mut offset = 0;
    while offset + 0x2_0000 <= region.size() {
        let frame = region.part(offset, 0x2_0000);
        let typer = frame.read64(GICR_TYPER);
        if typer >> 32 == packed {
            return Some(frame);
        }
        if typer & 1 << 4 != 0 {
            break;
        }
        offset += if typer & 2 != 0 { 0x4_0000 } else { 0x2_0000 };
    }
    None
}
