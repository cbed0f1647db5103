//! A file of Rust source in pieces: functions, types and constants, and what stands around them. Each has its lines and
//! the names that it uses. What is only for tests is no piece.

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;
use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use syn::spanned::Spanned;
use syn::{Attribute, ImplItem, Item, TraitItem, Type, Visibility};

/// A piece.
#[derive(Clone, Debug)]
pub struct Piece {
    /// What it is.
    pub what: What,
    /// Its lines, counted from 1; those of the pieces in it are theirs.
    pub lines: RangeInclusive<usize>,
    /// Whether other packages can name it.
    pub public: bool,
    /// What it stands in, by its place in the list: an implementation, a module. Always one before it.
    pub parent: Option<usize>,
    /// The names that it uses.
    pub uses: Uses,
}

/// What a piece is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A function.
    Function {
        /// Its name.
        name: String,
        /// Whose it is.
        owner: Owner,
        /// Called by the linker's or the compiler's name for it.
        root: bool,
    },
    /// A type, a constant, a trait, a macro: what is used by its name. A macro's call may make several.
    Named(Vec<String>),
    /// The lines of an implementation of this type that are in no function.
    Implementation(String),
    /// Lines around others: of a module or a whole file.
    Around,
    /// What an error says of itself, in an attribute.
    Text,
}

/// Whose function it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// Nobody's.
    Free,
    /// A type's own, or a trait's.
    Own(String),
    /// A type's, because it has a trait.
    Trait {
        /// The type.
        of: String,
        /// The trait makes text of a value.
        prints: bool,
    },
}

/// Names that a piece uses.
#[derive(Clone, Debug, Default)]
pub struct Uses {
    /// Every word but those behind a point.
    pub words: BTreeSet<String>,
    /// Words behind a point, or behind `::` of something without a plain name.
    pub members: BTreeSet<String>,
    /// Pairs `A::b`.
    pub paths: BTreeSet<(String, String)>,
}

impl Uses {
    fn of(stream: TokenStream, own: Option<&str>) -> Self {
        let mut uses = Self::default();
        uses.add(stream, own);
        uses
    }

    fn add(&mut self, stream: TokenStream, own: Option<&str>) {
        // What stood before: a word, and then points or colons.
        let (mut word, mut marks) = (String::new(), String::new());
        for token in stream {
            match token {
                TokenTree::Ident(ident) => {
                    let name = match (ident.to_string(), own) {
                        (name, Some(own)) if name == "Self" => own.to_string(),
                        (name, _) => name,
                    };
                    let (point, colons) = (marks == ".", marks == "::");
                    let before = word.clone();
                    if colons && !word.is_empty() {
                        self.paths.insert((word, name.clone()));
                    } else if point || colons {
                        self.members.insert(name.clone());
                    }
                    // (The name that a function is given is not used by that.)
                    if !point && before != "fn" {
                        self.words.insert(name.clone());
                    }
                    (word, marks) = (name, String::new());
                }
                TokenTree::Punct(punct) if matches!(punct.as_char(), '.' | ':') => {
                    marks.push(punct.as_char());
                }
                TokenTree::Group(group) => {
                    self.add(group.stream(), own);
                    (word, marks) = (String::new(), String::new());
                }
                TokenTree::Punct(_) | TokenTree::Literal(_) => {
                    (word, marks) = (String::new(), String::new());
                }
            }
        }
    }

    /// Without some words.
    #[must_use]
    pub fn without(&self, own: &BTreeSet<String>) -> Self {
        let paths = self.paths.iter().filter(|(first, _)| !own.contains(first));
        Self {
            words: self.words.difference(own).cloned().collect(),
            members: self.members.clone(),
            paths: paths.cloned().collect(),
        }
    }

    /// Adds another piece's.
    pub fn extend(&mut self, more: &Self) {
        self.words.extend(more.words.iter().cloned());
        self.members.extend(more.members.iter().cloned());
        self.paths.extend(more.paths.iter().cloned());
    }
}

