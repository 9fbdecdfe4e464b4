//! On which lines of a JSON file the things stand that pointers name.

use std::collections::HashMap;

use crate::http::faults::child;

/// The line of what a pointer names, from 1; of what is not there, the line of the innermost thing that should hold it. The text is
/// known to be JSON.
pub fn lines<'p>(text: &str, pointers: impl Iterator<Item = &'p str>) -> HashMap<String, usize> {
    let asked: Vec<&str> = pointers.collect();
    let mut wanted = HashMap::new();
    for pointer in &asked {
        wanted.extend(above(pointer).map(|pointer| (pointer.to_owned(), 0)));
    }
    let mut scan = Scan { bytes: text.as_bytes(), at: 0, line: 1, wanted };
    scan.value("");
    let line = |pointer: &&str| {
        let known = above(pointer).filter_map(|pointer| scan.wanted.get(pointer));
        ((*pointer).to_owned(), known.copied().find(|line| *line > 0).unwrap_or(1))
    };
    asked.iter().map(line).collect()
}

/// A pointer and those of everything around, innermost first.
fn above(pointer: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(pointer), |inner| inner.rsplit_once('/').map(|(outer, _)| outer))
}

struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
    line: usize,
    wanted: HashMap<String, usize>,
}

impl Scan<'_> {
    fn peek(&self) -> u8 {
        self.bytes.get(self.at).copied().unwrap_or_default()
    }

    /// The next byte that is neither blank nor a comma or colon.
    fn next(&mut self) -> u8 {
        while matches!(self.peek(), b' ' | b'\t' | b'\r' | b'\n' | b',' | b':') {
            self.line += usize::from(self.peek() == b'\n');
            self.at += 1;
        }
        self.peek()
    }

    /// A string with its quotation marks.
    fn string(&mut self) -> &str {
        let start = self.at;
        self.at += 1;
        while !matches!(self.peek(), b'"' | 0) {
            self.at += if self.peek() == b'\\' { 2 } else { 1 };
        }
        self.at = (self.at + 1).min(self.bytes.len());
        std::str::from_utf8(&self.bytes[start..self.at]).unwrap_or_default()
    }

    fn value(&mut self, pointer: &str) {
        let first = self.next();
        if let Some(line) = self.wanted.get_mut(pointer) {
            *line = self.line;
        }
        match first {
            b'{' => {
                self.at += 1;
                while self.next() == b'"' {
                    let key: String = serde_json::from_str(self.string()).unwrap_or_default();
                    self.value(&child(pointer, &key));
                }
                self.at += 1;
            }
            b'[' => {
                self.at += 1;
                let mut index = 0;
                while !matches!(self.next(), b']' | 0) {
                    self.value(&format!("{pointer}/{index}"));
                    index += 1;
                }
                self.at += 1;
            }
            b'"' => {
                self.string();
            }
            _ => {
                while !matches!(self.peek(), b',' | b']' | b'}' | b' ' | b'\t' | b'\r' | b'\n' | 0) {
                    self.at += 1;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pointer_has_a_line() {
        let text = "\n{\"a\": [1,\n  {\"b/c\": \"x\\\"]\",\n\n   \"d\": -1.5e3}],\n \"e\\u0041\": {},\n\"f\": null}";
        let all =
            [("", 2), ("/a", 2), ("/a/0", 2), ("/a/1", 3), ("/a/1/b~1c", 3), ("/a/1/d", 5), ("/eA", 6), ("/f", 7)];
        let missing = [("/eA/gone", 6), ("/a/7/x", 2), ("/nothing/here", 2)];
        let found = lines(text, all.iter().chain(&missing).map(|(pointer, _)| *pointer));
        for (pointer, line) in all.iter().chain(&missing) {
            assert_eq!(found[*pointer], *line, "{pointer}");
        }
    }
}
