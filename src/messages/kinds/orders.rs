//! What both sides are told of orders.

use super::super::model::{Definition, Form, Policy};
use crate::error::Text;

pub const ORDER_CLAIMED: Definition = Definition {
    policy: Policy::AtOnce,
    late: None,
    by_person: true,
    placeholders: &[("kind", Form::Text), ("number", Form::Text), ("wanted_from", Form::Time)],
    title: Text::fixed("已有人接单", "Somebody will come"),
    text: Text::fixed(
        "您的“{kind}”订单（{number}）已有人接单，约定时间 {wanted_from}。上门时请出示开始验证码。",
        "Somebody takes your order {kind} ({number}), wanted at {wanted_from}. Show the start code when they come.",
    ),
    wechat_fields: &[("thing1", "kind"), ("character_string2", "number")],
    page: "pages/order",
};

pub const ORDER_ON_THE_WAY: Definition = Definition {
    policy: Policy::NowOrNever,
    late: Some("wanted_until"),
    by_person: false,
    placeholders: &[("kind", Form::Text), ("number", Form::Text), ("wanted_until", Form::Time)],
    title: Text::fixed("服务人员已出发", "On the way to you"),
    text: Text::fixed(
        "您的“{kind}”订单（{number}）服务人员已出发，预计 {wanted_until} 前到达。",
        "Whoever takes your order {kind} ({number}) is on the way and should be there before {wanted_until}.",
    ),
    wechat_fields: &[("thing1", "kind"), ("character_string2", "number")],
    page: "pages/order",
};

pub const ORDER_RETURNED: Definition = Definition {
    policy: Policy::AtOnce,
    late: None,
    by_person: true,
    placeholders: &[("kind", Form::Text), ("number", Form::Text)],
    title: Text::fixed("正在重新安排", "Somebody else is looked for"),
    text: Text::fixed(
        "您的“{kind}”订单（{number}）原服务人员不能前来，正在重新安排。",
        "Whoever took your order {kind} ({number}) cannot come; somebody else is looked for.",
    ),
    wechat_fields: &[("thing1", "kind"), ("character_string2", "number")],
    page: "pages/order",
};

pub const ORDER_FINISHED: Definition = Definition {
    policy: Policy::Hold,
    late: None,
    by_person: false,
    placeholders: &[("kind", Form::Text), ("number", Form::Text)],
    title: Text::fixed("服务已完成，请确认", "Done: please confirm"),
    text: Text::fixed(
        "您的“{kind}”订单（{number}）已完成，请在小程序确认；如有问题可提出异议。",
        "Your order {kind} ({number}) is done. Please confirm it in the mini-program, or say what is wrong.",
    ),
    wechat_fields: &[("thing1", "kind"), ("character_string2", "number")],
    page: "pages/order",
};

pub const ORDER_CANCELLED: Definition = Definition {
    policy: Policy::AtOnce,
    late: None,
    by_person: true,
    placeholders: &[("kind", Form::Text), ("number", Form::Text)],
    title: Text::fixed("订单已取消", "Order cancelled"),
    text: Text::fixed("您的“{kind}”订单（{number}）已取消。", "Your order {kind} ({number}) is cancelled."),
    wechat_fields: &[("thing1", "kind"), ("character_string2", "number")],
    page: "pages/order",
};

pub const ORDER_SETTLED: Definition = Definition {
    policy: Policy::Hold,
    late: None,
    by_person: true,
    placeholders: &[("kind", Form::Text), ("number", Form::Text)],
    title: Text::fixed("争议已处理", "The dispute is settled"),
    text: Text::fixed(
        "“{kind}”订单（{number}）的争议已由乡镇处理，结果请在小程序查看。",
        "The township has settled the dispute about the order {kind} ({number}). See the result in the mini-program.",
    ),
    wechat_fields: &[("thing1", "kind"), ("character_string2", "number")],
    page: "pages/order",
};

pub const ORDER_EXPIRED: Definition = Definition {
    policy: Policy::Hold,
    late: None,
    by_person: true,
    placeholders: &[("kind", Form::Text), ("number", Form::Text), ("unit", Form::Text)],
    title: Text::fixed("暂时无人接单", "Nobody took your order yet"),
    text: Text::fixed(
        "您的“{kind}”订单（{number}）在约定时间内无人接单，已转乡镇安排，工作人员会联系您。",
        "Nobody took your order {kind} ({number}) in its time. The township looks for somebody, and will call you.",
    ),
    wechat_fields: &[("thing1", "kind"), ("character_string2", "number")],
    page: "pages/order",
};

pub const ORDER_ASSIGNED: Definition = Definition {
    policy: Policy::AtOnce,
    late: None,
    by_person: false,
    placeholders: &[("kind", Form::Text), ("number", Form::Text), ("unit", Form::Text), ("wanted_from", Form::Time)],
    title: Text::fixed("您有新的派单", "An order is assigned to you"),
    text: Text::fixed(
        "“{kind}”订单（{number}，{unit}）已派给您，约定时间 {wanted_from}，请按时出发；不能前往请及时退单。",
        "The order {kind} ({number}, {unit}) is assigned to you, wanted at {wanted_from}. Give it back in time if you cannot go.",
    ),
    wechat_fields: &[("thing1", "kind"), ("character_string2", "number")],
    page: "pages/order",
};

pub const ORDER_LOST: Definition = Definition {
    policy: Policy::AtOnce,
    late: None,
    by_person: false,
    placeholders: &[("kind", Form::Text), ("number", Form::Text)],
    title: Text::fixed("订单已收回", "An order was taken back"),
    text: Text::fixed(
        "“{kind}”订单（{number}）已收回，请勿前往。",
        "The order {kind} ({number}) was taken back. Please do not go.",
    ),
    wechat_fields: &[("thing1", "kind"), ("character_string2", "number")],
    page: "pages/order",
};

pub const ORDER_CANCELLED_FOR_HELPER: Definition = Definition {
    policy: Policy::AtOnce,
    late: None,
    by_person: false,
    placeholders: &[("kind", Form::Text), ("number", Form::Text)],
    title: Text::fixed("订单已取消", "An order was cancelled"),
    text: Text::fixed(
        "您接的“{kind}”订单（{number}）已取消，请勿前往。",
        "The order {kind} ({number}) that you took is cancelled. Please do not go.",
    ),
    wechat_fields: &[("thing1", "kind"), ("character_string2", "number")],
    page: "pages/order",
};
