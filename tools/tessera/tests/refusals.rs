//! Every kind of bad description is refused: with the reason, at the right place, with a remedy.

use std::path::Path;
use tessera::analysis;
use tessera::board::Board;
use tessera::check;
use tessera::description::Description;
use tessera::failure::Failure;
use tessera::program::Profile;
use tessera::project::Project;
use tessera::quantity::Size;
use tessera::refusal::Refusal;
use tessera::setup::Permission;
use tessera::supply::Supply;
use tessera::system::System;

/// A description that is right.
const GOOD: &str = r#"
name = "good"

[[core]]
policy = "shared"

[[core]]
policy = "pinned"

[guest.rt]
image = "rt.img"
memory = "4MiB"
cores = [0]
priority = 200
budget = "400us"
period = "1ms"

[guest.linux]
image = "linux.img"
memory = "64MiB"
cores = [0]
priority = 100
"#;

fn all_checks(text: &str) -> Result<System, Vec<Refusal>> {
    let (description, source) =
        Description::parse(Path::new("test.toml"), text).map_err(|r| vec![r])?;
    let system = check::check(&description, &source)?;
    analysis::analyse(&description, &system.cores, &source)?;
    Ok(system)
}

/// The refusal of GOOD with one piece of it replaced.
fn refused(from: &str, to: &str) -> Refusal {
    assert!(GOOD.contains(from), "{from}");
    let mut refusals = all_checks(&GOOD.replace(from, to)).expect_err(to);
    assert_eq!(refusals.len(), 1, "{refusals:?}");
    let refusal = refusals.remove(0);
    assert!(!refusal.remedy().is_empty());
    refusal
}

/// Checks the reason and the text that is pointed at.
fn says(refusal: &Refusal, reason: &str, at: &str) {
    assert!(
        refusal.reason().contains(reason),
        "{} - expected: {reason}",
        refusal.reason()
    );
    assert_eq!(refusal.pointed_at(), at, "{}", refusal.reason());
}

#[test]
fn a_good_description_passes() {
    let system = all_checks(GOOD).unwrap();
    assert_eq!(
        system.guests[0].name, "rt",
        "the most urgent guest is started first"
    );
    assert_eq!(system.memory(), 68 << 20);
}

#[test]
fn a_trace_ring_of_an_odd_size_is_refused() {
    for bad in ["\"96KiB\"", "2048", "\"8MiB\"", "0", "\"4GiB\""] {
        let name = "name = \"good\"";
        let refusal = refused(name, &format!("{name}\ntrace = {bad}"));
        says(&refusal, "trace rings cannot have", bad);
    }
    let good = |trace: &str| all_checks(&format!("trace = {trace}{GOOD}")).unwrap().trace;
    assert_eq!(good("\"4KiB\""), 4096);
    assert_eq!(good("\"4MiB\""), 4 << 20);
    assert_eq!(all_checks(GOOD).unwrap().trace, 0, "none by default");
}

#[test]
fn an_unknown_key_is_refused_and_the_nearest_one_named() {
    let refusal = refused("priority = 100", "priorty = 100");
    says(&refusal, "no key `priorty`", "priorty");
    assert!(
        refusal.remedy().contains("`priority`"),
        "{}",
        refusal.remedy()
    );
}

#[test]
fn an_unknown_key_unlike_any_other_gets_the_list() {
    let refusal = refused("priority = 100", "wheels = 4");
    assert!(
        refusal.remedy().contains("bootargs"),
        "{}",
        refusal.remedy()
    );
}

#[test]
fn a_missing_key_is_named() {
    let refusal = refused("cores = [0]\npriority = 100", "priority = 100");
    assert!(
        refusal.reason().contains("`cores` is missing"),
        "{}",
        refusal.reason()
    );
}

#[test]
fn text_that_is_not_toml_is_refused_where_it_stops_being_so() {
    let refusal = refused("memory = \"64MiB\"", "memory = = 4");
    assert!(
        GOOD.replace("memory = \"64MiB\"", "memory = = 4")
            .contains(refusal.pointed_at())
    );
}

#[test]
fn an_unknown_policy_is_refused_with_the_known_ones() {
    let refusal = refused("\"pinned\"", "\"exclusive\"");
    assert!(refusal.remedy().contains("pinned"), "{}", refusal.remedy());
}

