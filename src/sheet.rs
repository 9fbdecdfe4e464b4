//! Tables that people send, as Excel and WPS keep them (XLSX) or write them (CSV): rows of words, and what is wrong with each in both languages.
//!
//! A file is nobody's promise. How much a workbook holds is measured before it is opened, cells are read one by one and only as far as the table may
//! go, and what a spreadsheet would compute is refused: it is not what somebody wrote.

use std::{
    collections::BTreeMap,
    io::{Cursor, Read, copy},
};

use calamine::{DataRef, Reader, Xlsx, XlsxError};
use serde::Serialize;
use utoipa::ToSchema;
use zip::ZipArchive;

use crate::{
    error::{Error, FieldError, Text},
    import,
};

/// The media type of a workbook.
pub const XLSX: &str = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet";

/// What a workbook may hold once it is unpacked, in bytes.
const UNPACKED: u64 = 16 * 1024 * 1024;
/// Digits of how many different words a workbook says that it has; memory is kept for that many.
const COUNT_DIGITS: usize = 6;
/// The first number with more digits than a spreadsheet keeps.
const DIGITS: f64 = 1e15;

/// What is wrong with a column of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Empty: the line, or the file, as a whole.
    pub column: &'static str,
    pub code: &'static str,
    pub text: Text,
}

pub fn fault(column: &'static str, code: &'static str, zh: &'static str, en: &'static str) -> Fault {
    Fault { column, code, text: Text::fixed(zh, en) }
}

impl From<Fault> for Error {
    /// What is wrong with the file as a whole.
    fn from(fault: Fault) -> Self {
        Self::invalid(vec![FieldError::body("", fault.code, fault.text)])
    }
}

/// What is wrong with a line.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"column": "unit", "code": "unknown_unit", "zh": "没有这个单位", "en": "there is no such unit"}))]
pub struct FaultView {
    /// Empty: the line as a whole.
    pub column: &'static str,
    pub code: &'static str,
    pub zh: String,
    pub en: String,
}

impl From<&Fault> for FaultView {
    fn from(fault: &Fault) -> Self {
        let Text { zh, en } = fault.text.clone();
        Self { column: fault.column, code: fault.code, zh: zh.into_owned(), en: en.into_owned() }
    }
}

/// The faults of some lines as fields of a refusal: `/<line>/<column>`.
pub fn refusal<'a>(lines: impl Iterator<Item = (u64, &'a [Fault])>) -> Vec<FieldError> {
    let field = |line: u64, fault: &Fault| {
        FieldError::body(format!("/{line}/{}", fault.column), fault.code, fault.text.clone())
    };
    lines.flat_map(|(line, faults)| faults.iter().map(move |fault| field(line, fault))).collect()
}

/// A row with as many cells as there are columns, without blanks around them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Row {
    /// The header is line 1.
    pub line: u64,
    cells: Vec<String>,
    /// What can be said without knowing what the columns mean.
    pub faults: Vec<Fault>,
}

impl Row {
    pub fn text(&self, column: usize) -> String {
        self.cells.get(column).cloned().unwrap_or_default()
    }

    /// What is empty is none.
    pub fn some(&self, column: usize) -> Option<String> {
        self.cells.get(column).filter(|cell| !cell.is_empty()).cloned()
    }

    fn says_nothing(&self) -> bool {
        self.cells.iter().all(String::is_empty) && self.faults.is_empty()
    }
}

/// The rows below a header of exactly these columns, at most `most`; rows of nothing are passed over. What is wrong with the file as a whole
/// stands alone.
pub fn read(file: &[u8], columns: &'static [&'static str], most: usize) -> Result<Vec<Row>, Fault> {
    let rows = match file {
        [b'P', b'K', ..] => workbook(file, columns, most)?,
        [0xd0, 0xcf, 0x11, 0xe0, ..] => {
            let (zh, en) = (
                "旧版 .xls 或加密的文件：请另存为未加密的 .xlsx 或 CSV",
                "an old .xls file, or one with a password: save it as .xlsx or CSV without one",
            );
            return Err(fault("", "old_workbook", zh, en));
        }
        _ => comma_separated(file, columns, most)?,
    };
    if rows.len() > most {
        let (zh, en) =
            (format!("一次最多导入 {most} 行，请分批"), format!("at most {most} lines at once: divide the file"));
        return Err(Fault { column: "", code: "too_long", text: Text::new(zh, en) });
    }
    Ok(rows)
}

