//! Whose appointments and entries of the waiting list somebody sees: one condition for both.

use uuid::Uuid;

use crate::http::caller::{Reach, Scope};

/// Within a scope, of a row called `$of`: of one resident and those who let this one act, or at a unit and the units below, or
/// made by oneself. Binds `county`, `own`, `within`, `me` and `today`.
macro_rules! within {
    ($of:literal) => {
        concat!(
            " AND ({own}::uuid IS NULL OR ",
            $of,
            ".resident_id = {own} OR acts_for({county}, ",
            $of,
            ".resident_id, {own}, 'book', {today})) \
              AND ({within}::uuid IS NULL OR ",
            $of,
            ".booked_by = {me} OR unit_within({county}, ",
            $of,
            ".unit_id, {within})) "
        )
    };
}
pub(super) use within;

/// The scope as `own` and `within` of the condition.
pub fn binds(scope: Scope) -> (Option<Uuid>, Option<Uuid>) {
    match scope.reach {
        Reach::Own(own) => (Some(own), None),
        Reach::Unit(unit) => (None, Some(unit)),
        Reach::County => (None, None),
    }
}