/// Cuts a file into pieces; the first is the file itself.
///
/// # Errors
///
/// It is not Rust.
pub fn of(text: &str) -> Result<Vec<Piece>, syn::Error> {
    let file = syn::parse_file(text)?;
    let mut cut = Cut(vec![Piece {
        what: What::Around,
        lines: 1..=text.lines().count().max(1),
        public: true,
        parent: None,
        uses: Uses::default(),
    }]);
    cut.items(&file.items, 0);
    Ok(cut.0)
}

struct Cut(Vec<Piece>);

impl Cut {
    fn push(&mut self, what: What, of: &impl Spanned, parent: usize, uses: Uses) -> usize {
        let span = of.span();
        self.0.push(Piece {
            what,
            lines: span.start().line..=span.end().line,
            // Until somebody knows it better: what has no word for it is as public as what it is part of.
            public: true,
            parent: Some(parent),
            uses,
        });
        self.0.len() - 1
    }

    fn limit(&mut self, place: usize, to: &Visibility) {
        if let Some(piece) = self.0.get_mut(place) {
            piece.public = matches!(to, Visibility::Public(_));
        }
    }

    fn items(&mut self, items: &[Item], parent: usize) {
        for item in items {
            if !is_test(attributes(item)) {
                self.item(item, parent);
            }
        }
    }

    fn item(&mut self, item: &Item, parent: usize) {
        let uses = || Uses::of(tokens(item), None);
        let (name, visible) = match item {
            Item::Fn(f) => {
                let place = self.function(&f.sig, &f.attrs, f, Owner::Free, parent);
                return self.limit(place, &f.vis);
            }
            Item::Impl(block) => return self.implementation(block, parent),
            Item::Trait(block) => return self.definition(block, parent),
            Item::Mod(module) => {
                if let Some((_, items)) = &module.content {
                    let place = self.push(What::Around, module, parent, Uses::default());
                    self.items(items, place);
                }
                return;
            }
            // Names that are only passed on are not used by that.
            Item::Use(_) | Item::ExternCrate(_) => return,
            Item::Const(i) if i.ident == "_" => return self.around(parent, &uses()),
            Item::Const(i) => (&i.ident, &i.vis),
            Item::Static(i) => (&i.ident, &i.vis),
            Item::Type(i) => (&i.ident, &i.vis),
            Item::Struct(i) => (&i.ident, &i.vis),
            Item::Union(i) => (&i.ident, &i.vis),
            Item::Enum(i) => (&i.ident, &i.vis),
            Item::Macro(i) => match &i.ident {
                Some(ident) => (ident, &Visibility::Inherited),
                None => return self.call(i, parent),
            },
            _ => return self.around(parent, &uses()),
        };
        let place = self.push(What::Named(vec![name.to_string()]), item, parent, uses());
        self.limit(place, visible);
        match item {
            Item::Enum(i) => {
                let variants = i.variants.iter().flat_map(|v| &v.attrs);
                self.texts(i.attrs.iter().chain(variants), place);
            }
            Item::Struct(i) => self.texts(i.attrs.iter(), place),
            _ => {}
        }
    }

    /// A macro's call that makes items, or that is as much there as what stands around it: assembly, mostly.
    fn call(&mut self, call: &syn::ItemMacro, parent: usize) {
        let uses = Uses::of(tokens(call), None);
        let names = made(call.mac.tokens.clone());
        if names.is_empty() {
            return self.around(parent, &uses);
        }
        self.push(What::Named(names), call, parent, uses);
    }

    /// Lines that belong to what stands around.
    fn around(&mut self, parent: usize, uses: &Uses) {
        if let Some(piece) = self.0.get_mut(parent) {
            piece.uses.extend(uses);
        }
    }

