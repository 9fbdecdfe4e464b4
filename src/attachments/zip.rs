//! What an office document says of itself in its central directory (APPNOTE 4.3): read, never unpacked.

use super::model::Refusal;

const DOCX: &str = "application/vnd.openxmlformats-officedocument.wordprocessingml.document";
const XLSX: &str = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet";

/// Entries of a document; an ordinary one has dozens.
const ENTRIES: usize = 5_000;
/// Bytes of all entries unpacked.
const UNPACKED: u64 = 200 * 1024 * 1024;
/// How many times its size an archive may unpack to.
const RATIO: u64 = 100;
/// The end record with the longest comment.
const TAIL: usize = 22 + 65_535;

fn u16_at(bytes: &[u8], at: usize) -> Option<usize> {
    Some(usize::from(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?)))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?)))
}

/// Names and unpacked sizes. ZIP64, several disks and entries beyond the file make it broken.
fn entries(bytes: &[u8]) -> Option<Vec<(&[u8], u64)>> {
    let tail = bytes.len().saturating_sub(TAIL);
    let end = tail + bytes.get(tail..)?.windows(4).rposition(|four| four == b"PK\x05\x06")?;
    let (count, mut at) = (u16_at(bytes, end + 10)?, usize::try_from(u32_at(bytes, end + 16)?).ok()?);
    if u16_at(bytes, end + 4)? != 0 || u16_at(bytes, end + 8)? != count {
        return None;
    }
    let mut found = Vec::new();
    for _ in 0..count.min(ENTRIES + 1) {
        let header = bytes.get(at..end)?;
        if !header.starts_with(b"PK\x01\x02") {
            return None;
        }
        let (packed, unpacked) = (u32_at(header, 20)?, u32_at(header, 24)?);
        let (name, extra, comment) = (u16_at(header, 28)?, u16_at(header, 30)?, u16_at(header, 32)?);
        if packed == u64::from(u32::MAX) || unpacked == u64::from(u32::MAX) {
            return None;
        }
        found.push((header.get(46..46 + name)?, unpacked));
        at += 46 + name + extra + comment;
    }
    Some(found)
}

/// Which office document an archive is.
pub fn document(bytes: &[u8]) -> Result<&'static str, Refusal> {
    let entries = entries(bytes).ok_or(Refusal::Broken)?;
    let unpacked = entries.iter().fold(0, |sum: u64, (_, size)| sum.saturating_add(*size));
    let most = (bytes.len() as u64).saturating_mul(RATIO).min(UNPACKED);
    if entries.len() > ENTRIES || unpacked > most {
        return Err(Refusal::ZipBomb);
    }
    let has = |name: &[u8]| entries.iter().any(|(entry, _)| *entry == name);
    // Macros make it a program.
    let macros = entries.iter().any(|(entry, _)| entry.ends_with(b"vbaProject.bin"));
    match () {
        () if macros || !has(b"[Content_Types].xml") => Err(Refusal::TypeNotAllowed),
        () if has(b"word/document.xml") => Ok(DOCX),
        () if has(b"xl/workbook.xml") => Ok(XLSX),
        () => Err(Refusal::TypeNotAllowed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An archive of empty entries that claim to unpack to some size.
    fn archive(entries: &[(&str, u32)]) -> Vec<u8> {
        let mut bytes = b"PK\x03\x04".to_vec();
        let start = bytes.len() as u32;
        for (name, size) in entries {
            let mut header = [0; 46];
            header[..4].copy_from_slice(b"PK\x01\x02");
            header[24..28].copy_from_slice(&size.to_le_bytes());
            header[28..30].copy_from_slice(&(name.len() as u16).to_le_bytes());
            bytes.extend_from_slice(&header);
            bytes.extend_from_slice(name.as_bytes());
        }
        let count = (entries.len() as u16).to_le_bytes();
        bytes.extend_from_slice(b"PK\x05\x06\0\0\0\0");
        bytes.extend_from_slice(&[count, count].concat());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&start.to_le_bytes());
        bytes.extend_from_slice(&[0; 2]);
        bytes
    }

    #[test]
    fn documents_are_told_from_bombs() {
        let types = ("[Content_Types].xml", 100);
        let cases: [(&[(&str, u32)], _); 7] = [
            (&[types, ("word/document.xml", 900)], Ok(DOCX)),
            (&[types, ("xl/workbook.xml", 900)], Ok(XLSX)),
            (&[types, ("word/document.xml", 900_000)], Err(Refusal::ZipBomb)),
            (&[types, ("word/document.xml", u32::MAX)], Err(Refusal::Broken)),
            (&[types, ("word/document.xml", 9), ("word/vbaProject.bin", 9)], Err(Refusal::TypeNotAllowed)),
            (&[types, ("classes.dex", 9)], Err(Refusal::TypeNotAllowed)),
            (&[("word/document.xml", 9)], Err(Refusal::TypeNotAllowed)),
        ];
        for (entries, expected) in cases {
            assert_eq!(document(&archive(entries)), expected, "{entries:?}");
        }
        let many = vec![("a", 0); ENTRIES + 1];
        assert_eq!(document(&archive(&many)), Err(Refusal::ZipBomb));
        assert_eq!(document(b"PK\x03\x04 and nothing more"), Err(Refusal::Broken));
    }
}
