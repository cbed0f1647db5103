//! Debian's Xen 4.17 with one guest and no first domain ("dom0less", Xen's
//! "docs/features/dom0less.pandoc").
//!
//! QEMU starts Xen's `Image` as a kernel. Xen's device tree is the one that QEMU makes for the
//! same machine, with the guest in `/chosen`; the guest's files are in memory before the machine
//! starts. Debian builds Xen without the null scheduler, which gives a core to a guest for good:
//! [`Scheduling::Pinned`] is the nearest to it.
//!
//! What works with QEMU 7.2 under `-icount`: one core, with any number of virtual ones. Xen's cores
//! wait for each other in loops without WFE, and QEMU before 8.1 then runs the core that waits
//! and no other. With several cores [`prepare`] therefore leaves `-icount` out; with a newer QEMU
//! the caller may set it.
//!
//! The guest finds its memory at 0x4000_0000, a GICv2 or GICv3 like the machine's, PSCI by HVC,
//! the timers' usual interrupts, and an `arm,sbsa-uart` at 0x2200_0000. Xen 4.17 aborts an access to
//! any register of that UART that the SBSA does not ask for, as UARTLCR_H: a guest that drives a
//! whole PL011 needs [`Console::PassedThrough`].

use crate::board::Board;
use crate::debian::Debian;
use crate::failure::Failure;
use crate::machine::Config;
use crate::peer::xen_image::{self, LINKED};
use crate::peer::xen_traps;
use crate::peer::xen_tree::{self, Domain, Module};
use crate::peer::{Console, Counting, Guest, Peer, Scheduling};
use crate::process;
use crate::project;
use crate::supply;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Debian's package.
pub const PACKAGE: &str = "xen-hypervisor-4.17-arm64";
/// Xen's `Image` in it.
const FILE: &str = "boot/xen-4.17-arm64";

/// RAM of the `virt` board.
const RAM: u64 = 0x4000_0000;
/// Where the guest's files begin: beyond Xen itself, at the start of RAM, and the device tree,
/// which QEMU puts at 128 MiB, or at the middle of RAM when there is less than 256 MiB.
const FILES: u64 = RAM + (160 << 20);
const FILE_ALIGN: u64 = 2 << 20;
/// Memory for Xen, its device tree and what lies before the guest's files.
const OVERHEAD_MIB: u64 = 256;
/// A guest with less has no place for its device tree: Xen puts that beyond 4 MiB.
pub const LEAST_MEMORY_MIB: u64 = 8;

/// The machine that Xen and its guest are to run on.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The program `qemu-system-aarch64`.
    pub qemu: &'a Path,
    /// The board: `virt` with GICv2 or GICv3.
    pub board: Board,
    /// Its cores.
    pub cores: usize,
    /// Where the files go.
    pub folder: &'a Path,
}

/// Xen's image, out of Debian's package.
///
/// # Errors
///
/// The package cannot be fetched, or has no image.
pub fn fetch(debian: &Debian) -> Result<Vec<u8>, Failure> {
    let root = debian.unpack(PACKAGE)?;
    let path = supply::find(&root, FILE).ok_or_else(|| {
        Failure::Internal(format!("{PACKAGE} has no {FILE} in {}", root.display()))
    })?;
    std::fs::read(&path).map_err(|e| Failure::io(&path, &e))
}

/// Xen's command line.
///
/// Pinned: a guest's WFI is not trapped, and the scheduler looks around once a second. The first
/// one, credit, has a setting for that; its path for a guest's interrupt is the default's. Memory
/// is not cleared while a core idles, which would be counted as work.
#[must_use]
pub fn bootargs(scheduling: Scheduling, console: Console) -> String {
    let mut words = Vec::new();
    if console == Console::Emulated {
        words.push("console=dtuart");
    }
    words.push("bootscrub=off");
    if scheduling == Scheduling::Pinned {
        words.extend(["sched=credit", "sched_credit_tslice_ms=1000", "vwfi=native"]);
    }
    words.join(" ")
}

