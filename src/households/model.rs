//! A household, who belongs to it, where it is and when somebody comes.

use chrono::{DateTime, NaiveDate, Utc};
use diesel::prelude::*;
use uuid::Uuid;

use crate::{
    db::schema::{household_members, household_points, households, visit_partners, visit_tasks},
    error::Text,
    geo::{CoordinateSystem, Point},
    text_enum,
};

/// What is said of a category that no household is put into, at the desk and in a table.
pub const UNKNOWN_CATEGORY: (&str, &str) = ("没有这个走访类别，或已停用", "there is no such category, or it is closed");
/// What is said of a home point that may not be kept.
pub const POSITION_REFUSED: (&str, &str) =
    ("有成员不同意记录住址位置", "a member does not agree to the whereabouts of the home being kept");

text_enum! {
    /// Where a household stands.
    pub enum HouseholdState {
        Active = "active",
        /// 销户、迁出
        Closed = "closed",
        /// It turned out to be another.
        Merged = "merged",
    }
}

impl HouseholdState {
    pub fn words(self) -> Text {
        match self {
            Self::Active => Text::fixed("在册", "active"),
            Self::Closed => Text::fixed("已注销", "closed"),
            Self::Merged => Text::fixed("已合并", "merged"),
        }
    }
}

text_enum! {
    /// What somebody is to the head of the household (与户主关系).
    pub enum Relation {
        /// 户主
        Head = "head",
        Spouse = "spouse",
        Child = "child",
        Parent = "parent",
        Grandchild = "grandchild",
        Grandparent = "grandparent",
        Sibling = "sibling",
        Other = "other",
    }
}

text_enum! {
    /// How a home point came to be.
    pub enum PointSource {
        /// With the household, by whoever created it.
        Created = "created",
        Set = "set",
        Corrected = "corrected",
        Imported = "imported",
        /// Removed: an import was undone.
        TakenBack = "taken_back",
    }
}

text_enum! {
    /// Where a task stands; nobody ticks one.
    pub enum TaskState {
        Open = "open",
        /// A visit in its window met somebody.
        Resolved = "resolved",
        /// The category changed, or the household was closed or merged.
        Dropped = "dropped",
    }
}

impl TaskState {
    pub fn words(self) -> Text {
        match self {
            Self::Open => Text::fixed("待走访", "open"),
            Self::Resolved => Text::fixed("已走访", "resolved"),
            Self::Dropped => Text::fixed("已取消", "dropped"),
        }
    }
}

/// A household (户) as stored; name, address and note are sealed.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = households, check_for_backend(diesel::pg::Pg))]
pub struct Household {
    pub county_id: i32,
    pub id: Uuid,
    pub unit_id: Uuid,
    pub state: HouseholdState,
    pub merged_into: Option<Uuid>,
    pub code: Option<String>,
    pub name: Option<Vec<u8>>,
    pub address: Option<Vec<u8>>,
    pub note: Option<Vec<u8>>,
    pub category_id: Option<Uuid>,
    pub holder_id: Option<Uuid>,
    pub lng: Option<f64>,
    pub lat: Option<f64>,
    pub point_set_at: Option<DateTime<Utc>>,
    pub last_visit_on: Option<NaiveDate>,
    pub version: i64,
    pub created_at: DateTime<Utc>,
}

impl Household {
    /// The home point.
    pub fn point(&self) -> Option<Point> {
        self.lng.zip(self.lat).map(|(lng, lat)| Point::wgs84(lng, lat))
    }
}

/// What a sealed value of a household is bound to.
pub fn place(column: &str, id: Uuid) -> String {
    format!("households.{column}/{id}")
}

/// The values of a household that somebody writes.
#[derive(Clone, Debug, PartialEq, Insertable, AsChangeset)]
#[diesel(table_name = households, treat_none_as_null = true)]
pub struct Values {
    pub unit_id: Uuid,
    pub code: Option<String>,
    pub name: Option<Vec<u8>>,
    pub name_index: Option<Vec<u8>>,
    pub address: Option<Vec<u8>>,
    pub note: Option<Vec<u8>>,
    pub category_id: Option<Uuid>,
}

/// Somebody who belongs to a household, or did.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = household_members, check_for_backend(diesel::pg::Pg))]
pub struct Member {
    pub id: Uuid,
    pub household_id: Uuid,
    pub resident_id: Uuid,
    pub relation: Relation,
    pub since_on: NaiveDate,
    pub until_on: Option<NaiveDate>,
}

/// A home point that was set once.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = household_points, check_for_backend(diesel::pg::Pg))]
pub struct HomePoint {
    pub id: Uuid,
    pub household_id: Uuid,
    pub source: PointSource,
    pub given_lng: Option<f64>,
    pub given_lat: Option<f64>,
    pub coordinate_system: CoordinateSystem,
    pub accuracy_m: Option<f64>,
    pub set_by: Option<Uuid>,
    pub at: DateTime<Utc>,
}

/// A one-to-one partner (结对帮扶干部).
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = visit_partners, check_for_backend(diesel::pg::Pg))]
pub struct Partner {
    pub id: Uuid,
    pub household_id: Uuid,
    pub staff_id: Uuid,
    pub from_on: NaiveDate,
    pub until_on: Option<NaiveDate>,
    pub planned_until: Option<NaiveDate>,
}

/// A visit that is due (走访任务).
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = visit_tasks, check_for_backend(diesel::pg::Pg))]
pub struct VisitTask {
    pub id: Uuid,
    pub household_id: Uuid,
    pub unit_id: Uuid,
    pub category_id: Uuid,
    pub holder_id: Option<Uuid>,
    pub opens_on: NaiveDate,
    pub due_on: NaiveDate,
    pub state: TaskState,
    pub resolved_by: Option<Uuid>,
    pub resolved_on: Option<NaiveDate>,
}
