//! What people are told of appointments: booked, moved, cancelled, reminded of, a place that has become free, a number that is called.

use super::super::model::{Definition, Form, Policy};
use crate::error::Text;

/// What is said of an appointment.
const APPOINTMENT: &[(&str, Form)] = &[
    ("matter", Form::Text),
    ("unit", Form::Text),
    ("window", Form::Text),
    ("starts_at", Form::Time),
    ("place", Form::Place),
];

/// The fields of WeChat for it.
const APPOINTMENT_FIELDS: &[(&str, &str)] = &[("thing1", "matter"), ("thing2", "unit"), ("time3", "starts_at")];

/// What is said of an appointment that is cancelled.
const CANCELLED: &[(&str, Form)] = &[
    ("matter", Form::Text),
    ("unit", Form::Text),
    ("window", Form::Text),
    ("starts_at", Form::Time),
    ("place", Form::Place),
    ("reason", Form::Reason),
];

pub const APPOINTMENT_BOOKED: Definition = Definition {
    policy: Policy::AtOnce,
    late: Some("starts_at"),
    by_person: true,
    placeholders: APPOINTMENT,
    title: Text::fixed("预约成功", "Appointment booked"),
    text: Text::fixed(
        "您已预约 {starts_at} 在{unit}党群服务中心（{window}）办理“{matter}”。",
        "You are booked for {matter} at the service centre of {unit} ({window}), {starts_at}.",
    ),
    wechat_fields: &[("thing1", "matter"), ("thing2", "unit"), ("time3", "starts_at")],
    page: "pages/appointment",
};

pub const PROXY_BOOKED: Definition = Definition {
    policy: Policy::AtOnce,
    late: Some("starts_at"),
    by_person: true,
    placeholders: APPOINTMENT,
    title: Text::fixed("代约成功", "Booked for somebody else"),
    text: Text::fixed(
        "您已为授权您的居民预约 {starts_at} 在{unit}党群服务中心（{window}）办理“{matter}”。",
        "You have booked {matter} at the service centre of {unit} ({window}), {starts_at}, for the resident who lets you act.",
    ),
    wechat_fields: &[("thing1", "matter"), ("thing2", "unit"), ("time3", "starts_at")],
    page: "pages/appointment",
};

pub const APPOINTMENT_CHANGED: Definition = Definition {
    policy: Policy::AtOnce,
    late: Some("starts_at"),
    by_person: true,
    placeholders: APPOINTMENT,
    title: Text::fixed("预约已改期", "Appointment moved"),
    text: Text::fixed(
        "“{matter}”的预约已改为 {starts_at}，{unit}党群服务中心（{window}），方式：{place}。",
        "The appointment for {matter} is now on {starts_at}, service centre of {unit} ({window}), {place}.",
    ),
    wechat_fields: APPOINTMENT_FIELDS,
    page: "pages/appointment",
};

pub const APPOINTMENT_CANCELLED: Definition = Definition {
    policy: Policy::AtOnce,
    late: Some("starts_at"),
    by_person: true,
    placeholders: CANCELLED,
    title: Text::fixed("预约已取消", "Appointment cancelled"),
    text: Text::fixed(
        "{starts_at} 在{unit}党群服务中心（{window}）办理“{matter}”的预约已取消，请勿前往。{reason}",
        "The appointment for {matter} at the service centre of {unit} ({window}), {starts_at}, is cancelled. Please do not come.{reason}",
    ),
    wechat_fields: &[("thing1", "matter"), ("thing2", "unit"), ("time3", "starts_at"), ("thing4", "reason")],
    page: "pages/appointment",
};

pub const APPOINTMENT_TOMORROW: Definition = Definition {
    policy: Policy::DropIfLate,
    late: Some("starts_at"),
    by_person: true,
    placeholders: APPOINTMENT,
    title: Text::fixed("预约提醒", "Reminder of an appointment"),
    text: Text::fixed(
        "提醒：{starts_at} 在{unit}党群服务中心（{window}）办理“{matter}”，方式：{place}。如不能前往，请及时取消。",
        "Reminder: {matter} at the service centre of {unit} ({window}), {starts_at}, {place}. Please cancel in time if it does not suit.",
    ),
    wechat_fields: APPOINTMENT_FIELDS,
    page: "pages/appointment",
};

pub const APPOINTMENT_SOON: Definition = Definition {
    policy: Policy::DropIfLate,
    late: Some("starts_at"),
    by_person: false,
    placeholders: APPOINTMENT,
    title: Text::fixed("预约即将开始", "Appointment within the hour"),
    text: Text::fixed(
        "提醒：“{matter}”的预约将于 {starts_at} 在{unit}党群服务中心（{window}）开始，方式：{place}。",
        "Reminder: the appointment for {matter} begins at {starts_at}, service centre of {unit} ({window}), {place}.",
    ),
    wechat_fields: APPOINTMENT_FIELDS,
    page: "pages/appointment",
};

pub const PLACE_OFFERED: Definition = Definition {
    policy: Policy::DropIfLate,
    late: Some("offered_until"),
    by_person: true,
    placeholders: &[
        ("matter", Form::Text),
        ("unit", Form::Text),
        ("window", Form::Text),
        ("starts_at", Form::Time),
        ("place", Form::Place),
        ("offered_until", Form::Time),
    ],
    title: Text::fixed("候补到号，请确认", "A place has become free"),
    text: Text::fixed(
        "候补的“{matter}”有空位：{starts_at}，{unit}党群服务中心（{window}），方式：{place}。请在 {offered_until} 前确认，逾期将让给下一位。",
        "A place for {matter} has become free: {starts_at}, service centre of {unit} ({window}), {place}. Take it by {offered_until}; then it goes to the next in line.",
    ),
    wechat_fields: &[("thing1", "matter"), ("thing2", "unit"), ("time3", "starts_at"), ("time4", "offered_until")],
    page: "pages/appointment",
};

pub const TICKET_CALLED: Definition = Definition {
    policy: Policy::NowOrNever,
    late: Some("called_until"),
    by_person: false,
    placeholders: &[
        ("ticket", Form::Text),
        ("window", Form::Text),
        ("matter", Form::Text),
        ("unit", Form::Text),
        ("called_until", Form::Time),
    ],
    title: Text::fixed("请到窗口办理", "Please come to the window"),
    text: Text::fixed(
        "请 {ticket} 号到{unit}党群服务中心{window}办理“{matter}”。",
        "Number {ticket}, please come to {window} at the service centre of {unit} for {matter}.",
    ),
    wechat_fields: &[("character_string1", "ticket"), ("thing2", "window"), ("thing3", "matter")],
    page: "pages/appointment",
};
