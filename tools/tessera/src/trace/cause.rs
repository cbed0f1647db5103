//! Why a guest was left, in a few words.

use exit::Exit;

/// The cause that a syndrome names; 0 is an interrupt.
pub fn cause(syndrome: u32) -> String {
    if syndrome == 0 {
        return "interrupt".into();
    }
    match exit::decode(syndrome.into()) {
        Exit::Wait { event: false } => "WFI".into(),
        Exit::Wait { event: true } => "WFE".into(),
        Exit::FloatingPoint => "first use of FP".into(),
        Exit::Hvc(_) => "HVC".into(),
        Exit::Smc(_) => "SMC".into(),
        Exit::Sysreg(access) if access.read => "MRS".into(),
        Exit::Sysreg(_) => "MSR".into(),
        Exit::InstructionAbort(_) => "instruction abort".into(),
        Exit::DataAbort(abort) if abort.write => "write to a device".into(),
        Exit::DataAbort(_) => "read from a device".into(),
        Exit::Undefined => "undefined instruction".into(),
        Exit::Other(0x2f) => "SError".into(),
        Exit::Other(class) => format!("exception class {class:#x}"),
    }
}

/// Whether a guest was left because it waits.
pub fn waits(syndrome: u32) -> bool {
    syndrome != 0 && matches!(exit::decode(syndrome.into()), Exit::Wait { .. })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_named() {
        let named = [
            0,
            1 << 26,
            0x5a00_0001,
            0x9200_0047,
            0x9200_0007,
            0xbe00_0000,
        ]
        .map(cause);
        let names = [
            "interrupt",
            "WFI",
            "HVC",
            "write to a device",
            "read from a device",
            "SError",
        ];
        assert_eq!(named, names);
        assert!(waits(1 << 26) && !waits(0) && !waits(0x5a00_0000));
    }
}