#[test]
fn a_size_without_a_meaning_is_refused() {
    says(&refused("\"64MiB\"", "\"64MB\""), "not a size", "\"64MB\"");
    says(
        &refused("\"64MiB\"", "\"63KiB\""),
        "multiple of 4 KiB",
        "\"63KiB\"",
    );
    says(&refused("\"64MiB\"", "0"), "multiple of 4 KiB", "0");
}

#[test]
fn more_memory_than_addresses_is_refused() {
    says(
        &refused("\"64MiB\"", "\"600GiB\""),
        "above 512 GiB",
        "\"600GiB\"",
    );
    let whole = refused("\"64MiB\"", "9223372036854771712");
    says(&whole, "above 512 GiB", "9223372036854771712");
}

#[test]
fn a_duration_without_its_unit_is_refused() {
    says(
        &refused("\"400us\"", "\"400\""),
        "not a duration",
        "\"400\"",
    );
    says(&refused("\"400us\"", "400"), "duration", "400");
}

#[test]
fn a_budget_that_cannot_be_is_refused() {
    says(
        &refused("\"400us\"", "\"2ms\""),
        "longer than its period",
        "\"2ms\"",
    );
    says(&refused("\"400us\"", "\"5us\""), "too small", "\"5us\"");
    says(&refused("\"1ms\"", "\"50us\""), "out of range", "\"50us\"");
    says(
        &refused("period = \"1ms\"", ""),
        "needs a period",
        "\"400us\"",
    );
    says(
        &refused("budget = \"400us\"", ""),
        "needs a budget",
        "\"1ms\"",
    );
}

#[test]
fn overlapping_memory_is_refused_and_both_places_shown() {
    let region = "priority = 100\n[[guest.linux.region]]\naddress = 0x4200_0000\nsize = \"1MiB\"";
    says(
        &refused("priority = 100", region),
        "memory and a region of `linux` overlap",
        "0x4200_0000",
    );
}

#[test]
fn a_device_in_memory_is_refused() {
    let uart = "priority = 100\nuart = { address = 0x4000_0000 }";
    says(
        &refused("priority = 100", uart),
        "memory and the UART of `linux` overlap",
        "0x4000_0000",
    );
}

#[test]
fn devices_on_top_of_each_other_are_refused() {
    let rtc = "priority = 100\nrtc = { address = 0x0900_0000 }";
    says(
        &refused("priority = 100", rtc),
        "the UART and the RTC",
        "0x0900_0000",
    );
    let gic = "priority = 100\ngic = { distributor = 0x0900_0000 }";
    says(
        &refused("priority = 100", gic),
        "the UART and the distributor",
        "0x0900_0000",
    );
}

#[test]
fn an_address_between_pages_is_refused() {
    let uart = "priority = 100\nuart = { address = 0x0900_0100 }";
    says(
        &refused("priority = 100", uart),
        "cannot be at 0x9000100",
        "0x0900_0100",
    );
}

#[test]
fn an_interrupt_given_twice_is_refused() {
    let rtc = "priority = 100\nrtc = { interrupt = 33 }";
    says(
        &refused("priority = 100", rtc),
        "interrupt 33 is given to two devices",
        "33",
    );
}

#[test]
fn an_interrupt_that_is_no_spi_is_refused() {
    says(
        &refused("priority = 100", "priority = 100\nrtc = { interrupt = 27 }"),
        "not an SPI",
        "27",
    );
    says(
        &refused(
            "priority = 100",
            "priority = 100\nrtc = { interrupt = 288 }",
        ),
        "not an SPI",
        "288",
    );
    let few = "priority = 100\ngic = { spis = 32 }\nrtc = { interrupt = 64 }";
    says(&refused("priority = 100", few), "not an SPI", "64");
    says(
        &refused("priority = 100", "priority = 100\ngic = { spis = 33 }"),
        "33 SPIs",
        "33",
    );
}

#[test]
fn a_gic_that_does_not_exist_is_refused() {
    says(
        &refused("priority = 100", "priority = 100\ngic = 4"),
        "GICv4",
        "4",
    );
    says(
        &refused("priority = 100", "priority = 100\ngic = \"v3\""),
        "not a GIC version",
        "\"v3\"",
    );
}

