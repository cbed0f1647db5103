//! What an instruction is, as far as it is counted (Arm ARM C4.1.66, branches, exception
//! generating and system instructions).

use crate::registers::{Encoding, operation, register};

/// What an instruction does to the flow of events at EL2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// Nothing.
    Plain,
    /// ERET: leaves EL2, or the inner of two exceptions.
    Return,
    /// A place where a pending interrupt is looked for or let in: `mrs x, isr_el1`,
    /// `msr daifclr` with I or F.
    Poll,
    /// WFI.
    Wait,
}

/// The classes of instruction that are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// TLB maintenance.
    Tlbi,
    /// Data cache maintenance.
    Dc,
    /// Instruction cache maintenance.
    Ic,
    /// Address translation.
    At,
    /// Write of a system register, or of a field of PSTATE.
    Msr,
    /// Read of a system register.
    Mrs,
    /// Data synchronisation barrier.
    Dsb,
    /// Data memory barrier.
    Dmb,
    /// Instruction synchronisation barrier.
    Isb,
    /// Exception return.
    Eret,
    /// SVC, HVC and SMC.
    Call,
    /// WFI, WFE, SEV, SEVL, YIELD.
    Hint,
}

/// An instruction that is counted: its class and its full name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Operation {
    /// Its class.
    pub class: Class,
    /// Its name, as an assembler writes it, without the general register.
    pub name: String,
}

impl Class {
    /// How many there are; each as a number is below it.
    pub const COUNT: usize = Self::Hint as usize + 1;

    /// The name of the class in the report.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tlbi => "tlbi",
            Self::Dc => "dc",
            Self::Ic => "ic",
            Self::At => "at",
            Self::Msr => "msr",
            Self::Mrs => "mrs",
            Self::Dsb => "dsb",
            Self::Dmb => "dmb",
            Self::Isb => "isb",
            Self::Eret => "eret",
            Self::Call => "call",
            Self::Hint => "hint",
        }
    }
}

const ISR_EL1: Encoding = (3, 0, 12, 1, 0);
/// `msr daifclr, #imm`: op1 = 3, op2 = 7; I is bit 1 and F bit 0 of the immediate.
const DAIFCLR: (u32, u32) = (3, 7);

/// The flow of an instruction.
pub fn flow(opcode: u32) -> Flow {
    match opcode {
        0xD69F_03E0 => Flow::Return,
        0xD503_207F => Flow::Wait,
        _ if is_mrs(opcode) && encoding(opcode) == ISR_EL1 => Flow::Poll,
        _ if is_msr_immediate(opcode) => {
            let (_, op1, _, immediate, op2) = encoding(opcode);
            match (op1, op2) == DAIFCLR && immediate & 0b11 != 0 {
                true => Flow::Poll,
                false => Flow::Plain,
            }
        }
        _ => Flow::Plain,
    }
}

/// The operation, when the instruction is one that is counted.
pub fn counted(opcode: u32) -> Option<Operation> {
    let (class, name) = match opcode {
        0xD69F_03E0 => (Class::Eret, "eret".into()),
        0xD503_203F => (Class::Hint, "yield".into()),
        0xD503_205F => (Class::Hint, "wfe".into()),
        0xD503_207F => (Class::Hint, "wfi".into()),
        0xD503_209F => (Class::Hint, "sev".into()),
        0xD503_20BF => (Class::Hint, "sevl".into()),
        _ if opcode & 0xFFFF_F000 == 0xD503_3000 => barrier(opcode)?,
        _ if opcode & 0xFFE0_001C == 0xD400_0000 => match opcode & 3 {
            1 => (Class::Call, "svc".into()),
            2 => (Class::Call, "hvc".into()),
            3 => (Class::Call, "smc".into()),
            _ => return None,
        },
        _ if is_msr_immediate(opcode) => (Class::Msr, pstate(opcode)),
        _ if opcode & 0xFFF8_0000 == 0xD508_0000 => system_operation(opcode)?,
        _ if is_mrs(opcode) => (Class::Mrs, format!("mrs {}", register(encoding(opcode)))),
        _ if is_msr(opcode) => (Class::Msr, format!("msr {}", register(encoding(opcode)))),
        _ => return None,
    };
    Some(Operation { class, name })
}

/// op0, op1, CRn, CRm, op2 of a system instruction.
fn encoding(opcode: u32) -> Encoding {
    (
        opcode >> 19 & 3,
        opcode >> 16 & 7,
        opcode >> 12 & 15,
        opcode >> 8 & 15,
        opcode >> 5 & 7,
    )
}

fn is_msr(opcode: u32) -> bool {
    opcode & 0xFFF0_0000 == 0xD510_0000
}

fn is_mrs(opcode: u32) -> bool {
    opcode & 0xFFF0_0000 == 0xD530_0000
}

fn is_msr_immediate(opcode: u32) -> bool {
    opcode & 0xFFF8_F01F == 0xD500_401F
}

