//! Departments of the county government (县直部门), to which goes what villages and townships may not decide.
//!
//! ```text
//! active ──(nothing in effect or coming is decided there, nobody has a post)──▶ closed ──▶ active
//! ```
//! Their staff have posts on the county's unit; the post names the department.

pub mod routes;
mod store;

pub use store::{Department, DepartmentState, all, find, hold, insert, lock_all, of_staff, set_phone, staff_of};

use crate::error::{FieldError, Text};

/// What is said of a department that is not there, or closed.
pub fn unknown(pointer: impl Into<String>) -> FieldError {
    let text = Text::fixed("没有这个部门，或已撤销", "there is no such department, or it is closed");
    FieldError::body(pointer, "unknown_department", text)
}
