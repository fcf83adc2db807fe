//! Two domains write to each other for months or years of virtual time while their keys rotate and everything that can go wrong does.
//! `interop/lifetime/run` does it for two years and several seeds.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod lifetime_support;

use lifetime_support::trouble::Trouble;
use lifetime_support::world::World;
use lifetime_support::{DAY, HOUR, runtime};
use mta_seal::core::Suite;
use mta_seal::lifetime::Kind;

/// A number of the environment.
fn number(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} is no number")),
        Err(_) => default,
    }
}

/// Prints the seed if the test fails.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("repeat it with MTA_SEAL_SIM_SEED={}", self.0);
        }
    }
}

#[test]
fn nothing_is_lost_goes_clear_or_lives_too_long() {
    let seed = number("MTA_SEAL_SIM_SEED", 1);
    let days = number("MTA_SEAL_SIM_DAYS", 75);
    let gap = number("MTA_SEAL_SIM_GAP", 4 * HOUR);
    let pause = number("MTA_SEAL_SIM_PAUSE", 8 * HOUR);
    let _told = Seed(seed);
    let mut world = World::new(seed, days * DAY, gap, pause);
    runtime().block_on(world.run());
    let counts = &world.counts;
    println!("seed {seed}, {days} days\n{counts}");
    for (side, kinds) in world.successions().iter().enumerate() {
        for (kind, times) in kinds {
            println!("{:>8}  successions of {kind} keys at side {side}", times.len());
        }
    }

    // Nothing is lost but what the simulation itself has held up.
    let (written, sealed) = (counts.of("messages written"), counts.of("sealed"));
    assert_eq!(sealed + counts.of("returned after five days"), written);
    assert_eq!(counts.of("delivered") + counts.of("too old on arrival"), sealed);
    // A receiver that sleeps for a month finds mail that is too old.
    assert!(counts.of("delivered") * 4 > written * 3, "most mail arrives");
    assert!(counts.of("delivered on the last day of the window") > 0);
    assert!(counts.of("sealed by memory") > 0);
    for suite in Suite::ALL {
        let sealed = counts.of(format!("sealed with suite {}", suite.id()));
        assert!(sealed * 5 > written, "{sealed} sealed with {suite:?}");
    }
    assert!(counts.of("private keys destroyed") > 0);

    // What is to be survived has happened.
    for trouble in Trouble::all() {
        assert!(counts.of(trouble) > 0, "{trouble:?} has not happened");
    }
    for what in
        ["publications refused", "look-ups failed", "keepers killed", "looks at expired policies"]
    {
        assert!(counts.of(what) > 0, "no {what}");
    }

    // Keys go on rotating whatever happens.
    for (side, kinds) in world.successions().iter().enumerate() {
        let awake = days - world.off()[side] / DAY;
        for suite in Suite::ALL {
            let times = kinds[&Kind::Sealing(suite)].len() as u64;
            assert!(times >= awake / 10, "side {side}: {times} keys of {suite:?} in {awake} days");
        }
        assert!(kinds[&Kind::Signing].len() as u64 >= awake / 45);
    }
}