/// Writes Xen, its device tree and the guest's files; returns the machine that runs them.
///
/// # Errors
///
/// The board is not `virt`, the guest has too little memory or, pinned, more virtual cores than
/// there are, the image is not Xen's, QEMU makes no
/// tree, or a file cannot be written.
pub fn prepare(
    xen: &[u8],
    place: Place<'_>,
    scheduling: Scheduling,
    guest: &Guest,
) -> Result<Peer, Failure> {
    if place.board == Board::Zcu102 {
        let text = "Xen is only measured on `virt`: QEMU makes no device tree for other boards";
        return Err(Failure::Usage(text.into()));
    }
    if guest.memory_mib < LEAST_MEMORY_MIB {
        return Err(Failure::Usage(format!(
            "a guest of Xen needs {LEAST_MEMORY_MIB} MiB at least, this one has {}",
            guest.memory_mib
        )));
    }
    if scheduling == Scheduling::Pinned && guest.vcpus as usize > place.cores {
        return Err(Failure::Usage(format!(
            "{} virtual cores cannot each keep one of {} cores",
            guest.vcpus, place.cores
        )));
    }
    let layout = xen_image::read(xen).map_err(|e| Failure::Internal(e.to_string()))?;
    let kernel = place.folder.join("xen");
    project::write(&kernel, xen)?;
    let files = files(place.folder, guest)?;
    let modules: Vec<Module> = files.iter().map(|(module, _)| module.clone()).collect();
    let end = modules.iter().map(|m| m.place.end).max().unwrap_or(FILES);
    let memory_mib = (guest.memory_mib + OVERHEAD_MIB + ((end - FILES) >> 20)).next_multiple_of(64);
    let mut config = Config {
        initrd: None,
        ..Config::tessera(
            place.qemu.to_path_buf(),
            place.board,
            place.cores,
            memory_mib,
            kernel,
            PathBuf::new(),
        )
    };
    let machine = dump_tree(&config, &place.folder.join("machine.dtb"))?;
    let domain = Domain {
        memory_kib: guest.memory_mib << 10,
        vcpus: guest.vcpus,
        bootargs: &guest.bootargs,
        console: guest.console,
        modules: &modules,
    };
    let tree = xen_tree::with_domain(&machine, &bootargs(scheduling, guest.console), &domain)
        .map_err(|e| Failure::Internal(format!("QEMU's device tree: {e}")))?;
    let path = place.folder.join("xen.dtb");
    project::write(&path, &tree)?;
    config.tree = Some(path);
    config.icount = place.cores == 1;
    for (module, path) in &files {
        config
            .extra
            .extend(["-device".into(), loader(path, module.place.start)]);
    }
    Ok(Peer {
        config,
        counting: Counting {
            code: LINKED..LINKED + layout.size,
            physical: loaded_at(layout.text_offset),
            vectors: layout.vectors,
            marks: xen_traps::find(xen, LINKED),
        },
    })
}

/// Where QEMU loads an `Image`: at its offset from the start of RAM, or 2 MiB further if its own
/// first instructions, which are at the start, would be in the way.
fn loaded_at(text_offset: u64) -> u64 {
    const FIRST_INSTRUCTIONS: u64 = 4096;
    if text_offset < FIRST_INSTRUCTIONS {
        RAM + text_offset + (2 << 20)
    } else {
        RAM + text_offset
    }
}

/// Writes the guest's files and gives each a place in memory.
fn files(folder: &Path, guest: &Guest) -> Result<Vec<(Module, PathBuf)>, Failure> {
    let uart = (guest.console == Console::PassedThrough).then(xen_tree::passed_uart);
    let contents = [
        ("kernel", Some(&guest.image)),
        ("ramdisk", guest.initramfs.as_ref()),
        ("device-tree", uart.as_ref()),
    ];
    let mut next = FILES;
    let mut files = Vec::new();
    for (kind, bytes) in contents {
        let Some(bytes) = bytes else {
            continue;
        };
        let path = folder.join(format!("guest-{kind}"));
        project::write(&path, bytes)?;
        let place = next..next + bytes.len() as u64;
        next = place.end.next_multiple_of(FILE_ALIGN);
        files.push((Module { kind, place }, path));
    }
    Ok(files)
}

fn loader(path: &Path, address: u64) -> OsString {
    let mut value = OsString::from("loader,file=");
    value.push(escaped(path));
    value.push(format!(",addr={address:#x},force-raw=on"));
    value
}