fn check_header<'a>(
    header: impl DoubleEndedIterator<Item = &'a str>,
    columns: &'static [&'static str],
) -> Result<(), Fault> {
    if header.eq(columns.iter().copied()) {
        return Ok(());
    }
    let columns = columns.join(",");
    let text = Text::new(format!("首行须为 {columns}"), format!("the columns must be {columns}"));
    Err(Fault { column: "", code: "columns", text })
}

fn fields(columns: usize) -> Fault {
    let text = Text::new(format!("须有 {columns} 列"), format!("a line has {columns} fields"));
    Fault { column: "", code: "fields", text }
}

fn formula(column: &'static str) -> Fault {
    fault(column, "formula", "不得为公式，请粘贴为数值", "must not be a formula: paste its value")
}

fn digits(column: &'static str) -> Fault {
    let (zh, en) = (
        "数字过长，后几位已丢失，请设为文本格式后重填",
        "a number this long has lost its last digits: format the cell as text and type it again",
    );
    fault(column, "digits", zh, en)
}

fn nul(column: &'static str) -> Fault {
    fault(column, "nul_character", "不得含有 U+0000", "must not hold U+0000")
}

fn comma_separated(file: &[u8], columns: &'static [&'static str], most: usize) -> Result<Vec<Row>, Fault> {
    let text = import::text(file).ok_or(fault(
        "",
        "encoding",
        "文件须为 .xlsx，或 UTF-8、UTF-16、GB18030（GBK）编码的 CSV",
        "the file is neither .xlsx nor CSV in UTF-8, UTF-16 or GB 18030 (GBK)",
    ))?;
    if text.contains('\0') {
        return Err(nul(""));
    }
    let mut reader = csv::ReaderBuilder::new().flexible(true).trim(csv::Trim::All).from_reader(text.as_bytes());
    let header = reader.headers().cloned().unwrap_or_default();
    check_header(header.iter(), columns)?;
    let mut last = 1;
    let row = |record: csv::StringRecord| {
        // Where lines end with CR alone, nobody counts them.
        last = import::line(&text, record.position()).max(last + 1);
        let mut row = Row { line: last, cells: record.iter().map(str::to_owned).collect(), faults: Vec::new() };
        if record.len() != columns.len() && !row.says_nothing() {
            row.faults.push(fields(columns.len()));
        }
        let computed = |(_, cell): &(_, &str)| cell.starts_with(['=', '@']);
        row.faults.extend(columns.iter().zip(&record).filter(computed).map(|(column, _)| formula(column)));
        row
    };
    // Text is UTF-8 and lines may have any length: nothing is left to be wrong.
    Ok(reader.records().flatten().map(row).filter(|row| !row.says_nothing()).take(most + 1).collect())
}

fn unreadable() -> Fault {
    fault("", "workbook", "不是有效的 .xlsx 文件", "this is not a sound .xlsx file")
}

/// Unpacks everything once, and keeps nothing: what a workbook says of its own size is no proof.
fn measure(file: &[u8]) -> Result<(), Fault> {
    let large = || {
        let (zh, en) = ("解压后过大，请只保留要导入的表", "unpacks to too much: keep only the table to import");
        fault("", "too_large", zh, en)
    };
    let mut archive = ZipArchive::new(Cursor::new(file)).map_err(|_| unreadable())?;
    let (mut left, mut part) = (UNPACKED, Vec::new());
    for index in 0..archive.len() {
        let entry = archive.by_index(index).map_err(|_| unreadable())?;
        part.clear();
        let read = copy(&mut entry.take(left + 1), &mut part).map_err(|_| unreadable())?;
        left = left.checked_sub(read).ok_or_else(large)?;
        if counts_too_many(&part) {
            return Err(large());
        }
    }
    Ok(())
}

/// Whether a part says that it has more different words than a table could hold.
fn counts_too_many(part: &[u8]) -> bool {
    const NAME: &[u8] = b"uniqueCount";
    part.windows(NAME.len()).enumerate().filter(|(_, window)| *window == NAME).any(|(at, _)| {
        let said = part[at + NAME.len()..].iter().skip_while(|byte| !byte.is_ascii_digit());
        said.take_while(|byte| byte.is_ascii_digit()).count() > COUNT_DIGITS
    })
}

