//! What residents are told of their records: a copy of their data, who may act for them.

use super::super::model::{Definition, Form, Policy};
use crate::error::Text;

pub const EXPORT_READY: Definition = Definition {
    policy: Policy::DropIfLate,
    late: Some("expires_at"),
    by_person: true,
    placeholders: &[("expires_at", Form::Time)],
    title: Text::fixed("个人信息副本已备好", "The copy of your data is ready"),
    text: Text::fixed(
        "您申请的个人信息副本已备好，请在 {expires_at} 前到小程序下载，或到党群服务中心领取。",
        "The copy of your data is ready. Fetch it in the mini-program or at the service centre before {expires_at}.",
    ),
    wechat_fields: &[("time1", "expires_at")],
    page: "pages/data",
};

pub const PROXY_ACCEPTED: Definition = Definition {
    policy: Policy::Hold,
    late: None,
    by_person: true,
    placeholders: &[("valid_until", Form::Text)],
    title: Text::fixed("代办授权已生效", "Somebody may act for you"),
    text: Text::fixed(
        "您授权的代办人已接受授权，有效期至 {valid_until}。如非本人意愿，请联系所在村或社区随时终止。",
        "The person whom you let act for you has accepted, until {valid_until}. If you did not want this, your village or community ends it at any time.",
    ),
    wechat_fields: &[("thing1", "valid_until")],
    page: "pages/proxies",
};
