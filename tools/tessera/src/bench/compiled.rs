//! The part of some source that a program is made of.
//!
//! A library has more than a program uses of it: its analysis for the host, its reader of what the program writes, the
//! words of its errors. The linker leaves these out; this finds out which they are, by the program's
//! line table. What counts:
//!
//! 1. a function of which a line is in the table: an instruction of it is in the program;
//! 2. a function of which none is, because the compiler has dissolved it in its callers, if something that
//!    counts names it - `f`; `Type::f`, or `x.f` where the type is named too - or if it is there for a trait of a type that counts;
//!    but not what only makes text of a value;
//! 3. a type, constant, static, trait or macro that something that counts names;
//! 4. what stands around: the head of an implementation if a function in it counts, imports and module
//!    attributes if anything in their file counts;
//! 5. what an error says of itself (`#[error("...")]`) if that line is in the table.
//!
//! A name means what its own file calls so, if it does; what is not public is named in its own package only. By 2 and 3
//! something may still count that only shares its name with what is used; nothing that is used is missed.

use crate::bench::line_table::Lines;
use crate::bench::pieces::{self, Owner, Piece, Uses, What};
use crate::failure::Failure;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Files of source: their names in the line table, and their text.
pub type Files = [(PathBuf, String)];

/// The text of each file without what does not count: such lines are empty.
///
/// # Errors
///
/// One is not Rust.
pub fn compiled(files: &Files, lines: &Lines) -> Result<Vec<String>, Failure> {
    let all = files.iter().map(|(path, text)| {
        let there = lines.get(path).cloned().unwrap_or_default();
        pieces::of(text)
            .map(|pieces| File::new(path, pieces, there))
            .map_err(|e| Failure::Internal(format!("{}: {e}", path.display())))
    });
    let mut all: Vec<File> = all.collect::<Result<_, _>>()?;
    let mut named = Named::default();
    // Each round may name more.
    while all.iter_mut().any(|file| file.round(&mut named)) {}
    let texts = all.iter().zip(files);
    Ok(texts.map(|(file, (_, text))| file.text(text)).collect())
}

/// Names that what counts uses: in all packages together, and in each.
#[derive(Default)]
struct Named {
    all: Uses,
    packages: BTreeMap<PathBuf, Uses>,
}

/// A file on the way.
struct File {
    /// The folder of its package.
    package: PathBuf,
    pieces: Vec<Piece>,
    there: BTreeSet<usize>,
    counts: Vec<bool>,
    /// Names that it gives to something.
    own: BTreeSet<String>,
    /// Names that what counts of it uses.
    uses: Uses,
}

impl File {
    fn new(path: &Path, pieces: Vec<Piece>, there: BTreeSet<usize>) -> Self {
        let source = path.ancestors().find(|p| p.ends_with("src"));
        let names = pieces.iter().flat_map(|piece| match &piece.what {
            What::Named(names) => names.clone(),
            What::Function { name, owner, .. } if *owner == Owner::Free => vec![name.clone()],
            _ => Vec::new(),
        });
        Self {
            package: source.unwrap_or(path).to_path_buf(),
            own: names.collect(),
            counts: vec![false; pieces.len()],
            uses: Uses::default(),
            pieces,
            there,
        }
    }

    /// Finds what counts by now; whether that is more than before.
    fn round(&mut self, named: &mut Named) -> bool {
        let mut more = false;
        for place in 0..self.pieces.len() {
            if self.counts[place] || !self.is_due(place, named) {
                continue;
            }
            self.count(place, named);
            more = true;
        }
        more
    }

    /// A piece counts, and so does what it stands in.
    fn count(&mut self, place: usize, named: &mut Named) {
        let package = named.packages.entry(self.package.clone()).or_default();
        let mut next = Some(place);
        while let Some(place) = next.filter(|p| !self.counts[*p]) {
            self.counts[place] = true;
            let piece = &self.pieces[place];
            self.uses.extend(&piece.uses);
            let abroad = piece.uses.without(&self.own);
            package.extend(&abroad);
            named.all.extend(&abroad);
            next = piece.parent;
        }
    }

