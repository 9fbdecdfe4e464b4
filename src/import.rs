//! What every import of a CSV file stands on: rows with their lines, all faults at once, and the count of what changed.

use std::borrow::Cow;

use encoding_rs::{Encoding, GB18030};
use serde::de::DeserializeOwned;

/// Faults by line; the header is line 1.
#[derive(Debug, Default)]
pub struct BadRows(Vec<(u64, String)>);

impl BadRows {
    pub fn add(&mut self, line: u64, why: impl Into<String>) {
        self.0.push((line, why.into()));
    }

    /// The value, unless there was any fault.
    pub fn into_result<T>(self, value: T) -> Result<T, Self> {
        if self.0.is_empty() { Ok(value) } else { Err(self) }
    }
}

impl std::fmt::Display for BadRows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "nothing was imported; {} faults:", self.0.len())?;
        self.0.iter().try_for_each(|(line, why)| writeln!(f, "  line {line}: {why}"))
    }
}

impl std::error::Error for BadRows {}

/// What an import did, or would do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    pub created: usize,
    pub changed: usize,
    pub removed: usize,
    pub unchanged: usize,
}

impl Imported {
    pub fn differs(&self) -> bool {
        self.created + self.changed + self.removed > 0
    }
}

impl std::fmt::Display for Imported {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { created, changed, removed, unchanged } = self;
        write!(f, "{created} created, {changed} changed, {removed} removed, {unchanged} unchanged")
    }
}

/// The text of a file: with a byte order mark what that says, else UTF-8, else GB 18030 (and with it GBK), which Excel writes in
/// China. None when it is none of them.
pub fn text(file: &[u8]) -> Option<Cow<'_, str>> {
    if let Some((encoding, mark)) = Encoding::for_bom(file) {
        return encoding.decode_without_bom_handling_and_without_replacement(&file[mark..]);
    }
    match std::str::from_utf8(file) {
        Ok(text) => Some(text.into()),
        Err(_) => GB18030.decode_without_bom_handling_and_without_replacement(file),
    }
}

/// The line on which a record begins. A reader is at the line feed of the record before where lines end as Excel ends them (CR LF), and at the
/// blank lines that it passes over.
pub fn line(text: &str, position: Option<&csv::Position>) -> u64 {
    let Some(position) = position else { return 1 };
    let rest = text.as_bytes().get(position.byte() as usize..).unwrap_or_default();
    let blank = rest.iter().take_while(|byte| matches!(byte, b'\r' | b'\n'));
    position.line() + blank.filter(|byte| **byte == b'\n').count() as u64
}

/// The rows of a file with exactly these columns, each with its line; what cannot be read goes to `bad`.
pub fn rows<T: DeserializeOwned>(file: &[u8], columns: &[&str], bad: &mut BadRows) -> Vec<(u64, T)> {
    let Some(text) = text(file) else {
        bad.add(1, "the file is neither UTF-8 nor GB 18030");
        return Vec::new();
    };
    let mut reader = csv::ReaderBuilder::new().from_reader(text.as_bytes());
    let header = reader.headers().cloned().unwrap_or_default();
    if header.iter().ne(columns.iter().copied()) {
        bad.add(1, format!("the columns must be {}", columns.join(",")));
        return Vec::new();
    }
    let mut rows = Vec::new();
    let mut record = csv::StringRecord::new();
    loop {
        let line = line(&text, Some(reader.position()));
        match reader.read_record(&mut record) {
            Ok(false) => return rows,
            Ok(true) => match record.deserialize(Some(&header)) {
                Ok(row) => rows.push((line, row)),
                Err(error) => bad.add(line, error.to_string()),
            },
            Err(error) => bad.add(line, fault(&error)),
        }
    }
}

fn fault(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => format!("has {len} fields, not {expected_len}"),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_however_they_end() {
        for (file, expected) in [
            ("a,b\n1,2\n\n3,4\n5\n", "2:1 4:3 5"),
            ("a,b\r\n1,2\r\n\r\n3,4\r\n5\r\n", "2:1 4:3 5"),
            ("a,b\r\n\"1\r\n1\",2\r\n3,4", "2:1\r\n1 4:3 "),
        ] {
            let mut bad = BadRows::default();
            let rows: Vec<(u64, (String, String))> = rows(file.as_bytes(), &["a", "b"], &mut bad);
            let said: Vec<_> = rows.iter().map(|(line, (a, _))| format!("{line}:{a}")).collect();
            let lines: Vec<_> = bad.0.iter().map(|(line, _)| line.to_string()).collect();
            assert_eq!(format!("{} {}", said.join(" "), lines.join(" ")), expected, "{file:?}");
        }
    }

    #[test]
    fn the_encodings_of_excel_are_read() {
        let words = "均溪镇,张𬌗";
        let gb18030 = GB18030.encode(words).0;
        assert!(std::str::from_utf8(&gb18030).is_err());
        let utf16: Vec<u8> = [0xfeff].into_iter().chain(words.encode_utf16()).flat_map(u16::to_le_bytes).collect();
        for file in [words.as_bytes(), &[b"\xef\xbb\xbf", words.as_bytes()].concat(), &gb18030, &utf16] {
            assert_eq!(text(file).as_deref(), Some(words));
        }
        assert_eq!(text(b"a,\xff\xff\xff"), None);
    }
}
