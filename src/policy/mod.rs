//! The sealing decision, authenticity levels and memory rules; pure.
