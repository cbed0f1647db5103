//! The plugin's report in a real QEMU, on programs whose instructions were counted by hand.

mod program;

use program::*;

#[test]
fn a_hypercall_is_counted_to_the_instruction() {
    const SPIN_EL2: u32 = 10;
    const SPIN_EL1: u32 = 1000;
    const CALLS: u32 = 5;
    let boot = enter(HCR_RW, EL1);
    let handler = [
        &[off_if_asked()][..],
        &spin(9, SPIN_EL2),
        &[DSB_SY, TLBI_ALLE1, ISB, ERET],
    ]
    .concat();
    let el1 = [
        &spin(1, SPIN_EL1)[..],
        &[movz(2, CALLS, 0), HVC, decrement(2), branch_not_zero(-2)],
        &[movz(0, 1, 0), HVC],
    ]
    .concat();
    let program = Program::default()
        .with_vector()
        .at(EL2, &boot)
        .at(HANDLER, &handler)
        .at(EL1, &el1);
    let marks = [("handler", HANDLER), ("off", OFF)];
    let Some(report) = run("hypercall", &program, &el2_words(&marks), ICOUNT) else {
        return;
    };

    let boot = boot.len() as u64;
    // The branch in the vector, the test, the loop, the four.
    let event = 1 + 1 + 1 + 2 * u64::from(SPIN_EL2) + 4;
    // The branch, the test, the number, the call that does not return.
    let last = 1 + 1 + 2 + 1;
    let el1 = 1 + 2 * u64::from(SPIN_EL1) + 1 + 3 * u64::from(CALLS) + 2;
    let calls = u64::from(CALLS);
    assert_eq!(events(&report, "boot"), [1, boot, boot]);
    assert_eq!(events(&report, "sync/handler"), [calls, event, event]);
    assert_eq!(report["el2"]["unfinished"], 1);
    assert_eq!(report["el2"]["lost"], 0);
    assert_eq!(report["el2"]["aliases"], 0);
    let el2 = boot + calls * event + last;
    assert_eq!(report["instructions"]["el2"], el2);
    assert_eq!(report["instructions"]["total"], el2 + el1);
    assert_eq!(page(&report, EL2), [el2, 0]);
    assert_eq!(page(&report, EL1), [0, el1]);

    let operations = &cause(&report, "sync/handler")["operations"];
    for name in ["dsb sy", "tlbi alle1", "isb", "eret"] {
        assert_eq!(operations[name], calls, "{name}");
    }
    assert_eq!(cause(&report, "boot")["operations"]["msr hcr_el2"], 1);
    assert_eq!(report["el2"]["classes"]["eret"], calls + 1);

    let longest = &report["el2"]["longest_masked"];
    assert_eq!(longest["cause"], "sync/handler");
    assert_eq!(longest["instructions"], event);
    assert_eq!(longest["from"], format!("{SYNC:#x}"));
    assert_eq!(
        longest["to"],
        format!("{:#x}", HANDLER + 4 * (handler.len() as u64 - 1))
    );
    assert_eq!(longest["path"], serde_json::json!(["handler"]));
}

#[test]
fn a_trap_in_the_middle_of_a_block_is_counted_once() {
    let boot = enter(HCR_RW | HCR_TVM, EL1);
    // elr_el2 += 4: mrs x9, elr_el2; add x9, x9, #4; msr elr_el2, x9.
    let skip = [0xD53C_4029, 0x9100_1129, msr_el2(4, 0, 1, 9)];
    let handler = [&[off_if_asked()][..], &skip, &[ERET]].concat();
    let el1 = [
        &[NOP; 7][..],
        &[MSR_TTBR0],
        &[NOP; 9],
        &[movz(0, 1, 0), HVC],
    ]
    .concat();
    let program = Program::default()
        .with_vector()
        .at(EL2, &boot)
        .at(HANDLER, &handler)
        .at(EL1, &el1);
    let Some(report) = run("trap", &program, &el2_words(&[]), ICOUNT) else {
        return;
    };
    assert_eq!(events(&report, "sync"), [1, 6, 6]);
    assert_eq!(page(&report, EL1), [0, el1.len() as u64]);
}

#[test]
fn polls_and_idle_time_divide_what_is_masked() {
    let boot = enter(HCR_RW, EL1);
    let wake = HANDLER + 0x800;
    let mut handler = vec![off_if_asked()];
    handler.extend([NOP; 20]);
    handler.push(MRS_ISR);
    handler.extend([NOP; 50]);
    handler.extend(load(9, HCR_RW | HCR_VI));
    handler.extend([msr_hcr(9), ISB, WFI]);
    let before_wait = 1 + handler.len() as u64;
    let second = before_wait - (1 + 1 + 20 + 1);
    let gap = ((wake - HANDLER) / 4) as u32 - handler.len() as u32;
    handler.push(0x1400_0000 | gap);
    let mut awake = vec![NOP; 5];
    awake.extend(load(9, HCR_RW));
    awake.extend([msr_hcr(9), ERET]);
    let el1 = [HVC, movz(0, 1, 0), HVC];
    let program = Program::default()
        .with_vector()
        .at(EL2, &boot)
        .at(HANDLER, &handler)
        .at(wake, &awake)
        .at(EL1, &el1);
    let marks = [("handler", HANDLER), ("awake", wake)];
    let Some(report) = run("polls", &program, &el2_words(&marks), ICOUNT) else {
        return;
    };
    let after = 1 + awake.len() as u64;
    assert_eq!(
        events(&report, "sync/handler"),
        [1, before_wait, before_wait]
    );
    assert_eq!(events(&report, "wake/awake"), [1, after, after]);
    let longest = &cause(&report, "sync/handler")["longest_masked"];
    assert_eq!(longest["instructions"], second);
    assert_eq!(longest["from"], format!("{:#x}", HANDLER + 4 * 22));
    assert_eq!(longest["path"], serde_json::json!([]));
}

