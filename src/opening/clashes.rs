//! Days on which a window would open the same hours twice, in part: pure.

use std::collections::HashSet;

use chrono::NaiveDate;
use uuid::Uuid;

use super::{affected::Centre, settle::Frame};
use crate::{
    calendar::Calendar,
    error::{Code, Error, Result},
};

/// Window and day of every clash. Rules alone never clash: only days with an exception can.
pub struct Clashes(HashSet<(Uuid, NaiveDate)>);

impl Clashes {
    pub fn of(centre: &Centre, calendar: &Calendar) -> Self {
        let mut found = HashSet::new();
        for desk in &centre.desks {
            let days: HashSet<_> = desk.opening.exceptions.iter().map(|exception| exception.on_date).collect();
            let clashing = days.into_iter().filter(|day| desk.clashes(calendar, *day));
            found.extend(clashing.map(|day| (desk.opening.window, day)));
        }
        Self(found)
    }

    /// Refuses a change after which there are more: a rule, or what a closed day hid.
    pub fn none_new(&self, after: &Centre, frame: &Frame) -> Result<()> {
        let new = Self::of(after, &frame.calendar).0.into_iter().filter(|clash| !self.0.contains(clash));
        let Some(day) = new.map(|(_, day)| day).min() else { return Ok(()) };
        let (zh, en) = (
            format!("{day} 另有开放安排，与此时间部分重叠；请先删除该安排"),
            format!("{day} is opened specially for some of these hours; remove that first"),
        );
        Err(Error::new(Code::RulesOverlap).detail(zh, en))
    }
}
