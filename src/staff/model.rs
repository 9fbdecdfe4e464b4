//! Members of staff, their posts and accounts as stored, and as they are shown.

use chrono::{DateTime, FixedOffset, NaiveDate, Utc};
use diesel::prelude::*;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;
use validator::ValidationError;

use crate::{
    clock::CST,
    db::schema::{staff, staff_posts},
    http::permissions::Role,
    text_enum,
};

text_enum! {
    /// Whether somebody may work here.
    pub enum StaffState {
        Active = "active",
        /// Nobody logged in for long; an administrator can enable it again.
        Disabled = "disabled",
        /// For good.
        Dismissed = "dismissed",
    }
}

text_enum! {
    /// What an account's password is.
    pub enum PasswordState {
        /// An administrator has not opened the account yet.
        None = "none",
        /// To be replaced at the next login.
        OneTime = "one_time",
        /// Of one's own choice.
        Own = "own",
    }
}

/// A member of staff as stored, without secrets.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = staff, check_for_backend(diesel::pg::Pg))]
pub struct Member {
    pub county_id: i32,
    pub id: Uuid,
    pub username: String,
    pub display_name: String,
    pub phone: Option<String>,
    pub state: StaffState,
    pub password_hash: Option<String>,
    pub one_time_until: Option<DateTime<Utc>>,
    pub totp_secret: Option<Vec<u8>>,
    pub totp_confirmed_at: Option<DateTime<Utc>>,
    pub wechat_openid: Option<Vec<u8>>,
    pub last_login_at: Option<DateTime<Utc>>,
    pub version: i64,
    pub created_at: DateTime<Utc>,
}

/// A post: what somebody may act as, and where.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = staff_posts, check_for_backend(diesel::pg::Pg))]
pub struct Post {
    pub id: Uuid,
    pub staff_id: Uuid,
    pub role: Role,
    pub unit_id: Uuid,
    pub deputy_id: Option<Uuid>,
    pub department_id: Option<Uuid>,
    pub since: DateTime<Utc>,
}

/// A post (岗位).
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(example = json!({"id": "0199a0c0-0000-7000-8000-0000000000e1", "role": "village_cadre", "unit_id": "0199a0c0-0000-7000-8000-000000000002",
    "deputy_id": null, "department_id": null, "since": "2026-11-01T09:00:00+08:00"}))]
pub struct PostView {
    pub id: Uuid,
    pub role: Role,
    pub unit_id: Uuid,
    /// AB 岗: who gets what the holder would get while the holder is absent.
    pub deputy_id: Option<Uuid>,
    /// For `department_staff`: the department. Null where nobody has said it yet; such a post sees nothing of any department.
    pub department_id: Option<Uuid>,
    pub since: DateTime<FixedOffset>,
}

impl From<Post> for PostView {
    fn from(post: Post) -> Self {
        let Post { id, role, unit_id, deputy_id, department_id, since, .. } = post;
        Self { id, role, unit_id, deputy_id, department_id, since: since.with_timezone(&CST) }
    }
}

/// The account of a member of staff: only administrators and oneself see it.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(example = json!({"username": "chen.xiaolan", "state": "active", "password": "own", "totp": true, "wechat": false,
    "last_login_at": "2026-11-21T08:30:00+08:00", "created_at": "2026-11-01T09:00:00+08:00"}))]
pub struct AccountView {
    pub username: String,
    pub state: StaffState,
    pub password: PasswordState,
    /// Whether one-time codes are set up and confirmed.
    pub totp: bool,
    /// Whether a WeChat account is bound.
    pub wechat: bool,
    pub last_login_at: Option<DateTime<FixedOffset>>,
    pub created_at: DateTime<FixedOffset>,
}

/// A member of staff, as on the duty board (干群连心卡).
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(example = json!({"id": "0199a0c0-0000-7000-8000-0000000000f1", "display_name": "陈小兰", "phone": "0598-7220001", "posts": [],
    "away_until": null, "account": null, "version": 1}))]
pub struct StaffView {
    pub id: Uuid,
    pub display_name: String,
    /// Service phone; public.
    pub phone: Option<String>,
    pub posts: Vec<PostView>,
    /// The last day of the absence that runs today.
    pub away_until: Option<NaiveDate>,
    /// Only for administrators and for oneself.
    pub account: Option<AccountView>,
    pub version: i64,
}