/// A path in one of QEMU's options, where a comma is written twice.
fn escaped(path: &Path) -> OsString {
    let bytes = path.as_os_str().as_bytes();
    let twice = |b: &u8| std::iter::repeat_n(*b, if *b == b',' { 2 } else { 1 });
    OsString::from_vec(bytes.iter().flat_map(twice).collect())
}

/// The device tree that QEMU makes for a machine.
fn dump_tree(config: &Config, path: &Path) -> Result<Vec<u8>, Failure> {
    // A socket's path must be short.
    let control = tempfile::Builder::new().prefix("tessera").tempdir();
    let control = control.map_err(|e| Failure::io(&std::env::temp_dir(), &e))?;
    let mut dump = OsString::from("dumpdtb=");
    dump.push(escaped(path));
    let mut command = Command::new(&config.qemu);
    command
        .args(config.arguments(&control.path().join("qmp")))
        .arg("-machine")
        .arg(dump);
    let outcome = process::run(&mut command, None)
        .map_err(|e| Failure::Internal(format!("{}: {e}", config.qemu.display())))?;
    if !outcome.ok {
        return Err(Failure::Internal(format!(
            "QEMU made no device tree: {}",
            outcome.err.trim()
        )));
    }
    std::fs::read(path).map_err(|e| Failure::io(path, &e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_without_an_offset_makes_room_for_the_first_instructions() {
        assert_eq!(loaded_at(0), 0x4020_0000);
        assert_eq!(loaded_at(0x8_0000), 0x4008_0000);
    }

    #[test]
    fn a_comma_in_a_path_is_not_the_end_of_an_option() {
        assert_eq!(
            loader(Path::new("/a,b/c"), 0x10),
            "loader,file=/a,,b/c,addr=0x10,force-raw=on"
        );
    }

    #[test]
    fn a_pinned_guest_keeps_its_core_while_it_waits() {
        let words = bootargs(Scheduling::Pinned, Console::Emulated);
        assert!(words.contains("vwfi=native"), "{words}");
        let words = bootargs(Scheduling::Shared, Console::PassedThrough);
        assert!(
            !words.contains("vwfi") && !words.contains("console"),
            "{words}"
        );
    }

    #[test]
    fn the_guests_files_lie_one_behind_another() {
        let folder = tempfile::tempdir().unwrap();
        let guest = Guest {
            image: vec![0; (2 << 20) + 1],
            initramfs: Some(vec![0; 16]),
            bootargs: String::new(),
            memory_mib: 8,
            vcpus: 1,
            console: Console::PassedThrough,
        };
        let files = files(folder.path(), &guest).unwrap();
        let places: Vec<_> = files.iter().map(|(m, _)| (m.kind, m.place.start)).collect();
        let next = FILES + 2 * FILE_ALIGN;
        assert_eq!(
            places,
            [
                ("kernel", FILES),
                ("ramdisk", next),
                ("device-tree", next + FILE_ALIGN)
            ]
        );
    }

    #[test]
    fn a_guest_that_cannot_work_is_refused_in_words() {
        let folder = tempfile::tempdir().unwrap();
        let guest = Guest {
            image: vec![0; 64],
            initramfs: None,
            bootargs: String::new(),
            memory_mib: 4,
            vcpus: 1,
            console: Console::Emulated,
        };
        let place = Place {
            qemu: Path::new("qemu-system-aarch64"),
            board: Board::VirtGicv3,
            cores: 1,
            folder: folder.path(),
        };
        let refused = prepare(&[], place, Scheduling::Pinned, &guest);
        assert!(matches!(refused, Err(Failure::Usage(text)) if text.contains("8 MiB")));
        let two = Guest {
            memory_mib: 8,
            vcpus: 2,
            ..guest.clone()
        };
        let refused = prepare(&[], place, Scheduling::Pinned, &two);
        assert!(matches!(refused, Err(Failure::Usage(text)) if text.contains("2 virtual cores")));
        let zcu102 = Place {
            board: Board::Zcu102,
            ..place
        };
        assert!(matches!(
            prepare(&[], zcu102, Scheduling::Pinned, &guest),
            Err(Failure::Usage(_))
        ));
    }
}
