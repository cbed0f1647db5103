//! The plugin's binary log in a real QEMU, on programs whose instructions, lines and causes were
//! counted by hand.

mod program;

use program::*;
use std::os::unix::fs::MetadataExt;
use tessera_meter::phase::Totals;
use tessera_meter::record::{Event, Record, Span, Switch};

/// HCR_EL2: stage 2.
const HCR_VM: u64 = 1 << 0;
/// HCR_EL2: physical IRQs go to EL2.
const HCR_IMO: u64 = 1 << 4;
/// HCR_EL2: WFI traps.
const HCR_TWI: u64 = 1 << 13;
/// HCR_EL2: SMC traps.
const HCR_TSC: u64 = 1 << 19;

/// The syndrome of `hvc #0`: class 0x16, a 32-bit instruction.
const ESR_HVC: u32 = 0x5A00_0000;
const YIELD: u32 = 0xD503_203F;
/// elr_el2 += 4: mrs x9, elr_el2; add x9, x9, #4; msr elr_el2, x9.
const SKIP: [u32; 3] = [0xD53C_4029, 0x9100_1129, 0xD51C_4029];

fn marker(phase: u32) -> u32 {
    0xD2E0_001F | phase << 5
}

fn hvc(number: u32) -> u32 {
    HVC | number << 5
}

/// Where the hypervisor is; its place and its vectors are to be learned.
fn el2() -> Vec<String> {
    vec![format!("el2={EL2:#x}-{EL2_END:#x}")]
}

fn events(records: &[Record]) -> Vec<&Event> {
    let events = records.iter().filter_map(|record| match record {
        Record::Event(event) => Some(event),
        _ => None,
    });
    events.collect()
}

fn spans(records: &[Record]) -> Vec<&Span> {
    let spans = records.iter().filter_map(|record| match record {
        Record::Span(span) => Some(span),
        _ => None,
    });
    spans.collect()
}

#[test]
fn a_hypercalls_record_is_right_in_every_field() {
    const SPIN: u32 = 10;
    const CALLS: u32 = 3;
    let boot = enter(HCR_RW, EL1);
    let mut handler = vec![off_if_asked()];
    handler.extend(load(9, FLAG));
    // ldr x10, [x9]; str x10, [x9, #56]; str x10, [x9, #128].
    handler.extend([0xF940_012A, 0xF900_1D2A, 0xF900_412A]);
    handler.extend(spin(11, SPIN));
    handler.extend([DSB_SY, TLBI_ALLE1, ISB, ISB]);
    // msr tpidr_el2, x9, three times, and mrs x9, elr_el2.
    handler.extend([msr_el2(13, 0, 2, 9); 3]);
    handler.push(0xD53C_4029);
    handler.extend([NOP, ERET]);
    let el1 = [
        movz(2, CALLS, 0),
        HVC,
        decrement(2),
        branch_not_zero(-2),
        movz(0, 1, 0),
        HVC,
    ];
    let program = Program::default()
        .with_vector()
        .at(EL2, &boot)
        .at(HANDLER, &handler)
        .at(EL1, &el1);
    let mut words = el2();
    words.push(format!("mark=handler:{HANDLER:#x}"));
    words.push("lines=on".into());
    let Some(records) = record("record", &program, &words) else {
        return;
    };

    let boot = boot.len() as u64;
    // The branch in the vector; the loop's two instructions once are in the handler's length.
    let event = 1 + handler.len() as u64 + 2 * u64::from(SPIN - 1);
    // 19 words, so two lines, and the vector's; the first two accesses are in one line.
    assert_eq!(handler.len(), 19);
    let call = |index: u64| {
        Record::Event(Event {
            mark: 1,
            instructions: event,
            longest: event,
            longest_from: SYNC - EL2,
            code_lines: 3,
            data_lines: 2,
            operations: [2, 1, 1, 3, 1, 1],
            esr: Some(ESR_HVC),
            elr: EL1 + 8,
            // The first call comes after two instructions, the others after three more.
            at: boot + 2 + index * (event + 3),
            ..Event::default()
        })
    };
    let first = Record::Event(Event {
        vector: 5,
        instructions: boot,
        longest: boot,
        code_lines: 1,
        operations: [0, 0, 0, 4, 0, 1],
        ..Event::default()
    });
    // The last call does not return.
    let totals = Record::Totals(Totals {
        below: 1 + 3 * u64::from(CALLS) + 2,
        el2: boot + u64::from(CALLS) * event + 1 + 1 + 2 + 1,
    });
    assert_eq!(records, [first, call(0), call(1), call(2), totals]);
}