#[test]
fn two_vcpus_of_a_guest_on_one_core_are_refused() {
    let refusal = refused(
        "cores = [0]\npriority = 100",
        "cores = [0, 0]\npriority = 100",
    );
    says(&refusal, "two vCPUs on core 0", "0");
    assert!(refusal.remedy().contains("VMID"));
}

#[test]
fn a_core_that_is_not_described_is_refused() {
    says(
        &refused("cores = [0]\npriority = 100", "cores = [2]\npriority = 100"),
        "uses core 2",
        "2",
    );
}

#[test]
fn a_guest_without_a_core_is_refused() {
    says(
        &refused("cores = [0]\npriority = 100", "cores = []\npriority = 100"),
        "0 vCPUs",
        "[]",
    );
}

#[test]
fn a_pinned_core_with_two_vcpus_is_refused() {
    let refusal = refused("policy = \"shared\"", "policy = \"pinned\"");
    assert!(
        refusal.reason().contains("core 0 is pinned"),
        "{}",
        refusal.reason()
    );
}

#[test]
fn more_than_eight_vcpus_need_gicv3() {
    let cores: String = (0..16).map(|_| "[[core]]\n").collect();
    let text = |n: usize, gic: &str| {
        let list: Vec<String> = (0..n).map(|c| c.to_string()).collect();
        format!(
            "name = \"x\"\n{cores}[guest.a]\nimage = \"a\"\nmemory = \"4MiB\"\ncores = [{}]\n{gic}",
            list.join(", ")
        )
    };
    all_checks(&text(16, "gic = 3")).unwrap();
    let refusals = all_checks(&text(9, "")).unwrap_err();
    assert!(
        refusals[0].reason().contains("9 vCPUs"),
        "{}",
        refusals[0].reason()
    );
}

#[test]
fn a_name_that_no_line_could_carry_is_refused() {
    says(
        &refused("\"good\"", "\"a-name-that-is-too-long\""),
        "23 characters",
        "\"a-name-that-is-too-long\"",
    );
    says(
        &refused("\"good\"", "\"Good\""),
        "cannot be the system's name",
        "\"Good\"",
    );
    says(
        &refused("[guest.linux]", "[guest.\"a b\"]"),
        "cannot be the guest's name",
        "\"a b\"",
    );
}

#[test]
fn a_system_without_guests_or_cores_is_refused() {
    let refusals = all_checks("name = \"x\"").unwrap_err();
    let reasons: Vec<&str> = refusals.iter().map(Refusal::reason).collect();
    assert_eq!(reasons.len(), 2, "{reasons:?}");
}

#[test]
fn a_guest_without_memory_is_refused() {
    says(
        &refused("memory = \"64MiB\"", ""),
        "`linux` has no memory",
        "linux",
    );
}

#[test]
fn two_guests_with_the_keyboard_are_refused() {
    let text = GOOD.replace("cores = [0]", "cores = [0]\nfocus = true");
    let refusals = all_checks(&text).unwrap_err();
    assert!(refusals[0].reason().contains("both have the keyboard"));
}

#[test]
fn budgets_that_add_up_to_more_than_the_core_are_refused() {
    let refusal = refused(
        "priority = 100",
        "priority = 100\nbudget = \"700us\"\nperiod = \"1ms\"",
    );
    assert!(
        refusal
            .reason()
            .contains("`linux` cannot meet its deadline on core 0"),
        "{}",
        refusal.reason()
    );
    says(&refusal, "deadline", "\"700us\"");
}

#[test]
fn budgets_below_the_whole_that_miss_a_deadline_are_refused() {
    // Together 0.9 of the core, but the long one delays nothing and is itself too late.
    let demand = "priority = 100\ndemand = { work = \"250us\", period = \"500us\" }";
    let refusal = refused("priority = 100", demand);
    assert!(
        refusal.reason().contains("cannot meet its deadline"),
        "{}",
        refusal.reason()
    );
}

#[test]
fn a_guest_that_another_may_starve_is_refused() {
    let refusal = refused("priority = 100", "priority = 250");
    says(
        &refusal,
        "`rt` may never run on core 0: `linux`",
        "\"400us\"",
    );
}

