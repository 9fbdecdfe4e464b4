//! Names, ID numbers and phones that cannot hold a wrong value; how they are masked; the resident.

use std::str::FromStr;

use chrono::{DateTime, Months, NaiveDate, Utc};
use diesel::prelude::*;
use icu_normalizer::ComposingNormalizerBorrowed;
use serde::{Deserialize, Deserializer};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        RefOr,
        schema::{ObjectBuilder, Schema, SchemaFormat, Type},
    },
};
use uuid::Uuid;

use crate::{
    crypto::{Keyring, Unsealable},
    db::schema::residents,
    text_enum,
};

/// A value of personal data: sealed in its column, masked in answers.
pub trait Personal: FromStr<Err = &'static str> + AsRef<str> {
    /// Column and schema format.
    const FIELD: &'static str;
    const EXAMPLE: &'static str;

    fn mask(&self) -> String;
}

macro_rules! personal {
    ($(#[$meta:meta])* $name:ident, $field:literal, $example:literal) => {
        $(#[$meta])*
        #[derive(Clone, PartialEq, Eq)]
        pub struct $name(String);

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        /// Logs never hold it.
        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(concat!(stringify!($name), "(…)"))
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                let text = ObjectBuilder::new().schema_type(Type::String);
                text.format(Some(SchemaFormat::Custom($field.into()))).examples([$example]).into()
            }
        }

        impl ToSchema for $name {}
    };
}

personal! {
    /// Name of a person (姓名), 1 to 50 characters.
    PersonName, "person_name", "张小明"
}
personal! {
    /// Citizen identity number (身份证号), GB 11643: 17 digits and a check character.
    IdNumber, "id_number", "350425195003070023"
}
personal! {
    /// Mainland mobile number (手机号), 11 digits.
    Phone, "phone", "13800138000"
}

impl FromStr for PersonName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        let fits = (1..=50).contains(&text.chars().count());
        let clean = !text.chars().any(|c| c.is_control() || c == '*');
        if fits && clean { Ok(Self(text.to_owned())) } else { Err("not a name") }
    }
}

/// The one form of a name that it is found by: NFKC, without whitespace.
pub fn searched_name(name: &str) -> String {
    let normal = ComposingNormalizerBorrowed::new_nfkc().normalize(name);
    normal.chars().filter(|c| !c.is_whitespace()).collect()
}

impl PersonName {
    /// The blind index that is stored beside it.
    pub fn blind(&self, keys: &Keyring, county: i32) -> Vec<u8> {
        keys.blind(county, Self::FIELD, &searched_name(&self.0))
    }

    /// The blind indexes that it is found by while keys rotate.
    pub fn blinds(&self, keys: &Keyring, county: i32) -> Vec<Vec<u8>> {
        keys.blinds(county, Self::FIELD, &searched_name(&self.0))
    }
}

impl FromStr for IdNumber {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WEIGHTS: [u32; 17] = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
        let text = text.trim().to_ascii_uppercase();
        let (digits, check) = text.split_at_checked(17).ok_or("not an ID number")?;
        if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err("not an ID number");
        }
        let sum: u32 = digits.bytes().zip(WEIGHTS).map(|(digit, weight)| u32::from(digit - b'0') * weight).sum();
        let expected = char::from(b"10X98765432"[(sum % 11) as usize]);
        let born = NaiveDate::parse_from_str(&digits[6..14], "%Y%m%d").is_ok();
        if born && check == expected.to_string() { Ok(Self(text)) } else { Err("not an ID number") }
    }
}

impl FromStr for Phone {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        let mobile = text.len() == 11 && text.bytes().all(|byte| byte.is_ascii_digit());
        let known = text.starts_with('1') && matches!(text.as_bytes().get(1), Some(b'3'..=b'9'));
        if mobile && known { Ok(Self(text.to_owned())) } else { Err("not a mobile number") }
    }
}

