//! Zone files, signed by BIND's tools.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The root zone, before it delegates anything.
pub const ROOT: &str = "\
$TTL 300
. IN SOA ns. hostmaster. 1 3600 600 86400 60
. IN NS ns.
ns. IN A 127.0.0.1
";

/// Algorithm, and further arguments of `dnssec-signzone`.
pub type Signing = (&'static str, &'static [&'static str]);

fn run(program: &str, dir: &Path, args: &[&str]) -> String {
    let output = Command::new(program).args(args).current_dir(dir).output().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {args:?}: {complaint}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Writes a zone file, signed if wanted; returns its path and the base name of its key. The root comes last: it takes up the DS
/// records of all others.
pub fn make_zone(
    dir: &Path,
    origin: &str,
    text: &str,
    signing: Option<Signing>,
) -> (PathBuf, Option<String>) {
    let file = if origin == "." { "root" } else { origin };
    fs::write(dir.join(file), text).unwrap();
    let Some((algorithm, extra)) = signing else { return (dir.join(file), None) };
    let bits: &[&str] = if algorithm.starts_with("RSA") { &["-b", "2048"] } else { &[] };
    let keygen = [&["-q", "-a", algorithm, "-f", "KSK"], bits, &[origin]].concat();
    let key = run("dnssec-keygen", dir, &keygen);
    let signed = format!("{file}.signed");
    let dsset = if origin == "." { &["-g"][..] } else { &[] };
    let arguments =
        [&["-S", "-z", "-q", "-o", origin, "-f", &signed], dsset, extra, &[file]].concat();
    run("dnssec-signzone", dir, &arguments);
    (dir.join(signed), Some(key))
}

/// The DNSKEY record of a key that [`make_zone`] has made.
pub fn trust_anchor(dir: &Path, key: &str) -> String {
    let file = fs::read_to_string(dir.join(format!("{key}.key"))).unwrap();
    file.lines().find(|line| !line.starts_with(';')).unwrap().to_owned()
}