impl StaffView {
    pub fn new(member: Member, posts: Vec<Post>, away_until: Option<NaiveDate>, whole: bool) -> Self {
        let password = match (&member.password_hash, member.one_time_until) {
            (None, _) => PasswordState::None,
            (Some(_), Some(_)) => PasswordState::OneTime,
            (Some(_), None) => PasswordState::Own,
        };
        let account = AccountView {
            username: member.username,
            state: member.state,
            password,
            totp: member.totp_confirmed_at.is_some(),
            wechat: member.wechat_openid.is_some(),
            last_login_at: member.last_login_at.map(|at| at.with_timezone(&CST)),
            created_at: member.created_at.with_timezone(&CST),
        };
        Self {
            id: member.id,
            display_name: member.display_name,
            phone: member.phone,
            posts: posts.into_iter().map(PostView::from).collect(),
            away_until,
            account: whole.then_some(account),
            version: member.version,
        }
    }
}

/// Whether text is a user name: what the constraint of the table says, in words for people.
pub fn check_username(text: &str) -> Result<(), ValidationError> {
    let first = text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    let rest = text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c));
    if first && rest && (2..=32).contains(&text.len()) {
        return Ok(());
    }
    Err(ValidationError::new("username").with_message(
        "须为 2 至 32 个小写字母、数字、点、连字符或下划线，以字母或数字开头|has 2 to 32 lower-case letters, digits, dots, hyphens and underscores, and begins with a letter or digit"
            .into(),
    ))
}

/// Whether text is a name that can be shown.
pub fn check_display_name(text: &str) -> Result<(), ValidationError> {
    let long = (1..=32).contains(&text.trim().chars().count());
    if long && !text.chars().any(char::is_control) {
        return Ok(());
    }
    Err(ValidationError::new("display_name")
        .with_message("须为 1 至 32 个字，不含控制字符|has 1 to 32 characters and no control characters".into()))
}

/// Whether text is a mobile or landline number, with or without area code and extension, or a short number.
pub fn check_service_phone(text: &str) -> Result<(), ValidationError> {
    let digits = |part: &str, from: usize, to: usize| {
        (from..=to).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit())
    };
    let fits = match text.split('-').collect::<Vec<_>>().as_slice() {
        [whole] => digits(whole, 5, 12),
        [area, number] if area.starts_with('0') => digits(area, 3, 4) && digits(number, 7, 8),
        [number, extension] => digits(number, 7, 11) && digits(extension, 1, 6),
        [area, number, extension] => {
            area.starts_with('0') && digits(area, 3, 4) && digits(number, 7, 8) && digits(extension, 1, 6)
        }
        _ => false,
    };
    if fits {
        return Ok(());
    }
    Err(ValidationError::new("phone").with_message(
        "须为手机号、带区号的固定电话或短号，如 0598-7220001|must be a mobile number, a landline with area code or a short number, such as 0598-7220001"
            .into(),
    ))
}

/// Whether a new password is long enough, and neither the user name nor the one before; the pointer and the rule it breaks.
pub fn password_fault(
    new: &str,
    username: &str,
    old: Option<&str>,
) -> Option<(&'static str, &'static str, &'static str)> {
    if !(10..=128).contains(&new.chars().count()) {
        return Some(("length", "长度须在 10 至 128 之间", "its length must be 10 to 128"));
    }
    if new.trim().to_lowercase() == username {
        return Some(("password_is_username", "密码不得与用户名相同", "the password must not be the user name"));
    }
    (old == Some(new)).then_some((
        "password_unchanged",
        "新密码不得与原密码相同",
        "the new password must not be the old one",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn service_phones() {
        for good in ["13950900001", "0598-7220001", "05987220001", "0598-7220001-12", "7220001-3", "12345"] {
            check_service_phone(good).expect(good);
        }
        for bad in ["", "1234", "0598-", "0598-72200", "+8613950900001", "１２３４５", "12-34-56-78", "a0598-7220001"]
        {
            assert!(check_service_phone(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn user_names_are_those_of_the_constraint() {
        for good in ["ab", "chen.xiaolan", "9x", "a-b_c.d"] {
            check_username(good).expect(good);
        }
        for bad in ["", "a", ".ab", "-ab", "Chen", "陈小兰", "a b", &"a".repeat(33)] {
            assert!(check_username(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn passwords() {
        assert_eq!(password_fault("long enough 1", "chen", Some("another one")), None);
        assert_eq!(password_fault("short", "chen", None).map(|fault| fault.0), Some("length"));
        assert_eq!(password_fault(&"x".repeat(129), "chen", None).map(|fault| fault.0), Some("length"));
        assert_eq!(
            password_fault("Chen.Xiaolan", "chen.xiaolan", None).map(|fault| fault.0),
            Some("password_is_username")
        );
        assert_eq!(
            password_fault("the same one", "c", Some("the same one")).map(|fault| fault.0),
            Some("password_unchanged")
        );
    }
}