    fn texts<'a>(&mut self, attributes: impl Iterator<Item = &'a Attribute>, parent: usize) {
        for attribute in attributes.filter(|a| a.path().is_ident("error")) {
            self.push(What::Text, attribute, parent, Uses::default());
        }
    }

    fn function(
        &mut self,
        sig: &syn::Signature,
        attributes: &[Attribute],
        of: &(impl Spanned + ToTokens),
        owner: Owner,
        parent: usize,
    ) -> usize {
        let own = match &owner {
            Owner::Free => None,
            Owner::Own(of) | Owner::Trait { of, .. } => Some(of.clone()),
        };
        let what = What::Function {
            name: sig.ident.to_string(),
            owner,
            root: attributes.iter().any(is_root),
        };
        let uses = Uses::of(tokens(of), own.as_deref());
        self.push(what, of, parent, uses)
    }

    fn implementation(&mut self, block: &syn::ItemImpl, parent: usize) {
        let of = type_name(&block.self_ty);
        let mut uses = Uses::of(tokens(&block.self_ty), Some(&of));
        uses.add(tokens(&block.generics), Some(&of));
        let owner = match &block.trait_ {
            None => Owner::Own(of.clone()),
            Some((_, path, _)) => {
                uses.add(tokens(path), Some(&of));
                let name = path.segments.last().map(|s| s.ident.to_string());
                let prints = ["Display", "Debug", "Error"].map(String::from);
                Owner::Trait {
                    of: of.clone(),
                    prints: name.is_some_and(|n| prints.contains(&n)),
                }
            }
        };
        let what = What::Implementation(of.clone());
        let place = self.push(what, block, parent, uses);
        for item in &block.items {
            match item {
                ImplItem::Fn(f) if is_test(&f.attrs) => {}
                ImplItem::Fn(f) => {
                    let place = self.function(&f.sig, &f.attrs, f, owner.clone(), place);
                    self.limit(place, &f.vis);
                }
                other => self.around(place, &Uses::of(tokens(other), Some(&of))),
            }
        }
    }

    fn definition(&mut self, block: &syn::ItemTrait, parent: usize) {
        let name = block.ident.to_string();
        let what = What::Named(vec![name.clone()]);
        let place = self.push(what, block, parent, Uses::default());
        self.limit(place, &block.vis);
        for item in &block.items {
            match item {
                TraitItem::Fn(f) if f.default.is_some() => {
                    let owner = Owner::Own(name.clone());
                    self.function(&f.sig, &f.attrs, f, owner, place);
                }
                other => self.around(place, &Uses::of(tokens(other), Some(&name))),
            }
        }
    }
}

fn tokens(of: &impl ToTokens) -> TokenStream {
    of.to_token_stream()
}

/// The names of types and others that stand in a macro's call.
fn made(stream: TokenStream) -> Vec<String> {
    const WORDS: [&str; 6] = ["enum", "struct", "union", "const", "static", "type"];
    let all: Vec<TokenTree> = stream.into_iter().collect();
    let pairs = all.windows(2).filter_map(|pair| match pair {
        [TokenTree::Ident(word), TokenTree::Ident(name)] => Some((word, name)),
        _ => None,
    });
    let made = pairs.filter(|(word, _)| WORDS.iter().any(|w| *word == w));
    made.map(|(_, name)| name.to_string()).collect()
}

/// `#[cfg(test)]`.
fn is_test(attributes: &[Attribute]) -> bool {
    let is = |a: &Attribute| {
        a.path().is_ident("cfg")
            && a.parse_args::<syn::Ident>()
                .is_ok_and(|word| word == "test")
    };
    attributes.iter().any(is)
}

/// Attributes by which something is called from outside of the language.
fn is_root(attribute: &Attribute) -> bool {
    let words = Uses::of(tokens(attribute), None).words;
    let roots = ["panic_handler", "no_mangle", "export_name"];
    roots.iter().any(|root| words.contains(*root))
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(i) => &i.attrs,
        Item::Enum(i) => &i.attrs,
        Item::ExternCrate(i) => &i.attrs,
        Item::Fn(i) => &i.attrs,
        Item::ForeignMod(i) => &i.attrs,
        Item::Impl(i) => &i.attrs,
        Item::Macro(i) => &i.attrs,
        Item::Mod(i) => &i.attrs,
        Item::Static(i) => &i.attrs,
        Item::Struct(i) => &i.attrs,
        Item::Trait(i) => &i.attrs,
        Item::Type(i) => &i.attrs,
        Item::Union(i) => &i.attrs,
        Item::Use(i) => &i.attrs,
        _ => &[],
    }
}

