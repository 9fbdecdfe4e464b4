//! The words of messages: placeholders filled in, WeChat's fields cut to what they hold, and what is wrong with a template.

use std::collections::BTreeMap;

use chrono::DateTime;
use serde_json::{Map, Value, json};

use super::model::{Form, Kind, Message, OwnWords};
use crate::error::{FieldError, Lang, Text};

/// What a county decides otherwise about a kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnTemplate {
    pub words: OwnWords,
    pub wechat_fields: Option<BTreeMap<String, String>>,
}

impl OwnTemplate {
    /// Everything spelt out: what is in effect.
    pub fn with_defaults(&self, kind: Kind) -> Self {
        let (row, own) = (kind.definition(), self.words.clone());
        let or = |own: Option<String>, default: &str| own.or_else(|| Some(default.to_owned()));
        let words = OwnWords {
            title_zh: or(own.title_zh, &row.title.zh),
            text_zh: or(own.text_zh, &row.text.zh),
            title_en: or(own.title_en, &row.title.en),
            text_en: or(own.text_en, &row.text.en),
        };
        Self { words, wechat_fields: Some(self.fields(kind)) }
    }

    /// Field of the WeChat template to placeholder.
    pub fn fields(&self, kind: Kind) -> BTreeMap<String, String> {
        let own = |(field, name): &(&str, &str)| ((*field).to_owned(), (*name).to_owned());
        self.wechat_fields.clone().unwrap_or_else(|| kind.definition().wechat_fields.iter().map(own).collect())
    }
}

/// Where something is done, in words.
fn place(place: &str) -> Text {
    match place {
        "home" => Text::fixed("上门", "at home"),
        "phone" => Text::fixed("电话", "by phone"),
        "video" => Text::fixed("视频", "by video"),
        _ => Text::fixed("到中心", "at the centre"),
    }
}

/// Why, as a sentence after the others.
fn because(reason: &str, lang: Lang) -> String {
    let reason = reason.trim().trim_end_matches(['。', '.']);
    match lang {
        _ if reason.is_empty() => String::new(),
        Lang::Zh => format!("原因：{reason}。"),
        Lang::En => format!(" Reason: {reason}."),
    }
}

/// The text in pieces: outside of braces, and names within them.
fn pieces(text: &str) -> Vec<(&str, Option<&str>)> {
    let (mut rest, mut found) = (text, Vec::new());
    while let Some((before, after)) = rest.split_once('{') {
        let Some((name, after)) = after.split_once('}') else { break };
        found.push((before, Some(name)));
        rest = after;
    }
    found.push((rest, None));
    found
}

/// Kinds of fields of WeChat's subscription templates that we fill; `thing12` is of the kind `thing`.
fn field_kind(field: &str) -> Option<&str> {
    let kind = field.trim_end_matches(|c: char| c.is_ascii_digit());
    let known = ["thing", "character_string", "phrase", "name", "number", "time", "date"].contains(&kind);
    (known && kind.len() < field.len()).then_some(kind)
}

/// Everything that is wrong with a template of a kind.
pub fn faults(kind: Kind, template: &OwnTemplate) -> Vec<FieldError> {
    let row = kind.definition();
    let form = |name: &str| row.placeholders.iter().find(|(known, _)| *known == name).map(|(_, form)| *form);
    let unknown = |pointer: String, name: &str| {
        let known: Vec<_> = row.placeholders.iter().map(|(name, _)| *name).collect();
        let known = known.join(", ");
        let text = Text::new(
            format!("没有占位符 {name}；可用：{known}"),
            format!("there is no placeholder {name}; there are: {known}"),
        );
        FieldError::body(pointer, "unknown_placeholder", text)
    };
    let words = &template.words;
    let texts = [
        ("title_zh", &words.title_zh),
        ("text_zh", &words.text_zh),
        ("title_en", &words.title_en),
        ("text_en", &words.text_en),
    ];
    let mut found = Vec::new();
    for (field, text) in texts {
        let names = pieces(text.as_deref().unwrap_or_default()).into_iter().filter_map(|(_, name)| name);
        found.extend(names.filter(|name| form(name).is_none()).map(|name| unknown(format!("/{field}"), name)));
    }
    for (field, name) in template.wechat_fields.iter().flatten() {
        // RFC 6901: the two characters that a pointer spells otherwise.
        let pointer = format!("/wechat_fields/{}", field.replace('~', "~0").replace('/', "~1"));
        let Some(kind) = field_kind(field) else {
            let text = Text::fixed(
                "不支持的微信字段；支持 thing、character_string、phrase、name、number、time、date 加数字",
                "no field that can be filled: thing, character_string, phrase, name, number, time or date with a number",
            );
            found.push(FieldError::body(pointer, "unknown_field", text));
            continue;
        };
        match form(name) {
            None => found.push(unknown(pointer, name)),
            Some(form) if matches!(kind, "time" | "date") != (form == Form::Time) && kind != "thing" => {
                let text = Text::fixed(
                    "时间字段须用时间占位符，其他字段须用文字占位符",
                    "fields of time take times, others texts",
                );
                found.push(FieldError::body(pointer, "wrong_placeholder", text));
            }
            Some(_) => {}
        }
    }
    found
}

