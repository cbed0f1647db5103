//! The architecture as plainly as it can be said: every interrupt has its state in one place, every change is
//! immediate, and the most urgent interrupt is found by looking at all of them. No list registers.

use tessera_vgic::Version;

#[derive(Clone, Default, Debug)]
pub struct Interrupt {
    pub enabled: bool,
    pub group1: bool,
    pub level: bool,
    pub latch: bool,
    pub line: bool,
    pub active: bool,
    pub priority: u8,
    pub target: Option<usize>,
    /// ITARGETSR or IROUTER as written.
    pub route: u64,
    /// GICv2 SGIs: pending from these vCPUs.
    pub sources: u8,
    /// A physical interrupt is active for what is pending, for what is active.
    pub pending_link: bool,
    pub active_link: bool,
}

impl Interrupt {
    pub fn pending(&self) -> bool {
        self.latch || self.level && self.line
    }

    pub fn clear_latch(&mut self) {
        self.latch = false;
        self.pending_link = false;
    }

    /// Gives whether it was active.
    pub fn deactivate(&mut self) {
        self.active = false;
        self.active_link = false;
    }

    pub fn activate_by_write(&mut self) {
        if !self.active {
            self.active = true;
            self.active_link = false;
        }
    }

    pub fn linked(&self) -> bool {
        self.pending_link || self.active_link
    }
}

pub struct Reference {
    pub version: Version,
    pub groups: [bool; 2],
    pub private: Vec<Vec<Interrupt>>,
    pub shared: Vec<Interrupt>,
}

impl Reference {
    pub fn new(version: Version, vcpus: usize, spis: usize) -> Reference {
        let v2 = version == Version::V2;
        let private = |vcpu: usize, intid: usize| Interrupt {
            enabled: v2 && intid < 16,
            level: intid >= 16,
            target: Some(vcpu),
            ..Interrupt::default()
        };
        let shared = Interrupt {
            level: true,
            target: if v2 && vcpus > 1 { None } else { Some(0) },
            ..Interrupt::default()
        };
        Reference {
            version,
            groups: [false; 2],
            private: (0..vcpus)
                .map(|vcpu| (0..32).map(|intid| private(vcpu, intid)).collect())
                .collect(),
            shared: vec![shared; spis],
        }
    }

    pub fn get(&mut self, vcpu: usize, intid: u16) -> &mut Interrupt {
        match intid {
            0..32 => &mut self.private[vcpu][usize::from(intid)],
            _ => &mut self.shared[usize::from(intid) - 32],
        }
    }

    /// All that `vcpu` could acknowledge, with their priorities, whatever its mask says.
    pub fn candidates(&self, vcpu: usize) -> impl Iterator<Item = (u8, u16)> + '_ {
        let private = (0u16..).zip(&self.private[vcpu]);
        let shared = (32u16..).zip(&self.shared);
        private
            .chain(shared)
            .filter(move |(_, irq)| {
                irq.pending()
                    && irq.enabled
                    && !irq.active
                    && irq.target == Some(vcpu)
                    && self.groups[usize::from(irq.group1)]
            })
            .map(|(intid, irq)| (irq.priority, intid))
    }

    /// The guest acknowledged `intid`.
    pub fn acknowledge(&mut self, vcpu: usize, intid: u16, source: u8) {
        let v2 = self.version == Version::V2;
        let irq = self.get(vcpu, intid);
        irq.active = true;
        irq.active_link = irq.pending_link;
        irq.pending_link = false;
        if v2 && intid < 16 {
            assert!(
                irq.sources & 1 << source != 0,
                "SGI {intid} is not pending from vCPU {source}"
            );
            irq.sources &= !(1 << source);
            irq.latch = irq.sources != 0;
        } else {
            irq.latch = false;
        }
    }
}
