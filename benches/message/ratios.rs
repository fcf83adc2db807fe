//! The table at the end: sealing and unsealing as a multiple of what cannot be saved.

use std::collections::BTreeMap;
use std::time::Duration;

/// Nanoseconds of one run, by size and name.
#[derive(Debug, Default)]
pub(super) struct Ratios(BTreeMap<(String, String), Vec<f64>>);

impl Ratios {
    /// Keeps one sample.
    pub(super) fn record(&mut self, size: &str, name: &str, elapsed: Duration, runs: u64) {
        let samples = self.0.entry((size.to_owned(), name.to_owned())).or_default();
        samples.push(elapsed.as_secs_f64() * 1e9 / runs as f64);
    }

    /// The median; `None` for what a filter left out.
    fn median(&self, size: &str, name: &str) -> Option<f64> {
        let mut samples = self.0.get(&(size.to_owned(), name.to_owned()))?.clone();
        samples.sort_by(f64::total_cmp);
        samples.get(samples.len() / 2).copied()
    }

    /// Prints a line for each size, direction and suite.
    #[allow(clippy::print_stdout)]
    pub(super) fn print(&self, sizes: &[&str]) {
        println!(
            "\nmedian times; the ratio is to raw AES-256-GCM plus wrapped base64 of the message\n"
        );
        for size in sizes {
            for (verb, aes, base64) in [
                ("seal", "aes-256-gcm encrypt", "base64 encode wrapped"),
                ("unseal", "aes-256-gcm decrypt", "base64 decode wrapped"),
            ] {
                let (Some(aes), Some(base64)) = (self.median(size, aes), self.median(size, base64))
                else {
                    continue;
                };
                for suite in ["1", "2"] {
                    let name = format!("{verb} suite {suite}");
                    let Some(time) = self.median(size, &name) else { continue };
                    println!(
                        "{verb:>6} {size:>6} suite {suite} {} = {:6.1} x (AES-GCM {} + base64 {})",
                        human(time),
                        time / (aes + base64),
                        human(aes),
                        human(base64),
                    );
                }
            }
        }
    }
}

fn human(nanoseconds: f64) -> String {
    if nanoseconds < 1e6 {
        format!("{:7.2} us", nanoseconds / 1e3)
    } else {
        format!("{:7.2} ms", nanoseconds / 1e6)
    }
}