fn pstate(opcode: u32) -> String {
    let (_, op1, _, _, op2) = encoding(opcode);
    match (op1, op2) {
        (0, 5) => "msr spsel".into(),
        (3, 6) => "msr daifset".into(),
        (3, 7) => "msr daifclr".into(),
        (op1, op2) => format!("msr pstate_{op1}_{op2}"),
    }
}

fn barrier(opcode: u32) -> Option<(Class, String)> {
    let domain = match opcode >> 8 & 15 {
        1 => "oshld",
        2 => "oshst",
        3 => "osh",
        5 => "nshld",
        6 => "nshst",
        7 => "nsh",
        9 => "ishld",
        10 => "ishst",
        11 => "ish",
        13 => "ld",
        14 => "st",
        _ => "sy",
    };
    match opcode >> 5 & 7 {
        4 => Some((Class::Dsb, format!("dsb {domain}"))),
        5 => Some((Class::Dmb, format!("dmb {domain}"))),
        6 => Some((Class::Isb, "isb".into())),
        _ => None,
    }
}

/// SYS: TLBI, DC, IC and AT.
fn system_operation(opcode: u32) -> Option<(Class, String)> {
    let encoding = encoding(opcode);
    let class = match encoding {
        (_, _, 8, _, _) => Class::Tlbi,
        (_, _, 7, 8 | 9, _) => Class::At,
        (_, _, 7, 1, 0) | (_, _, 7, 5, _) => Class::Ic,
        (_, _, 7, 4 | 6 | 10..=14, _) => Class::Dc,
        _ => return None,
    };
    Some((class, format!("{} {}", class.name(), operation(encoding))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_have_their_names() {
        // Each word is what an assembler makes of the text beside it.
        for (opcode, text) in [
            (0xD69F_03E0, "eret"),
            (0xD503_207F, "wfi"),
            (0xD503_205F, "wfe"),
            (0xD503_3F9F, "dsb sy"),
            (0xD503_3B9F, "dsb ish"),
            (0xD503_3A9F, "dsb ishst"),
            (0xD503_379F, "dsb nsh"),
            (0xD503_3BBF, "dmb ish"),
            (0xD503_3FDF, "isb"),
            (0xD400_0002, "hvc"),
            (0xD400_0003, "smc"),
            (0xD400_0001, "svc"),
            (0xD503_42FF, "msr daifclr"),
            (0xD503_42DF, "msr daifset"),
            (0xD51C_1100, "msr hcr_el2"),
            (0xD51C_2100, "msr vttbr_el2"),
            (0xD51C_4021, "msr elr_el2"),
            (0xD538_C100, "mrs isr_el1"),
            (0xD53C_5200, "mrs esr_el2"),
            (0xD51C_CC00, "msr ich_lr0_el2"),
            (0xD51C_CB00, "msr ich_hcr_el2"),
            (0xD518_CC20, "msr icc_eoir1_el1"),
            (0xD508_871F, "tlbi vmalle1"),
            (0xD50C_83DF, "tlbi vmalls12e1is"),
            (0xD50C_87DF, "tlbi vmalls12e1"),
            (0xD50C_8020, "tlbi ipas2e1is"),
            (0xD50B_7E20, "dc civac"),
            (0xD50B_7420, "dc zva"),
            (0xD508_751F, "ic iallu"),
            (0xD50B_7520, "ic ivau"),
            (0xD508_711F, "ic ialluis"),
            (0xD50C_7880, "at s12e1r"),
        ] {
            let operation = counted(opcode);
            assert_eq!(operation.unwrap().name, text, "{opcode:#x}");
        }
    }

    #[test]
    fn ordinary_instructions_are_not_counted() {
        // nop, add, ldr, ret, b, brk.
        for opcode in [
            0xD503_201F,
            0x9100_0400,
            0xF940_0000,
            0xD65F_03C0,
            0x1400_0001,
            0xD420_0000,
            0,
            u32::MAX,
        ] {
            assert_eq!(counted(opcode), None, "{opcode:#x}");
            assert_eq!(flow(opcode), Flow::Plain);
        }
    }

    #[test]
    fn the_places_where_interrupts_are_let_in_are_polls() {
        assert_eq!(flow(0xD538_C105), Flow::Poll);
        assert_eq!(flow(0xD503_42FF), Flow::Poll);
        assert_eq!(flow(0xD503_41FF), Flow::Poll);
        // daifclr of A alone, daifset, another register.
        assert_eq!(flow(0xD503_44FF), Flow::Plain);
        assert_eq!(flow(0xD503_42DF), Flow::Plain);
        assert_eq!(flow(0xD538_C000), Flow::Plain);
        assert_eq!(flow(0xD503_207F), Flow::Wait);
        assert_eq!(flow(0xD69F_03E0), Flow::Return);
    }
}
