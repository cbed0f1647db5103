//! Measurements as jobs: independent of each other, two machines at a time, their results in order.

use crate::bench::report::{Missing, Report};
use crate::failure::Failure;
use crate::progress::Step;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many machines run at a time.
const AT_A_TIME: usize = 2;

/// Measures something.
type Measure<'a> = Box<dyn Fn() -> Result<Report, Failure> + Send + Sync + 'a>;

/// A measurement.
pub struct Job<'a> {
    /// What is measured, in words.
    pub name: String,
    measure: Measure<'a>,
}

impl<'a> Job<'a> {
    /// A measurement that gives a part of the report.
    pub fn new(
        name: impl Into<String>,
        measure: impl Fn() -> Result<Report, Failure> + Send + Sync + 'a,
    ) -> Self {
        Self {
            name: name.into(),
            measure: Box::new(measure),
        }
    }
}

/// Does all jobs and adds what they gave to the report, in the order of the jobs whatever the order in
/// which they end. A job that fails leaves a sentence in `missing`.
pub fn all(jobs: &[Job<'_>], report: &mut Report) {
    let step = Step::new(format!("measuring, {} runs", jobs.len()));
    let results: Mutex<Vec<Option<Report>>> = Mutex::new(jobs.iter().map(|_| None).collect());
    let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..AT_A_TIME.min(jobs.len()) {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(job) = jobs.get(index) else { break };
                    step.detail(&format!(
                        "{} of {}: {}",
                        done.load(Ordering::Relaxed) + 1,
                        jobs.len(),
                        job.name
                    ));
                    let part = (job.measure)().unwrap_or_else(|failure| failed(job, &failure));
                    done.fetch_add(1, Ordering::Relaxed);
                    let mut results = results.lock().unwrap_or_else(PoisonError::into_inner);
                    if let Some(place) = results.get_mut(index) {
                        *place = Some(part);
                    }
                }
            });
        }
    });
    let results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results
        .into_iter()
        .flatten()
        .for_each(|part| report.add(part));
}

fn failed(job: &Job<'_>, failure: &Failure) -> Report {
    Report {
        missing: vec![Missing::new(&job.name, failure.to_string())],
        ..Report::default()
    }
}

impl Report {
    /// Adds a part's rows behind the rows that are there.
    pub fn add(&mut self, part: Self) {
        self.events.extend(part.events);
        self.views.extend(part.views);
        self.latencies.extend(part.latencies);
        self.workloads.extend(part.workloads);
        self.sizes.extend(part.sizes);
        self.timelines.extend(part.timelines);
        self.missing.extend(part.missing);
    }
}

impl Missing {
    /// Something that should be there.
    #[must_use]
    pub fn new(what: &str, why: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            why: why.into(),
            known: false,
        }
    }

    /// Something that cannot be had, as is known.
    #[must_use]
    pub fn known(what: &str, why: impl Into<String>) -> Self {
        Self {
            known: true,
            ..Self::new(what, why)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn results_come_in_the_order_of_the_jobs_and_a_failure_is_a_sentence() {
        let part = |name: &'static str, millis: u64| {
            Job::new(name, move || {
                std::thread::sleep(Duration::from_millis(millis));
                Ok(Report {
                    missing: vec![Missing::known(name, "")],
                    ..Report::default()
                })
            })
        };
        let jobs = [
            part("slow", 30),
            Job::new("broken", || Err(Failure::Ended("it ended".into()))),
            part("quick", 0),
        ];
        let mut report = Report::default();
        all(&jobs, &mut report);
        let what: Vec<_> = report.missing.iter().map(|m| m.what.as_str()).collect();
        assert_eq!(what, ["slow", "broken", "quick"]);
        assert_eq!(report.missing[1].why, "it ended");
        assert!(!report.missing[1].known);
    }
}
