//! A refused description: file, line, the span, the reason and a remedy.

use miette::{Diagnostic, LabeledSpan, NamedSource, SourceSpan};
use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

/// A description's text and where it came from; every [`Refusal`] shows a part of it.
#[derive(Clone, Debug)]
pub struct Source {
    name: Arc<str>,
    text: Arc<str>,
}

impl Source {
    /// A description read from `path`.
    #[must_use]
    pub fn new(path: &Path, text: &str) -> Self {
        Self {
            name: path.display().to_string().into(),
            text: text.into(),
        }
    }

    /// The text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Refuses what stands at `span`.
    #[must_use]
    pub fn refuse(
        &self,
        span: Range<usize>,
        reason: impl Into<String>,
        label: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Refusal {
        Refusal(Box::new(Parts {
            source: NamedSource::new(&self.name, self.text.to_string()).with_language("TOML"),
            reason: reason.into(),
            remedy: remedy.into(),
            labels: vec![labelled(span, label.into())],
        }))
    }

    /// The line that a byte offset is in, counted from one.
    #[must_use]
    pub fn line(&self, offset: usize) -> usize {
        let before = self
            .text
            .as_bytes()
            .get(..offset)
            .unwrap_or(self.text.as_bytes());
        before.iter().filter(|&&b| b == b'\n').count() + 1
    }
}

/// One thing that is wrong with a description.
#[derive(Debug)]
pub struct Refusal(Box<Parts>);

#[derive(Debug)]
struct Parts {
    source: NamedSource<String>,
    reason: String,
    remedy: String,
    labels: Vec<LabeledSpan>,
}

impl Refusal {
    /// Points at a second place that has to do with it.
    #[must_use]
    pub fn and(mut self, span: Range<usize>, label: impl Into<String>) -> Self {
        self.0.labels.push(labelled(span, label.into()));
        self
    }

    /// The reason, in one sentence.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.0.reason
    }

    /// What to do about it.
    #[must_use]
    pub fn remedy(&self) -> &str {
        &self.0.remedy
    }

    /// The text that the first label points at.
    #[must_use]
    pub fn pointed_at(&self) -> &str {
        let text = self.0.source.inner();
        self.0
            .labels
            .first()
            .and_then(|l| text.get(l.offset()..l.offset() + l.len()))
            .unwrap_or("")
    }
}

fn labelled(span: Range<usize>, label: String) -> LabeledSpan {
    let label = (!label.is_empty()).then_some(label);
    LabeledSpan::new_with_span(label, SourceSpan::from(span))
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.reason)
    }
}

impl std::error::Error for Refusal {}

impl Diagnostic for Refusal {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        (!self.0.remedy.is_empty()).then(|| Box::new(&self.0.remedy) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn miette::SourceCode> {
        Some(&self.0.source)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        Some(Box::new(self.0.labels.iter().cloned()))
    }
}
