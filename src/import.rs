//! What every import of a CSV file stands on: rows with their lines, all faults at once, and the count of what changed.

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

/// The rows of a file with exactly these columns, each with its line; what cannot be read goes to `bad`.
pub fn rows<T: DeserializeOwned>(file: &[u8], columns: &[&str], bad: &mut BadRows) -> Vec<(u64, T)> {
    let file = file.strip_prefix(b"\xef\xbb\xbf").unwrap_or(file);
    let mut reader = csv::ReaderBuilder::new().from_reader(file);
    let header = reader.headers().cloned().unwrap_or_default();
    if header.iter().ne(columns.iter().copied()) {
        bad.add(1, format!("the columns must be {}", columns.join(",")));
        return Vec::new();
    }
    let mut rows = Vec::new();
    let mut record = csv::StringRecord::new();
    loop {
        let line = reader.position().line();
        match reader.read_record(&mut record) {
            Ok(false) => return rows,
            Ok(true) => {
                let line = record.position().map_or(line, csv::Position::line);
                match record.deserialize(Some(&header)) {
                    Ok(row) => rows.push((line, row)),
                    Err(error) => bad.add(line, error.to_string()),
                }
            }
            Err(error) => bad.add(error.position().map_or(line, csv::Position::line), fault(&error)),
        }
    }
}

fn fault(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::Utf8 { .. } => "is not UTF-8".into(),
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => format!("has {len} fields, not {expected_len}"),
        _ => error.to_string(),
    }
}
