//! The report's page: a whole one, an empty one, a hostile one.

mod sample;

use quick_xml::XmlVersion;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::Event;
use std::collections::BTreeMap;
use tessera::bench::html::html;
use tessera::bench::report::{Report, Setting, Timeline, View};

/// A page taken apart: that this works shows that it is well-formed.
#[derive(Debug, Default)]
struct Page {
    /// How many there are of each element.
    elements: BTreeMap<String, usize>,
    /// Each text, as a reader sees it.
    texts: Vec<String>,
    /// Each attribute's name and value.
    attributes: Vec<(String, String)>,
}

impl Page {
    fn read(text: &str) -> Self {
        let mut reader = quick_xml::Reader::from_str(text);
        reader.config_mut().check_end_names = true;
        let mut page = Self::default();
        let mut open: Vec<String> = Vec::new();
        let mut words = String::new();
        loop {
            let event = reader.read_event().expect("well-formed");
            if !matches!(event, Event::Text(_) | Event::GeneralRef(_)) && !words.is_empty() {
                page.texts.push(std::mem::take(&mut words));
            }
            match event {
                Event::Start(tag) => {
                    page.element(&tag);
                    open.push(tag.name().as_ref().to_string());
                }
                Event::Empty(tag) => page.element(&tag),
                Event::End(_) => drop(open.pop()),
                Event::Text(text) => words += &text,
                Event::GeneralRef(name) => {
                    words += resolve_predefined_entity(&name).expect("a known entity");
                }
                Event::Eof => break,
                _ => {}
            }
        }
        assert_eq!(open, [""; 0], "everything is closed");
        page
    }

    fn element(&mut self, tag: &quick_xml::events::BytesStart) {
        let name = tag.name().as_ref().to_string();
        *self.elements.entry(name).or_default() += 1;
        for attribute in tag.attributes() {
            let attribute = attribute.expect("an attribute, and no other of its name");
            let name = attribute.key.as_ref().to_string();
            let value = attribute
                .normalized_value(XmlVersion::Implicit1_0)
                .expect("escaped")
                .into_owned();
            self.attributes.push((name, value));
        }
    }

    /// Whether this is a text, or a line or a cell of its own in it.
    fn says(&self, text: &str) -> bool {
        self.texts.iter().any(|t| t == text)
    }

    fn count(&self, element: &str) -> usize {
        self.elements.get(element).copied().unwrap_or(0)
    }
}

#[test]
fn every_number_of_a_report_is_on_its_page() {
    let report = sample::report();
    let page = Page::read(&html(&report));
    let whole = |n: u64| {
        let digits: Vec<char> = n.to_string().chars().rev().collect();
        let parts: Vec<String> = digits.chunks(3).map(|c| c.iter().rev().collect()).collect();
        parts.into_iter().rev().collect::<Vec<_>>().join(",")
    };
    let has = |text: &str| assert!(page.says(text), "`{text}` is not there");
    for event in &report.events {
        has(&event.name);
        has(&event.title);
        has(&whole(event.instructions.median));
        has(&whole(event.instructions.max));
    }
    for view in &report.views {
        has(&view.name);
        has(&view.title);
    }
    for latency in &report.latencies {
        has(&latency.situation);
        for value in [
            latency.count,
            latency.p50,
            latency.p99,
            latency.p999,
            latency.max,
        ] {
            has(&whole(value));
        }
        if let Some(stretch) = &latency.masked {
            has(&stretch.path);
        }
    }
    for work in &report.workloads {
        has(&format!("{:.4}", work.ratio));
    }
    for size in &report.sizes {
        has(&size.title);
        has(&whole(size.value));
    }
    for missing in &report.missing {
        has(&missing.what);
        has(&missing.why);
    }
    for timeline in &report.timelines {
        has(&timeline.title);
    }
    for fact in [&report.run.qemu, &report.run.host, &report.run.date] {
        has(fact);
    }
}

#[test]
fn each_picture_is_said_in_words_and_has_a_table() {
    let page = Page::read(&html(&sample::report()));
    let pictures = page.count("svg");
    assert!(pictures > 20, "{pictures}");
    let of = |name: &str| page.attributes.iter().filter(|(n, _)| n == name).count();
    let labelled = page
        .attributes
        .iter()
        .filter(|(n, v)| n == "role" && v == "img");
    assert_eq!(labelled.count(), pictures);
    assert!(of("aria-label") >= pictures);
    assert!(page.count("table") >= 10);
}

