//! What people are asked about what was done for them.

use super::super::model::{Definition, Form, Policy};
use crate::error::Text;

pub const PLEASE_RATE: Definition = Definition {
    policy: Policy::DropIfLate,
    late: Some("until"),
    by_person: false,
    placeholders: &[("count", Form::Text), ("until", Form::Time)],
    title: Text::fixed("请评价昨天的服务", "How was it yesterday?"),
    text: Text::fixed(
        "您昨天有 {count} 项服务已办结，欢迎在小程序评价。评价只由上级查看，为您服务的人看不到是谁评的。",
        "{count} services for you were finished yesterday. Please rate them in the mini-program: only those above read it, and whoever served you never learns who said what.",
    ),
    wechat_fields: &[("thing1", "count")],
    page: "pages/ratings",
};