/// The last word of a type's path.
fn type_name(of: &Type) -> String {
    match of {
        Type::Path(path) => {
            let last = path.path.segments.last();
            last.map_or_else(String::new, |s| s.ident.to_string())
        }
        Type::Reference(to) => type_name(&to.elem),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(text: &str) -> Vec<(What, RangeInclusive<usize>)> {
        let all = of(text).unwrap();
        all.into_iter().map(|p| (p.what, p.lines)).collect()
    }

    fn function(name: &str, owner: Owner) -> What {
        What::Function {
            name: name.into(),
            owner,
            root: false,
        }
    }

    #[test]
    fn a_file_is_its_functions_its_names_and_what_is_around_them() {
        let text = "use a::B;\nfn f() {\n    g();\n}\nstruct S {\n    x: u8,\n}\nimpl S {\n    const N: u8 = 1;\n    \
                    fn m(&self) {}\n}\nimpl fmt::Display for S {\n    fn fmt() {}\n}\nmod m {\n    const C: u8 = 1;\n}\n";
        let printed = Owner::Trait {
            of: "S".into(),
            prints: true,
        };
        assert_eq!(
            pieces(text),
            [
                (What::Around, 1..=17),
                (function("f", Owner::Free), 2..=4),
                (What::Named(vec!["S".into()]), 5..=7),
                (What::Implementation("S".into()), 8..=11),
                (function("m", Owner::Own("S".into())), 10..=10),
                (What::Implementation("S".into()), 12..=14),
                (function("fmt", printed), 13..=13),
                (What::Around, 15..=17),
                (What::Named(vec!["C".into()]), 16..=16),
            ]
        );
    }

    #[test]
    fn what_is_for_tests_is_no_piece() {
        let text = "#[cfg(test)]\nmod tests {\n    fn t() {}\n}\nimpl S {\n    #[cfg(test)]\n    fn t() {}\n}\n";
        let all = pieces(text);
        assert_eq!(all.len(), 2, "{all:?}");
    }

    #[test]
    fn what_an_error_says_is_a_piece_in_it() {
        let text = "#[derive(Error)]\nenum E {\n    #[error(\"no\")]\n    No,\n}\n";
        let all = of(text).unwrap();
        assert_eq!(all[2].what, What::Text);
        assert_eq!((all[2].lines.clone(), all[2].parent), (3..=3, Some(1)));
    }

    #[test]
    fn names_are_known_by_how_they_are_used() {
        let all =
            of("impl S {\n    fn f() { Self::a(); T::<u8>::b(x.c); d(e!(g)); }\n}\n").unwrap();
        let uses = &all[2].uses;
        assert!(uses.paths.contains(&("S".into(), "a".into())));
        for member in ["b", "c"] {
            assert!(uses.members.contains(member), "{member}");
        }
        for word in ["d", "e", "g", "x"] {
            assert!(uses.words.contains(word) && !uses.members.contains(word));
        }
        assert!(!uses.words.contains("c") && !uses.words.contains("f"));
    }

    #[test]
    fn a_macros_call_is_what_it_makes_or_stands_around() {
        let text = "made! {\n    pub enum Kind { A }\n    pub enum State { B }\n}\nglobal_asm!(\"bl {f}\", f = sym entry);\n";
        let all = of(text).unwrap();
        let names = vec!["Kind".into(), "State".into()];
        assert_eq!((all.len(), &all[1].what), (2, &What::Named(names)));
        assert!(all[0].uses.words.contains("entry"));
    }

    #[test]
    fn what_others_can_name_is_public() {
        let text =
            "pub fn f() {}\nfn g() {}\npub(crate) struct S;\nimpl S { pub fn m() {} fn n() {} }\n";
        let public: Vec<bool> = of(text).unwrap().iter().map(|p| p.public).collect();
        assert_eq!(public, [true, true, false, false, true, true, false]);
    }

    #[test]
    fn text_that_is_not_rust_is_refused() {
        assert!(of("fn (").is_err());
    }
}
