//! Shows that long steps are alive: a spinner on a terminal, plain lines elsewhere.

use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::time::Duration;

/// A step that takes a while.
#[derive(Debug)]
pub struct Step {
    bar: Option<ProgressBar>,
    text: String,
}

impl Step {
    /// Begins a step.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        let text = text.into();
        if !std::io::stderr().is_terminal() {
            eprintln!("tessera: {text}");
            return Self { bar: None, text };
        }
        let style = ProgressStyle::with_template("{spinner:.green} {msg} {elapsed:.dim}");
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = style {
            bar.set_style(style);
        }
        bar.set_message(text.clone());
        bar.enable_steady_tick(Duration::from_millis(120));
        Self {
            bar: Some(bar),
            text,
        }
    }

    /// Says how far it is.
    pub fn detail(&self, detail: &str) {
        if let Some(bar) = &self.bar {
            let detail: String = detail.chars().take(60).collect();
            bar.set_message(format!("{}: {detail}", self.text));
        }
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Says one thing to the person, apart from what a command prints.
pub fn say(text: &str) {
    eprintln!("tessera: {text}");
}
