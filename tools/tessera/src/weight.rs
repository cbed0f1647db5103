//! What the kernel weighs, and whether that is within `bench/budgets.toml`.

use crate::bench::budgets::{Budgets, Kernel};
use crate::failure::Failure;
use crate::project::Project;
use crate::stack;
use crate::symbols::Program;
use std::fmt;
use std::path::Path;

/// What a kernel weighs, in bytes.
#[derive(Debug)]
pub struct Weight {
    /// Executable code.
    pub text: u64,
    /// Read-only data.
    pub read_only: u64,
    /// Writable memory: data, zeroed data, stacks.
    pub static_ram: u64,
    /// The stack's worst depth.
    pub stack: stack::Depth,
}

impl Weight {
    /// Weighs a kernel.
    ///
    /// # Errors
    ///
    /// Its ELF file cannot be read.
    pub fn of(elf: &Path) -> Result<Self, Failure> {
        let program = Program::read(elf)?;
        Ok(Self {
            text: program.text_len,
            read_only: program.read_only_len,
            static_ram: program.writable_len,
            stack: stack::worst(&program),
        })
    }

    /// Holds it against the budgets.
    ///
    /// # Errors
    ///
    /// It exceeds one, or the file cannot be read as budgets.
    pub fn hold(&self, project: &Project) -> Result<(), Failure> {
        let budgets = Budgets::read(project)?;
        let over = self.over(&budgets.kernel);
        if over.is_empty() {
            return Ok(());
        }
        Err(Failure::Build(format!(
            "the kernel is over its budget: {}",
            over.join("; ")
        )))
    }

    fn over(&self, budgets: &Kernel) -> Vec<String> {
        let held = [
            ("text", self.text, budgets.text_bytes),
            ("static RAM", self.static_ram, budgets.static_ram_bytes),
            ("stack", self.stack.bytes, budgets.stack_bytes),
            (
                "stack of a running core",
                self.stack.running,
                budgets.running_stack_bytes,
            ),
        ];
        held.iter()
            .filter_map(|(what, bytes, budget)| {
                let budget = (*budget)?;
                (*bytes > budget).then(|| format!("{what} {bytes} bytes, budget {budget}"))
            })
            .collect()
    }
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:>12} bytes  text (and {} bytes of read-only data)",
            self.text, self.read_only
        )?;
        writeln!(f, "{:>12} bytes  static RAM", self.static_ram)?;
        write!(
            f,
            "{:>12} bytes  stack in the worst case: ",
            self.stack.bytes
        )?;
        write!(
            f,
            "{} once the first core has booted, a panic needs {} more",
            self.stack.running, self.stack.panic
        )?;
        for (name, bytes) in &self.stack.path {
            write!(f, "\n{bytes:>20} {name}")?;
        }
        for name in &self.stack.recursive {
            write!(
                f,
                "\n{:>20} {name} calls itself: counted {} times",
                "",
                stack::RECURSION
            )?;
        }
        for name in &self.stack.dynamic {
            write!(
                f,
                "\n{:>20} {name} moves its stack by a register: not counted",
                ""
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weight() -> Weight {
        Weight {
            text: 100,
            read_only: 0,
            static_ram: 200,
            stack: stack::Depth {
                bytes: 300,
                ..Default::default()
            },
        }
    }

    #[test]
    fn each_budget_that_is_exceeded_is_named_with_both_numbers() {
        let budgets = Kernel {
            source_lines: None,
            text_bytes: Some(99),
            static_ram_bytes: Some(200),
            stack_bytes: Some(1),
            running_stack_bytes: Some(0),
        };
        let over = weight().over(&budgets);
        assert_eq!(
            over,
            ["text 100 bytes, budget 99", "stack 300 bytes, budget 1"]
        );
    }
}
