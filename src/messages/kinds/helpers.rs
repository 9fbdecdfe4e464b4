//! What helpers are told of what was decided about them.

use super::super::model::{Definition, Form, Policy};
use crate::error::Text;

pub const HELPER_APPROVED: Definition = Definition {
    policy: Policy::Hold,
    late: None,
    by_person: true,
    placeholders: &[("unit", Form::Text)],
    title: Text::fixed("申请已通过", "You are a helper now"),
    text: Text::fixed(
        "您申请成为服务人员已通过，服务区域：{unit}。技能和服务范围请在小程序查看。",
        "Your application is approved: you are a helper of {unit} now. See your skills and units in the mini-program.",
    ),
    wechat_fields: &[("thing1", "unit")],
    page: "pages/helper",
};

pub const HELPER_REFUSED: Definition = Definition {
    policy: Policy::Hold,
    late: None,
    by_person: true,
    placeholders: &[("unit", Form::Text)],
    title: Text::fixed("申请未通过", "Your application is refused"),
    text: Text::fixed(
        "您在{unit}申请成为服务人员未通过，理由请在小程序查看；可以重新申请。",
        "Your application to help in {unit} is refused. See the reason in the mini-program; you may apply again.",
    ),
    wechat_fields: &[("thing1", "unit")],
    page: "pages/helper",
};

pub const HELPER_STOPPED: Definition = Definition {
    policy: Policy::Hold,
    late: None,
    by_person: true,
    placeholders: &[("unit", Form::Text)],
    title: Text::fixed("服务已停止", "You are no helper any more"),
    text: Text::fixed(
        "您在{unit}的服务已停止，手中的订单已交回，理由请在小程序查看。",
        "You are no helper of {unit} any more, and orders that you held went back. See the reason in the mini-program.",
    ),
    wechat_fields: &[("thing1", "unit")],
    page: "pages/helper",
};

pub const HELPER_RESUMED: Definition = Definition {
    policy: Policy::Hold,
    late: None,
    by_person: true,
    placeholders: &[("unit", Form::Text)],
    title: Text::fixed("服务已恢复", "You are a helper again"),
    text: Text::fixed(
        "您在{unit}的服务已恢复，可以继续接单。",
        "You are a helper of {unit} again and can take orders.",
    ),
    wechat_fields: &[("thing1", "unit")],
    page: "pages/helper",
};
