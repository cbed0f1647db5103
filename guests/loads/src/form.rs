//! The forms of a load, and what each does to the registers (Arm ARM C3.2).

/// x0 to x30.
pub const REGISTERS: usize = 31;

/// The values of x0 to x30.
pub type Values = [u64; REGISTERS];

/// A register by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Register(pub usize);

impl Register {
    /// All.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..REGISTERS).map(Self)
    }

    /// x19 to x29: those that a called function must keep (AAPCS64), so that a hypervisor need not
    /// store them where it only calls functions.
    pub const fn is_kept(self) -> bool {
        self.0 >= 19 && self.0 <= 29
    }

    /// The base register of a load into this one.
    pub const fn base(self) -> Self {
        Self(if self.0 < 15 { 20 } else { 5 })
    }

    /// The other register of a pair.
    pub const fn mate(self) -> Self {
        Self(self.base().0 + 1)
    }
}

/// A form of a load. The number is its place in the table of probe.rs. A word is of 32 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `ldr w`.
    Word = 0,
    /// `ldrh w`.
    Half = 1,
    /// `ldrb w`.
    Byte = 2,
    /// `ldrsb x`.
    SignedByte = 3,
    /// `ldrsw x`.
    SignedWord = 4,
    /// `ldp w, w` of which the register is the first. The processor does not describe it to a hypervisor.
    PairFirst = 5,
    /// Of which it is the second.
    PairSecond = 6,
    /// `ldr w, [base], #4`: the processor does not describe this either.
    After = 7,
    /// The same where the register is the base.
    Base = 8,
    /// `mrs x` of CNTP_CVAL_EL0.
    Timer = 9,
}

/// Places in the table of probe.rs for each register.
pub const FORMS: usize = 10;

impl Form {
    /// Its name in the output.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Word => "ldr w",
            Self::Half => "ldrh w",
            Self::Byte => "ldrb w",
            Self::SignedByte => "ldrsb x",
            Self::SignedWord => "ldrsw x",
            Self::PairFirst => "ldp, first w",
            Self::PairSecond => "ldp, second w",
            Self::After => "ldr with write-back, w",
            Self::Base => "ldr with write-back, base x",
            Self::Timer => "mrs x",
        }
    }

    /// Whether there is such a load of this register: x30 holds a return address, which is no device's.
    pub const fn has(self, register: Register) -> bool {
        !matches!(self, Self::Base) || register.0 != 30
    }

    /// The register that holds the device's address.
    pub const fn address(self, register: Register) -> Register {
        match self {
            Self::Base => register,
            _ => register.base(),
        }
    }
}

/// A load: its form, its register, and what the device has at the address and 4 bytes above.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load {
    /// Its form.
    pub form: Form,
    /// Its register.
    pub register: Register,
    /// What the device has there.
    pub device: [u64; 2],
}

impl Load {
    /// What the registers hold after it.
    pub fn after(&self, before: &Values) -> Values {
        let mut values = *before;
        let mut set = |register: Register, value: u64| {
            if let Some(place) = values.get_mut(register.0) {
                *place = value;
            }
        };
        let base = before.get(self.form.address(self.register).0);
        let moved = base.map_or(0, |base| base.wrapping_add(4));
        let (register, [first, second]) = (self.register, self.device);
        let (word, above) = (first & 0xFFFF_FFFF, second & 0xFFFF_FFFF);
        match self.form {
            Form::Word => set(register, word),
            Form::Half => set(register, first & 0xFFFF),
            Form::Byte => set(register, first & 0xFF),
            Form::SignedByte => set(register, first as i8 as u64),
            Form::SignedWord => set(register, first as i32 as u64),
            Form::PairFirst => {
                set(register, word);
                set(register.mate(), above);
            }
            Form::PairSecond => {
                set(register.mate(), word);
                set(register, above);
            }
            Form::After => {
                set(register, word);
                set(register.base(), moved);
            }
            Form::Base => {
                set(register.base(), word);
                set(register, moved);
            }
            Form::Timer => set(register, first),
        }
        values
    }
}

/// What the registers are filled with: each its own, and no value that a device has.
pub fn pattern(round: u64) -> Values {
    let mut number = 0;
    [(); REGISTERS].map(|()| {
        number += 1;
        0xA500_0000_0000_0000 | (round & 0xFFFF_FFFF) << 16 | number << 8 | 0x5A
    })
}

/// The first register that is not what it should be.
pub fn first_wrong(is: &Values, should: &Values) -> Option<Register> {
    let wrong = is.iter().zip(should).position(|(is, should)| is != should);
    wrong.map(Register)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Form; FORMS] = [
        Form::Word,
        Form::Half,
        Form::Byte,
        Form::SignedByte,
        Form::SignedWord,
        Form::PairFirst,
        Form::PairSecond,
        Form::After,
        Form::Base,
        Form::Timer,
    ];

    fn after(form: Form, register: usize, device: [u64; 2]) -> Vec<(usize, u64)> {
        let register = Register(register);
        let load = Load {
            form,
            register,
            device,
        };
        let mut before = pattern(1);
        before[form.address(register).0] = 0x900_0000;
        let after = load.after(&before);
        let changed = after.iter().zip(&before).enumerate();
        changed
            .filter(|(_, (after, before))| after != before)
            .map(|(number, (after, _))| (number, *after))
            .collect()
    }

    #[test]
    fn the_table_has_a_place_for_each_form() {
        for (place, form) in ALL.iter().enumerate() {
            assert_eq!(*form as usize, place);
        }
    }

    #[test]
    fn a_load_extends_what_the_device_has() {
        let device = [0x8000_F0E1, 0x22];
        assert_eq!(after(Form::Word, 19, device), [(19, 0x8000_F0E1)]);
        assert_eq!(after(Form::Half, 0, device), [(0, 0xF0E1)]);
        assert_eq!(after(Form::Byte, 30, device), [(30, 0xE1)]);
        assert_eq!(after(Form::SignedByte, 20, device), [(20, !0x1E)]);
        assert_eq!(
            after(Form::SignedWord, 21, device),
            [(21, 0xFFFF_FFFF_8000_F0E1)]
        );
        assert_eq!(after(Form::Timer, 22, [u64::MAX - 1, 0]), [(22, !1)]);
    }

    #[test]
    fn a_pair_and_a_write_back_change_two_registers() {
        let device = [0x11, 0x22];
        assert_eq!(after(Form::PairFirst, 19, device), [(6, 0x22), (19, 0x11)]);
        assert_eq!(after(Form::PairSecond, 3, device), [(3, 0x22), (21, 0x11)]);
        assert_eq!(
            after(Form::After, 29, device),
            [(5, 0x900_0004), (29, 0x11)]
        );
        assert_eq!(after(Form::Base, 29, device), [(5, 0x11), (29, 0x900_0004)]);
    }

    #[test]
    fn no_two_registers_of_a_load_are_the_same() {
        for register in Register::all() {
            assert_ne!(register, register.base());
            assert_ne!(register, register.mate());
            assert_ne!(register.base(), register.mate());
        }
    }

    #[test]
    fn every_register_is_filled_with_a_value_of_its_own() {
        let values = [pattern(1), pattern(2)].concat();
        for (index, value) in values.iter().enumerate() {
            assert!(!values[..index].contains(value));
        }
    }

    #[test]
    fn the_first_wrong_register_is_found() {
        let should = pattern(3);
        let mut is = should;
        assert_eq!(first_wrong(&is, &should), None);
        is[29] ^= 1;
        is[23] = 0;
        assert_eq!(first_wrong(&is, &should), Some(Register(23)));
    }
}
