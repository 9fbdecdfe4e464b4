//! The table of kinds; what each message says, when it may go out and where a tap on it leads stands in one file per topic.

mod appointments;
mod errands;
mod helpers;
mod orders;
mod ratings;
mod residents;

use super::model::Definition;
use crate::text_enum;

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

// A new kind is a new row: nothing else knows kinds by name.
kinds! {
    /// 预约成功: the answer to what somebody has just done, so it goes at any hour.
    AppointmentBooked = "appointment_booked": appointments::APPOINTMENT_BOOKED;
    /// 信息副本已备好: a copy of one's data can be fetched; worth nothing once it has expired.
    ExportReady = "export_ready": residents::EXPORT_READY;
    /// 代办授权生效: the resident is told who-may-act has begun, also when somebody else wrote it down; nobody is woken for it.
    ProxyAccepted = "proxy_accepted": residents::PROXY_ACCEPTED;
    /// 代约成功: the answer to a relative or carer who has booked for somebody, who is told as for every booking.
    ProxyBooked = "proxy_booked": appointments::PROXY_BOOKED;
    /// 预约改期: told at any hour, or somebody finds a locked door. Like the following it also goes to the relative who booked, so
    /// its words say neither who it is for nor who did it.
    AppointmentChanged = "appointment_changed": appointments::APPOINTMENT_CHANGED;
    /// 预约取消: with the reason, if the staff gave one; what residents say of their own is not repeated to the relative.
    AppointmentCancelled = "appointment_cancelled": appointments::APPOINTMENT_CANCELLED;
    /// 提前一天提醒
    AppointmentTomorrow = "appointment_tomorrow": appointments::APPOINTMENT_TOMORROW;
    /// 提前一小时提醒: nobody can bring a slip in an hour.
    AppointmentSoon = "appointment_soon": appointments::APPOINTMENT_SOON;
    /// 候补到号: a place is kept until the offer ends; its minutes count by day only.
    PlaceOffered = "place_offered": appointments::PLACE_OFFERED;
    /// 受理通知: the limit runs from here.
    ErrandAccepted = "errand_accepted": errands::ERRAND_ACCEPTED;
    /// 补正通知: everything that is missing stands in the errand (一次性告知).
    ErrandSupplement = "errand_supplement": errands::ERRAND_SUPPLEMENT;
    /// 不予受理通知: the reason stands in the errand.
    ErrandNotAccepted = "errand_not_accepted": errands::ERRAND_NOT_ACCEPTED;
    /// 延期告知: with its reason in the errand.
    ErrandExtended = "errand_extended": errands::ERRAND_EXTENDED;
    /// 办结通知: the result stands in the errand.
    ErrandDecided = "errand_decided": errands::ERRAND_DECIDED;
    /// 送达通知: whoever did not get it says so.
    ErrandDelivered = "errand_delivered": errands::ERRAND_DELIVERED;
    /// 逾期未补正: it ended, and may be filed again.
    ErrandLapsed = "errand_lapsed": errands::ERRAND_LAPSED;
    /// 申请通过: which skills and units stands in the mini-program.
    HelperApproved = "helper_approved": helpers::HELPER_APPROVED;
    /// 申请未通过: the reason stands in the mini-program.
    HelperRefused = "helper_refused": helpers::HELPER_REFUSED;
    /// 停止服务: the reason stands in the mini-program.
    HelperStopped = "helper_stopped": helpers::HELPER_STOPPED;
    /// 恢复服务
    HelperResumed = "helper_resumed": helpers::HELPER_RESUMED;
    /// 有人接单: somebody comes; at any hour, because somebody waits.
    OrderClaimed = "order_claimed": orders::ORDER_CLAIMED;
    /// 已出发: worth nothing once its time is over.
    OrderOnTheWay = "order_on_the_way": orders::ORDER_ON_THE_WAY;
    /// 重新派单: nobody comes yet.
    OrderReturned = "order_returned": orders::ORDER_RETURNED;
    /// 请确认: silence is not taken for content.
    OrderFinished = "order_finished": orders::ORDER_FINISHED;
    /// 订单取消
    OrderCancelled = "order_cancelled": orders::ORDER_CANCELLED;
    /// 争议已处理: to both sides.
    OrderSettled = "order_settled": orders::ORDER_SETTLED;
    /// 无人接单: the township looks for somebody.
    OrderExpired = "order_expired": orders::ORDER_EXPIRED;
    /// 派单: to a helper who is a resident.
    OrderAssigned = "order_assigned": orders::ORDER_ASSIGNED;
    /// 订单收回: the lease has ended, or a dispatcher decided otherwise.
    OrderLost = "order_lost": orders::ORDER_LOST;
    /// 订单取消: whoever held it need not go.
    OrderCancelledForHelper = "order_cancelled_for_helper": orders::ORDER_CANCELLED_FOR_HELPER;
    /// 请评价: the morning after, once for everything of a day; names neither what it was nor who served.
    PleaseRate = "please_rate": ratings::PLEASE_RATE;
    /// 叫号: somebody stands in the hall, or should.
    TicketCalled = "ticket_called": appointments::TICKET_CALLED;
}
