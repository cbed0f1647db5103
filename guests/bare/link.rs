//! The build script of every guest: hands the linker script over when it is built for the bare machine.

use std::env;

fn main() {
    println!("cargo:rerun-if-changed=../bare/bare.ld");
    println!("cargo:rerun-if-changed=../bare/link.rs");
    if env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("none") {
        return;
    }
    let folder = env::var("CARGO_MANIFEST_DIR").unwrap_or_else(|_| ".".into());
    println!("cargo:rustc-link-arg-bins=-T{folder}/../bare/bare.ld");
    // A position-independent executable that relocates itself: no interpreter, and
    // constant tables that hold pointers may be relocated in place.
    for arg in [
        "-pie",
        "--no-dynamic-linker",
        "-znotext",
        "--fix-cortex-a53-843419",
    ] {
        println!("cargo:rustc-link-arg-bins={arg}");
    }
}
