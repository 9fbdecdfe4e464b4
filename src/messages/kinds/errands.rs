//! What people are told of errands.

use super::super::model::{Definition, Form, Policy};
use crate::error::Text;

pub const ERRAND_ACCEPTED: Definition = Definition {
    policy: Policy::Hold,
    late: None,
    by_person: true,
    placeholders: &[("matter", Form::Text), ("number", Form::Text), ("unit", Form::Text), ("due_on", Form::Text)],
    title: Text::fixed("代办件已受理", "Your errand is accepted"),
    text: Text::fixed(
        "您委托{unit}代办的“{matter}”已受理，受理编号 {number}，应于 {due_on} 前办结。",
        "Your errand {matter} (number {number}, {unit}) is accepted and due by {due_on}.",
    ),
    wechat_fields: &[("thing1", "matter"), ("character_string2", "number"), ("thing3", "due_on")],
    page: "pages/errand",
};

pub const ERRAND_SUPPLEMENT: Definition = Definition {
    policy: Policy::Hold,
    late: None,
    by_person: true,
    placeholders: &[("matter", Form::Text), ("number", Form::Text), ("unit", Form::Text)],
    title: Text::fixed("代办件需补正材料", "Something is missing"),
    text: Text::fixed(
        "您的代办件“{matter}”（{number}）需要补正材料，请在小程序查看清单，或联系{unit}代办员。补正期间不计入办理时限。",
        "Something is missing for your errand {matter} ({number}). See the list in the mini-program, or ask the agent of {unit}. The limit stands still meanwhile.",
    ),
    wechat_fields: &[("thing1", "matter"), ("character_string2", "number")],
    page: "pages/errand",
};

pub const ERRAND_NOT_ACCEPTED: Definition = Definition {
    policy: Policy::Hold,
    late: None,
    by_person: true,
    placeholders: &[("matter", Form::Text), ("number", Form::Text), ("unit", Form::Text)],
    title: Text::fixed("代办件不予受理", "Your errand is not accepted"),
    text: Text::fixed(
        "您的代办件“{matter}”（{number}）不予受理，理由请在小程序查看，或联系{unit}代办员。",
        "Your errand {matter} ({number}) is not accepted. See the reason in the mini-program, or ask the agent of {unit}.",
    ),
    wechat_fields: &[("thing1", "matter"), ("character_string2", "number")],
    page: "pages/errand",
};

pub const ERRAND_EXTENDED: Definition = Definition {
    policy: Policy::Hold,
    late: None,
    by_person: true,
    placeholders: &[("matter", Form::Text), ("number", Form::Text), ("unit", Form::Text), ("due_on", Form::Text)],
    title: Text::fixed("代办件延期办理", "Your errand takes longer"),
    text: Text::fixed(
        "您的代办件“{matter}”（{number}）经批准延期至 {due_on} 前办结，理由请在小程序查看，或联系{unit}代办员。",
        "The limit of your errand {matter} ({number}) is extended to {due_on}. See the reason in the mini-program, or ask the agent of {unit}.",
    ),
    wechat_fields: &[("thing1", "matter"), ("character_string2", "number"), ("thing3", "due_on")],
    page: "pages/errand",
};

pub const ERRAND_DECIDED: Definition = Definition {
    policy: Policy::Hold,
    late: None,
    by_person: true,
    placeholders: &[("matter", Form::Text), ("number", Form::Text), ("unit", Form::Text)],
    title: Text::fixed("代办件已办结", "Your errand is decided"),
    text: Text::fixed(
        "您的代办件“{matter}”（{number}）已有办理结果，请在小程序查看，或联系{unit}代办员。",
        "Your errand {matter} ({number}) is decided. See the result in the mini-program, or ask the agent of {unit}.",
    ),
    wechat_fields: &[("thing1", "matter"), ("character_string2", "number")],
    page: "pages/errand",
};

pub const ERRAND_DELIVERED: Definition = Definition {
    policy: Policy::Hold,
    late: None,
    by_person: false,
    placeholders: &[("matter", Form::Text), ("number", Form::Text), ("unit", Form::Text)],
    title: Text::fixed("办理结果已送达", "The result has been delivered"),
    text: Text::fixed(
        "您的代办件“{matter}”（{number}）的办理结果已登记送达，请在小程序签收；如未收到，请联系{unit}代办员。",
        "The result of your errand {matter} ({number}) is recorded as delivered. Please acknowledge it in the mini-program; if you do not have it, ask the agent of {unit}.",
    ),
    wechat_fields: &[("thing1", "matter"), ("character_string2", "number")],
    page: "pages/errand",
};

pub const ERRAND_LAPSED: Definition = Definition {
    policy: Policy::Hold,
    late: None,
    by_person: true,
    placeholders: &[("matter", Form::Text), ("number", Form::Text), ("unit", Form::Text)],
    title: Text::fixed("代办件逾期未补正", "Your errand has ended without what was missing"),
    text: Text::fixed(
        "您的代办件“{matter}”（{number}）逾期未补正材料，已按撤回处理。材料备齐后可随时重新提交，或联系{unit}代办员。",
        "What was missing for your errand {matter} ({number}) did not come in time, and it counts as withdrawn. You may file it again at any time, or ask the agent of {unit}.",
    ),
    wechat_fields: &[("thing1", "matter"), ("character_string2", "number")],
    page: "pages/errand",
};