#[test]
fn a_traps_cause_is_its_syndrome_and_its_place() {
    const STAGE2: u64 = EL2 + 0x4000;
    let mut boot = Vec::new();
    // 4 GiB in entries of 1 GiB: only the second is there.
    boot.extend(load(0, 0x8000_0060));
    boot.push(msr_el2(2, 1, 2, 0)); // vtcr_el2
    boot.extend(load(0, STAGE2));
    boot.push(msr_el2(2, 1, 0, 0)); // vttbr_el2
    boot.extend(load(8, 0x0900_0018));
    boot.extend(enter(HCR_RW | HCR_VM | HCR_TVM | HCR_TWI | HCR_TSC, EL1));
    // Through memory attributes, shareability, access and its flag, to 0x4000_0000.
    let block = 0x4000_07FD;
    let handler = [&[off_if_asked()][..], &[NOP; 4]].concat();
    let skip = [&handler[..], &SKIP, &[ERET]].concat();
    // ldr w10, [x8]: the flags of the UART.
    let el1 = [
        NOP,
        MSR_TTBR0,
        NOP,
        WFI,
        SMC,
        NOP,
        NOP,
        0xB940_010A,
        movz(0, 1, 0),
        HVC,
    ];
    let program = Program::default()
        .with_vector()
        .at(EL2, &boot)
        .at(HANDLER, &skip)
        .at(STAGE2, &[0, 0, block, 0, 0, 0, 0, 0])
        .at(EL1, &el1);
    let Some(records) = record("traps", &program, &el2()) else {
        return;
    };
    let found: Vec<_> = events(&records)
        .iter()
        .map(|event| (event.vector, event.esr, event.elr, event.far))
        .collect();
    let expected = [
        (5, None, 0, None),
        // A write of (3, 0, 2, 0, 0) from x9.
        (0, Some(0x6230_0920), EL1 + 4, None),
        (0, Some(0x07E0_0000), EL1 + 12, None),
        (0, Some(0x5E00_0000), EL1 + 16, None),
        // A read of 4 bytes to x10, translation fault at level 1.
        (0, Some(0x938A_0005), EL1 + 28, Some(0x0900_0018)),
    ];
    assert_eq!(found, expected);
    assert!(records.len() > 5 && events(&records)[1..].iter().all(|e| e.instructions == 10));
}

/// The phases that `a_phase_is_counted_between_its_markers` goes through: the spin, the markers,
/// and an instruction `call` in the first.
fn phases(call: &[u32]) -> Vec<u32> {
    let mut words = vec![NOP, marker(0), marker(7)];
    words.extend(spin(1, 500));
    words.extend(call);
    words.extend([marker(0), NOP, NOP, marker(7), NOP, NOP, NOP]);
    words.extend([marker(9), NOP, marker(0)]);
    words
}

/// The spans of `phases` when a core begins them after `start` instructions and each `call`
/// costs what it says below EL2 and at EL2.
fn expected_spans(start: u64, below: u64, el2: u64) -> [Span; 3] {
    let first = Span {
        core: 0,
        phase: 7,
        at: start + 3,
        below: 1 + 2 * 500 + below,
        el2,
        events: u64::from(el2 > 0),
        cut: false,
    };
    let second = Span {
        // The marker, two, and the marker.
        at: first.at + first.below + first.el2 + 4,
        below: 3,
        el2: 0,
        events: 0,
        ..first
    };
    let third = Span {
        phase: 9,
        at: second.at + 4,
        below: 1,
        ..second
    };
    [first, second, third]
}

