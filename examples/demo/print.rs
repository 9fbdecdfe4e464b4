//! JSON for human eyes: in the order of the server, short things on one line, long lists and tokens shortened.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_json::Value;

/// What still stands on one line, in columns.
const LINE: usize = 110;
/// Longer lists are cut to their beginning.
const LONG_LIST: usize = 20;
const SHOWN: usize = 8;
/// Longer words without a space are tokens.
const LONG_WORD: usize = 40;

/// A body, indented by two; what is no JSON stays as it is.
pub fn json(text: &str) -> String {
    let Ok(tree) = serde_json::from_str::<Tree>(text) else {
        return text.lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n");
    };
    format!("  {}", tree.text(2))
}

/// An event of a stream.
pub fn event(text: &str) -> String {
    let line = |line: &str| match line.strip_prefix("data: ") {
        Some(data) => format!("  data:\n{}", json(data)),
        None => format!("  {line}"),
    };
    text.trim_end().lines().map(line).collect::<Vec<_>>().join("\n")
}

/// A header's value.
pub fn header(value: &str) -> String {
    value.split(' ').map(shortened).collect::<Vec<_>>().join(" ")
}

/// A path with its query.
pub fn path(path: &str) -> String {
    match path.split_once("cursor=") {
        Some((before, cursor)) => format!("{before}cursor={}", shortened(cursor)),
        None => path.to_owned(),
    }
}

/// Tokens and cursors say nothing to a reader; paths and addresses do.
fn shortened(word: &str) -> String {
    let token = word.len() > LONG_WORD && word.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/');
    if token { format!("{}…", &word[..12]) } else { word.to_owned() }
}

/// JSON whose objects keep their order.
enum Tree {
    Leaf(Value),
    List(Vec<Tree>),
    Object(Vec<(String, Tree)>),
}

impl Tree {
    /// On one line if that fits behind `indent` columns, otherwise one member a line.
    fn text(&self, indent: usize) -> String {
        let line = self.line();
        let columns: usize = line.chars().map(|c| if c < '\u{2e80}' { 1 } else { 2 }).sum();
        if indent + columns <= LINE {
            return line;
        }
        let inner = indent + 2;
        let (open, members, close) = match self {
            Self::Leaf(_) => return line,
            Self::List(items) => {
                let shown = if items.len() > LONG_LIST { SHOWN } else { items.len() };
                let mut lines: Vec<_> = items[..shown].iter().map(|item| item.text(inner)).collect();
                if shown < items.len() {
                    lines.push(format!("… {} more", items.len() - shown));
                }
                ('[', lines, ']')
            }
            Self::Object(members) => {
                let member = |(name, value): &(String, Self)| format!("{}: {}", quoted(name), value.text(inner));
                ('{', members.iter().map(member).collect(), '}')
            }
        };
        let (pad, end) = (" ".repeat(inner), " ".repeat(indent));
        format!("{open}\n{pad}{}\n{end}{close}", members.join(&format!(",\n{pad}")))
    }

    fn line(&self) -> String {
        match self {
            Self::Leaf(Value::String(text)) => quoted(&shortened(text)),
            Self::Leaf(value) => value.to_string(),
            Self::List(items) => format!("[{}]", items.iter().map(Self::line).collect::<Vec<_>>().join(", ")),
            Self::Object(members) => {
                let member = |(name, value): &(String, Self)| format!("{}: {}", quoted(name), value.line());
                format!("{{{}}}", members.iter().map(member).collect::<Vec<_>>().join(", "))
            }
        }
    }
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Leaf(Value::Null))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
        Ok(Tree::Leaf(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
        Ok(Tree::Leaf(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Tree, E> {
        Ok(Tree::Leaf(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Tree, E> {
        Ok(Tree::Leaf(value.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Tree, E> {
        Ok(Tree::Leaf(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Tree, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Tree::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Tree, A::Error> {
        let mut object = Vec::new();
        while let Some(member) = members.next_entry()? {
            object.push(member);
        }
        Ok(Tree::Object(object))
    }
}
