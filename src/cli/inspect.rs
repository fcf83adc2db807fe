//! `mta-seal inspect`: what a carrier or an envelope says without any key.

use super::failure::Failure;
use super::sealed_input::{Form, SealedInput};
use super::stream::Input;
use super::terminal;
use crate::core::body::{CHUNK, START, TAG};
use crate::core::{Received, Step, Suite};
use std::path::PathBuf;

/// Options of `inspect`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A carrier or an envelope; standard input without it
    file: Option<PathBuf>,
    /// Report as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let mut sealed = SealedInput::new(Input::open(args.file.as_deref(), "read")?);
    let mut received = Received::new();
    let mut envelope = 0_u64;
    let refuse = |error| Failure::refused(format!("not readable as an envelope: {error}"));
    let parsed = loop {
        let Some(block) = sealed.next()? else { return Err(refuse(received.ended())) };
        envelope += block.len() as u64;
        match received.push(block).map_err(refuse)? {
            Step::More(more) => received = more,
            Step::Done(parsed) => break parsed,
        }
    };
    while let Some(block) = sealed.next()? {
        envelope += block.len() as u64;
    }
    let (form, octets) = (sealed.form(), sealed.octets());
    drop(sealed);

    let header = parsed.header();
    let extensions = header.extensions.as_slice();
    let types: Vec<u16> = extensions.iter().map(|extension| extension.extension_type).collect();
    let extensions: usize = extensions.iter().map(|extension| 5 + extension.value.len()).sum();
    // [R-env-01]: all fields of the header but the domain and the extensions have 46 octets.
    let header_len = 46 + header.recipient_domain.as_str().len() + extensions;
    let clear = header_len + header.suite.enc_len() + Suite::SEALED_KEY_LEN;
    let content = content_len(envelope.saturating_sub(clear as u64));
    let form = match form {
        Form::Carrier => "carrier",
        Form::Envelope => "envelope",
    };
    let mut text = String::new();
    if args.json {
        let report = serde_json::json!({
            "form": form, "octets": octets, "envelope_octets": envelope,
            "content_octets": content, "suite": header.suite.id().0,
            "suite_name": header.suite.name(), "key_id": header.key_id.to_string(),
            "recipient_domain": header.recipient_domain.as_str(),
            "envelope_id": parsed.envelope_id().to_string(), "extensions": types,
        });
        text = format!("{report}\n");
    } else {
        let rows = [
            ("form", format!("{form}, {octets} octets")),
            ("recipient domain", header.recipient_domain.to_string()),
            ("suite", header.suite.to_string()),
            ("key id", header.key_id.to_string()),
            ("envelope id", parsed.envelope_id().to_string()),
            ("envelope", format!("{envelope} octets")),
            (
                "content",
                match content {
                    Some(content) => format!("{content} octets with signatures and padding"),
                    None => "cut off".to_owned(),
                },
            ),
            ("verified", "nothing: that needs the recipient's key".to_owned()),
        ];
        for (name, value) in rows {
            text.push_str(&format!("{name:<18}{value}\n"));
        }
    }
    terminal::print(&text)
}

/// Length of the content in a body of this length; none if no body has it [R-env-07].
fn content_len(body: u64) -> Option<u64> {
    let chunk = (CHUNK + TAG) as u64;
    let chunks = body.checked_sub(START as u64)?;
    // The last chunk is shorter than the others, maybe empty but for its tag.
    let last = (chunks % chunk).checked_sub(TAG as u64)?;
    Some(chunks / chunk * CHUNK as u64 + last)
}
