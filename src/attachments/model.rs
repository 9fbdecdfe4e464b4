//! A file that was uploaded: who brought it, what it is, where it stands.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use uuid::Uuid;

use crate::{
    app::App,
    db::schema::attachments,
    error::{Result, Text},
    http::caller::Caller,
    text_enum,
};

text_enum! {
    /// Where an attachment (附件) stands.
    pub enum AttachmentState {
        /// Not all of it is there.
        Uploading = "uploading",
        /// All of it is there and is being looked at.
        Processing = "processing",
        Ready = "ready",
        /// Its content is not what may be attached.
        Refused = "refused",
        /// Nobody sees it any more.
        Removing = "removing",
    }
}

impl AttachmentState {
    pub fn words(self) -> Text {
        match self {
            Self::Uploading => Text::fixed("上传中", "uploading"),
            Self::Processing => Text::fixed("处理中", "processing"),
            Self::Ready => Text::fixed("可用", "ready"),
            Self::Refused => Text::fixed("未通过检查", "refused"),
            Self::Removing => Text::fixed("已删除", "removed"),
        }
    }
}

text_enum! {
    /// Why a file is refused.
    pub enum Refusal {
        Empty = "empty",
        TypeNotAllowed = "type_not_allowed",
        TypeMismatch = "type_mismatch",
        Broken = "broken",
        TooManyPixels = "too_many_pixels",
        ZipBomb = "zip_bomb",
    }
}

impl Refusal {
    pub fn words(self) -> Text {
        match self {
            Self::Empty => Text::fixed("文件为空", "The file is empty"),
            Self::TypeNotAllowed => Text::fixed(
                "只接受 JPEG、PNG、WebP、PDF、DOCX、XLSX 和 MP3、M4A、AAC、AMR 录音",
                "Only JPEG, PNG, WebP, PDF, DOCX, XLSX and MP3, M4A, AAC, AMR recordings are taken",
            ),
            Self::TypeMismatch => {
                Text::fixed("文件内容与声明的类型不符", "The content is not of the type that was declared")
            }
            Self::Broken => Text::fixed("文件已损坏，无法读取", "The file is broken and cannot be read"),
            Self::TooManyPixels => Text::fixed("图片不得超过 5000 万像素", "An image has up to 50 megapixels"),
            Self::ZipBomb => Text::fixed("文件解压后过大", "The file would be too large unpacked"),
        }
    }
}

/// Who uploads: the only one who sees an attachment while it belongs to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Uploader {
    pub id: Uuid,
    pub staff: bool,
}

impl From<&Caller> for Uploader {
    fn from(caller: &Caller) -> Self {
        Self { id: caller.subject, staff: !caller.is_resident() }
    }
}

/// An attachment as stored; name and metadata are sealed.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = attachments, check_for_backend(diesel::pg::Pg))]
pub struct Attachment {
    pub county_id: i32,
    pub id: Uuid,
    pub uploader_id: Uuid,
    pub by_staff: bool,
    pub resident_id: Option<Uuid>,
    pub about: Option<String>,
    pub about_id: Option<Uuid>,
    pub state: AttachmentState,
    pub resumable: bool,
    pub name: Option<Vec<u8>>,
    pub metadata: Option<Vec<u8>>,
    pub declared_type: Option<String>,
    pub length: i64,
    pub received: i64,
    pub folder: String,
    pub media_type: Option<String>,
    pub bytes: Option<i64>,
    pub sha256: Option<Vec<u8>>,
    pub width: Option<i32>,
    pub height: Option<i32>,
    pub refusal: Option<String>,
    pub expires_at: Option<DateTime<Utc>>,
    pub created_at: DateTime<Utc>,
    pub version: i64,
}

impl Attachment {
    pub fn is_by(&self, uploader: Uploader) -> bool {
        self.uploader_id == uploader.id && self.by_staff == uploader.staff
    }

    /// The thing that it belongs to.
    pub fn thing(&self) -> Option<(&str, Uuid)> {
        self.about.as_deref().zip(self.about_id)
    }

    /// The name of the file, opened.
    pub fn name(&self, app: &App) -> Result<Option<String>> {
        let open = |sealed: &Vec<u8>| app.keys.open_text(self.county_id, &place("name", self.id), sealed);
        Ok(self.name.as_ref().map(open).transpose()?)
    }

    /// The object that holds the file.
    pub fn object(&self) -> String {
        object(&self.folder)
    }
}

/// The object of a finished file in its folder.
pub fn object(folder: &str) -> String {
    format!("{folder}/file")
}

/// Where the pieces of a resumable upload lie in its folder.
pub fn parts(folder: &str) -> String {
    format!("{folder}/parts")
}

/// A new folder of the file store.
pub fn folder(county: i32) -> String {
    format!("{county}/{}", hex::encode(rand::random::<[u8; 16]>()))
}

/// What a sealed value of an attachment is bound to.
pub fn place(column: &str, id: Uuid) -> String {
    format!("attachments.{column}/{id}")
}

/// Longer names are cut.
const NAME: usize = 120;

/// A file name without a path, and without characters that show it as something else.
pub fn clean_name(name: &str) -> Option<String> {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let shown = |c: &char| {
        !c.is_control()
            && !matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    let clean: String = last.chars().filter(shown).take(NAME).collect();
    let clean = clean.trim().trim_start_matches('.').to_owned();
    (!clean.is_empty()).then_some(clean)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lose_paths_and_what_hides() {
        for (given, expected) in [
            ("户口簿.jpg", Some("户口簿.jpg")),
            ("C:\\fakepath\\a.pdf", Some("a.pdf")),
            ("../../etc/passwd", Some("passwd")),
            ("gpj.\u{202e}exe\r\n", Some("gpj.exe")),
            ("..", None),
            (" ", None),
        ] {
            assert_eq!(clean_name(given).as_deref(), expected, "{given:?}");
        }
        assert_eq!(clean_name(&"长".repeat(500)).map(|name| name.chars().count()), Some(NAME));
    }
}
