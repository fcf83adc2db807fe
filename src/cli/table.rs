//! Columns of text for the terminal, from texts that others wrote.

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

/// A text without anything that a terminal obeys.
pub(super) fn printable(text: &str) -> String {
    // Marks of direction and the like may make one text look like another.
    let harmless = |c: char| {
        !c.is_control()
            && !matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|c| if harmless(c) { c } else { '?' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_nothing_is_obeyed() {
        let row = |texts: [&str; 2]| texts.map(str::to_owned).to_vec();
        let rows = [row(["a", "b\x1b[2J"]), row(["länger", ""])];
        assert_eq!(lines("  ", &rows), "  a       b?[2J\n  länger\n");
    }
}
