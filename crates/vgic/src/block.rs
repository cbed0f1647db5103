//! The state of 32 interrupts: one word of the distributor's bit registers, or a vCPU's SGIs and PPIs.
//!
//! Everything that is one bit per interrupt is a mask, so that a 32-bit register is read and written with
//! word operations. "Held" means that the interrupt is in a list register of some vCPU; its pending and active
//! state then belong to the hardware, and the masks here say what was last known. Whoever wants to change
//! the state of a held interrupt leaves a request (`drop`, `end`, `start`) which is applied when the vCPU that
//! holds it gives it back.

/// `target` of an interrupt that goes nowhere.
pub(crate) const NOWHERE: u8 = 0xff;

/// The state of 32 interrupts.
#[repr(C, align(64))]
pub(crate) struct Block {
    /// In a list register of the vCPU in `place`.
    pub(crate) held: u32,
    /// Held, and pending in the list register when last known.
    pub(crate) held_pending: u32,
    /// Held, and the list register's pending state stands for a latch, not for the line alone.
    pub(crate) held_latch: u32,
    /// Held, in a list register that deactivates the physical interrupt.
    pub(crate) held_physical: u32,
    /// Held, in a list register that raises maintenance at its end.
    pub(crate) held_eoi: u32,
    /// A physical interrupt, `pintid`, is active on behalf of this one.
    pub(crate) linked: u32,
    /// Active; what was last known if held.
    pub(crate) active: u32,
    /// In the ready set of `target`.
    pub(crate) queued: u32,
    /// Pending by an edge, by ISPENDR, by an SGI or by a physical interrupt; not yet in a list register.
    pub(crate) latch: u32,
    /// The device's line is high.
    pub(crate) line: u32,
    /// ICFGR: level-sensitive.
    pub(crate) level: u32,
    /// ISENABLER.
    pub(crate) enabled: u32,
    /// `target` is a vCPU of this guest.
    pub(crate) routed: u32,
    /// IGROUPR.
    pub(crate) group1: u32,
    /// The link is that of what is pending in memory; what is active or held is not linked.
    pub(crate) link_waits: u32,
    /// Held since it was latched or its physical interrupt came, as it was put there, and undisturbed since: when it comes
    /// again, the list register only needs its pending bit.
    pub(crate) express: u32,
    /// Request: forget the pending state of the list register.
    pub(crate) drop: u32,
    /// Request: end the active state of the list register.
    pub(crate) end: u32,
    /// Request: make it active.
    pub(crate) start: u32,
    /// The physical interrupt is to be deactivated by software.
    pub(crate) release: u32,
    /// The group that it was activated in.
    pub(crate) active_group1: u32,
    /// IROUTER.Interrupt_Routing_Mode.
    pub(crate) any: u32,
    /// IPRIORITYR; the low three bits are 0.
    pub(crate) priority: [u8; 32],
    /// The vCPU that a pending one goes to.
    pub(crate) target: [u8; 32],
    /// The vCPU that holds it or that it is active on (high nibble), and the list register (low).
    pub(crate) place: [u8; 32],
    /// The level that it was activated at.
    pub(crate) active_level: [u8; 32],
    /// The linked physical interrupt.
    pub(crate) pintid: [u16; 32],
    /// What software wrote: ITARGETSR (GICv2) or the affinity in IROUTER (GICv3), as Aff3.Aff2.Aff1.Aff0.
    pub(crate) route: [u32; 32],
}

impl Block {
    pub(crate) const fn new() -> Block {
        Block {
            enabled: 0,
            routed: 0,
            latch: 0,
            line: 0,
            level: 0,
            active: 0,
            held: 0,
            queued: 0,
            group1: 0,
            held_pending: 0,
            held_latch: 0,
            held_eoi: 0,
            held_physical: 0,
            linked: 0,
            release: 0,
            link_waits: 0,
            drop: 0,
            end: 0,
            start: 0,
            active_group1: 0,
            any: 0,
            express: 0,
            priority: [0; 32],
            target: [0; 32],
            place: [0; 32],
            active_level: [0; 32],
            pintid: [0; 32],
            route: [0; 32],
        }
    }

    /// Pending in memory, that is apart from what a list register holds.
    #[inline]
    pub(crate) const fn pending_outside(&self) -> u32 {
        self.latch | self.line & self.level
    }

    /// ISPENDR, as last known.
    #[inline]
    pub(crate) const fn pending(&self) -> u32 {
        self.pending_outside() | self.held_pending
    }

    /// Those that belong into a ready set.
    #[inline]
    pub(crate) const fn wanted(&self) -> u32 {
        self.pending_outside() & self.enabled & self.routed & !(self.active | self.held)
    }

    /// Latches the pending state of the interrupts of `mask`; gives those whose list registers are to be revised.
    #[inline]
    pub(crate) const fn set_latch(&mut self, mask: u32) -> u32 {
        self.latch |= mask;
        // A list register that is known to be active and raises maintenance at its end needs no revision.
        self.held & mask & !(self.held_eoi & !self.held_pending)
    }