#[test]
fn a_phase_is_counted_between_its_markers() {
    let boot = enter(HCR_RW, EL1);
    let handler = [off_if_asked(), NOP, NOP, ERET];
    let el1 = [&phases(&[HVC])[..], &[HVC, movz(0, 1, 0), HVC]].concat();
    let program = Program::default()
        .with_vector()
        .at(EL2, &boot)
        .at(HANDLER, &handler)
        .at(EL1, &el1);
    let Some(records) = record("phases", &program, &el2()) else {
        return;
    };
    let boot = boot.len() as u64;
    let expected = expected_spans(boot, 1, 5);
    assert_eq!(spans(&records), expected.iter().collect::<Vec<_>>());
    let found: Vec<_> = events(&records)
        .iter()
        .map(|event| (event.vector, event.phase))
        .collect();
    assert_eq!(found, [(5, 0), (0, 7), (0, 0)]);

    // With `record=phases` the same, without the events of no phase.
    let mut words = el2();
    words.push("record=phases".into());
    let fewer = record("phases-only", &program, &words).unwrap();
    let kept: Vec<_> = records
        .into_iter()
        .filter(|record| !matches!(record, Record::Event(event) if event.phase == 0))
        .collect();
    assert_eq!(fewer, kept);
}

#[test]
fn a_native_run_has_the_same_phases() {
    // Without EL2 the machine is switched off by HVC.
    let off = [&load(0, 0x8400_0008)[..], &[HVC]].concat();
    let words = [phases(&[NOP]), off].concat();
    let program = Program::default().at(EL2, &words);
    let events = file("native-phases", "events");
    let plugin = [format!("events={}", events.display())];
    let run = run_on(NATIVE, "native-phases", &program, &plugin, ICOUNT);
    let Some(report) = run else { return };
    let records = Record::read_all(&std::fs::read(events).unwrap()).unwrap();
    let mut expected: Vec<_> = expected_spans(0, 1, 0).map(Record::Span).into();
    let below = words.len() as u64 - 2 + 2 * 500;
    expected.push(Record::Totals(Totals { below, el2: 0 }));
    assert_eq!(records, expected);
    // Markers are counted in the report as any instruction is.
    assert_eq!(report["instructions"]["total"], below);
}

#[test]
fn a_phase_without_an_end_is_cut() {
    let words = [&[marker(3), NOP][..], &load(0, 0x8400_0008), &[SMC]].concat();
    let program = Program::default().at(EL2, &words);
    let events = file("cut", "events");
    let plugin = [format!("events={}", events.display())];
    if run("cut", &program, &plugin, ICOUNT).is_none() {
        return;
    }
    let records = Record::read_all(&std::fs::read(events).unwrap()).unwrap();
    let span = Span {
        core: 0,
        phase: 3,
        at: 1,
        below: 4,
        el2: 0,
        events: 0,
        cut: true,
    };
    assert_eq!(records[0], Record::Span(span));
}

#[test]
fn an_event_says_which_context_it_came_from_and_returned_to() {
    let second = EL1 + 0x10_0000;
    let nobodys = EL1 + 0x20_0000;
    let boot = enter(HCR_RW, EL1);
    // msr elr_el2, x3: to where the guest says.
    let handler = [off_if_asked(), msr_el2(4, 0, 1, 3), ERET];
    let call = |to: u64| [&load(3, to)[..], &[HVC]].concat();
    // A call to the same context, then to the second, which calls back and so on.
    let one = [call(EL1 + 12), call(second), call(nobodys)].concat();
    let other = call(EL1 + 24);
    let third = [movz(0, 1, 0), HVC];
    let program = Program::default()
        .with_vector()
        .at(EL2, &boot)
        .at(HANDLER, &handler)
        .at(EL1, &one)
        .at(second, &other)
        .at(nobodys, &third);
    let mut words = el2();
    words.push(format!("context=one:{EL1:#x}-{second:#x}"));
    words.push(format!("context=other:{second:#x}-{nobodys:#x}"));
    words.push("timeline=on".into());
    let Some(records) = record("contexts", &program, &words) else {
        return;
    };
    let found: Vec<_> = events(&records)
        .iter()
        .map(|event| (event.left, event.returned))
        .collect();
    assert_eq!(found, [(0, 1), (1, 1), (1, 2), (2, 1), (1, 0)]);
    let switches: Vec<_> = records
        .iter()
        .filter_map(|record| match record {
            Record::Switch(switch) => Some(*switch),
            _ => None,
        })
        .collect();
    let at = |from, to, at| Switch {
        core: 0,
        phase: 0,
        from,
        to,
        at,
    };
    // Each call is three instructions, and four at EL2.
    let start = boot.len() as u64;
    assert_eq!(
        switches,
        [at(0, 1, start), at(1, 2, start + 14), at(2, 1, start + 21)]
    );
}

