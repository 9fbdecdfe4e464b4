//! The one table of errors: from code to status and title; and the database constraints that stand for one.

use actix_web::http::StatusCode;

use super::Text;

macro_rules! codes {
    ($($name:ident $status:literal $code:literal $zh:literal $en:literal;)*) => {
        /// A kind of error. The code never changes with language or version.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code { $($name),* }

        impl Code {
            /// All codes, for the document and its test.
            pub const ALL: &[Code] = &[$(Code::$name),*];

            const fn row(self) -> (u16, &'static str, Text) {
                match self { $(Code::$name => ($status, $code, Text::fixed($zh, $en))),* }
            }
        }
    };
}

codes! {
    MalformedJson 400 "malformed_json" "请求体不是合法的 JSON" "The body is not JSON";
    MalformedHeader 400 "malformed_header" "请求头格式不正确" "A header is malformed";
    MalformedRequest 400 "malformed_request" "请求格式不正确" "The request is malformed";
    IdempotencyKeyMissing 400 "idempotency_key_missing" "缺少 Idempotency-Key 请求头" "The Idempotency-Key header is missing";
    Unauthenticated 401 "unauthenticated" "请先登录" "Log in first";
    TokenExpired 401 "token_expired" "登录凭证已过期，请刷新" "The access token has expired; refresh it";
    SessionEnded 401 "session_ended" "登录已失效，请重新登录" "The session has ended; log in again";
    LoginFailed 401 "login_failed" "用户名、密码或岗位不正确" "User name, password or post is wrong";
    WechatCodeRefused 401 "wechat_code_refused" "微信登录凭证无效或已使用" "WeChat refused the code: invalid, expired or used";
    TotpRequired 401 "totp_required" "请输入动态验证码" "A one-time code is needed";
    WechatNotBound 401 "wechat_not_bound" "该微信号未绑定工作人员账号" "This WeChat account is not bound to a staff account";
    BindCodeRefused 401 "bind_code_refused" "绑定码无效、已使用或已过期" "The binding code is wrong, used or expired";
    PasswordChangeRequired 403 "password_change_required" "请设置新密码后登录" "Log in with a new password";
    AccountDisabled 403 "account_disabled" "账号已停用，请联系县管理员" "The account is disabled; ask an administrator of the county";
    TotpEnrolmentRequired 403 "totp_enrolment_required" "请先启用动态验证码" "Set up one-time codes first";
    Forbidden 403 "forbidden" "没有进行此操作的权限" "You may not do this";
    IdentityNeeded 403 "identity_needed" "需要先核验身份" "The identity must be surer than it is";
    NotFound 404 "not_found" "不存在，或不在您可见的范围内" "It does not exist, or you may not see it";
    MatterUnversioned 404 "matter_unversioned" "该事项尚无生效的办事指南" "No version of the matter is in effect";
    RouteNotFound 404 "route_not_found" "没有这个接口" "There is no such endpoint";
    MethodNotAllowed 405 "method_not_allowed" "该接口不支持此请求方法" "The endpoint does not take this method";
    IdempotencyInProgress 409 "idempotency_in_progress" "同一请求正在处理，请稍后用同一个键重试" "The same request is still running; repeat it with the same key";
    SlotFull 409 "slot_full" "该时段已约满" "The slot is full";
    SlotWaitedFor 409 "slot_waited_for" "该时段有人候补，空出的名额先给候补的人" "Others wait for this slot; what becomes free is theirs first";
    AlreadyBooked 409 "already_booked" "该事项当天已有预约" "There is already a booking of this matter on that day";
    BookingPaused 409 "booking_paused" "爽约次数过多，在线预约已暂停" "Online booking is paused after too many no-shows";
    HoldExpired 409 "hold_expired" "保留的名额已过期，请重新选择" "The place was held no longer; choose again";
    NotBooked 409 "not_booked" "该预约的状态不允许此操作" "The appointment is not in a state for this";
    NoSpecialist 409 "no_specialist" "该事项由住村特派员办理，但该居民所在村暂无特派员窗口" "Only the resident's own specialist does this, and there is none for where they live";
    PlaceFree 409 "place_free" "该时段尚有名额，请直接预约" "There is a free place: book it";
    AlreadyWaiting 409 "already_waiting" "该事项当天已在候补" "There is already an entry on the waiting list for this matter and day";
    NotWaiting 409 "not_waiting" "该候补已结束" "The entry of the waiting list has ended";
    AlreadyCancelled 409 "already_cancelled" "预约已取消" "The appointment is already cancelled";
    CancelTooLate 409 "cancel_too_late" "距离开始时间太近，不能在线取消" "It is too late to cancel online";
    ResidentExists 409 "resident_exists" "该居民已登记" "This resident is already registered";
    IdentityChecked 409 "identity_checked" "身份已经工作人员核验，请到窗口更正" "An officer has checked this identity; have it corrected at the desk";
    NameTaken 409 "name_taken" "名称已被使用" "The name is taken";
    MergeContradicts 409 "merge_contradicts" "两份档案相互矛盾，不能合并" "The two records contradict each other and cannot be merged";
    AlreadyClaimed 409 "already_claimed" "该档案已绑定微信" "The record already has a WeChat account";
    ClaimNotProved 409 "claim_not_proved" "姓名、身份证号与已验证的手机号不符合同一份已核验的档案" "Name, ID number and the proved phone are not those of one checked record";
    ProxyExists 409 "proxy_exists" "此人已获授权" "This person may already act for the resident";
    ProxyLimit 409 "proxy_limit" "授权人数已达上限" "The resident lets as many people act as is possible";
    ProxyNotInvited 409 "proxy_not_invited" "邀请已被接受、已过期或已终止" "The invitation has been accepted, has run out or has ended";
    ProxyEnded 409 "proxy_ended" "授权已终止" "It has already ended";
    TodoNotWaiting 409 "todo_not_waiting" "该待办已完成" "The todo is already done";
    TodoNotHeld 409 "todo_not_held" "该待办由他人办理" "Somebody else holds the todo";
    DeputyCircle 409 "deputy_circle" "代理关系成环" "The deputies would go in a circle";
    AlreadyDismissed 409 "already_dismissed" "该人员已离职" "This member of staff is already dismissed";
    StaffNotActive 409 "staff_not_active" "该人员已停用或离职" "This member of staff is disabled or dismissed";
    StaffActive 409 "staff_active" "该账号未停用" "The account is not disabled";
    LastAdministrator 409 "last_administrator" "至少须保留一名可登录的县管理员" "The county would be left without an administrator";
    OwnAccount 409 "own_account" "不能重置自己的密码，请用 /v1/account/password 修改" "Nobody can reset their own password; change it with /v1/account/password";
    StillHolds 409 "still_holds" "名下仍有未交接的事项" "They still hold things; name somebody who takes them over";
    PostHeld 409 "post_held" "该人员已任此岗位" "They hold this post already";
    PostEnded 409 "post_ended" "该任职已结束" "The post has ended";
    AbsenceOverlaps 409 "absence_overlaps" "与已登记的请假时间重叠" "Another absence falls on these days";
    AbsenceOver 409 "absence_over" "请假已取消或已结束" "The absence is cancelled or over";
    TotpEnrolled 409 "totp_enrolled" "动态验证码已启用，请管理员重置" "One-time codes are set up already; an administrator can reset them";
    WechatBound 409 "wechat_bound" "微信号或账号已绑定，请先解绑" "The WeChat account or the staff account is bound already; unbind it first";
    JobNotDead 409 "job_not_dead" "该任务不在失败列表中" "The job is not among the failed ones";
    ConsentRequired 403 "consent_required" "需要本人先同意" "The person's consent is needed first";
    ConsentTextChanged 409 "consent_text_changed" "同意文本已更新，请重新阅读" "The text has changed; read it again";
    ConsentNotGiven 409 "consent_not_given" "没有可撤回的同意" "There is no consent to withdraw";
    RequestExists 409 "request_exists" "同类申请正在处理" "Such a request is already waiting";
    RequestNotOpen 409 "request_not_open" "该申请不需要或不再需要决定" "The request has nothing, or nothing any more, to decide";
    RecordClosed 409 "record_closed" "该档案已注销" "The record is closed";
    ExportNotReady 409 "export_not_ready" "副本还没有准备好" "The copy is not ready";
    ArchiveForResident 409 "archive_for_resident" "请由居民本人在小程序中获取" "The resident fetches it with their own phone";
    ExportExpired 410 "export_expired" "副本已过期，请重新申请" "The copy has expired; ask for a new one";
    BookingsAffected 409 "bookings_affected" "有预约受影响，请先决定如何处理" "Bookings are affected: say what becomes of them";
    RulesOverlap 422 "rules_overlap" "开放时间重叠" "These hours are open already";
    DayOver 422 "day_over" "过去的日期不能更改" "Days that are over cannot be changed";
    CountySuspended 403 "county_suspended" "该县的服务已暂停" "The county's service is suspended";
    WechatAppidTaken 409 "wechat_appid_taken" "该小程序已属于其他县" "The mini-program belongs to another county";
    SettingsConflict 409 "settings_conflict" "与其他设置不能同时成立" "It cannot hold together with other settings";
    NobodyArrives 404 "nobody_arrives" "今天在本中心没有对应的预约" "Nobody with this code or phone has an appointment here today";
    ArrivalAmbiguous 409 "arrival_ambiguous" "今天有多个预约，请从列表中选择" "There are several appointments today; pick one from the list";
    ArrivalElsewhere 409 "arrival_elsewhere" "该预约在其他中心" "The appointment is at another centre";
    ArrivalTooEarly 409 "arrival_too_early" "还没到签到时间" "It is too early to arrive";
    CannotArrive 409 "cannot_arrive" "该预约现在不能签到" "The appointment is not in a state to arrive for";
    CodeOfAnother 409 "code_of_another" "取号码不属于该预约" "The code is that of another appointment, or of none";
    NotAtCentre 409 "not_at_centre" "该预约不在中心办理，无需取号" "It does not take place at the centre; there is no line for it";
    NotToday 409 "not_today" "该预约不是今天" "The appointment is not today";
    NobodyWaits 409 "nobody_waits" "没有等候的人" "Nobody waits whom this window serves";
    WindowPaused 409 "window_paused" "窗口已暂停办理" "The window is paused";
    WindowClosed 409 "window_closed" "窗口已关闭" "The window is closed";
    WindowBusy 409 "window_busy" "窗口正在叫号或办理" "The window has somebody called or being served";
    AlreadyCalled 409 "already_called" "该号已被其他窗口叫到" "Another window has called this ticket";
    NotBegun 409 "not_begun" "预约还没有开始" "The appointment has not begun";
    NoShowTooEarly 409 "no_show_too_early" "还不能登记爽约" "It is too early to note a no-show";
    DepartmentInUse 409 "department_in_use" "该部门仍有办理的事项或在岗人员" "The department still decides matters, or somebody has a post there";
    ErrandState 409 "errand_state" "代办件当前状态不允许此操作" "The errand is not in a state for this";
    NotHolder 409 "not_holder" "该代办件由他人负责" "Somebody else answers for the errand";
    MandateEnded 409 "mandate_ended" "居民的委托已撤销或到期，不能继续办理；请重新取得委托或转交" "The resident's mandate was revoked or has run out; get a new one, or hand the errand on";
    MandateRevoked 409 "mandate_revoked" "该委托已撤销" "The mandate is already revoked";
    ApprovalNeeded 403 "approval_needed" "须由乡镇批准" "The township has to approve this";
    NotOffered 409 "not_offered" "该代办件没有转交给您" "The errand was not offered to you";
    OfferWaits 409 "offer_waits" "已转交他人，等待对方接收" "It has been offered to somebody who has not answered yet";
    DecidedElsewhere 409 "decided_elsewhere" "该事项不在此决定" "This is not decided here";
    OriginalsOut 409 "originals_out" "尚有原件未归还" "Originals have not been returned";
    OriginalState 409 "original_state" "原件当前状态不允许此操作" "The original is not in a state for this";
    NotInHand 409 "not_in_hand" "该原件不在您手中" "Somebody else has the original";
    NotPassed 409 "not_passed" "该原件没有交给您" "The original was not handed to you";
    TripState 409 "trip_state" "该行程当前状态不允许此操作" "The trip is not in a state for this";
    NotAgent 409 "not_agent" "该行程由他人负责" "Somebody else makes the trip";
    OnAnotherTrip 409 "on_another_trip" "有代办件已列入其他行程" "One of the errands is on another trip";
    ErrandAcknowledged 409 "errand_acknowledged" "居民已签收" "The resident has acknowledged it already";
    SupplementWaits 409 "supplement_waits" "补正期限未满" "What is missing may still come";
    NotAcknowledged 409 "not_acknowledged" "居民尚未签收，暂不能归档" "The resident has not acknowledged it; it cannot be archived yet";
    CalledBack 409 "called_back" "已回访" "The resident has been called back already";
    ExtensionTooLate 409 "extension_too_late" "时限已届满，不能再延期" "The limit is over; it can no longer be extended";
    ProxyNotAllowed 409 "proxy_not_allowed" "该事项须本人提交" "Nobody else may file this matter for the resident";
    UnitUnknown 409 "unit_unknown" "居民尚未登记所在村（社区），或该处无人负责；请先登记" "Nobody knows in which village the resident lives, or nobody answers there; register it first";
    HelperState 409 "helper_state" "服务人员当前状态不允许此操作" "The helper is not in a state for this";
    AlreadyHelper 409 "already_helper" "已提交申请或已是服务人员" "There is an application already, or they help already";
    UnderAge 409 "under_age" "未满 18 周岁，不能成为服务人员" "Nobody under 18 can become a helper";
    OrderState 409 "order_state" "订单当前状态不允许此操作" "The order is not in a state for this";
    OrderTaken 409 "order_taken" "该订单已被他人接走" "Somebody else was faster";
    OrderAssigned 409 "order_assigned" "该类订单由调度员指派" "A dispatcher picks who does this";
    OrderNotHeld 409 "order_not_held" "该订单不在您手中" "You do not hold the order";
    OtherSide 409 "other_side" "须由另一方操作" "Somebody else has to do this";
    HelperUnfit 409 "helper_unfit" "不符合接单条件" "The helper does not fit";
    LoadReached 409 "load_reached" "手中的订单已达上限" "The helper holds as many orders as they can";
    NotAHelper 409 "not_a_helper" "您不是在岗的服务人员" "You are no active helper";
    TooManyReturns 409 "too_many_returns" "今日退单次数已达上限，请联系调度员处理" "You have given back as many today as is possible; ask a dispatcher";
    OrderLimit 409 "order_limit" "未完成的订单已达上限" "The resident has as many open orders as is possible";
    TooManyNotes 409 "too_many_notes" "留言已达上限，请电话联系" "There are enough notes; please call";
    OrderTooEarly 409 "order_too_early" "还未到出发时间" "It is too early to set out";
    OrderCodeWrong 409 "order_code_wrong" "验证码不正确" "The code is wrong";
    OrderCodesLocked 409 "order_codes_locked" "验证码输错次数过多，请居民或窗口重新生成" "Too many wrong codes; the resident or the desk makes new ones";
    MoneyDoesNotAddUp 409 "money_does_not_add_up" "账目不符，不能确认" "The money does not add up; it cannot be confirmed";
    MoneyNotAsked 409 "money_not_asked" "该类订单不涉及钱款" "No money passes through anybody's hands with this kind of order";
    SeriesState 409 "series_state" "周期订单当前状态不允许此操作" "The series is not in a state for this";
    MoneyLineAnswered 409 "money_line_answered" "该笔已答复" "The line has been answered already";
    VisitConflict 409 "visit_conflict" "该编号已有内容不同的走访记录" "Something else is there under the id of this visit";
    NotVisitor 409 "not_visitor" "由走访人本人操作；补正和处理版本也可由乡镇" "Whoever made the visit does this; amending and settling the township may too";
    TooManyConflicts 409 "too_many_conflicts" "该编号的不同版本过多，请使用新的编号" "There are too many versions under this id; use a new one";
    TooManyAmendments 409 "too_many_amendments" "补正已达上限，请另写民情登记" "The visit has as many amendments as is possible; write a finding instead";
    ConflictSettled 409 "conflict_settled" "该版本已处理" "This version has been settled already";
    TodoWaits 409 "todo_waits" "同类待办尚未完成" "Such a todo is waiting already";
    NotServed 409 "not_served" "服务尚未完成，不能评价" "It is not finished; there is nothing to rate yet";
    AlreadyRated 409 "already_rated" "已评价" "It has been rated already";
    RatingClosed 409 "rating_closed" "评价已超过 24 小时，不能修改" "A rating can be changed for 24 hours only";
    RatingChanges 409 "rating_changes" "评价修改次数已达上限" "It has been changed as often as is possible";
    HouseholdExists 409 "household_exists" "该户已登记" "This household is already there";
    HouseholdState 409 "household_state" "该户当前状态不允许此操作" "The household is not in a state for this";
    ImportUndone 409 "import_undone" "该次导入已撤销" "The import has been undone already";
    CodeTaken 409 "code_taken" "该户编号已使用" "Another household has this code";
    MemberElsewhere 409 "member_elsewhere" "该居民已是某户成员，请先办理迁出" "The resident belongs to a household already; end that first";
    HeadTaken 409 "head_taken" "该户已有户主" "The household has a head already";
    HasPartner 409 "has_partner" "该户在此期间已有结对干部" "The household has a partner in that time already";
    TagThere 409 "tag_there" "该户已有此标签" "The household has this tag already";
    OwnService 403 "own_service" "不能代为评价自己的服务" "Nobody rates, or writes down a rating of, what they did themselves";
    RatesOneself 409 "rates_oneself" "该居民可在小程序自行评价" "The resident can rate it in the mini-program";
    VersionStale 412 "version_stale" "数据已被他人修改，请重新读取" "Someone changed it meanwhile; read it again";
    BodyTooLarge 413 "body_too_large" "请求体过大" "The body is too large";
    UnsupportedMediaType 415 "unsupported_media_type" "请求体类型须为 application/json" "The body must be application/json";
    Invalid 422 "invalid" "请求内容有误" "The request has faults";
    IdempotencyKeyReused 422 "idempotency_key_reused" "同一个 Idempotency-Key 用于了不同的请求" "The Idempotency-Key was used with another request";
    SlotNotOffered 422 "slot_not_offered" "该时间不在可预约的时段内" "No slot is offered at that time";
    BookingWindow 422 "booking_window" "超出可预约的日期范围" "The day is outside the days that can be booked";
    PreconditionRequired 428 "precondition_required" "缺少 If-Match 请求头" "The If-Match header is missing";
    TooManyRequests 429 "too_many_requests" "请求过于频繁，请稍后再试" "Too many requests; try again later";
    LoginLocked 429 "login_locked" "登录失败次数过多，账号暂时锁定" "Too many failed logins; the account is locked for a while";
    AttachmentInUse 409 "attachment_in_use" "附件已提交，不能删除" "The attachment belongs to something; it cannot be removed";
    AttachmentNotReady 409 "attachment_not_ready" "附件尚未处理完成" "The attachment is not ready";
    TooManyUploads 409 "too_many_uploads" "尚未使用的附件过多，请先删除" "Too much has been uploaded and not used; remove some of it first";
    UploadOffset 409 "upload_offset" "Upload-Offset 与已收到的字节数不符" "Upload-Offset is not where the upload stands";
    SyncCursorGone 410 "sync_cursor_gone" "同步位置已失效，请不带 cursor 重新同步" "The cursor is not good any more; start over without one";
    LinkExpired 410 "link_expired" "链接已过期，请重新获取" "The link has expired; ask for a new one";
    UploadExpired 410 "upload_expired" "上传已过期，请重新上传" "The upload has expired; begin anew";
    TusVersion 412 "tus_version" "Tus-Resumable 须为 1.0.0" "Tus-Resumable must be 1.0.0";
    UploadMediaType 415 "upload_media_type" "上传请求的 Content-Type 不正确" "The Content-Type of the upload is not the one expected";
    RangeNotSatisfiable 416 "range_not_satisfiable" "请求的范围超出文件" "The range lies outside the file";
    UploadLocked 423 "upload_locked" "另一个请求正在续传" "Another request has taken over this upload";
    ChecksumMismatch 460 "checksum_mismatch" "校验和不符，请重传这一段" "The checksum does not fit; send this part again";
    Internal 500 "internal" "服务器内部错误，已记录" "Something broke on our side; it has been logged";
    Unavailable 503 "unavailable" "服务暂时不可用，未做任何更改" "The service is away for a moment; nothing was changed";
    OutcomeUnknown 503 "outcome_unknown" "结果未知，请用同一个键重试" "The outcome is unknown; repeat with the same key to learn it";
    WechatUnavailable 503 "wechat_unavailable" "微信服务暂时不可用" "WeChat is away for a moment";
}

