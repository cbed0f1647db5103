//! Names of system registers and system instructions, by their encoding (Arm ARM C5 and D17,
//! GIC specification 12). The registers a hypervisor touches often are here; any other is
//! written as the generic name that assemblers take, `s3_4_c1_c1_0`.

/// The operands that name a register or an instruction: op0, op1, CRn, CRm, op2.
pub type Encoding = (u32, u32, u32, u32, u32);

/// The name of a system register.
pub fn register(encoding: Encoding) -> String {
    if let Some((name, _)) = REGISTERS.iter().find(|(_, known)| *known == encoding) {
        return (*name).to_owned();
    }
    // Families that are numbered.
    match encoding {
        (3, 4, 12, crm @ 12..=13, op2) => format!("ich_lr{}_el2", (crm - 12) * 8 + op2),
        (3, 4, 12, 8, op2 @ 0..=3) => format!("ich_ap0r{op2}_el2"),
        (3, 4, 12, 9, op2 @ 0..=3) => format!("ich_ap1r{op2}_el2"),
        (3, 0, 12, 8, op2 @ 4..=7) => format!("icc_ap0r{}_el1", op2 - 4),
        (3, 0, 12, 9, op2 @ 0..=3) => format!("icc_ap1r{op2}_el1"),
        (op0, op1, crn, crm, op2) => format!("s{op0}_{op1}_c{crn}_c{crm}_{op2}"),
    }
}

/// The name of a TLBI, DC, IC or AT operation (op0 = 1), without the class.
pub fn operation(encoding: Encoding) -> String {
    match OPERATIONS.iter().find(|(_, known)| *known == encoding) {
        Some((name, _)) => (*name).to_owned(),
        None => {
            let (_, op1, crn, crm, op2) = encoding;
            format!("{op1}_c{crn}_c{crm}_{op2}")
        }
    }
}