#[test]
fn nothing_is_loaded_from_anywhere() {
    let text = html(&sample::report());
    let page = Page::read(&text);
    for element in ["link", "img", "iframe", "image", "use"] {
        assert_eq!(page.count(element), 0, "{element}");
    }
    let outside = |(name, value): &&(String, String)| {
        matches!(name.as_str(), "src" | "href") && !value.starts_with('#')
    };
    assert_eq!(page.attributes.iter().find(outside), None);
    assert!(!text.contains("@import") && !text.contains("url("));
}

#[test]
fn every_place_that_is_linked_to_is_there() {
    for report in [sample::report(), Report::default()] {
        let page = Page::read(&html(&report));
        let of = |name: &'static str| page.attributes.iter().filter(move |(n, _)| n == name);
        for (_, place) in of("href") {
            assert!(
                of("id").any(|(_, id)| format!("#{id}") == *place),
                "{place}"
            );
        }
    }
}

#[test]
fn an_empty_report_has_sentences_and_no_pictures() {
    let page = Page::read(&html(&Report::default()));
    assert_eq!(page.count("svg"), 0);
    assert_eq!(page.count("table"), 0);
    let said = page.texts.join("\n");
    for sentence in [
        "No events were counted",
        "No operations were timed",
        "No wake-ups were measured",
        "No work of Linux was measured",
        "No cache lines were counted",
        "Nothing was weighed",
        "No time line was recorded",
        "No number in this run has a budget.",
        "No peer was measured in this run.",
        "Nothing is missing",
    ] {
        assert!(said.contains(sentence), "{sentence}");
    }
}

#[test]
fn a_hostile_string_stays_text_wherever_it_stands() {
    let hostile = "\"'><script>alert(1)</script>&amp;\u{0}]]>";
    let shown = hostile.replace('\0', "\u{fffd}");
    let mut report = sample::report();
    let before = Page::read(&html(&report)).elements;
    let run = &mut report.run;
    for text in [&mut run.commit, &mut run.qemu, &mut run.host, &mut run.date] {
        *text = hostile.into();
    }
    run.peers = vec![hostile.into()];
    for event in &mut report.events {
        event.title = hostile.into();
        event.fp = hostile.into();
    }
    for latency in &mut report.latencies {
        if let Some(stretch) = &mut latency.masked {
            stretch.path = hostile.into();
        }
    }
    for span in report
        .timelines
        .iter_mut()
        .flat_map(|t| t.cores.iter_mut().flatten())
    {
        span.who = hostile.into();
    }
    for missing in &mut report.missing {
        (missing.what, missing.why) = (hostile.into(), hostile.into());
    }
    let page = Page::read(&html(&report));
    assert!(page.says(&shown));
    assert_eq!(
        page.elements["script"], before["script"],
        "no element of its own"
    );
    assert!(
        page.attributes
            .iter()
            .any(|(_, value)| value.contains(&shown))
    );
}

#[test]
fn numbers_at_their_limits_do_no_harm() {
    let view = |instructions: f64, max: Option<f64>| View {
        name: format!("{instructions} {max:?}"),
        setting: Setting {
            system: "tessera".into(),
            ..Setting::default()
        },
        instructions,
        max,
        ..View::default()
    };
    let mut report = sample::report();
    for event in &mut report.events {
        event.instructions.median = u64::MAX;
        event.code_lines.median = u64::MAX / 2;
        event.data_lines.median = 0;
    }
    for latency in &mut report.latencies {
        (latency.min, latency.max, latency.count) = (0, u64::MAX, 0);
        latency.buckets = vec![[0, u64::MAX, u64::MAX], [5, 1, 1], [u64::MAX, 0, 0]];
    }
    for work in &mut report.workloads {
        work.ratio = f64::NAN;
        work.instructions = vec![0, u64::MAX];
    }
    report.views = vec![
        view(f64::NAN, Some(f64::INFINITY)),
        view(0.0, None),
        view(-3.0, Some(1e300)),
    ];
    report.timelines.push(Timeline {
        cores: vec![vec![tessera::bench::report::Span {
            from: 9,
            to: 3,
            who: String::new(),
        }]],
        ..Timeline::default()
    });
    let page = Page::read(&html(&report));
    let places = [
        "x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "width", "height",
    ];
    for (name, value) in page.attributes {
        if places.contains(&name.as_str()) {
            let value: f64 = value.parse().expect("a number");
            assert!((-100.0..3000.0).contains(&value), "{name}={value}");
        }
    }
}

/// Leaves a sample to look at where the build leaves what tests write.
#[test]
fn a_sample_is_left_to_look_at() {
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("report.html");
    std::fs::write(&path, html(&sample::report())).unwrap();
    let length = std::fs::metadata(&path).unwrap().len();
    assert!(length < 1 << 20, "{length} bytes are too many for a page");
}
