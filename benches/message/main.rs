//! What sealing and unsealing a message costs, beside what cannot be saved: AES-256-GCM and
//! base64 of the same octets. At the end a table of ratios: `cargo bench`.

#![allow(clippy::expect_used)]

mod ratios;
mod raw;
mod sealed;

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Bencher, Criterion, Throughput};
use mta_seal::core::Suite;

use ratios::Ratios;
use raw::Aes;
use sealed::Pair;

/// The sizes of a message: a short one, one with a picture, one at the limit of many servers.
const SIZES: [(&str, usize); 3] = [("4 KB", 4_000), ("100 KB", 100_000), ("10 MB", 10_000_000)];

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(1_500))
        .sample_size(20)
        .configure_from_args();
    let mut ratios = Ratios::default();
    for (size, len) in SIZES {
        let message = message(len);
        let mut group = criterion.benchmark_group(size);
        group.throughput(Throughput::Bytes(len as u64));
        let mut bench = |name: &str, run: &mut dyn FnMut()| {
            group.bench_function(name, |bencher| ratios.time(bencher, size, name, run));
        };

        let aes = Aes::new();
        let mut buffer = message.clone();
        bench("aes-256-gcm encrypt", &mut || {
            black_box(aes.encrypt(black_box(&mut buffer)));
        });
        let tag = aes.encrypt(&mut buffer);
        let mut octets = vec![0; len];
        bench("aes-256-gcm decrypt", &mut || aes.decrypt(black_box(&buffer), &tag, &mut octets));
        bench("sha-256", &mut || {
            black_box(raw::sha256(black_box(&message)));
        });

        let mut text = Vec::new();
        bench("base64 encode", &mut || raw::encode(black_box(&message), &mut text));
        bench("base64 decode", &mut || raw::decode(black_box(&text), &mut octets));
        bench("base64 encode wrapped", &mut || raw::encode_wrapped(black_box(&message), &mut text));
        bench("base64 decode wrapped", &mut || raw::decode_wrapped(black_box(&text), &mut octets));
        assert!(octets == message, "base64 reference");

        for suite in [Suite::X25519, Suite::XWing] {
            let pair = Pair::new(suite);
            let mut carrier = Vec::new();
            bench(&format!("seal suite {}", suite.id().0), &mut || {
                pair.seal(black_box(&message), &mut carrier);
            });
            bench(&format!("unseal suite {}", suite.id().0), &mut || {
                pair.unseal(black_box(&carrier), &mut octets);
            });
            assert!(octets == message, "unsealed message");
        }
        group.finish();
    }
    criterion.final_summary();
    ratios.print(&SIZES.map(|(size, _)| size));
}

/// A message of `len` octets: a header and a body as of an attachment.
fn message(len: usize) -> Vec<u8> {
    let mut message = b"From: anna@company1.example\r\nTo: bob@company2.example\r\n\
        Subject: report\r\nMIME-Version: 1.0\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        .to_vec();
    let mut state = 1_u32;
    while message.len() < len {
        for _ in 0..76 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            message.push(b'A' + (state >> 24) as u8 % 26);
        }
        message.extend_from_slice(b"\r\n");
    }
    message.truncate(len);
    message
}

impl Ratios {
    /// Times `run` for criterion, and keeps the time for the table.
    fn time(&mut self, bencher: &mut Bencher<'_>, size: &str, name: &str, run: &mut dyn FnMut()) {
        bencher.iter_custom(|iterations| {
            let start = Instant::now();
            for _ in 0..iterations {
                run();
            }
            let elapsed = start.elapsed();
            self.record(size, name, elapsed, iterations);
            elapsed
        });
    }
}