impl IdNumber {
    /// The day of birth that the number tells.
    pub fn born(&self) -> NaiveDate {
        NaiveDate::parse_from_str(&self.0[6..14], "%Y%m%d").expect("checked when it was parsed")
    }

    /// Age in whole years on a day.
    pub fn age(&self, today: NaiveDate) -> u32 {
        today.years_since(self.born()).unwrap_or(0)
    }

    /// The last day on which its bearer is under 14 (PIPL art. 31).
    pub fn child_until(&self) -> Option<NaiveDate> {
        self.born().checked_add_months(Months::new(14 * 12))?.pred_opt()
    }

    pub fn is_child(&self, today: NaiveDate) -> bool {
        self.child_until().is_some_and(|until| today <= until)
    }
}

impl Personal for PersonName {
    const FIELD: &'static str = "name";
    const EXAMPLE: &'static str = "张*明";

    /// First and last character stay: `张*明`, `张*`.
    fn mask(&self) -> String {
        let all: Vec<char> = self.0.chars().collect();
        match all.as_slice() {
            [first, middle @ .., last] if !middle.is_empty() => {
                format!("{first}{}{last}", "*".repeat(middle.len()))
            }
            [first, ..] => format!("{first}*"),
            [] => "*".into(),
        }
    }
}

impl Personal for IdNumber {
    const FIELD: &'static str = "id_number";
    const EXAMPLE: &'static str = "350425********0023";

    fn mask(&self) -> String {
        format!("{}********{}", &self.0[..6], &self.0[14..])
    }
}

impl Personal for Phone {
    const FIELD: &'static str = "phone";
    const EXAMPLE: &'static str = "138****8000";

    fn mask(&self) -> String {
        format!("{}****{}", &self.0[..3], &self.0[7..])
    }
}

/// A value that a client sends back: the mask it was shown, or a plain one.
#[derive(Clone, Debug)]
pub enum MaybeMasked<T> {
    Mask(String),
    Plain(T),
}

impl<'de, T: Personal> Deserialize<'de> for MaybeMasked<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.contains('*') {
            return Ok(Self::Mask(text));
        }
        text.parse().map(Self::Plain).map_err(serde::de::Error::custom)
    }
}

impl<T: Personal> PartialSchema for MaybeMasked<T> {
    fn schema() -> RefOr<Schema> {
        // Names of formats follow the types, not the columns.
        let format = if T::FIELD == "name" { "masked_person_name".into() } else { format!("masked_{}", T::FIELD) };
        let text = ObjectBuilder::new().schema_type(Type::String);
        text.format(Some(SchemaFormat::Custom(format))).examples([T::EXAMPLE]).into()
    }
}

impl<T: Personal> ToSchema for MaybeMasked<T> {
    fn name() -> std::borrow::Cow<'static, str> {
        format!("Masked_{}", T::FIELD).into()
    }
}

/// OpenAPI names types, not instances of generic ones.
pub type MaskedName = MaybeMasked<PersonName>;
pub type MaskedIdNumber = MaybeMasked<IdNumber>;
pub type MaskedPhone = MaybeMasked<Phone>;

text_enum! {
    /// How sure we are who a resident is.
    pub enum IdentityLevel {
        /// Nobody checked.
        None = "none",
        /// WeChat proved the phone.
        Phone = "phone",
        /// An officer saw a proof.
        Officer = "officer",
    }
}

text_enum! {
    /// What the officer saw.
    pub enum IdentitySeen {
        /// 身份证
        IdCard = "id_card",
        /// 户口簿
        HouseholdRegister = "household_register",
        /// 社保卡
        SocialSecurityCard = "social_security_card",
        /// 本人熟识
        KnownInPerson = "known_in_person",
    }
}

impl IdentityLevel {
    fn rank(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Phone => 1,
            Self::Officer => 2,
        }
    }
}

impl PartialOrd for IdentityLevel {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        self.rank().partial_cmp(&other.rank())
    }
}

