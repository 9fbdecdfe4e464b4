//! The table of kinds: what each message says, when it may go out, where a tap on it leads.

use super::model::{Definition, Form, Policy};
use crate::{error::Text, text_enum};

macro_rules! kinds {
    ($($(#[$meta:meta])* $name:ident = $code:tt: $definition:expr;)*) => {
        text_enum! {
            /// What a message is about.
            pub enum Kind { $($(#[$meta])* $name = $code),* }
        }

        impl Kind {
            /// The kind's row.
            pub fn definition(self) -> &'static Definition {
                match self { $(Self::$name => { const ROW: &Definition = &$definition; ROW }),* }
            }
        }
    };
}

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

// A new kind is a new row: nothing else knows kinds by name.
kinds! {
    /// 预约成功: the answer to what somebody has just done, so it goes at any hour.
    AppointmentBooked = "appointment_booked": Definition {
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
    /// 信息副本已备好: a copy of one's data can be fetched; worth nothing once it has expired.
    ExportReady = "export_ready": Definition {
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
    /// 代办授权生效: the resident is told who-may-act has begun, also when somebody else wrote it down; nobody is woken for it.
    ProxyAccepted = "proxy_accepted": Definition {
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
    /// 代约成功: the answer to a relative or carer who has booked for somebody, who is told as for every booking.
    ProxyBooked = "proxy_booked": Definition {
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
    /// 预约改期: told at any hour, or somebody finds a locked door. Like the following it also goes to the relative who booked, so
    /// its words say neither who it is for nor who did it.
    AppointmentChanged = "appointment_changed": Definition {
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
    /// 预约取消: with the reason, if the staff gave one; what residents say of their own is not repeated to the relative.
    AppointmentCancelled = "appointment_cancelled": Definition {
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
    /// 提前一天提醒
    AppointmentTomorrow = "appointment_tomorrow": Definition {
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
    /// 提前一小时提醒: nobody can bring a slip in an hour.
    AppointmentSoon = "appointment_soon": Definition {
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
    /// 候补到号: a place is kept until the offer ends; its minutes count by day only.
    PlaceOffered = "place_offered": Definition {
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
    /// 受理通知: the limit runs from here.
    ErrandAccepted = "errand_accepted": Definition {
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
    /// 补正通知: everything that is missing stands in the errand (一次性告知).
    ErrandSupplement = "errand_supplement": Definition {
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
    /// 不予受理通知: the reason stands in the errand.
    ErrandNotAccepted = "errand_not_accepted": Definition {
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
    /// 延期告知: with its reason in the errand.
    ErrandExtended = "errand_extended": Definition {
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
    /// 办结通知: the result stands in the errand.
    ErrandDecided = "errand_decided": Definition {
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
    /// 送达通知: whoever did not get it says so.
    ErrandDelivered = "errand_delivered": Definition {
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
    /// 逾期未补正: it ended, and may be filed again.
    ErrandLapsed = "errand_lapsed": Definition {
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
    /// 申请通过: which skills and units stands in the mini-program.
    HelperApproved = "helper_approved": Definition {
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
    /// 申请未通过: the reason stands in the mini-program.
    HelperRefused = "helper_refused": Definition {
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
    /// 停止服务: the reason stands in the mini-program.
    HelperStopped = "helper_stopped": Definition {
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
    /// 恢复服务
    HelperResumed = "helper_resumed": Definition {
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
    /// 有人接单: somebody comes; at any hour, because somebody waits.
    OrderClaimed = "order_claimed": Definition {
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
    /// 已出发: worth nothing once its time is over.
    OrderOnTheWay = "order_on_the_way": Definition {
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
    /// 重新派单: nobody comes yet.
    OrderReturned = "order_returned": Definition {
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
    /// 请确认: silence is not taken for content.
    OrderFinished = "order_finished": Definition {
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
    /// 订单取消
    OrderCancelled = "order_cancelled": Definition {
        policy: Policy::AtOnce,
        late: None,
        by_person: true,
        placeholders: &[("kind", Form::Text), ("number", Form::Text)],
        title: Text::fixed("订单已取消", "Order cancelled"),
        text: Text::fixed(
            "您的“{kind}”订单（{number}）已取消。",
            "Your order {kind} ({number}) is cancelled.",
        ),
        wechat_fields: &[("thing1", "kind"), ("character_string2", "number")],
        page: "pages/order",
    };
    /// 争议已处理: to both sides.
    OrderSettled = "order_settled": Definition {
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
    /// 无人接单: the township looks for somebody.
    OrderExpired = "order_expired": Definition {
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
    /// 派单: to a helper who is a resident.
    OrderAssigned = "order_assigned": Definition {
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
    /// 订单收回: the lease has ended, or a dispatcher decided otherwise.
    OrderLost = "order_lost": Definition {
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
    /// 订单取消: whoever held it need not go.
    OrderCancelledForHelper = "order_cancelled_for_helper": Definition {
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
    /// 叫号: somebody stands in the hall, or should.
    TicketCalled = "ticket_called": Definition {
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
}
