//! Fixed-priority scheduling with budgets, deadlines and response-time analysis.
#![no_std]
#![forbid(unsafe_code)]
