//! The plugin's arguments: words of the form `key=value`, as `-plugin` splits them at commas.

use crate::context::Context;
use std::fmt;
use std::ops::Range;
use std::path::PathBuf;

/// A marked place in the hypervisor's code: the first instruction of a function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// What it is called in the report.
    pub name: String,
    /// Its address, as the hypervisor is linked.
    pub address: u64,
}

/// The arguments.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Arguments {
    /// `out=FILE`: where the report goes.
    pub out: PathBuf,
    /// `el2=LO-HI`: addresses of the hypervisor's code, as it is linked.
    pub el2: Option<Range<u64>>,
    /// `image=PA`: the physical address that `LO` is loaded to.
    pub image: Option<u64>,
    /// `ram=PA-PA`: the physical addresses of RAM, to learn where QEMU keeps it.
    pub ram: Option<Range<u64>>,
    /// `vectors=ADDR`: the vector table of EL2.
    pub vectors: Option<u64>,
    /// `mark=NAME:ADDR`, any number of times, and the lines `NAME ADDR` of `marks=FILE`.
    pub marks: Vec<Mark>,
    /// `lines=on`: count the cache lines that each event touches.
    pub lines: bool,
    /// `log=FILE`: the file that QEMU logs exceptions to.
    pub log: Option<PathBuf>,
    /// `events=FILE`: where the binary log goes.
    pub events: Option<PathBuf>,
    /// `record=phases`: only events that begin in a phase are recorded.
    pub phases_only: bool,
    /// `timeline=on`: record which context runs on each core.
    pub timeline: bool,
    /// `context=NAME:LOW-HIGH`, any number of times.
    pub contexts: Vec<Context>,
}

/// Why the arguments were refused.
#[derive(Debug, PartialEq, Eq)]
pub struct Refused(String);

impl fmt::Display for Refused {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// The size of a vector table, and its alignment.
const VECTORS: u64 = 0x800;

impl Arguments {
    /// Reads the arguments; `read` reads the file of `marks=`.
    ///
    /// # Errors
    ///
    /// A word that is not understood, a number that is none, an address outside `el2`.
    pub fn parse<'a>(
        words: impl IntoIterator<Item = &'a str>,
        read: impl Fn(&str) -> std::io::Result<String>,
    ) -> Result<Self, Refused> {
        let mut arguments = Self {
            out: PathBuf::from("meter.json"),
            ..Self::default()
        };
        for word in words {
            let refuse = |why: &str| Refused(format!("{word}: {why}"));
            let (key, value) = word
                .split_once('=')
                .ok_or_else(|| refuse("not KEY=VALUE"))?;
            let address = || number(value).ok_or_else(|| refuse("not a number"));
            let range = || range(value).ok_or_else(|| refuse("not LOW-HIGH"));
            let switch = || match value {
                "on" => Ok(true),
                "off" => Ok(false),
                _ => Err(refuse("not on or off")),
            };
            match key {
                "out" if !value.is_empty() => arguments.out = PathBuf::from(value),
                "el2" => arguments.el2 = Some(range()?),
                "ram" => arguments.ram = Some(range()?),
                "image" => arguments.image = Some(address()?),
                "vectors" => arguments.vectors = Some(address()?),
                "lines" => arguments.lines = switch()?,
                "timeline" => arguments.timeline = switch()?,
                "log" if !value.is_empty() => arguments.log = Some(PathBuf::from(value)),
                "events" if !value.is_empty() => arguments.events = Some(PathBuf::from(value)),
                "record" => {
                    arguments.phases_only = match value {
                        "phases" => true,
                        "all" => false,
                        _ => return Err(refuse("not all or phases")),
                    }
                }
                "context" => {
                    let context = context(value).ok_or_else(|| refuse("not NAME:LOW-HIGH"))?;
                    arguments.contexts.push(context);
                }
                "mark" => {
                    let mark = value.rsplit_once(':').and_then(|(name, at)| mark(name, at));
                    let mark = mark.ok_or_else(|| refuse("not NAME:ADDRESS"))?;
                    arguments.marks.push(mark);
                }
                "marks" => {
                    let text = read(value).map_err(|error| refuse(&error.to_string()))?;
                    for line in text.lines().filter(|line| !line.trim().is_empty()) {
                        let mark = line
                            .rsplit_once(char::is_whitespace)
                            .and_then(|(name, at)| mark(name.trim(), at));
                        let why = || refuse(&format!("\"{line}\" is not NAME ADDRESS"));
                        arguments.marks.push(mark.ok_or_else(why)?);
                    }
                }
                _ => return Err(refuse("not understood")),
            }
        }
        arguments.check()?;
        Ok(arguments)
    }

    fn check(&self) -> Result<(), Refused> {
        self.check_contexts()?;
        if self.events.is_none() && (self.phases_only || self.timeline) {
            return Err(Refused("record and timeline need events=FILE".into()));
        }
        if self.timeline && self.contexts.is_empty() {
            return Err(Refused("timeline needs context=NAME:LOW-HIGH".into()));
        }
        let Some(el2) = &self.el2 else {
            let marks = !self.marks.is_empty();
            if self.vectors.is_some() || marks || self.image.is_some() || self.log.is_some() {
                return Err(Refused(
                    "vectors, mark, image and log need el2=LOW-HIGH".into(),
                ));
            }
            return Ok(());
        };
        if let Some(vectors) = self.vectors {
            let end = vectors.checked_add(VECTORS);
            if !vectors.is_multiple_of(VECTORS) {
                return Err(Refused(format!("vectors={vectors:#x}: not 2 KiB-aligned")));
            }
            if vectors < el2.start || end.is_none_or(|end| end > el2.end) {
                return Err(Refused(format!("vectors={vectors:#x}: not in el2")));
            }
        }
        for Mark { name, address } in &self.marks {
            if !el2.contains(address) {
                return Err(Refused(format!("mark={name}:{address:#x}: not in el2")));
            }
        }
        if self.marks.len() > usize::from(u16::MAX) {
            return Err(Refused("more than 65,535 marks".into()));
        }
        Ok(())
    }

