//! Hands the linker script to the linker when building for the machine.

fn main() {
    println!("cargo:rerun-if-changed=kernel.ld");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("none") {
        let here = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
        println!("cargo:rustc-link-arg-bins=-T{here}/kernel.ld");
        println!("cargo:rustc-link-arg-bins=--fix-cortex-a53-843419");
        println!("cargo:rustc-link-arg-bins=-znorelro");
        // Functions with the same code become one: no address of a function is compared.
        println!("cargo:rustc-link-arg-bins=--icf=all");
    }
}