#[test]
fn a_demand_larger_than_its_budget_is_refused() {
    let refusal = refused(
        "period = \"1ms\"",
        "period = \"1ms\"\ndemand = { work = \"500us\", period = \"1ms\" }",
    );
    assert!(
        refusal.reason().contains("`rt` cannot meet its deadline"),
        "{}",
        refusal.reason()
    );
}

#[test]
fn a_board_with_too_little_is_refused() {
    let text = GOOD
        .replace("64MiB", "3GiB")
        .replace("priority = 100", "priority = 100\ngic = 3");
    let cores = "[[core]]\n".repeat(3);
    let text = text.replace("[guest.rt]", &format!("{cores}\n[guest.rt]"));
    let (description, source) = Description::parse(Path::new("test.toml"), &text).unwrap();
    let system = check::check(&description, &source).unwrap();
    check::board(&description, &system, Board::VirtGicv3, &source).unwrap();
    let refusals = check::board(&description, &system, Board::Zcu102, &source).unwrap_err();
    let reasons: Vec<&str> = refusals.iter().map(Refusal::reason).collect();
    assert_eq!(reasons.len(), 3, "{reasons:?}");
    assert!(reasons[0].contains("5 cores, zcu102 has 4"), "{reasons:?}");
    assert!(
        reasons[1].contains("3076 MiB, zcu102 has 2 GiB"),
        "{reasons:?}"
    );
    assert!(
        reasons[2].contains("`linux` needs GICv3, zcu102 has GICv2"),
        "{reasons:?}"
    );
}

/// The refusal of an image, a RAM disk or a tree: descriptions whose files are in a folder.
fn supplied(files: &[(&str, &[u8])], from: &str, to: &str) -> Result<System, Refusal> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("rt.img"), flat_image(0x1000)).unwrap();
    std::fs::write(folder.path().join("linux.img"), flat_image(0x10_0000)).unwrap();
    for (name, bytes) in files {
        std::fs::write(folder.path().join(name), bytes).unwrap();
    }
    let text = GOOD.replace(from, to);
    let path = folder.path().join("test.toml");
    let (description, source) = Description::parse(&path, &text).unwrap();
    let mut system = check::check(&description, &source)
        .map_err(|mut r| r.remove(0))
        .unwrap();
    let project = Project::find().unwrap();
    let supply = Supply::new(&project, &path, Profile::Release, Permission::Look);
    match supply.fill(&mut system, &description, &source) {
        Ok(()) => Ok(system),
        Err(Failure::Refused(mut refusals)) => Err(refusals.remove(0)),
        Err(other) => panic!("{other}"),
    }
}

/// An arm64 `Image` that says it needs `size` bytes.
fn flat_image(size: u64) -> Vec<u8> {
    let mut image = vec![0; 64];
    image[16..24].copy_from_slice(&size.to_le_bytes());
    image[56..60].copy_from_slice(b"ARM\x64");
    image
}

#[test]
fn files_that_are_right_are_placed() {
    let system = supplied(&[], "", "").unwrap();
    let linux = system.guest("linux").unwrap();
    assert_eq!(linux.entry, 0x4020_0000);
    assert_eq!(linux.arguments, [0x4000_0000, 0, 0, 0]);
}

#[test]
fn a_missing_image_is_refused() {
    let refusal = supplied(&[], "\"linux.img\"", "\"absent.img\"").unwrap_err();
    says(&refusal, "`absent.img` cannot be read", "\"absent.img\"");
    let refusal = supplied(&[], "\"linux.img\"", "\"guest:absent\"").unwrap_err();
    says(&refusal, "no guest `absent`", "\"guest:absent\"");
    assert!(
        refusal.remedy().contains("guest:rt"),
        "{}",
        refusal.remedy()
    );
    let refusal = supplied(&[], "\"linux.img\"", "\"debian:absent\"").unwrap_err();
    assert!(
        refusal.remedy().contains("debian:linux-cloud"),
        "{}",
        refusal.remedy()
    );
}

