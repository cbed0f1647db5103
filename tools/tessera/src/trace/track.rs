//! A track of a picture in time: what follows what, and what happens at a point.

use serde_json::{Map, Value};

/// What lasts for a while.
#[derive(Clone, Debug, PartialEq)]
pub struct Slice {
    /// What it is.
    pub name: String,
    /// When it begins, in nanoseconds since the counter began.
    pub from: u64,
    /// When it ends; never before it begins.
    pub to: u64,
    /// More about it.
    pub details: Map<String, Value>,
}

/// What happens at a point in time.
#[derive(Clone, Debug, PartialEq)]
pub struct Instant {
    /// What it is.
    pub name: String,
    /// When, in nanoseconds since the counter began.
    pub at: u64,
    /// More about it.
    pub details: Map<String, Value>,
}

/// A track. Its slices follow each other and never overlap.
#[derive(Clone, Debug, Default)]
pub struct Track {
    /// Its name.
    pub name: String,
    /// What lasted, in order.
    pub slices: Vec<Slice>,
    /// What happened, in order.
    pub instants: Vec<Instant>,
    open: Option<Slice>,
}

impl Track {
    /// A track with nothing on it.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            ..Self::default()
        }
    }

    /// What lasts ends, and something else begins.
    pub fn begin(&mut self, at: u64, name: impl Into<String>) {
        self.end(at);
        self.open = Some(Slice {
            name: name.into(),
            from: at,
            to: at,
            details: Map::new(),
        });
    }

    /// What lasts ends. What lasted for no time at all is not kept.
    pub fn end(&mut self, at: u64) {
        let Some(mut slice) = self.open.take() else {
            return;
        };
        slice.to = at.max(slice.from);
        if slice.to > slice.from {
            self.slices.push(slice);
        }
    }

    /// What lasts now.
    pub fn now(&mut self) -> Option<&mut Slice> {
        self.open.as_mut()
    }

    /// Something happens.
    pub fn happens(&mut self, at: u64, name: impl Into<String>, details: Value) {
        let details = match details {
            Value::Object(map) => map,
            _ => Map::new(),
        };
        self.instants.push(Instant {
            name: name.into(),
            at,
            details,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_begins_ends_what_was() {
        let mut track = Track::new("core 0");
        track.begin(10, "a");
        track.begin(20, "b");
        track.begin(20, "c");
        track.end(25);
        track.end(30);
        let all: Vec<_> = track
            .slices
            .iter()
            .map(|s| (s.name.as_str(), s.from, s.to))
            .collect();
        assert_eq!(all, [("a", 10, 20), ("c", 20, 25)]);
    }

    #[test]
    fn nothing_ends_before_it_began() {
        let mut track = Track::new("core 0");
        track.begin(10, "a");
        track.begin(5, "b");
        track.end(12);
        let all: Vec<_> = track.slices.iter().map(|s| (s.from, s.to)).collect();
        assert_eq!(all, [(5, 12)]);
    }
}