/// msr to a register of the interrupt controller or the timer.
fn msr(op1: u32, crn: u32, crm: u32, op2: u32, register: u32) -> u32 {
    0xD518_0000 | op1 << 16 | crn << 12 | crm << 8 | op2 << 5 | register
}

/// A value to a register of a device: str w0, [x1].
fn store(address: u64, value: u64) -> Vec<u32> {
    [&load(0, value)[..], &load(1, address), &[0xB900_0020]].concat()
}

#[test]
fn an_interrupts_number_is_what_was_acknowledged() {
    const TIMER: u64 = 26;
    let redistributor = 0x080A_0000;
    let mut boot = store(0x0800_0000, 0x13); // GICD_CTLR: both groups, affinity routing
    boot.extend(store(redistributor + 0x14, 0)); // GICR_WAKER
    boot.extend(store(redistributor + 0x1_0080, 0xFFFF_FFFF)); // GICR_IGROUPR0
    boot.extend(store(redistributor + 0x1_0100, 1 << TIMER)); // GICR_ISENABLER0
    boot.extend([movz(0, 0xF, 0), msr_el2(12, 9, 5, 0), ISB]); // icc_sre_el2
    boot.extend([movz(0, 0xFF, 0), msr(0, 4, 6, 0, 0)]); // icc_pmr_el1
    boot.extend([movz(0, 1, 0), msr(0, 12, 12, 7, 0)]); // icc_igrpen1_el1
    boot.extend([movz(0, 100, 0), msr_el2(14, 2, 0, 0)]); // cnthp_tval_el2
    boot.extend([movz(0, 1, 0), msr_el2(14, 2, 1, 0)]); // cnthp_ctl_el2
    boot.extend(enter(HCR_RW | HCR_IMO, EL1));
    // mrs x9, icc_iar1_el1; the timer off; msr icc_eoir1_el1, x9; once more, for nothing.
    let irq = [
        0xD538_CC09,
        msr_el2(14, 2, 1, 31),
        msr(0, 12, 12, 1, 9),
        ISB,
        0xD538_CC09,
        ERET,
    ];
    let handler = [off_if_asked(), ERET];
    let el1 = [&[HVC][..], &spin(1, 5000), &[HVC, movz(0, 1, 0), HVC]].concat();
    let program = Program::default()
        .with_vector()
        .at(EL2, &boot)
        .at(SYNC + 0x80, &irq)
        .at(HANDLER, &handler)
        .at(EL1, &el1);
    let Some(records) = record("interrupt", &program, &el2()) else {
        return;
    };
    let found: Vec<_> = events(&records)
        .iter()
        .map(|event| (event.vector, event.interrupt, event.acknowledges, event.esr))
        .collect();
    let expected = [
        (5, None, 0, None),
        (0, None, 0, Some(ESR_HVC)),
        (1, Some(TIMER as u32), 1, None),
        (0, None, 0, Some(ESR_HVC)),
    ];
    assert_eq!(found, expected);
    let event = events(&records)[2];
    assert_eq!(event.instructions, irq.len() as u64);
    // In the loop, of two instructions after the call and the number.
    assert!([EL1 + 8, EL1 + 12].contains(&event.elr));
}