/// The first sheet.
fn workbook(file: &[u8], columns: &'static [&'static str], most: usize) -> Result<Vec<Row>, Fault> {
    measure(file)?;
    let mut book: Xlsx<_> = Xlsx::new(Cursor::new(file)).map_err(|_: XlsxError| unreadable())?;
    let name = book.sheet_names().first().cloned().ok_or_else(unreadable)?;
    let mut cells = book.worksheet_cells_reader(&name).map_err(|_| unreadable())?;
    let (mut header, mut rows) = (vec![String::new(); columns.len()], BTreeMap::<u32, Row>::new());
    while let Some(cell) = cells.next_cell_with_formula_metadata().map_err(|_| unreadable())? {
        let (line, at) = (cell.pos.0, cell.pos.1 as usize);
        let said = if cell.formula.is_some() { Err(formula as fn(_) -> _) } else { said(&cell.value) };
        if said.as_ref().is_ok_and(String::is_empty) {
            continue;
        }
        if line == 0 {
            // One beyond the columns makes the header another one.
            header.resize(header.len().max((at + 1).min(columns.len() + 1)), String::new());
            header[at.min(columns.len())] = said.unwrap_or_else(|_| "=".to_owned());
            continue;
        }
        if rows.len() > most && !rows.contains_key(&line) {
            break;
        }
        let empty = || Row { line: u64::from(line) + 1, cells: vec![String::new(); columns.len()], faults: Vec::new() };
        let row = rows.entry(line).or_insert_with(empty);
        match (columns.get(at), said) {
            (Some(_), Ok(said)) => row.cells[at] = said,
            (Some(column), Err(wrong)) => row.faults.push(wrong(column)),
            (None, _) if row.faults.iter().any(|fault| fault.code == "fields") => {}
            (None, _) => row.faults.push(fields(columns.len())),
        }
    }
    check_header(header.iter().map(String::as_str), columns)?;
    Ok(rows.into_values().collect())
}