    fn check_contexts(&self) -> Result<(), Refused> {
        if self.contexts.len() > usize::from(u16::MAX) {
            return Err(Refused("more than 65,535 contexts".into()));
        }
        for (index, context) in self.contexts.iter().enumerate() {
            let other = self.contexts.iter().take(index).find(|other| {
                let (one, other) = (&context.memory, &other.memory);
                one.start < other.end && other.start < one.end
            });
            if let Some(other) = other {
                let (one, other) = (&context.name, &other.name);
                return Err(Refused(format!("context={one}: overlaps {other}")));
            }
        }
        Ok(())
    }
}

fn context(text: &str) -> Option<Context> {
    let (name, memory) = text.rsplit_once(':')?;
    (!name.is_empty()).then_some(())?;
    Some(Context {
        name: name.to_owned(),
        memory: range(memory)?,
    })
}

fn mark(name: &str, address: &str) -> Option<Mark> {
    (!name.is_empty()).then_some(())?;
    Some(Mark {
        name: name.to_owned(),
        address: number(address)?,
    })
}

/// A number, in hexadecimal with `0x`, else in decimal.
fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

fn range(text: &str) -> Option<Range<u64>> {
    let (low, high) = text.split_once('-')?;
    let (low, high) = (number(low)?, number(high)?);
    (low < high).then_some(low..high)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io;

    fn parse(words: &[&str]) -> Result<Arguments, String> {
        let read = |name: &str| match name {
            "symbols" => Ok("hvc 0x1000\n\n  irq handler\t0x1010\n".to_owned()),
            "broken" => Ok("hvc\n".to_owned()),
            _ => Err(io::Error::from(io::ErrorKind::NotFound)),
        };
        Arguments::parse(words.iter().copied(), read).map_err(|refused| refused.to_string())
    }

    #[test]
    fn nothing_is_a_native_run() {
        let arguments = parse(&[]).unwrap();
        assert_eq!(arguments.out, PathBuf::from("meter.json"));
        assert_eq!(arguments.el2, None);
        assert!(!arguments.lines);
    }

    #[test]
    fn every_word_is_understood() {
        let arguments = parse(&[
            "out=a=b.json",
            "el2=0x1000-0x3000",
            "image=1073741824",
            "ram=0x40000000-0x80000000",
            "vectors=0x1800",
            "mark=vgic::irq:0x1004",
            "mark=b:4104",
            "marks=symbols",
            "lines=on",
            "log=qemu.log",
            "events=events.bin",
            "context=real time:0x50000000-0x50400000",
            "context=a:b:0x60000000-0x70000000",
            "record=phases",
            "timeline=on",
        ])
        .unwrap();
        assert_eq!(arguments.out, PathBuf::from("a=b.json"));
        assert_eq!(arguments.el2, Some(0x1000..0x3000));
        assert_eq!(arguments.image, Some(0x4000_0000));
        assert_eq!(arguments.ram, Some(0x4000_0000..0x8000_0000));
        assert_eq!(arguments.vectors, Some(0x1800));
        assert!(arguments.lines && arguments.phases_only && arguments.timeline);
        assert_eq!(arguments.log, Some(PathBuf::from("qemu.log")));
        assert_eq!(arguments.events, Some(PathBuf::from("events.bin")));
        let contexts: Vec<_> = arguments
            .contexts
            .iter()
            .map(|context| (context.name.as_str(), context.memory.clone()))
            .collect();
        let expected = [
            ("real time", 0x5000_0000..0x5040_0000),
            ("a:b", 0x6000_0000..0x7000_0000),
        ];
        assert_eq!(contexts, expected);
        let marks: Vec<_> = arguments
            .marks
            .iter()
            .map(|mark| (mark.name.as_str(), mark.address))
            .collect();
        let expected = [
            ("vgic::irq", 0x1004),
            ("b", 4104),
            ("hvc", 0x1000),
            ("irq handler", 0x1010),
        ];
        assert_eq!(marks, expected);
    }

    #[test]
    fn what_is_wrong_is_refused_with_the_word() {
        for words in [
            &["loud"][..],
            &["loud=yes"],
            &["out="],
            &["el2=0x10"],
            &["el2=0x20-0x10"],
            &["image=0x"],
            &["lines=maybe"],
            &["el2=0-0x1000", "mark=:0x10"],
            &["el2=0-0x1000", "mark=a"],
            &["el2=0-0x1000", "mark=a:0x1000"],
            &["el2=0-0x1000", "vectors=0x400"],
            &["el2=0-0x1000", "vectors=0x1000"],
            &["el2=0-0x1000", "marks=missing"],
            &["el2=0-0x1000", "marks=broken"],
            &["vectors=0x800"],
            &["mark=a:0x800"],
            &["log=x"],
            &["log="],
            &["events="],
            &["record=phases"],
            &["timeline=on"],
            &["events=x", "timeline=on"],
            &["events=x", "record=some"],
            &["context=a"],
            &["context=:1-2"],
            &["context=b:1-9", "context=a:8-10"],
        ] {
            let refused = parse(words).unwrap_err();
            let key = words.last().unwrap().split('=').next().unwrap();
            assert!(refused.contains(key), "{words:?}: {refused}");
        }
    }

    proptest! {
        #[test]
        fn no_word_panics(word: String) {
            let _ = parse(&[&word]);
            let _ = parse(&["el2=0-0xffffffffffffffff", &format!("vectors={word}")]);
        }
    }
}