    fn is_due(&self, place: usize, named: &Named) -> bool {
        let piece = &self.pieces[place];
        let there = self.there.range(piece.lines.clone()).next().is_some();
        let package = named.packages.get(&self.package);
        let all = piece.public.then_some(&named.all);
        let uses = [Some(&self.uses), package, all];
        let any = |wanted: &dyn Fn(&Uses) -> bool| uses.iter().flatten().any(|u| wanted(u));
        let word = |name: &String| any(&|u| u.words.contains(name));
        match &piece.what {
            What::Function { root: true, .. } => true,
            What::Function { .. } | What::Named(_) if there => true,
            What::Function { name, owner, .. } => match owner {
                Owner::Free => word(name),
                Owner::Own(of) => {
                    let path = (of.clone(), name.clone());
                    word(of) && any(&|u| u.members.contains(name) || u.paths.contains(&path))
                }
                Owner::Trait { of, prints } => !prints && word(of),
            },
            What::Named(names) => names.iter().any(word),
            // One without functions says that its type is something.
            What::Implementation(of) => !self.has_pieces(place) && word(of),
            What::Text => there && piece.parent.is_some_and(|p| self.counts[p]),
            // A file that only says what there is.
            What::Around => piece.parent.is_none() && !self.has_pieces(place),
        }
    }

    fn has_pieces(&self, place: usize) -> bool {
        self.pieces.iter().any(|p| p.parent == Some(place))
    }

