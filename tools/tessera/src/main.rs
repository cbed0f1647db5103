//! The command line of Tessera.
fn main() {}