impl Code {
    pub fn status(self) -> StatusCode {
        StatusCode::from_u16(self.row().0).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    pub fn as_str(self) -> &'static str {
        self.row().1
    }

    pub fn title(self) -> Text {
        self.row().2
    }
}

/// Database constraints that stand for an error of their own.
pub const CONSTRAINTS: &[(&str, Code)] = &[
    ("appointments_one_a_day", Code::AlreadyBooked),
    ("appointments_one_at_desk", Code::WindowBusy),
    ("appointments_never_overbooked", Code::SlotFull),
    ("appointments_waited_for", Code::SlotWaitedFor),
    ("waiting_entries_once", Code::AlreadyWaiting),
    ("residents_id_number", Code::ResidentExists),
    ("proxies_once", Code::ProxyExists),
    ("matters_name", Code::NameTaken),
    ("windows_name", Code::NameTaken),
    ("departments_name", Code::NameTaken),
    ("order_kinds_name", Code::NameTaken),
    ("visit_categories_name", Code::NameTaken),
    ("households_code", Code::CodeTaken),
    ("household_members_one", Code::MemberElsewhere),
    ("household_members_head", Code::HeadTaken),
    ("visit_partners_one", Code::HasPartner),
    ("household_tags_one", Code::TagThere),
    ("staff_username", Code::NameTaken),
    ("data_requests_one", Code::RequestExists),
    ("staff_posts_once", Code::PostHeld),
    ("staff_absences_overlap", Code::AbsenceOverlaps),
    ("staff_wechat", Code::WechatBound),
    ("trip_errands_once", Code::OnAnotherTrip),
    ("ratings_once", Code::AlreadyRated),
    ("ratings_not_by_the_rated", Code::OwnService),
    ("counties_wechat_appid_key", Code::WechatAppidTaken),
];

/// Two callers raced for one idempotency key, one first login, one next version, one number, one place or one new household: the second finds the first's row when it
/// looks again.
pub const LOST_RACES: &[&str] = &[
    "idempotency_keys_pkey",
    "residents_wechat",
    "consent_texts_pkey",
    "orders_number",
    "orders_one_place",
    "households_pkey",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_told_once_in_both_languages() {
        let mut seen = std::collections::HashSet::new();
        for code in Code::ALL {
            assert!(seen.insert(code.as_str()), "{} twice", code.as_str());
            assert!(code.status().is_client_error() || code.status().is_server_error());
            assert!(code.title().zh.chars().any(|c| c > '\u{4e00}'), "{code:?} has no Chinese title");
            assert!(code.title().en.is_ascii(), "{code:?} has no English title");
        }
    }
}