    /// Linked, and not about to be unlinked by software.
    #[inline]
    pub(crate) const fn live_link(&self) -> u32 {
        self.linked & !self.release
    }

    /// Those whose link ends with what is held or active.
    #[inline]
    pub(crate) const fn link_here(&self) -> u32 {
        self.live_link() & !self.link_waits
    }

    /// The level in a ready set: the top five bits of the priority.
    #[inline]
    pub(crate) fn ready_level(&self, bit: u32) -> u8 {
        byte(&self.priority, bit) >> 3
    }

    #[inline]
    pub(crate) fn target(&self, bit: u32) -> u8 {
        byte(&self.target, bit)
    }

    #[inline]
    pub(crate) fn priority(&self, bit: u32) -> u8 {
        byte(&self.priority, bit)
    }

    #[inline]
    pub(crate) fn set_priority(&mut self, bit: u32, priority: u8) {
        set_byte(&mut self.priority, bit, priority);
    }

    /// Sends bit `bit` to `target`, which may be [`NOWHERE`].
    #[inline]
    pub(crate) fn set_target(&mut self, bit: u32, target: u8) {
        set_byte(&mut self.target, bit, target);
        assign(&mut self.routed, 1u32.wrapping_shl(bit), target != NOWHERE);
    }

    /// The vCPU whose list register holds it, or on which it is active.
    #[inline]
    pub(crate) fn owner(&self, bit: u32) -> u8 {
        byte(&self.place, bit) >> 4
    }

    /// The list register that holds it.
    #[inline]
    pub(crate) fn slot(&self, bit: u32) -> u8 {
        byte(&self.place, bit) & 15
    }

    #[inline]
    pub(crate) fn set_place(&mut self, bit: u32, owner: u8, slot: u8) {
        set_byte(&mut self.place, bit, owner.wrapping_shl(4) | slot & 15);
    }

    #[inline]
    pub(crate) fn active_level(&self, bit: u32) -> u8 {
        byte(&self.active_level, bit)
    }

    /// Makes it active, at a level and in a group that later changes of its priority and group do not touch.
    #[inline]
    pub(crate) fn activate(&mut self, bit: u32, level: u8, group1: bool) {
        let mask = 1u32.wrapping_shl(bit);
        self.active |= mask;
        set_byte(&mut self.active_level, bit, level);
        assign(&mut self.active_group1, mask, group1);
    }

    /// Makes it active as software wants it: like this it has nothing to do with a physical interrupt.
    #[inline(never)]
    pub(crate) fn start(&mut self, bit: u32) {
        let mask = 1u32.wrapping_shl(bit);
        self.link_waits |= self.linked & mask;
        self.activate(bit, self.ready_level(bit), self.group1 & mask != 0);
    }

    /// The interrupts of `mask` are in list registers no more.
    #[inline(never)]
    pub(crate) fn let_go(&mut self, mask: u32) {
        self.express &= !mask;
        self.held &= !mask;
        self.held_pending &= !mask;
        self.held_latch &= !mask;
        self.held_physical &= !mask;
        self.held_eoi &= !mask;
    }

    #[inline]
    pub(crate) fn pintid(&self, bit: u32) -> u16 {
        self.pintid.get((bit & 31) as usize).copied().unwrap_or(0)
    }

    #[inline]
    pub(crate) fn set_pintid(&mut self, bit: u32, pintid: u16) {
        if let Some(entry) = self.pintid.get_mut((bit & 31) as usize) {
            *entry = pintid;
        }
    }

    #[inline]
    pub(crate) fn route(&self, bit: u32) -> u32 {
        self.route.get((bit & 31) as usize).copied().unwrap_or(0)
    }

    #[inline]
    pub(crate) fn set_route(&mut self, bit: u32, route: u32) {
        if let Some(entry) = self.route.get_mut((bit & 31) as usize) {
            *entry = route;
        }
    }
}

/// Element `bit` of a per-interrupt table. The mask lets the compiler see that it is in range.
#[inline]
pub(crate) fn byte(table: &[u8; 32], bit: u32) -> u8 {
    table.get((bit & 31) as usize).copied().unwrap_or(0)
}

#[inline]
pub(crate) fn set_byte(table: &mut [u8; 32], bit: u32, value: u8) {
    if let Some(entry) = table.get_mut((bit & 31) as usize) {
        *entry = value;
    }
}

/// The bits of `mask`, lowest first.
pub(crate) struct Bits(pub(crate) u32);

impl Iterator for Bits {
    type Item = u32;
    #[inline]
    fn next(&mut self) -> Option<u32> {
        if self.0 == 0 {
            return None;
        }
        let bit = self.0.trailing_zeros();
        self.0 &= self.0.wrapping_sub(1);
        Some(bit)
    }
}

/// `word` with the bits of `mask` set or cleared.
#[inline]
pub(crate) const fn assign(word: &mut u32, mask: u32, on: bool) {
    let set = if on { mask } else { 0 };
    *word = *word & !mask | set;
}
