//! The octets of an envelope out of a carrier, or out of a bare envelope.

use super::failure::Failure;
use super::stream::Input;
use crate::core::header::MAGIC;
use crate::mail::carrier::{Limits, Scanner, State};

/// What the input turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Carrier,
    Envelope,
}

/// Reads envelope octets block by block.
pub(super) struct SealedInput {
    input: Input,
    scanner: Option<Scanner>,
    started: bool,
    ended: bool,
    octets: u64,
    buffer: Vec<u8>,
}

impl SealedInput {
    pub(super) fn new(input: Input) -> Self {
        Self { input, scanner: None, started: false, ended: false, octets: 0, buffer: Vec::new() }
    }

    /// What the input is; meaningful once a block was read.
    pub(super) fn form(&self) -> Form {
        if self.scanner.is_some() { Form::Carrier } else { Form::Envelope }
    }

    /// Octets read so far.
    pub(super) fn octets(&self) -> u64 {
        self.octets
    }

    /// The next octets of the envelope, at least one; none at the end.
    pub(super) fn next(&mut self) -> Result<Option<&[u8]>, Failure> {
        self.buffer.clear();
        while self.buffer.is_empty() && !self.ended {
            let Some(block) = self.input.next()? else {
                self.ended = true;
                if let Some(scanner) = &mut self.scanner {
                    let state = scanner.finish(&mut self.buffer).map_err(refuse)?;
                    if state != State::Carrier {
                        return Err(no_carrier());
                    }
                } else if !self.started {
                    return Err(Failure::refused("the input is empty"));
                }
                break;
            };
            self.octets += block.len() as u64;
            if !self.started {
                self.started = true;
                if !block.starts_with(&MAGIC) {
                    self.scanner = Some(Scanner::new(Limits::default()));
                }
            }
            match &mut self.scanner {
                None => self.buffer.extend_from_slice(block),
                Some(scanner) => {
                    let state = scanner.push(block, &mut self.buffer).map_err(refuse)?;
                    if state == State::NotCarrier {
                        return Err(no_carrier());
                    }
                }
            }
        }
        Ok(Some(self.buffer.as_slice()).filter(|octets| !octets.is_empty()))
    }
}

fn refuse(error: crate::mail::carrier::ScanError) -> Failure {
    Failure::refused(format!("the carrier is refused: {error}"))
}

fn no_carrier() -> Failure {
    Failure::refused("the input is no carrier: it holds no sealed part from a gateway's address")
        .hint("give the message as it was delivered, with all its header fields")
}