const REGISTERS: &[(&str, Encoding)] = &[
    ("mdscr_el1", (2, 0, 0, 2, 2)),
    ("midr_el1", (3, 0, 0, 0, 0)),
    ("mpidr_el1", (3, 0, 0, 0, 5)),
    ("id_aa64pfr0_el1", (3, 0, 0, 4, 0)),
    ("id_aa64mmfr0_el1", (3, 0, 0, 7, 0)),
    ("sctlr_el1", (3, 0, 1, 0, 0)),
    ("actlr_el1", (3, 0, 1, 0, 1)),
    ("cpacr_el1", (3, 0, 1, 0, 2)),
    ("ttbr0_el1", (3, 0, 2, 0, 0)),
    ("ttbr1_el1", (3, 0, 2, 0, 1)),
    ("tcr_el1", (3, 0, 2, 0, 2)),
    ("spsr_el1", (3, 0, 4, 0, 0)),
    ("elr_el1", (3, 0, 4, 0, 1)),
    ("sp_el0", (3, 0, 4, 1, 0)),
    ("spsel", (3, 0, 4, 2, 0)),
    ("currentel", (3, 0, 4, 2, 2)),
    ("icc_pmr_el1", (3, 0, 4, 6, 0)),
    ("afsr0_el1", (3, 0, 5, 1, 0)),
    ("afsr1_el1", (3, 0, 5, 1, 1)),
    ("esr_el1", (3, 0, 5, 2, 0)),
    ("far_el1", (3, 0, 6, 0, 0)),
    ("par_el1", (3, 0, 7, 4, 0)),
    ("mair_el1", (3, 0, 10, 2, 0)),
    ("amair_el1", (3, 0, 10, 3, 0)),
    ("vbar_el1", (3, 0, 12, 0, 0)),
    ("isr_el1", (3, 0, 12, 1, 0)),
    ("icc_iar0_el1", (3, 0, 12, 8, 0)),
    ("icc_eoir0_el1", (3, 0, 12, 8, 1)),
    ("icc_hppir0_el1", (3, 0, 12, 8, 2)),
    ("icc_bpr0_el1", (3, 0, 12, 8, 3)),
    ("icc_dir_el1", (3, 0, 12, 11, 1)),
    ("icc_rpr_el1", (3, 0, 12, 11, 3)),
    ("icc_sgi1r_el1", (3, 0, 12, 11, 5)),
    ("icc_asgi1r_el1", (3, 0, 12, 11, 6)),
    ("icc_sgi0r_el1", (3, 0, 12, 11, 7)),
    ("icc_iar1_el1", (3, 0, 12, 12, 0)),
    ("icc_eoir1_el1", (3, 0, 12, 12, 1)),
    ("icc_hppir1_el1", (3, 0, 12, 12, 2)),
    ("icc_bpr1_el1", (3, 0, 12, 12, 3)),
    ("icc_ctlr_el1", (3, 0, 12, 12, 4)),
    ("icc_sre_el1", (3, 0, 12, 12, 5)),
    ("icc_igrpen0_el1", (3, 0, 12, 12, 6)),
    ("icc_igrpen1_el1", (3, 0, 12, 12, 7)),
    ("contextidr_el1", (3, 0, 13, 0, 1)),
    ("tpidr_el1", (3, 0, 13, 0, 4)),
    ("cntkctl_el1", (3, 0, 14, 1, 0)),
    ("csselr_el1", (3, 2, 0, 0, 0)),
    ("ctr_el0", (3, 3, 0, 0, 1)),
    ("nzcv", (3, 3, 4, 2, 0)),
    ("daif", (3, 3, 4, 2, 1)),
    ("fpcr", (3, 3, 4, 4, 0)),
    ("fpsr", (3, 3, 4, 4, 1)),
    ("pmcr_el0", (3, 3, 9, 12, 0)),
    ("pmuserenr_el0", (3, 3, 9, 14, 0)),
    ("tpidr_el0", (3, 3, 13, 0, 2)),
    ("tpidrro_el0", (3, 3, 13, 0, 3)),
    ("cntfrq_el0", (3, 3, 14, 0, 0)),
    ("cntpct_el0", (3, 3, 14, 0, 1)),
    ("cntvct_el0", (3, 3, 14, 0, 2)),
    ("cntp_tval_el0", (3, 3, 14, 2, 0)),
    ("cntp_ctl_el0", (3, 3, 14, 2, 1)),
    ("cntp_cval_el0", (3, 3, 14, 2, 2)),
    ("cntv_tval_el0", (3, 3, 14, 3, 0)),
    ("cntv_ctl_el0", (3, 3, 14, 3, 1)),
    ("cntv_cval_el0", (3, 3, 14, 3, 2)),
    ("vpidr_el2", (3, 4, 0, 0, 0)),
    ("vmpidr_el2", (3, 4, 0, 0, 5)),
    ("sctlr_el2", (3, 4, 1, 0, 0)),
    ("actlr_el2", (3, 4, 1, 0, 1)),
    ("hcr_el2", (3, 4, 1, 1, 0)),
    ("mdcr_el2", (3, 4, 1, 1, 1)),
    ("cptr_el2", (3, 4, 1, 1, 2)),
    ("hstr_el2", (3, 4, 1, 1, 3)),
    ("ttbr0_el2", (3, 4, 2, 0, 0)),
    ("tcr_el2", (3, 4, 2, 0, 2)),
    ("vttbr_el2", (3, 4, 2, 1, 0)),
    ("vtcr_el2", (3, 4, 2, 1, 2)),
    ("spsr_el2", (3, 4, 4, 0, 0)),
    ("elr_el2", (3, 4, 4, 0, 1)),
    ("sp_el1", (3, 4, 4, 1, 0)),
    ("esr_el2", (3, 4, 5, 2, 0)),
    ("far_el2", (3, 4, 6, 0, 0)),
    ("hpfar_el2", (3, 4, 6, 0, 4)),
    ("mair_el2", (3, 4, 10, 2, 0)),
    ("vbar_el2", (3, 4, 12, 0, 0)),
    ("icc_sre_el2", (3, 4, 12, 9, 5)),
    ("ich_hcr_el2", (3, 4, 12, 11, 0)),
    ("ich_vtr_el2", (3, 4, 12, 11, 1)),
    ("ich_misr_el2", (3, 4, 12, 11, 2)),
    ("ich_eisr_el2", (3, 4, 12, 11, 3)),
    ("ich_elrsr_el2", (3, 4, 12, 11, 5)),
    ("ich_vmcr_el2", (3, 4, 12, 11, 7)),
    ("tpidr_el2", (3, 4, 13, 0, 2)),
    ("cntvoff_el2", (3, 4, 14, 0, 3)),
    ("cnthctl_el2", (3, 4, 14, 1, 0)),
    ("cnthp_tval_el2", (3, 4, 14, 2, 0)),
    ("cnthp_ctl_el2", (3, 4, 14, 2, 1)),
    ("cnthp_cval_el2", (3, 4, 14, 2, 2)),
];