    fn text(&self, text: &str) -> String {
        let mut keep = vec![false; text.lines().count()];
        // What stands in something comes behind it.
        for (piece, counts) in self.pieces.iter().zip(&self.counts) {
            for line in piece.lines.clone() {
                if let Some(place) = keep.get_mut(line - 1) {
                    *place = *counts;
                }
            }
        }
        let lines = text.lines().zip(keep);
        let lines = lines.map(|(line, keep)| if keep { line } else { "" });
        lines.collect::<Vec<_>>().join("\n") + "\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines that are left of a file, if the program has these lines of it.
    fn left(text: &str, there: &[usize]) -> Vec<String> {
        left_of(&[("a.rs", text)], &[("a.rs", there)]).remove(0)
    }

    fn left_of(files: &[(&str, &str)], there: &[(&str, &[usize])]) -> Vec<Vec<String>> {
        let files: Vec<(PathBuf, String)> = files
            .iter()
            .map(|(path, text)| (PathBuf::from(path), text.to_string()))
            .collect();
        let lines: Lines = there
            .iter()
            .map(|(path, lines)| (Path::new(path).into(), lines.iter().copied().collect()))
            .collect();
        let texts = compiled(&files, &lines).unwrap();
        let kept = |text: &String| {
            let lines = text.lines().filter(|l| !l.trim().is_empty());
            lines.map(|l| l.trim().to_string()).collect()
        };
        texts.iter().map(kept).collect()
    }

    #[test]
    fn a_function_counts_if_an_instruction_of_it_is_in_the_program() {
        let text = "fn run() {\n    go();\n}\nfn analyse() {\n    think();\n}\n";
        assert_eq!(left(text, &[2]), ["fn run() {", "go();", "}"]);
    }

    #[test]
    fn a_function_that_was_dissolved_counts_if_its_name_is_used_so() {
        let text = "fn run(o: Other) { step(a.get(), Ticks::new(1)); }\n\
                    fn step() {}\nfn step_back() {}\n\
                    impl Ticks {\nfn get() {}\nfn new() {}\nfn half() {}\n}\n\
                    impl Other {\nfn get() {}\nfn new() {}\n}\n\
                    impl Nobody {\nfn get() {}\n}\n";
        assert_eq!(
            left(text, &[1]),
            [
                "fn run(o: Other) { step(a.get(), Ticks::new(1)); }",
                "fn step() {}",
                "impl Ticks {",
                "fn get() {}",
                "fn new() {}",
                "}",
                "impl Other {",
                "fn get() {}",
                "}",
            ]
        );
    }

    #[test]
    fn what_only_the_left_out_part_names_is_left_out_with_it() {
        let text = "fn run(c: Core) {}\nstruct Core(Time);\nstruct Time;\nconst MOST: u8 = 1;\n\
                    fn analyse(t: Task) { MOST; }\nstruct Task;\n";
        assert_eq!(
            left(text, &[1]),
            ["fn run(c: Core) {}", "struct Core(Time);", "struct Time;"]
        );
    }

    #[test]
    fn a_file_of_which_nothing_counts_is_left_out_whole() {
        let reader = "use a::b;\npub struct Reader;\nimpl Reader {\nfn read() {}\n}\n";
        let writer = "use a::b;\nfn write() {}\n";
        let left = left_of(&[("r.rs", reader), ("w.rs", writer)], &[("w.rs", &[2])]);
        assert_eq!(left[0], [""; 0]);
        assert_eq!(left[1], ["use a::b;", "fn write() {}"]);
    }

    #[test]
    fn a_traits_function_counts_with_its_type_and_one_that_prints_does_not() {
        let text = "fn run(c: Core) {}\nstruct Core;\nimpl Default for Core {\nfn default() {}\n}\n\
                    impl fmt::Debug for Core {\nfn fmt() {}\n}\nimpl Copy for Core {}\n";
        assert_eq!(
            left(text, &[1]),
            [
                "fn run(c: Core) {}",
                "struct Core;",
                "impl Default for Core {",
                "fn default() {}",
                "}",
                "impl Copy for Core {}",
            ]
        );
    }

    #[test]
    fn an_error_counts_without_its_words() {
        let text = "fn run() -> Error {}\n#[derive(Error)]\nenum Error {\n    #[error(\"too {0}\")]\n    Much(u8),\n}\n";
        assert_eq!(
            left(text, &[1]),
            [
                "fn run() -> Error {}",
                "#[derive(Error)]",
                "enum Error {",
                "Much(u8),",
                "}"
            ]
        );
        assert!(left(text, &[1, 4]).contains(&"#[error(\"too {0}\")]".to_string()));
    }

    #[test]
    fn a_name_that_another_file_uses_counts() {
        let kernel = "fn run() { vgic::flush(); }\n";
        let library = "pub fn flush() {}\npub fn show() {}\n";
        let left = left_of(&[("k.rs", kernel), ("l.rs", library)], &[("k.rs", &[1])]);
        assert_eq!(left[1], ["pub fn flush() {}"]);
    }

    #[test]
    fn a_name_means_what_its_own_file_calls_so() {
        let kernel = "fn run() { step(); Level::new(); }\nfn step() {}\nstruct Level;\n";
        let library = "pub fn step() {}\npub struct Level;\n";
        let left = left_of(
            &[("k/src/a.rs", kernel), ("l/src/a.rs", library)],
            &[("k/src/a.rs", &[1])],
        );
        assert_eq!((left[0].len(), left[1].len()), (3, 0));
    }

    #[test]
    fn what_is_not_public_is_named_in_its_package_only() {
        let kernel = "fn run() { add(1); }\n";
        let library = "fn add() {}\npub fn other() {}\n";
        let files = |to| [("k/src/a.rs", kernel), (to, library)];
        let there: &[(&str, &[usize])] = &[("k/src/a.rs", &[1])];
        let left = left_of(&files("l/src/a.rs"), there);
        assert_eq!(left[1], [""; 0]);
        let left = left_of(&files("k/src/b/b.rs"), there);
        assert_eq!(left[1], ["fn add() {}"]);
    }

    #[test]
    fn a_file_that_only_says_what_there_is_counts() {
        assert_eq!(left("mod a;\npub use a::b;\n", &[]).len(), 2);
    }

    #[test]
    fn assembly_and_what_calls_from_outside_count() {
        let text = "global_asm!(\"bl {f}\", f = sym entry);\nfn entry() {}\n#[panic_handler]\nfn panic() {}\nfn other() {}\n";
        assert_eq!(
            left(text, &[]),
            [
                "global_asm!(\"bl {f}\", f = sym entry);",
                "fn entry() {}",
                "#[panic_handler]",
                "fn panic() {}"
            ]
        );
    }
}
