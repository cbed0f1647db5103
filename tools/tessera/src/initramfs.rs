//! Builds the initial RAM disks that come with the tool: busybox, and the real-time tests.
//!
//! They are the same byte for byte whenever they are built from the same packages.

mod marker;

use crate::archive::Archive;
use crate::debian::Debian;
use crate::failure::Failure;
use elf::ElfBytes;
use elf::abi::DT_NEEDED;
use elf::endian::AnyEndian;
use flate2::{Compression, GzBuilder};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

/// The first program, and the loads that tests choose by the kernel's command line.
const INIT: &str = include_str!("initramfs/init");
const LOAD_CPU: &str = include_str!("initramfs/load-cpu");
const FLOOD: &str = include_str!("initramfs/flood");
const CYCLIC: &str = include_str!("initramfs/cyclic");
const RESTARTS: &str = include_str!("initramfs/restarts");
const WORK: &str = include_str!("initramfs/work");

/// The busybox programs that the scripts, and people, use.
const APPLETS: &str = "\
[ ash awk basename cat chmod chrt clear cp cttyhack cut date dd df dirname dmesg du echo env expr \
false find free getty grep gunzip gzip halt head hexdump hostname id ifconfig insmod ip kill \
killall ln ls lsmod md5sum mkdir mknod modprobe more mount mv nice nproc pidof ping poweroff \
printf ps pwd readlink reboot renice rm rmdir sed seq setsid sh sha256sum sleep sort stat stty \
sync tail taskset tee test time timeout top touch tr true tty umount uname uniq uptime usleep vi \
wc which xargs yes zcat";

/// Programs of the real-time tests.
const RT_TESTS: [&str; 2] = ["cyclictest", "hackbench"];
/// Packages that have the libraries of those programs, and the folder they have them in.
const LIBRARIES: [&str; 2] = ["libc6", "libnuma1"];
const LIBRARY_FOLDER: &str = "lib/aarch64-linux-gnu";
/// The program that loads libraries.
const LOADER: &str = "ld-linux-aarch64.so.1";

/// Builds the one with busybox alone.
///
/// # Errors
///
/// The packages cannot be fetched or have changed their layout.
pub fn busybox(debian: &Debian) -> Result<Vec<u8>, Failure> {
    let mut archive = Archive::default();
    base(&mut archive, debian)?;
    compress(&archive.finish())
}

/// Builds the one with `cyclictest` and `hackbench`.
///
/// # Errors
///
/// The packages cannot be fetched or have changed their layout.
pub fn rt_tests(debian: &Debian) -> Result<Vec<u8>, Failure> {
    let mut archive = Archive::default();
    base(&mut archive, debian)?;
    archive.folder("lib");
    let root = debian.unpack("rt-tests")?;
    let mut wanted = vec![LOADER.to_string()];
    for name in RT_TESTS {
        let bytes = read(&root, &[&format!("usr/bin/{name}")])?;
        wanted.extend(needed(&bytes));
        archive.file(&format!("bin/{name}"), 0o755, &bytes);
    }
    libraries(&mut archive, debian, wanted)?;
    compress(&archive.finish())
}

/// Adds libraries and what they need themselves, each once, in a fixed order.
fn libraries(
    archive: &mut Archive,
    debian: &Debian,
    mut wanted: Vec<String>,
) -> Result<(), Failure> {
    let roots: Vec<_> = LIBRARIES
        .iter()
        .map(|p| debian.unpack(p))
        .collect::<Result<_, _>>()?;
    let mut found = BTreeMap::new();
    while let Some(name) = wanted.pop() {
        if found.contains_key(&name) {
            continue;
        }
        let places = [
            format!("{LIBRARY_FOLDER}/{name}"),
            format!("usr/{LIBRARY_FOLDER}/{name}"),
        ];
        let path = roots
            .iter()
            .flat_map(|root| places.iter().map(|place| root.join(place)))
            .find(|path| path.is_file())
            .ok_or_else(|| Failure::Internal(format!("no package has the library {name}")))?;
        let bytes = std::fs::read(&path).map_err(|e| Failure::io(&path, &e))?;
        wanted.extend(needed(&bytes));
        found.insert(name, bytes);
    }
    for (name, bytes) in &found {
        archive.file(&format!("lib/{name}"), 0o755, bytes);
    }
    Ok(())
}

/// The libraries that a program or library names as needed.
fn needed(bytes: &[u8]) -> Vec<String> {
    let read = || {
        let file = ElfBytes::<AnyEndian>::minimal_parse(bytes).ok()?;
        let common = file.find_common_data().ok()?;
        let names = common.dynsyms_strs?;
        let entries = common.dynamic?.iter().filter(|d| d.d_tag == DT_NEEDED);
        entries
            .map(|d| {
                names
                    .get(usize::try_from(d.d_val()).ok()?)
                    .ok()
                    .map(str::to_string)
            })
            .collect::<Option<Vec<_>>>()
    };
    read().unwrap_or_default()
}

fn base(archive: &mut Archive, debian: &Debian) -> Result<(), Failure> {
    let root = debian.unpack("busybox-static")?;
    let busybox = read(&root, &["bin/busybox", "usr/bin/busybox"])?;
    for folder in ["bin", "dev", "proc", "sys", "tmp", "root", "etc"] {
        archive.folder(folder);
    }
    // The kernel opens the console before /init can mount anything.
    archive.device("dev/console", 5, 1);
    archive.device("dev/null", 1, 3);
    archive.file("bin/busybox", 0o755, &busybox);
    for applet in APPLETS.split_whitespace() {
        archive.link(&format!("bin/{applet}"), "busybox");
    }
    for (name, script) in [
        ("init", INIT),
        ("bin/load-cpu", LOAD_CPU),
        ("bin/flood", FLOOD),
        ("bin/cyclic", CYCLIC),
        ("bin/restarts", RESTARTS),
        ("bin/work", WORK),
    ] {
        archive.file(name, 0o755, script.as_bytes());
    }
    for phase in 0..=1 {
        let program = marker::program(phase);
        archive.file(&format!("bin/mark-{phase}"), 0o755, &program);
    }
    Ok(())
}

/// Reads the first of some paths under a folder, through symbolic links.
fn read(root: &Path, names: &[&str]) -> Result<Vec<u8>, Failure> {
    let found = names
        .iter()
        .map(|name| root.join(name))
        .find(|path| path.is_file());
    let path = found.unwrap_or_else(|| root.join(names[0]));
    std::fs::read(&path).map_err(|e| Failure::io(&path, &e))
}

fn compress(bytes: &[u8]) -> Result<Vec<u8>, Failure> {
    let mut encoder = GzBuilder::new()
        .mtime(0)
        .write(Vec::new(), Compression::best());
    encoder
        .write_all(bytes)
        .and_then(|()| encoder.finish())
        .map_err(|e| Failure::Internal(format!("compressing the initramfs: {e}")))
}