#[test]
fn a_file_that_is_not_an_image_is_refused_by_what_it_is() {
    for (bytes, what) in [
        (&b""[..], "empty"),
        (&b"#!/bin/sh\n"[..], "a script"),
        (&b"just words, and more words"[..], "text"),
        (&[0x1f, 0x8b, 8, 0, 0, 0][..], "gzip-compressed"),
        (&b"070701000"[..], "cpio"),
        (&[0xd0, 0x0d, 0xfe, 0xed][..], "a device tree"),
        (&[0x7f, b'E', b'L', b'F', 2, 1, 1][..], "ELF"),
        (&[0, 1, 2, 3, 0xff][..], "neither"),
    ] {
        let refusal = supplied(&[("bad.img", bytes)], "\"linux.img\"", "\"bad.img\"").unwrap_err();
        says(&refusal, what, "\"bad.img\"");
    }
}

#[test]
fn an_image_with_a_bad_header_is_refused() {
    let mut big_endian = flat_image(0x1000);
    big_endian[24] = 1;
    let refusal =
        supplied(&[("bad.img", &big_endian)], "\"linux.img\"", "\"bad.img\"").unwrap_err();
    says(&refusal, "big-endian", "\"bad.img\"");
    let refusal = supplied(
        &[("bad.img", &flat_image(1))],
        "\"linux.img\"",
        "\"bad.img\"",
    )
    .unwrap_err();
    says(&refusal, "less than the file's", "\"bad.img\"");
}

#[test]
fn an_image_that_does_not_fit_is_refused() {
    let refusal = supplied(
        &[("big.img", &flat_image(64 << 20))],
        "\"linux.img\"",
        "\"big.img\"",
    )
    .unwrap_err();
    says(&refusal, "needs 64 MiB", "\"big.img\"");
}

#[test]
fn an_initramfs_that_does_not_fit_is_refused_with_a_size_that_does() {
    let big = vec![0; 61 << 20];
    let with = "\"linux.img\"\ninitramfs = \"big.cpio\"";
    let refusal = supplied(&[("big.cpio", &big)], "\"linux.img\"", with).unwrap_err();
    says(
        &refusal,
        "the initramfs of `linux` needs 61 MiB",
        "\"big.cpio\"",
    );
    assert!(refusal.remedy().contains("128MiB"), "{}", refusal.remedy());
}

#[test]
fn a_tree_without_room_beside_an_initramfs_is_refused() {
    let parts = "\"linux.img\"\naddress = 0x4000_0000\ninitramfs = \"x.cpio\"";
    // Image, slack and RAM disk fill the memory to its last page.
    let image = flat_image(61 << 20);
    let disk = vec![0; 1 << 20];
    let files: [(&str, &[u8]); 2] = [("linux.img", &image), ("x.cpio", &disk)];
    let refusal = supplied(&files, "\"linux.img\"", parts).unwrap_err();
    says(&refusal, "no room for its device tree", "\"x.cpio\"");
}

#[test]
fn a_flat_binary_outside_memory_is_refused() {
    let at = "\"linux.img\"\naddress = 0x1000_0000";
    let refusal = supplied(&[("linux.img", &[0, 1, 2, 3, 0xff])], "\"linux.img\"", at).unwrap_err();
    says(&refusal, "no memory at 0x10000000", "\"linux.img\"");
}

#[test]
fn an_entry_outside_memory_is_refused() {
    let refusal = supplied(&[], "\"linux.img\"", "\"linux.img\"\nentry = 0x0").unwrap_err();
    says(&refusal, "would start at 0x0", "0x0");
}

#[test]
fn a_file_that_is_not_a_tree_is_refused() {
    let with = "\"linux.img\"\ndevice_tree = \"linux.img\"";
    let refusal = supplied(&[], "\"linux.img\"", with).unwrap_err();
    says(&refusal, "not a compiled device tree", "\"linux.img\"");
}

#[test]
fn a_region_smaller_than_its_file_is_refused() {
    let with = "priority = 100\n[[guest.linux.region]]\nkind = \"rom\"\naddress = 0\nsize = 4096\nfile = \"big\"";
    let refusal = supplied(&[("big", &[0; 5000])], "priority = 100", with).unwrap_err();
    says(&refusal, "has 5000 bytes, its region has 4096", "\"big\"");
}

#[test]
fn sizes_in_messages_are_readable() {
    assert_eq!(Size(3076 << 20).to_string(), "3076 MiB");
}