const OPERATIONS: &[(&str, Encoding)] = &[
    ("iallu", (1, 0, 7, 5, 0)),
    ("ialluis", (1, 0, 7, 1, 0)),
    ("ivau", (1, 3, 7, 5, 1)),
    ("ivac", (1, 0, 7, 6, 1)),
    ("isw", (1, 0, 7, 6, 2)),
    ("csw", (1, 0, 7, 10, 2)),
    ("cisw", (1, 0, 7, 14, 2)),
    ("zva", (1, 3, 7, 4, 1)),
    ("cvac", (1, 3, 7, 10, 1)),
    ("cvau", (1, 3, 7, 11, 1)),
    ("civac", (1, 3, 7, 14, 1)),
    ("s1e1r", (1, 0, 7, 8, 0)),
    ("s1e1w", (1, 0, 7, 8, 1)),
    ("s1e0r", (1, 0, 7, 8, 2)),
    ("s1e0w", (1, 0, 7, 8, 3)),
    ("s1e2r", (1, 4, 7, 8, 0)),
    ("s1e2w", (1, 4, 7, 8, 1)),
    ("s12e1r", (1, 4, 7, 8, 4)),
    ("s12e1w", (1, 4, 7, 8, 5)),
    ("s12e0r", (1, 4, 7, 8, 6)),
    ("s12e0w", (1, 4, 7, 8, 7)),
    ("vmalle1is", (1, 0, 8, 3, 0)),
    ("vae1is", (1, 0, 8, 3, 1)),
    ("aside1is", (1, 0, 8, 3, 2)),
    ("vaae1is", (1, 0, 8, 3, 3)),
    ("vale1is", (1, 0, 8, 3, 5)),
    ("vaale1is", (1, 0, 8, 3, 7)),
    ("vmalle1", (1, 0, 8, 7, 0)),
    ("vae1", (1, 0, 8, 7, 1)),
    ("aside1", (1, 0, 8, 7, 2)),
    ("vaae1", (1, 0, 8, 7, 3)),
    ("vale1", (1, 0, 8, 7, 5)),
    ("vaale1", (1, 0, 8, 7, 7)),
    ("ipas2e1is", (1, 4, 8, 0, 1)),
    ("ipas2le1is", (1, 4, 8, 0, 5)),
    ("ipas2e1", (1, 4, 8, 4, 1)),
    ("ipas2le1", (1, 4, 8, 4, 5)),
    ("alle2is", (1, 4, 8, 3, 0)),
    ("vae2is", (1, 4, 8, 3, 1)),
    ("alle1is", (1, 4, 8, 3, 4)),
    ("vale2is", (1, 4, 8, 3, 5)),
    ("vmalls12e1is", (1, 4, 8, 3, 6)),
    ("alle2", (1, 4, 8, 7, 0)),
    ("vae2", (1, 4, 8, 7, 1)),
    ("alle1", (1, 4, 8, 7, 4)),
    ("vale2", (1, 4, 8, 7, 5)),
    ("vmalls12e1", (1, 4, 8, 7, 6)),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn numbered_registers_have_their_number() {
        assert_eq!(register((3, 4, 12, 12, 0)), "ich_lr0_el2");
        assert_eq!(register((3, 4, 12, 13, 7)), "ich_lr15_el2");
        assert_eq!(register((3, 4, 12, 9, 1)), "ich_ap1r1_el2");
        assert_eq!(register((3, 0, 12, 8, 4)), "icc_ap0r0_el1");
    }

    #[test]
    fn an_unknown_register_has_its_generic_name() {
        assert_eq!(register((3, 1, 15, 2, 1)), "s3_1_c15_c2_1");
        assert_eq!(operation((1, 6, 8, 7, 0)), "6_c8_c7_0");
    }

    #[test]
    fn no_name_and_no_encoding_is_there_twice() {
        for table in [REGISTERS, OPERATIONS] {
            let names: HashSet<_> = table.iter().map(|(name, _)| name).collect();
            let encodings: HashSet<_> = table.iter().map(|(_, encoding)| encoding).collect();
            assert_eq!((names.len(), encodings.len()), (table.len(), table.len()));
        }
    }
}
