//! Columns of text for the terminal, from texts that others wrote.

use super::failure::Failure;
use serde::Serialize;

/// `rows` below each other, each column as wide as its widest text and two spaces apart, behind `indent`.
pub(super) fn lines(indent: &str, rows: &[Vec<String>]) -> String {
    let rows: Vec<Vec<String>> =
        rows.iter().map(|row| row.iter().map(|text| printable(text)).collect()).collect();
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|text| text.chars().count()).max()
    };
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let mut out = String::new();
    for row in &rows {
        let mut line = indent.to_owned();
        for (text, width) in row.iter().zip(&widths) {
            line.push_str(&format!("{text:width$}  "));
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// `text` behind `head`, which fills `indent` columns, in lines of `width`; further lines begin there. A word that is longer than a line stays whole,
/// so that it can be copied.
pub(super) fn paragraph(out: &mut String, head: &str, indent: usize, text: &str, width: usize) {
    out.push_str(head);
    let mut column = indent;
    for (at, word) in text.split(' ').enumerate() {
        let length = word.chars().count();
        if at > 0 && column + 1 + length > width {
            out.push('\n');
            out.push_str(&" ".repeat(indent));
            column = indent;
        } else if at > 0 {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += length;
    }
    out.push('\n');
}

/// A text without anything that a terminal obeys.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|c| if is_harmless(c) { c } else { '?' }).collect()
}

/// A document of JSON for standard output, with all that a terminal obeys escaped: it may be read by people.
pub(super) fn json(value: &impl Serialize) -> Result<String, Failure> {
    let json = serde_json::to_string_pretty(value).map_err(Failure::refused)?;
    Ok(format!("{}\n", printable_json(&json)))
}

/// JSON as `serde_json` writes it, with the rest of what a terminal obeys escaped too.
pub(super) fn printable_json(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        // Below U+0020 only the line ends between the values are left. All others are of the basic plane.
        if is_harmless(c) || c == '\n' {
            out.push(c);
        } else {
            out.push_str(&format!("\\u{:04x}", u32::from(c)));
        }
    }
    out
}

fn is_harmless(c: char) -> bool {
    // Marks of direction and the like may make one text look like another.
    let misleads = matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
    !c.is_control() && !misleads
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn columns_line_up_and_nothing_is_obeyed() {
        let row = |texts: [&str; 2]| texts.map(str::to_owned).to_vec();
        let rows = [row(["a", "b\x1b[2J"]), row(["länger", ""])];
        assert_eq!(lines("  ", &rows), "  a       b?[2J\n  länger\n");
        assert_eq!(printable("a\u{9b}2J\u{7f}\u{202e}\n\u{feff}é"), "a?2J????é");
    }

    #[test]
    fn json_is_the_same_and_obeyed_by_nobody() {
        let text = "\u{1b}[2J \u{9b}2J \u{7f} \u{85} \u{202e} \u{feff} é \u{1f512}";
        let printed = json(&[text]).unwrap();
        assert!(printed.chars().all(|c| is_harmless(c) || c == '\n'), "{printed}");
        assert!(printed.contains("\\u009b2J") && printed.contains('é'), "{printed}");
        let read: Vec<String> = serde_json::from_str(&printed).unwrap();
        assert_eq!(read, [text]);
    }
}