/// What a cell says in words, or how it cannot.
fn said(value: &DataRef<'_>) -> Result<String, fn(&'static str) -> Fault> {
    let said = match value {
        DataRef::Empty => String::new(),
        // A spreadsheet keeps fifteen digits of a number: of a longer one some are lost already.
        DataRef::Int(number) if number.unsigned_abs() >= DIGITS as u64 => return Err(digits),
        DataRef::Float(number) if number.abs() >= DIGITS => return Err(digits),
        DataRef::Int(number) => number.to_string(),
        DataRef::Float(number) => number.to_string(),
        DataRef::Bool(is) => is.to_string(),
        DataRef::String(text) => text.trim().to_owned(),
        DataRef::SharedString(text) => text.trim().to_owned(),
        DataRef::DateTime(_) | DataRef::DateTimeIso(_) | DataRef::DurationIso(_) => {
            return Err(|column| {
                let (zh, en) = ("被表格软件当成了日期，请设为文本格式", "became a date: format the cell as text");
                fault(column, "date", zh, en)
            });
        }
        DataRef::Error(_) => return Err(|column| fault(column, "cell_error", "单元格出错", "holds an error")),
    };
    if said.contains('\0') { Err(nul) } else { Ok(said) }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use rust_xlsxwriter::{ExcelDateTime, Format, Formula, Workbook};
    use zip::write::{SimpleFileOptions, ZipWriter};

    use super::*;

    const COLUMNS: &[&str] = &["code", "name"];

    fn sheet(write: impl FnOnce(&mut rust_xlsxwriter::Worksheet) -> Result<(), rust_xlsxwriter::XlsxError>) -> Vec<u8> {
        let mut book = Workbook::new();
        let sheet = book.add_worksheet();
        sheet.write_row(0, 0, ["code", "name"]).expect("a header");
        write(sheet).expect("cells");
        book.save_to_buffer().expect("a workbook")
    }

    fn said(rows: &[Row]) -> Vec<(u64, String, String)> {
        let faults = |row: &Row| row.faults.iter().map(|fault| format!("{}:{}", fault.column, fault.code)).collect();
        let one = |row: &Row| {
            let faults: Vec<String> = faults(row);
            (row.line, row.cells.join("|"), faults.join(" "))
        };
        rows.iter().map(one).collect()
    }

    #[test]
    fn a_workbook_says_what_a_csv_says() {
        let book = sheet(|sheet| {
            sheet.write(1, 0, 12)?.write(1, 1, " 陈家 ")?;
            sheet.write(3, 0, "B")?;
            sheet.write(4, 0, Formula::new("=1+1"))?.write(4, 2, "x")?.write(4, 3, "y")?;
            let day = ExcelDateTime::from_ymd(2026, 11, 23)?;
            sheet.write_with_format(5, 0, &day, &Format::new().set_num_format("yyyy-mm-dd"))?;
            sheet.write(6, 0, 350_425_100_001_000_017_f64)?;
            Ok(())
        });
        let expected = [
            (2, "12|陈家", ""),
            (4, "B|", ""),
            (5, "|", "code:formula :fields"),
            (6, "|", "code:date"),
            (7, "|", "code:digits"),
        ];
        let expected = expected.map(|(line, cells, faults)| (line, cells.to_owned(), faults.to_owned()));
        assert_eq!(said(&read(&book, COLUMNS, 9).expect("readable")), expected);
        let file = "code,name\n12, 陈家 \n,\nB,\n=1+1,,x\n".as_bytes();
        let rows = said(&read(file, COLUMNS, 9).expect("readable"));
        assert_eq!((&rows[0], &rows[1]), (&expected[0], &expected[1]));
        assert_eq!((rows[2].0, &*rows[2].2), (5, ":fields code:formula"));
    }

    #[test]
    fn what_is_wrong_with_a_file_is_said_of_the_file() {
        let code = |file: &[u8]| read(file, COLUMNS, 2).expect_err("refused").code;
        assert_eq!(code(b"a,b\n"), "columns");
        assert_eq!(code(b""), "columns");
        assert_eq!(code(b"code,name,more\n"), "columns");
        assert_eq!(code(b"code,name\na\0,b\n"), "nul_character");
        assert_eq!(code(b"a,\xff\xff\xff"), "encoding");
        assert_eq!(code(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"), "old_workbook");
        assert_eq!(code(b"PK\x03\x04 and no more"), "workbook");
        assert_eq!(code(b"code,name\n1,a\n2,b\n3,c\n"), "too_long");
        let long = sheet(|sheet| (1..9).try_for_each(|row| sheet.write(row, 0, row).map(|_| ())));
        assert_eq!(code(&long), "too_long");
        let wide = sheet(|sheet| sheet.write(0, 9, "more").map(|_| ()));
        assert_eq!(code(&wide), "columns");
        let whole = sheet(|sheet| sheet.write(1, 0, "a").map(|_| ()));
        assert_eq!(code(&whole[..whole.len() / 2]), "workbook");
    }

    fn zipped(parts: &[(&str, &[u8])]) -> Vec<u8> {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, content) in parts {
            writer.start_file(*name, SimpleFileOptions::default()).expect("a part");
            writer.write_all(content).expect("content");
        }
        writer.finish().expect("an archive").into_inner()
    }

    #[test]
    fn a_workbook_that_is_a_bomb_is_refused_before_it_is_opened() {
        let code = |file: &[u8]| read(file, COLUMNS, 2).expect_err("refused").code;
        let nothing = vec![b' '; UNPACKED as usize / 2 + 1];
        let bomb = zipped(&[("a", &nothing), ("b", &nothing)]);
        assert!(bomb.len() < 100_000, "{} bytes", bomb.len());
        assert_eq!(code(&bomb), "too_large");
        let promise = br#"<?xml version="1.0"?><sst uniqueCount = "99999999999"></sst>"#;
        assert_eq!(code(&zipped(&[("xl/sharedStrings.xml", promise)])), "too_large");
    }

    #[test]
    fn a_cell_far_away_costs_nothing() {
        let far = sheet(|sheet| {
            sheet.write(1, 0, "a")?.write(1_048_575, 16_383, "z")?;
            Ok(())
        });
        let rows = said(&read(&far, COLUMNS, 9).expect("readable"));
        assert_eq!(rows, [(2, "a|".to_owned(), String::new()), (1_048_576, "|".to_owned(), ":fields".to_owned())]);
    }
}
