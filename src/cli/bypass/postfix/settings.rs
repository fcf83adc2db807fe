//! What `postconf` says of main.cf and master.cf.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::process::Command;

/// What is asked of main.cf.
const PARAMETERS: [&str; 11] = [
    "content_filter",
    "default_transport",
    "delay_warning_time",
    "lmtp_fallback_relay",
    "relayhost",
    "sender_dependent_default_transport_maps",
    "sender_dependent_relayhost_maps",
    "smtp_fallback_relay",
    "smtpd_proxy_filter",
    "soft_bounce",
    "transport_maps",
];

/// What `postconf` says.
#[derive(Debug, Default)]
pub(super) struct Settings {
    pub(super) main: HashMap<String, String>,
    pub(super) services: Vec<Service>,
    pub(super) overrides: Vec<Override>,
}

/// A line of master.cf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Service {
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) command: String,
}

/// An `-o` of master.cf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Override {
    pub(super) service: String,
    pub(super) kind: String,
    pub(super) parameter: String,
    pub(super) value: String,
}

impl Settings {
    pub(super) fn main(&self, name: &str) -> &str {
        self.main.get(name).map_or("", String::as_str)
    }

    /// The port that a transport uses where none is given; `None` for one that sends nothing to other hosts.
    pub(super) fn port(&self, transport: &str) -> Option<u16> {
        let known = self.services.iter().find(|s| s.kind == "unix" && s.name == transport);
        match known.map_or(transport, |service| service.command.as_str()) {
            "lmtp" => Some(24),
            "error" | "discard" | "retry" | "local" | "virtual" | "pipe" => None,
            _ => Some(25),
        }
    }
}

impl Override {
    pub(super) fn subject(&self) -> String {
        format!("postfix master.cf {}/{}", self.service, self.kind)
    }
}

/// Asks `postconf`, about the files in `directory` if one is given.
pub(super) fn ask(directory: Option<&Path>) -> io::Result<Settings> {
    let mut main = vec!["-x"];
    main.extend(PARAMETERS);
    Ok(Settings {
        main: read_main(&postconf(directory, &main)?),
        services: read_services(&postconf(directory, &["-M"])?),
        overrides: read_overrides(&postconf(directory, &["-P"])?),
    })
}

fn postconf(directory: Option<&Path>, arguments: &[&str]) -> io::Result<String> {
    let run = |program: &str| {
        let mut command = Command::new(program);
        if let Some(directory) = directory {
            command.arg("-c").arg(directory);
        }
        command.args(arguments).output()
    };
    // It is not on everybody's search path.
    let output = match run("postconf") {
        Err(error) if error.kind() == io::ErrorKind::NotFound => run("/usr/sbin/postconf")?,
        output => output?,
    };
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(io::Error::other(said.lines().next().unwrap_or("failed").to_owned()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// `name = value`, a line each.
pub(super) fn read_main(text: &str) -> HashMap<String, String> {
    let line = |line: &str| {
        let (name, value) = line.split_once('=')?;
        Some((name.trim().to_owned(), value.trim().to_owned()))
    };
    text.lines().filter_map(line).collect()
}

/// `postconf -M`: service, type, five columns, command.
pub(super) fn read_services(text: &str) -> Vec<Service> {
    let line = |line: &str| {
        if line.starts_with([' ', '\t', '#']) {
            return None;
        }
        let mut columns = line.split_ascii_whitespace();
        let (name, kind) = (columns.next()?.to_owned(), columns.next()?.to_owned());
        Some(Service { name, kind, command: columns.nth(5)?.to_owned() })
    };
    text.lines().filter_map(line).collect()
}

/// `postconf -P`: `service/type/parameter = value`.
pub(super) fn read_overrides(text: &str) -> Vec<Override> {
    let line = |line: &str| {
        let (place, value) = line.split_once('=')?;
        let (place, parameter) = place.trim().rsplit_once('/')?;
        let (service, kind) = place.rsplit_once('/')?;
        Some(Override {
            service: service.to_owned(),
            kind: kind.to_owned(),
            parameter: parameter.to_owned(),
            value: value.trim().to_owned(),
        })
    };
    text.lines().filter_map(line).collect()
}