#[test]
fn lines_of_code_and_memory_are_counted_and_devices_are_not() {
    let boot = enter(HCR_RW, EL1);
    let mut handler = vec![off_if_asked()];
    handler.extend(load(9, FLAG));
    // ldr x10, [x9]; str x10, [x9, #56]; str x10, [x9, #64].
    handler.extend([0xF940_012A, 0xF900_1D2A, 0xF900_212A]);
    handler.extend(load(9, 0x0900_0018));
    // ldr w10, [x9]: the flags of the UART.
    handler.extend([0xB940_012A, ERET]);
    let el1 = [HVC, movz(0, 1, 0), HVC];
    let program = Program::default()
        .with_vector()
        .at(EL2, &boot)
        .at(HANDLER, &handler)
        .at(EL1, &el1);
    let mut words = el2_words(&[]);
    words.push("lines=on".into());
    let Some(report) = run("lines", &program, &words, ICOUNT) else {
        return;
    };
    // The vector, one line of the handler, two of memory.
    assert_eq!(handler.len() * 4, 40);
    let lines = &cause(&report, "sync")["lines"];
    assert_eq!(
        (lines["count"].as_u64(), lines["max"].as_u64()),
        (Some(1), Some(4))
    );
    assert_eq!(events(&report, "sync"), [1, 11, 11]);
}

#[test]
fn two_cores_at_once_do_not_mix_their_events() {
    const SPIN: u32 = 3000;
    const CALLS: u32 = 400;
    let second = EL2 + 0x3000;
    let second_el1 = EL1 + 0x1000;
    let mut boot = Vec::new();
    boot.extend(load(0, 0xC400_0003)); // CPU_ON
    boot.push(movz(1, 1, 0));
    boot.extend(load(2, second));
    boot.push(SMC);
    boot.extend(enter(HCR_RW, EL1));
    let handler = [&[off_if_asked()][..], &spin(9, SPIN), &[ERET]].concat();
    let calls = [movz(4, CALLS, 0), HVC, decrement(4), branch_not_zero(-2)];
    // Wait for the other core's flag: ldr x6, [x5]; cbnz x6, +2; b -2.
    let wait = [0xF940_00A6, branch_if(6, 2), 0x17FF_FFFE];
    let el1 = [&calls[..], &load(5, FLAG), &wait, &[movz(0, 1, 0), HVC]].concat();
    // str x5, [x5]; then sleep for ever.
    let other = [&calls[..], &load(5, FLAG), &[0xF900_00A5, WFI, 0x17FF_FFFF]].concat();
    let other_boot = enter(HCR_RW, second_el1);
    let program = Program::default()
        .with_vector()
        .at(EL2, &boot)
        .at(second, &other_boot)
        .at(HANDLER, &handler)
        .at(EL1, &el1)
        .at(second_el1, &other);
    let threads = ["-smp", "2", "-accel", "tcg,thread=multi"];
    let Some(report) = run("cores", &program, &el2_words(&[]), &threads) else {
        return;
    };
    let event = 1 + 1 + 1 + 2 * u64::from(SPIN) + 1;
    assert_eq!(
        events(&report, "sync"),
        [2 * u64::from(CALLS), event, event]
    );
    let (first, second) = (boot.len() as u64, other_boot.len() as u64);
    assert_eq!(events(&report, "boot"), [2, second, first]);
    assert_eq!(report["el2"]["lost"], 0);
    assert_eq!(report["qemu"]["cores"], 2);
}

#[test]
fn a_guest_at_the_hypervisors_addresses_is_not_taken_for_it() {
    // The hypervisor is said to be linked where EL1 runs, and loaded where it runs.
    let boot = enter(HCR_RW, EL1);
    let handler = [off_if_asked(), ERET];
    let el1 = [NOP, NOP, NOP, movz(0, 1, 0), HVC];
    let program = Program::default()
        .with_vector()
        .at(EL2, &boot)
        .at(HANDLER, &handler)
        .at(EL1, &el1);
    let words = [
        format!("el2={EL1:#x}-{:#x}", EL1 + 0x1_0000),
        format!("image={EL2:#x}"),
        format!("vectors={:#x}", EL1 + 0x800),
    ];
    let Some(report) = run("alias", &program, &words, ICOUNT) else {
        return;
    };
    assert_eq!(page(&report, EL1), [0, el1.len() as u64]);
    assert_eq!(report["el2"]["aliases"], el1.len() as u64);
    assert_eq!(report["el2"]["physical"], format!("{EL2:#x}"));
    assert_eq!(
        events(&report, "boot"),
        [1, boot.len() as u64, boot.len() as u64]
    );
}

#[test]
fn a_native_run_counts_pages_alone() {
    let off = [&load(0, 0x8400_0008)[..], &[SMC]].concat();
    let program = Program::default().at(EL2, &[&spin(9, 5000)[..], &off].concat());
    let Some(report) = run("native", &program, &[], ICOUNT) else {
        return;
    };
    assert_eq!(page(&report, EL2), [0, 1 + 2 * 5000 + 3]);
    assert_eq!(report["instructions"]["total"], 1 + 2 * 5000 + 3);
    assert!(report["el2"].is_null());
}