/// A resident as stored; personal fields are sealed.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = residents, check_for_backend(diesel::pg::Pg))]
pub struct Resident {
    pub county_id: i32,
    pub id: Uuid,
    pub unit_id: Option<Uuid>,
    pub name: Option<Vec<u8>>,
    pub id_number: Option<Vec<u8>>,
    pub phone: Option<Vec<u8>>,
    pub wechat_openid: Option<Vec<u8>>,
    pub identity_level: IdentityLevel,
    pub identity_seen: Option<IdentitySeen>,
    pub version: i64,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// What a sealed value of a resident is bound to.
pub fn place(field: &str, id: Uuid) -> String {
    format!("residents.{field}/{id}")
}

/// Seals a value for a resident's row.
pub fn seal<T: Personal>(keys: &Keyring, county: i32, id: Uuid, value: &T) -> Vec<u8> {
    keys.seal(county, &place(T::FIELD, id), value.as_ref().as_bytes())
}

/// Opens a value of a resident's row.
pub fn open<T: Personal>(
    keys: &Keyring,
    county: i32,
    id: Uuid,
    sealed: Option<&[u8]>,
) -> Result<Option<T>, Unsealable> {
    let Some(sealed) = sealed else { return Ok(None) };
    keys.open_text(county, &place(T::FIELD, id), sealed)?.parse().map(Some).map_err(|_| Unsealable)
}

/// A value as it is shown: masked or plain.
pub fn shown<T: Personal>(
    keys: &Keyring,
    county: i32,
    id: Uuid,
    sealed: Option<&[u8]>,
    masked: bool,
) -> Result<Option<String>, Unsealable> {
    let value = open::<T>(keys, county, id, sealed)?;
    Ok(value.map(|value| if masked { value.mask() } else { value.as_ref().to_owned() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn id_numbers_are_checked_to_the_last_character() {
        for good in ["350425195003070023", "11010519491231002X", "11010519491231002x"] {
            assert!(good.parse::<IdNumber>().is_ok(), "{good}");
        }
        for bad in [
            "110105194912310021",
            "11010519491331002X",
            "1101051949123100",
            "",
            "张10105194912310021",
            "abcdefghijklmnopqr",
        ] {
            assert!(bad.parse::<IdNumber>().is_err(), "{bad}");
        }
    }

    #[test]
    fn children_are_children_until_the_day_before_their_birthday() {
        let born = |number: &str| number.parse::<IdNumber>().expect("a number");
        let day = |text: &str| text.parse::<NaiveDate>().expect("a day");
        let child = born("11010519491231002X");
        assert_eq!(child.born(), day("1949-12-31"));
        assert!(child.is_child(day("1963-12-30")) && !child.is_child(day("1963-12-31")));
        assert_eq!((child.age(day("1967-12-30")), child.age(day("1967-12-31"))), (17, 18));
    }

    #[test]
    fn masks_show_what_the_contract_shows() {
        let mask = |name: &str| name.parse::<PersonName>().expect("a name").mask();
        assert_eq!(mask("张小明"), "张*明");
        assert_eq!(mask("张明"), "张*");
        assert_eq!(mask("张"), "张*");
        assert_eq!(mask("欧阳小明"), "欧**明");
        assert_eq!("13812345678".parse::<Phone>().expect("a phone").mask(), "138****5678");
        assert_eq!("11010519491231002X".parse::<IdNumber>().expect("a number").mask(), "110105********002X");
    }

    #[test]
    fn names_are_found_however_they_were_typed() {
        for typed in ["张 三", "\u{3000}张三 ", "张\u{a0}三"] {
            assert_eq!(searched_name(typed), "张三", "{typed}");
        }
        // Full width, and a compatibility ideograph of 金.
        assert_eq!(searched_name("Ａ\u{f90a}"), "A金");
        assert_ne!(searched_name("张三丰"), searched_name("张三"));
    }

    #[test]
    fn values_are_not_printed() {
        let phone: Phone = "13812345678".parse().expect("a phone");
        assert!(!format!("{phone:?}").contains("138"));
    }
}
