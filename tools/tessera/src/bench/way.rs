//! The names of the functions on a way through the kernel, as people read them.

/// The functions on a way, each once and by its short name, without the pieces that the compiler cut
/// out of several functions.
#[must_use]
pub fn way<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut way: Vec<String> = Vec::new();
    for name in names.filter(|n| !n.starts_with("OUTLINED_FUNCTION")) {
        let name = short(name);
        if !way.contains(&name) {
            way.push(name);
        }
    }
    way
}

/// A function's name without its crate, what it is generic over, and numbers of copies.
#[must_use]
pub fn short(name: &str) -> String {
    let (vector, name) = name.split_once('/').map_or(("", name), |(v, n)| (v, n));
    let name = name.split("::<").next().unwrap_or(name);
    let own = name.rsplit_once(">::").map_or(name, |(of, own)| {
        let from = of.rfind("::").map_or(0, |at| at + 2);
        let start = name.len() - own.len() - 3 - (of.len() - from);
        name.get(start..).unwrap_or(name)
    });
    let mut parts: Vec<&str> = own.trim_start_matches('<').rsplit("::").take(2).collect();
    parts.reverse();
    let plain = parts.join("::").replace(['<', '>'], "");
    let plain = match plain.rsplit_once('.') {
        Some((before, digits)) if digits.bytes().all(|b| b.is_ascii_digit()) => before.to_string(),
        _ => plain,
    };
    if vector.is_empty() {
        plain
    } else {
        format!("{vector}/{plain}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_functions_lose_what_nobody_reads() {
        let full = "<tessera_vgic::vgic::Vgic>::sync::<tessera_kernel::arch::aarch64::gic::Gic>";
        assert_eq!(short(full), "Vgic::sync");
        assert_eq!(
            short("<tessera_vgic::vgic::Vgic>::block.188"),
            "Vgic::block"
        );
        assert_eq!(short("tessera_kernel::exit::abort::quick"), "abort::quick");
        assert_eq!(
            short("sync/tessera_kernel::exit::abort::quick"),
            "sync/abort::quick"
        );
        assert_eq!(short("boot"), "boot");
        assert_eq!(short("?"), "?");
    }

    #[test]
    fn a_way_names_each_function_once() {
        let names = ["a::b", "OUTLINED_FUNCTION_3", "a::c", "a::b"];
        assert_eq!(way(names.into_iter()), ["a::b", "a::c"]);
    }
}
