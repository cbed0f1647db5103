//! The reset state (IHI 0048 and IHI 0069, "Reset behaviour"; what they leave unknown is as on QEMU's boards).

use crate::block::{Bits, Block, NOWHERE};
use crate::cpu::Cpu;
use crate::id::{VcpuIndex, VcpuSet};
use crate::interface::Groups;
use crate::vgic::{Vgic, intid_of};

impl Vgic<'_> {
    /// Resets the whole controller.
    ///
    /// The kernel has saved every vCPU before, or zeroes their list registers and switches their maintenance
    /// interrupts off; no vCPU is loaded afterwards. Physical interrupts that were linked are the kernel's to deactivate:
    /// ask [`hw_in_flight`](Vgic::hw_in_flight) before. To do the work in steps, call
    /// [`reset_step`](Vgic::reset_step).
    pub fn reset(&mut self) {
        let mut step = 0;
        while self.reset_step(step) {
            step = step.wrapping_add(1);
        }
    }

    /// Does step `step`, from 0 on, of a [`reset`](Vgic::reset): a few hundred instructions each. Returns whether there are more.
    /// Nothing else may be called until the last step is done.
    pub fn reset_step(&mut self, step: u8) -> bool {
        let blocks = self.dist.spis.len() as u8;
        let vcpus = self.dist.config.vcpus;
        if step < blocks {
            self.reset_block(usize::from(step));
        } else {
            let index = step.wrapping_sub(blocks);
            self.dist.groups = Groups::NONE;
            self.dist.dirty = VcpuSet::EMPTY;
            // Whatever SPIs the vCPU had queued or active went with the blocks.
            let v2 = self.is_v2();
            if let Some(cpu) = self.cpus.get_mut(usize::from(index)) {
                cpu.lists.reset();
                reset_private(cpu, index, v2);
            }
        }
        u16::from(step).wrapping_add(1) < u16::from(blocks).wrapping_add(u16::from(vcpus))
    }

    /// Resets 32 SPIs.
    fn reset_block(&mut self, index: usize) {
        let uniprocessor_v2 = self.is_v2() && self.dist.config.vcpus == 1;
        let to_first = self.dist.config.version == crate::Version::V3 || uniprocessor_v2;
        let Some(block) = self.dist.spis.get_mut(index) else {
            return;
        };
        *block = Block::new();
        block.level = u32::MAX;
        if to_first {
            // All go to vCPU 0, which is what `target` holds already.
            block.routed = u32::MAX;
        } else {
            block.target = [NOWHERE; 32];
        }
    }

    /// Resets the private interrupts of one vCPU and forgets what it had queued or active of them; the SPIs
    /// that go to it stay. The vCPU must not be loaded: if it is, nothing happens.
    pub fn reset_vcpu(&mut self, vcpu: VcpuIndex) {
        let v2 = self.is_v2();
        let Some(cpu) = self.cpus.get_mut(usize::from(vcpu.get())) else {
            return;
        };
        let Cpu { block, lists } = cpu;
        if lists.loaded {
            return;
        }
        for slot in Bits(lists.used) {
            if lists.slot(slot) < 32 {
                lists.free(slot);
            }
        }
        for bit in Bits(block.queued) {
            let group1 = block.group1 & 1u32.wrapping_shl(bit) != 0;
            lists.remove_ready(group1, block.ready_level(bit), intid_of(0, bit));
        }
        for bit in Bits(block.active) {
            lists.remove_spilled(block.active_level(bit), intid_of(0, bit));
        }
        reset_private(cpu, vcpu.get(), v2);
    }
}

/// Gives the private interrupts of vCPU `index` their reset state; none of them is in a set or in a list register.
fn reset_private(cpu: &mut Cpu, index: u8, v2: bool) {
    let Cpu { block, lists } = cpu;
    *block = Block::new();
    // PPIs are level-sensitive, SGIs edge-triggered. A GICv2 has its SGIs enabled for good.
    block.level = 0xffff_0000;
    block.enabled = if v2 { 0xffff } else { 0 };
    block.routed = u32::MAX;
    block.target = [index; 32];
    lists.release &= !1;
    lists.reading = 0;
    lists.asleep = true;
    lists.sgi_sources = [0; 16];
    lists.sgi_current = [0; 16];
}
