//! The rows: what is measured, under which name and number. README.md says what each includes.

/// A row of the table. Its number is what the markers around its measurement carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Row {
    /// The loop alone.
    Empty = 1,
    /// A call that nobody implements.
    Hypercall = 2,
    /// PSCI_VERSION.
    PsciVersion = 3,
    /// A read of the distributor.
    GicdRead = 4,
    /// A write to the distributor: enable.
    GicdWrite = 5,
    /// A write to the distributor: disable.
    GicdDisable = 6,
    /// A read of the UART.
    UartRead = 7,
    /// A write to the UART.
    UartWrite = 8,
    /// A read of an identification register.
    Sysreg = 9,
    /// An SGI to the core itself.
    SgiSelf = 10,
    /// An SPI to the core itself.
    SpiSelf = 11,
    /// Acknowledge and end alone.
    Eoi = 12,
    /// The timer while the core spins.
    Timer = 20,
    /// The timer while the core waits.
    TimerWfi = 21,
    /// An SGI to another core that spins.
    SgiOther = 22,
    /// An SGI to another core that waits.
    SgiOtherWfi = 23,
    /// The sender's write of such an SGI.
    SgiWrite = 24,
    /// The order of many interrupts.
    Storm = 30,
}

/// All rows, in the order in which they run.
pub const ROWS: [Row; 18] = [
    Row::Empty,
    Row::Hypercall,
    Row::PsciVersion,
    Row::GicdRead,
    Row::GicdWrite,
    Row::GicdDisable,
    Row::UartRead,
    Row::UartWrite,
    Row::Sysreg,
    Row::SgiSelf,
    Row::SpiSelf,
    Row::Eoi,
    Row::Timer,
    Row::TimerWfi,
    Row::SgiOther,
    Row::SgiOtherWfi,
    Row::SgiWrite,
    Row::Storm,
];

impl Row {
    /// Its number in the output and in the markers.
    pub const fn number(self) -> u32 {
        self as u32
    }

    /// Its name in the output and in `rows=`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Hypercall => "hypercall",
            Self::PsciVersion => "psci_version",
            Self::GicdRead => "gicd_read",
            Self::GicdWrite => "gicd_write",
            Self::GicdDisable => "gicd_disable",
            Self::UartRead => "uart_read",
            Self::UartWrite => "uart_write",
            Self::Sysreg => "sysreg",
            Self::SgiSelf => "sgi_self",
            Self::SpiSelf => "spi_self",
            Self::Eoi => "eoi",
            Self::Timer => "timer",
            Self::TimerWfi => "timer_wfi",
            Self::SgiOther => "sgi_other",
            Self::SgiOtherWfi => "sgi_other_wfi",
            Self::SgiWrite => "sgi_write",
            Self::Storm => "storm",
        }
    }
}

/// The instruction `movz xzr, #number, lsl #48`: does nothing, and can be seen from outside.
pub const fn marker(number: u32) -> u32 {
    0xD2E0_001F | (number & 0xFFFF) << 5
}

/// Some of the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Selection(u64);

impl Selection {
    /// All of them.
    pub const ALL: Self = Self(u64::MAX);

    /// The rows in a list of names, as `empty,timer`; nothing if one of them is no row's.
    pub fn parse(names: &str) -> Option<Self> {
        names.split(',').try_fold(Self(0), |selected, name| {
            let row = ROWS.iter().find(|row| row.name() == name)?;
            Some(Self(selected.0 | 1 << row.number()))
        })
    }

    /// Whether a row is among them.
    pub fn has(self, row: Row) -> bool {
        self.0 & 1 << row.number() != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_are_each_one_rows_only() {
        for (index, row) in ROWS.iter().enumerate() {
            assert!((1..64).contains(&row.number()), "{row:?}");
            for other in &ROWS[..index] {
                assert!(other.number() < row.number(), "{row:?}");
                assert_ne!(other.name(), row.name());
            }
        }
    }

    #[test]
    fn the_markers_are_the_documented_instruction() {
        assert_eq!(marker(0), 0xD2E0_001F);
        assert_eq!(marker(1), 0xD2E0_003F);
        assert_eq!(marker(30), 0xD2E0_03DF);
    }

    #[test]
    fn names_select_rows() {
        let two = Selection::parse("timer,empty").unwrap();
        assert!(two.has(Row::Empty) && two.has(Row::Timer));
        assert!(!two.has(Row::TimerWfi));
        assert!(ROWS.iter().all(|row| Selection::ALL.has(*row)));
        for row in ROWS {
            assert!(Selection::parse(row.name()).unwrap().has(row));
        }
    }

    #[test]
    fn a_name_of_no_row_selects_nothing() {
        for names in ["", "empty,", "Empty", "empty timer", "nothing"] {
            assert_eq!(Selection::parse(names), None, "{names}");
        }
    }
}