#[test]
fn an_idle_core_that_goes_on_is_an_event_without_a_cause() {
    let boot = enter(HCR_RW, EL1);
    // A virtual interrupt pending ends WFI.
    let mut handler = vec![off_if_asked()];
    handler.extend(load(9, HCR_RW | HCR_VI));
    handler.extend([msr_hcr(9), ISB, WFI]);
    let before = 1 + handler.len() as u64;
    let mut awake = vec![NOP; 5];
    awake.extend(load(9, HCR_RW));
    awake.extend([msr_hcr(9), ERET]);
    handler.extend(&awake);
    let el1 = [HVC, movz(0, 1, 0), HVC];
    let program = Program::default()
        .with_vector()
        .at(EL2, &boot)
        .at(HANDLER, &handler)
        .at(EL1, &el1);
    let mut words = el2();
    words.push(format!("context=one:{EL1:#x}-{:#x}", EL1 + 0x1000));
    let Some(records) = record("wake", &program, &words) else {
        return;
    };
    let begun = boot.len() as u64 + 1;
    let found: Vec<_> = events(&records)
        .iter()
        .map(|e| (e.vector, e.instructions, e.at, e.esr, e.left, e.returned))
        .collect();
    let expected = [
        (5, boot.len() as u64, 0, None, 0, 1),
        (0, before, begun, Some(ESR_HVC), 1, 0),
        (4, awake.len() as u64, begun + before, None, 0, 1),
    ];
    assert_eq!(found, expected);
}

#[test]
fn two_cores_on_one_thread_do_not_mix_their_causes() {
    const CALLS: u32 = 300;
    if mixes_cores() {
        println!("skipped: this QEMU mixes up cores that share a thread");
        return;
    }
    let second = EL2 + 0x3000;
    let second_el1 = EL1 + 0x1000;
    let mut boot = Vec::new();
    boot.extend(load(0, 0xC400_0003)); // CPU_ON
    boot.push(movz(1, 1, 0));
    boot.extend(load(2, second));
    boot.push(SMC);
    boot.extend(enter(HCR_RW, EL1));
    let handler = [&[off_if_asked()][..], &spin(9, 100), &[ERET]].concat();
    let calls = |number| {
        [
            movz(4, CALLS, 0),
            hvc(number),
            YIELD,
            decrement(4),
            branch_not_zero(-3),
        ]
    };
    // Wait for the other core's flag: ldr x6, [x5]; cbnz x6, +3; yield; b -3.
    let wait = [0xF940_00A6, branch_if(6, 3), YIELD, 0x17FF_FFFD];
    let el1 = [&calls(1)[..], &load(5, FLAG), &wait, &[movz(0, 1, 0), HVC]].concat();
    // str x5, [x5]; then sleep for ever.
    let end = [0xF900_00A5, WFI, 0x17FF_FFFF];
    let other = [&calls(2)[..], &load(5, FLAG), &end].concat();
    let program = Program::default()
        .with_vector()
        .at(EL2, &boot)
        .at(second, &enter(HCR_RW, second_el1))
        .at(HANDLER, &handler)
        .at(EL1, &el1)
        .at(second_el1, &other);
    let machine = [ICOUNT, &["-smp", "2"]].concat();
    let Some(records) = record_with("two", &program, &el2(), &machine) else {
        return;
    };
    for (core, place) in [(0, EL1), (1, second_el1)] {
        let calls: Vec<_> = events(&records)
            .into_iter()
            .filter(|event| event.core == core && event.vector == 0)
            .collect();
        assert_eq!(calls.len(), CALLS as usize);
        let esr = ESR_HVC + core as u32 + 1;
        let right = |event: &&Event| event.esr == Some(esr) && event.elr == place + 8;
        assert!(calls.iter().all(right), "{calls:?}");
        assert!(calls.is_sorted_by_key(|event| event.at));
    }
}

#[test]
fn the_log_is_given_back_while_it_is_written() {
    const CALLS: u32 = 50_000;
    let boot = enter(HCR_RW, EL1);
    let handler = [off_if_asked(), ERET];
    let el1 = [
        movz(2, CALLS, 0),
        HVC,
        decrement(2),
        branch_not_zero(-2),
        movz(0, 1, 0),
        HVC,
    ];
    let program = Program::default()
        .with_vector()
        .at(EL2, &boot)
        .at(HANDLER, &handler)
        .at(EL1, &el1);
    let Some(records) = record("long", &program, &el2()) else {
        return;
    };
    let causes = events(&records);
    let known = causes.iter().filter(|e| e.esr == Some(ESR_HVC)).count();
    assert_eq!(known, CALLS as usize);
    let log = std::fs::metadata(file("long", "log")).unwrap();
    assert!(log.len() > 10 << 20, "{} bytes", log.len());
    // What is in it on the disk.
    assert!(log.blocks() * 512 < 5 << 20, "{} blocks", log.blocks());
}
