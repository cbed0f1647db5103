//! Driving a machine: lines, prompts, time limits and ends, with QEMU replaced by a script, since
//! what is tested is this side of the console.

use regex::Regex;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tessera::board::Board;
use tessera::machine::{Config, Machine, Reading, WaitError};

/// A machine whose "QEMU" is a shell script.
fn machine(script: &str) -> (Machine, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let qemu = folder.path().join("qemu");
    std::fs::write(&qemu, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&qemu, std::fs::Permissions::from_mode(0o755)).unwrap();
    let config = Config::tessera(
        qemu,
        Board::VirtGicv3,
        1,
        64,
        PathBuf::new(),
        PathBuf::new(),
    );
    (Machine::start(&config).unwrap(), folder)
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(10)
}

const LONG: Duration = Duration::from_secs(10);

#[test]
fn lines_come_whole_and_in_order_then_the_end() {
    let (mut machine, _folder) = machine("printf 'one\\r\\ntw'; sleep 0.1; printf 'o\\nthree'");
    let lines = ["one", "two", "three"].map(|l| Reading::Line(l.into()));
    for line in lines {
        assert_eq!(machine.next_line(soon()), line);
    }
    assert_eq!(machine.next_line(soon()), Reading::Ended);
    assert_eq!(machine.transcript(), "one\r\ntwo\nthree");
}

#[test]
fn a_prompt_without_a_line_end_is_matched() {
    let (mut machine, _folder) = machine("printf 'boot\\n=> '; exec sleep 20");
    let prompt = Regex::new("^=> $").unwrap();
    assert_eq!(machine.wait_for(&prompt, LONG).unwrap(), "=> ");
}

#[test]
fn what_is_typed_arrives() {
    let (mut machine, _folder) = machine("read word; echo \"got $word\"");
    machine.send(b"hello\n").unwrap();
    let got = Regex::new("got hello").unwrap();
    machine.wait_for(&got, LONG).unwrap();
}

#[test]
fn a_silent_machine_is_a_timeout_and_an_ended_one_is_not() {
    let never = Regex::new("never").unwrap();
    let (mut silent, _folder) = machine("exec sleep 20");
    let waited = silent.wait_for(&never, Duration::from_millis(200));
    assert!(matches!(waited, Err(WaitError::Timeout(_))), "{waited:?}");
    let (mut ended, _folder) = machine("echo bye");
    let waited = ended.wait_for(&never, LONG);
    assert!(matches!(waited, Err(WaitError::Ended(_))), "{waited:?}");
}

#[test]
fn a_machine_that_hears_nothing_is_ended_all_the_same() {
    let (mut machine, _folder) =
        machine("trap '' TERM HUP INT; echo up; while true; do sleep 0.1; done");
    machine.wait_for(&Regex::new("up").unwrap(), LONG).unwrap();
    let before = Instant::now();
    machine.end();
    assert!(
        before.elapsed() < Duration::from_secs(9),
        "{:?}",
        before.elapsed()
    );
}

#[test]
fn qemus_own_complaints_are_in_the_transcript_and_its_noise_is_not() {
    let (mut machine, _folder) = machine(
        "echo 'q: warning: nic cadence_gem.0 has no peer' >&2; echo 'q: no such board' >&2",
    );
    while machine.next_line(soon()) != Reading::Ended {}
    let transcript = machine.transcript();
    assert!(transcript.contains("no such board"), "{transcript}");
    assert!(!transcript.contains("cadence_gem"), "{transcript}");
}

#[test]
fn a_run_that_must_repeat_says_so_to_qemu() {
    let config = Config::tessera(
        "qemu".into(),
        Board::VirtGicv2,
        4,
        640,
        "k".into(),
        "b".into(),
    );
    let arguments = |config: &Config| {
        let args = config.arguments(std::path::Path::new("/s"));
        args.iter()
            .map(|a| a.to_string_lossy().into_owned())
            .collect::<Vec<_>>()
            .join(" ")
    };
    let plain = arguments(&config);
    assert!(
        plain.contains("-M virt,virtualization=on,gic-version=2 -cpu cortex-a53 -smp 4 -m 640M"),
        "{plain}"
    );
    assert!(!plain.contains("icount"), "{plain}");
    let icount = arguments(&Config {
        icount: true,
        ..config.clone()
    });
    assert!(
        icount.contains("-icount shift=0,sleep=off -rtc clock=vm,base=1970-01-01T00:00:00 -seed 1"),
        "{icount}"
    );
    let native = arguments(&config.native("i".into(), None, Some("t".into()), "quiet"));
    assert!(
        native.contains("virtualization=off") && native.contains("-dtb t -append quiet"),
        "{native}"
    );
    assert!(!native.contains("-initrd"), "{native}");
}