impl Message {
    fn param(&self, name: &str) -> &str {
        self.params[name].as_str().unwrap_or_default()
    }

    fn time(&self, name: &str, format: &str) -> String {
        let at = DateTime::parse_from_rfc3339(self.param(name));
        at.map(|at| at.format(format).to_string()).unwrap_or_default()
    }

    /// A parameter as texts show it.
    fn shown(&self, name: &str, lang: Lang) -> String {
        let form = self.kind.definition().placeholders.iter().find(|(known, _)| *known == name);
        match form {
            Some((_, Form::Time)) => self.time(name, "%Y-%m-%d %H:%M"),
            Some((_, Form::Place)) => place(self.param(name)).get(lang).to_owned(),
            Some((_, Form::Reason)) => because(self.param(name), lang),
            _ => self.param(name).to_owned(),
        }
    }

    /// A parameter as a field shows it that holds nothing else.
    fn alone(&self, name: &str) -> String {
        let placeholders = self.kind.definition().placeholders;
        match placeholders.iter().any(|(known, form)| *known == name && *form == Form::Reason) {
            true => self.param(name).trim().to_owned(),
            false => self.shown(name, Lang::Zh),
        }
    }

    fn fill(&self, text: &str, lang: Lang) -> String {
        let piece = |(before, name): (&str, Option<&str>)| match name {
            Some(name) => format!("{before}{}", self.shown(name, lang)),
            None => before.to_owned(),
        };
        pieces(text).into_iter().map(piece).collect()
    }

    /// Title and text, in the words that held when it was posted.
    pub fn words(&self, lang: Lang) -> (String, String) {
        let own: OwnWords = self.words.clone().and_then(|words| serde_json::from_value(words).ok()).unwrap_or_default();
        let template = OwnTemplate { words: own, wechat_fields: None }.with_defaults(self.kind).words;
        let (title, text) = match lang {
            Lang::Zh => (template.title_zh, template.text_zh),
            Lang::En => (template.title_en, template.text_en),
        };
        (self.fill(&title.unwrap_or_default(), lang), self.fill(&text.unwrap_or_default(), lang))
    }

    /// The `data` of the subscription message: each field cut deliberately to what its kind holds, because WeChat refuses the
    /// whole message otherwise (47003).
    pub fn wechat_data(&self, fields: &BTreeMap<String, String>) -> Value {
        let mut data = Map::new();
        for (field, name) in fields {
            let value = match field_kind(field) {
                Some("time") => self.time(name, "%Y年%m月%d日 %H:%M"),
                Some("date") => self.time(name, "%Y年%m月%d日"),
                Some(kind) => fitted(kind, &self.alone(name)),
                None => continue,
            };
            data.insert(field.clone(), json!({"value": value}));
        }
        Value::Object(data)
    }
}

/// A value as a field of WeChat takes it (小程序订阅消息参数值内容限制说明); an empty one would be refused.
fn fitted(kind: &str, value: &str) -> String {
    let only = |fits: fn(char) -> bool, most: usize| value.chars().filter(|c| fits(*c)).take(most).collect::<String>();
    let (fit, empty) = match kind {
        "character_string" => (only(|c| c.is_ascii_graphic() || c == ' ', 32), "-"),
        "number" => (only(|c| c.is_ascii_digit() || c == '.', 32), "0"),
        // Chinese characters only.
        "phrase" => (only(|c| ('\u{4e00}'..='\u{9fff}').contains(&c), 5), "无"),
        "name" => (cut(value, 10), "-"),
        _ => (cut(value, 20), "-"),
    };
    if fit.trim().is_empty() { empty.to_owned() } else { fit }
}

/// At most `most` characters, the last one an ellipsis when something was cut.
fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_cut_to_what_they_hold() {
        assert_eq!(cut("医保", 20), "医保");
        let long = "农村宅基地和建房（规划选址）审批以及更多更多的内容";
        assert_eq!(fitted("thing", long).chars().count(), 20);
        assert!(fitted("thing", long).ends_with('…'));
        assert_eq!(fitted("phrase", "已受理，请等候通知"), "已受理请等");
        assert_eq!(fitted("character_string", "编号A-12"), "A-12");
        assert_eq!(fitted("number", "第 3 号"), "3");
        assert_eq!(
            (fitted("thing", ""), fitted("phrase", "ok"), fitted("number", "无")),
            ("-".into(), "无".into(), "0".into())
        );
    }

    #[test]
    fn a_template_is_refused_for_every_name_it_does_not_have() {
        let words =
            OwnWords { text_zh: Some("{matter}{who}".into()), title_en: Some("{".into()), ..OwnWords::default() };
        let fields = [
            ("thing1", "nobody"),
            ("picture1", "matter"),
            ("thing", "matter"),
            ("time2", "matter"),
            ("thing9", "starts_at"),
        ];
        let fields = fields.map(|(field, name)| (field.to_owned(), name.to_owned())).into_iter().collect();
        let template = OwnTemplate { words, wechat_fields: Some(fields) };
        let codes: Vec<_> = faults(Kind::AppointmentBooked, &template).into_iter().map(|fault| fault.code).collect();
        let expected =
            ["unknown_placeholder", "unknown_field", "unknown_field", "unknown_placeholder", "wrong_placeholder"];
        assert_eq!(codes, expected);
    }
}
