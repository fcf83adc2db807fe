//! What `check` and `explain` have found, step by step: for people, for JSON, and as an exit code.

use super::failure::Failure;
use super::table::{self, printable};
use super::terminal;
use serde_json::{Value, json};

/// Columns of a line of text.
const WIDTH: usize = 100;

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Grade {
    /// As it should be.
    Pass,
    /// It works, but somebody should look.
    Warn,
    /// It does not work.
    Fail,
    /// It could not be found out now.
    Unknown,
}

impl Grade {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Warn => "warn",
            Self::Fail => "fail",
            Self::Unknown => "unknown",
        }
    }

    const fn colour(self) -> &'static str {
        match self {
            Self::Pass => "32",
            Self::Warn | Self::Unknown => "33",
            Self::Fail => "1;31",
        }
    }
}

/// One step. Its name is stable: monitoring goes by it (docs/steps.md).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) name: &'static str,
    pub(super) grade: Grade,
    text: String,
    hint: Option<String>,
}

impl Step {
    pub(super) fn new(name: &'static str, grade: Grade, text: impl Into<String>) -> Self {
        Self { name, grade, text: text.into(), hint: None }
    }

    pub(super) fn pass(name: &'static str, text: impl Into<String>) -> Self {
        Self::new(name, Grade::Pass, text)
    }

    pub(super) fn warn(name: &'static str, text: impl Into<String>) -> Self {
        Self::new(name, Grade::Warn, text)
    }

    pub(super) fn fail(name: &'static str, text: impl Into<String>) -> Self {
        Self::new(name, Grade::Fail, text)
    }

    pub(super) fn unknown(name: &'static str, text: impl Into<String>) -> Self {
        Self::new(name, Grade::Unknown, text)
    }

    /// Adds what the reader can do.
    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// The steps in the order in which they were taken.
#[derive(Debug, Default)]
pub(super) struct Steps(Vec<Step>);

impl Steps {
    pub(super) fn push(&mut self, step: Step) {
        self.0.push(step);
    }

    pub(super) fn extend(&mut self, steps: impl IntoIterator<Item = Step>) {
        self.0.extend(steps);
    }

    /// The worst grade: something that failed outweighs what is not known.
    pub(super) fn result(&self) -> Grade {
        let any = |grade| self.0.iter().any(|step| step.grade == grade);
        [Grade::Fail, Grade::Unknown, Grade::Warn]
            .into_iter()
            .find(|g| any(*g))
            .unwrap_or(Grade::Pass)
    }

    /// Prints the steps and says with which exit code the command ends. `title` and `facts` are what they are about: a line
    /// for people, the fields of a JSON object.
    pub(super) fn conclude(
        &self,
        title: &str,
        mut facts: Value,
        json: bool,
    ) -> Result<(), Failure> {
        let text = if json {
            facts["result"] = json!(self.result().as_str());
            facts["steps"] = self.json();
            table::json(&facts)?
        } else {
            format!("{}\n{}", printable(title), self.text(terminal::colours_of_output()))
        };
        terminal::print(&text)?;
        let count = |grade| self.0.iter().filter(|step| step.grade == grade).count();
        let steps = |n: usize| if n == 1 { "1 step".to_owned() } else { format!("{n} steps") };
        match (count(Grade::Fail), count(Grade::Unknown)) {
            (0, 0) => Ok(()),
            (0, open) => {
                Err(Failure::temporary(format!("{} could not be determined now", steps(open))))
            }
            (failed, _) => Err(Failure::refused(format!("{} failed", steps(failed)))),
        }
    }

    fn json(&self) -> Value {
        let steps = self.0.iter().map(|Step { name, grade, text, hint }| {
            json!({ "step": name, "grade": grade.as_str(), "text": text, "hint": hint })
        });
        steps.collect()
    }

    fn text(&self, colours: bool) -> String {
        let names = self.0.iter().map(|step| step.name.len()).max().unwrap_or(0);
        let indent = 9 + names + 2;
        let mut out = String::new();
        for Step { name, grade, text, hint } in &self.0 {
            let word = match grade {
                Grade::Fail => "FAIL",
                other => other.as_str(),
            };
            let padding = " ".repeat(9_usize.saturating_sub(word.len()));
            let word = match colours {
                true => format!("\x1b[{}m{word}\x1b[0m", grade.colour()),
                false => word.to_owned(),
            };
            let head = format!("{word}{padding}{name:names$}  ");
            table::paragraph(&mut out, &head, indent, &printable(text), WIDTH);
            if let Some(hint) = hint {
                let head = " ".repeat(indent);
                let hint = format!("hint: {}", printable(hint));
                table::paragraph(&mut out, &head, indent, &hint, WIDTH);
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps() -> Steps {
        let long = "word ".repeat(30);
        Steps(vec![
            Step::pass("record", "\x1b[2Jfine"),
            Step::warn("signing-keys", long.trim_end()).hint("do something"),
            Step::unknown("servers", "x".repeat(120)),
            Step::fail("mode", "broken"),
        ])
    }

    #[test]
    fn text_is_aligned_folded_and_obeyed_by_no_terminal() {
        insta::assert_snapshot!(steps().text(false));
        assert!(steps().text(true).contains("\x1b[1;31mFAIL\x1b[0m"));
    }

    #[test]
    fn the_worst_grade_is_the_result() {
        let mut steps = steps();
        assert_eq!(steps.result(), Grade::Fail);
        for (without, result) in [
            (Grade::Fail, Grade::Unknown),
            (Grade::Unknown, Grade::Warn),
            (Grade::Warn, Grade::Pass),
        ] {
            steps.0.retain(|step| step.grade != without);
            assert_eq!(steps.result(), result);
        }
        assert_eq!(Steps::default().result(), Grade::Pass);
    }
}
