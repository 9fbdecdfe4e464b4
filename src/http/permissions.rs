//! Who may do what, where: the one table. An operation names its permission as the type of its first argument.

use crate::text_enum;

text_enum! {
    /// What a session acts as.
    pub enum Role {
        /// 群众 / 居民
        Resident = "resident",
        /// 住村特派员
        Specialist = "specialist",
        /// 村干部 / 代办员
        VillageCadre = "village_cadre",
        /// 乡镇工作人员
        TownshipStaff = "township_staff",
        /// 县直部门
        DepartmentStaff = "department_staff",
        /// 督查
        Supervisor = "supervisor",
        /// 县管理员
        CountyAdmin = "county_admin",
    }
}

impl Role {
    /// Levels of unit on which a post with this role can stand.
    pub fn levels(self) -> &'static [&'static str] {
        match self {
            Self::Resident => &[],
            Self::Specialist | Self::VillageCadre => &["village"],
            Self::TownshipStaff => &["township"],
            Self::Supervisor => &["township", "county"],
            Self::DepartmentStaff | Self::CountyAdmin => &["county"],
        }
    }
}

/// How far a permission reaches. `Village` and `Township` mean the unit of the caller's post and the units below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grant {
    Own,
    Village,
    Township,
    County,
}

/// A permission: its name in the document, and the roles that have it.
pub trait Permission: 'static {
    const NAME: &'static str;
    const GRANTS: &'static [(Role, Grant)];
}

macro_rules! permissions {
    ($($(#[$meta:meta])* $name:ident $text:literal: $($role:ident $grant:ident),+;)*) => {
        $($(#[$meta])* pub struct $name;
        impl Permission for $name {
            const NAME: &'static str = $text;
            const GRANTS: &'static [(Role, Grant)] = &[$((Role::$role, Grant::$grant)),+];
        })*

        /// The whole table.
        pub const PERMISSIONS: &[(&str, &[(Role, Grant)])] = &[$(($name::NAME, $name::GRANTS)),*];
    };
}

permissions! {
    /// See and end one's own session.
    OwnSession "sessions:own": Resident Own, Specialist Own, VillageCadre Own, TownshipStaff Own, DepartmentStaff Own, Supervisor Own, CountyAdmin Own;
    /// Register a resident at the desk or at home.
    RegisterResidents "residents:register": Specialist Village, VillageCadre Village, TownshipStaff Township, CountyAdmin County;
    /// Read residents, masked; one's own record plain.
    ReadResidents "residents:read": Resident Own, Specialist Village, VillageCadre Village, TownshipStaff Township, CountyAdmin County;
    /// Correct a resident's record.
    UpdateResidents "residents:update": Resident Own, Specialist Village, VillageCadre Village, TownshipStaff Township, CountyAdmin County;
    /// Find a resident by the whole ID number or phone.
    LookUpResidents "residents:lookup": Specialist Village, VillageCadre Village, TownshipStaff Township, CountyAdmin County;
    /// See unmasked values, with a reason that is recorded.
    RevealResidents "residents:reveal": Specialist Village, VillageCadre Village, TownshipStaff Township, CountyAdmin County;
    /// Prove one's own phone through WeChat.
    ProvePhone "residents:prove_phone": Resident Own;
    /// Find duplicates of a resident and merge them; let somebody claim a record at the desk.
    MergeResidents "residents:merge": Specialist Village, VillageCadre Village, TownshipStaff Township, CountyAdmin County;
    /// Claim the record that was made at the desk.
    ClaimRecord "residents:claim": Resident Own;
    /// See who may act for whom.
    ReadProxies "proxies:read": Resident Own, Specialist Village, VillageCadre Village, TownshipStaff Township, CountyAdmin County;
    /// Say who may act for a resident, and end it.
    WriteProxies "proxies:write": Resident Own, Specialist Village, VillageCadre Village, TownshipStaff Township, CountyAdmin County;
    /// Accept to act for somebody.
    AcceptProxies "proxies:accept": Resident Own;
    /// See everything that is open for a resident at the counter.
    ReadOpen "residents:open": Specialist Village, VillageCadre Village, TownshipStaff Township, CountyAdmin County;
    /// See what stands in one's day.
    ReadDay "day:read": Specialist Village, VillageCadre Village, TownshipStaff Township, DepartmentStaff Own, CountyAdmin County;
    /// See what waits for a human.
    ReadTodos "todos:read": Specialist Village, VillageCadre Village, TownshipStaff Township, DepartmentStaff Own, Supervisor Township, CountyAdmin County;
    /// Open, take, hand over and finish what waits for a human.
    WriteTodos "todos:write": Specialist Village, VillageCadre Village, TownshipStaff Township, DepartmentStaff Own, Supervisor Township, CountyAdmin County;
    /// Keep a phone in step, to work without a network.
    ReadSync "sync:read": Specialist Village, VillageCadre Village, TownshipStaff Township;
    /// Change the catalogue.
    WriteMatters "matters:write": CountyAdmin County;
    /// Change the departments of the county government.
    WriteDepartments "departments:write": CountyAdmin County;
    /// Change windows and opening rules.
    WriteWindows "windows:write": TownshipStaff Township, CountyAdmin County;
    /// Book; a resident for oneself, staff for a resident.
    BookAppointments "appointments:book": Resident Own, Specialist Village, VillageCadre Village, TownshipStaff Township, CountyAdmin County;
    /// See appointments.
    ReadAppointments "appointments:read": Resident Own, Specialist Village, VillageCadre Village, TownshipStaff Township, Supervisor Township, CountyAdmin County;
    /// Cancel appointments.
    CancelAppointments "appointments:cancel": Resident Own, Specialist Village, VillageCadre Village, TownshipStaff Township, CountyAdmin County;
    /// File errands, add what was missing, withdraw; for oneself, for somebody who lets one, or under a mandate.
    FileErrands "errands:file": Resident Own, Specialist Village, VillageCadre Village, TownshipStaff Township, CountyAdmin County;
    /// See errands, their ledger and their clock.
    ReadErrands "errands:read": Resident Own, Specialist Village, VillageCadre Village, TownshipStaff Township, DepartmentStaff Own, Supervisor Township, CountyAdmin County;
    /// Accept, handle, forward, decide, deliver and archive.
    HandleErrands "errands:handle": Specialist Village, VillageCadre Village, TownshipStaff Township, DepartmentStaff Own, CountyAdmin County;
    /// See how many errands are open, late and on time, by unit and matter.
    CountErrands "errands:count": TownshipStaff Township, Supervisor Township, CountyAdmin County;
    /// Give a mandate to agents, or record one that was given; revoke it.
    WriteMandates "mandates:write": Resident Own, Specialist Village, VillageCadre Village, TownshipStaff Township, CountyAdmin County;
    /// Change what can be ordered.
    WriteOrderKinds "order_kinds:write": CountyAdmin County;
    /// Order help, for oneself, for somebody who lets one, or at the desk; say something of an order, see its codes.
    OrderHelp "orders:order": Resident Own, Specialist Village, VillageCadre Village, TownshipStaff Township, CountyAdmin County;
    /// See orders.
    ReadOrders "orders:read": Resident Own, Specialist Village, VillageCadre Village, TownshipStaff Township, Supervisor Township, CountyAdmin County;
    /// See what lies open near one as a helper, and claim it.
    TakeOrders "orders:take": Resident Own, Specialist Village, VillageCadre Village;
    /// Give back, set out, start, finish, confirm, cancel, dispute: whoever holds an order, the resident's side, agents for somebody without a phone.
    DoOrders "orders:do": Resident Own, Specialist Village, VillageCadre Village, TownshipStaff Township, CountyAdmin County;
    /// Assign orders and settle disputes.
    DispatchOrders "orders:dispatch": TownshipStaff Township, CountyAdmin County;
    /// See how many orders are open, ran out and were begun in time, by unit and kind.
    CountOrders "orders:count": TownshipStaff Township, Supervisor Township, CountyAdmin County;
    /// Call back whoever did not confirm.
    CallBackOrders "orders:call_back": Specialist Village, VillageCadre Village, TownshipStaff Township, CountyAdmin County;
    /// Read one's inbox.
    ReadMessages "messages:read": Resident Own;
    /// Publish what residents are asked to agree to.
    PublishConsentTexts "consents:publish": CountyAdmin County;
    /// See what a resident agreed to.
    ReadConsents "consents:read": Resident Own, Specialist Village, VillageCadre Village, TownshipStaff Township, CountyAdmin County;
    /// Answer and withdraw for oneself; staff record what they heard or saw.
    WriteConsents "consents:write": Resident Own, Specialist Village, VillageCadre Village, TownshipStaff Township, CountyAdmin County;
    /// Ask for a copy, a correction or the closing of one's data; staff at the desk for somebody.
    AskDataRequests "data_requests:ask": Resident Own, Specialist Village, VillageCadre Village, TownshipStaff Township, CountyAdmin County;
    /// See such requests, and fetch the copy.
    ReadDataRequests "data_requests:read": Resident Own, Specialist Village, VillageCadre Village, TownshipStaff Township, CountyAdmin County;
    /// Decide on a correction.
    DecideDataRequests "data_requests:decide": Specialist Village, VillageCadre Village, TownshipStaff Township, CountyAdmin County;
    /// See who works here and how to reach them; administrators also see accounts.
    ReadStaff "staff:read": Specialist Village, VillageCadre Village, TownshipStaff Township, DepartmentStaff Township, Supervisor Township, CountyAdmin County;
    /// Change accounts and posts.
    WriteStaff "staff:write": CountyAdmin County;
    /// Record absences: one's own; administrators anybody's.
    RecordAbsences "staff:absences": Specialist Own, VillageCadre Own, TownshipStaff Own, DepartmentStaff Own, Supervisor Own, CountyAdmin County;
    /// Change one's own password, codes and WeChat binding.
    OwnAccount "account:own": Specialist Own, VillageCadre Own, TownshipStaff Own, DepartmentStaff Own, Supervisor Own, CountyAdmin Own;
    /// Let WeChat messages through to oneself.
    GrantMessages "messages:grant": Resident Own;
    /// Read a resident's messages, to call with and to print.
    PrintMessages "messages:slip": Specialist Village, VillageCadre Village, TownshipStaff Township, CountyAdmin County;
    /// See the words and templates of messages.
    ReadMessageTemplates "message_templates:read": TownshipStaff Township, CountyAdmin County;
    /// Change the words and templates of messages.
    WriteMessageTemplates "message_templates:write": CountyAdmin County;
    /// See failed jobs and replay them.
    ManageJobs "jobs:manage": CountyAdmin County;
    /// Read the county's audit log. Entries name no unit, so supervisors need a post of the county.
    ReadAudit "audit:read": Supervisor County, CountyAdmin County;
    /// See who looked at a resident; a resident at oneself.
    ReadResidentAudit "residents:audit": Resident Own, Specialist Village, VillageCadre Village, TownshipStaff Township, Supervisor Township, CountyAdmin County;
    /// See the county's own record.
    ReadCounty "county:read": CountyAdmin County;
    /// Change the county's name and mini-program.
    WriteCounty "county:write": CountyAdmin County;
    /// See what the county decides otherwise than the default.
    ReadSettings "settings:read": Specialist County, VillageCadre County, TownshipStaff County, DepartmentStaff County, Supervisor County, CountyAdmin County;
    /// Change settings.
    WriteSettings "settings:write": CountyAdmin County;
    /// Let people arrive, call them, serve them, pause a window; also at a centre where one sits at a window.
    ServeQueue "queue:serve": Specialist Village, VillageCadre Village, TownshipStaff Township, CountyAdmin County;
    /// See the line of a centre.
    ReadQueue "queue:read": Specialist Village, VillageCadre Village, TownshipStaff Township, Supervisor Township, CountyAdmin County;
    /// Upload files, and take back what belongs to nothing yet.
    UploadAttachments "attachments:upload": Resident Own, Specialist Own, VillageCadre Own, TownshipStaff Own, DepartmentStaff Own, Supervisor Own, CountyAdmin Own;
    /// Read files: one's own until they are attached, then those of things that one may see.
    ReadAttachments "attachments:read": Resident Own, Specialist Village, VillageCadre Village, TownshipStaff Township, DepartmentStaff County, Supervisor Township, CountyAdmin County;
    /// Change the county's list of skills.
    WriteSkills "skills:write": CountyAdmin County;
    /// See helpers; a resident oneself.
    ReadHelpers "helpers:read": Resident Own, Specialist Village, VillageCadre Village, TownshipStaff Township, Supervisor Township, CountyAdmin County;
    /// See oneself as a helper, and say where and when one helps.
    OwnHelper "helpers:own": Resident Own, Specialist Own, VillageCadre Own;
    /// Say that one is away or back; specialists and cadres record absences instead.
    BeAway "helpers:away": Resident Own;
    /// Apply as a volunteer or care staff.
    ApplyHelper "helpers:apply": Resident Own;
    /// Approve, refuse, stop and resume helpers, and say which skills and units they have.
    DecideHelpers "helpers:decide": TownshipStaff Township, CountyAdmin County;
    /// Rate what one received, for oneself or somebody who lets one; staff write down what somebody without a phone says.
    GiveRatings "ratings:give": Resident Own, Specialist Village, VillageCadre Village, TownshipStaff Township, CountyAdmin County;
    /// See single ratings: one's own, or from one level above those who were rated.
    ReadRatings "ratings:read": Resident Own, TownshipStaff Township, Supervisor Township, CountyAdmin County;
    /// See totals of ratings; of the units in which one works only those of past months, and of five or more.
    CountRatings "ratings:count": Specialist Village, VillageCadre Village, TownshipStaff Township, Supervisor Township, CountyAdmin County;
    /// See households, masked unless one answers for them; the county's categories, and the visits that are due.
    ReadHouseholds "households:read": Specialist Village, VillageCadre Village, TownshipStaff Township, CountyAdmin County;
    /// Write down, change, close, merge and hand over households; their members, home points and partners.
    WriteHouseholds "households:write": Specialist Village, VillageCadre Village, TownshipStaff Township, CountyAdmin County;
    /// Import households from a table, and undo it.
    ImportHouseholds "households:import": TownshipStaff Township, CountyAdmin County;
    /// See tags of households, such as living alone; every look is recorded.
    ReadHouseholdTags "household_tags:read": Specialist Village, VillageCadre Village, TownshipStaff Township;
    /// Give households tags, and end them.
    WriteHouseholdTags "household_tags:write": Specialist Village, VillageCadre Village;
    /// Change the county's list of tags.
    WriteHouseholdTagKinds "household_tag_kinds:write": CountyAdmin County;
    /// Change how often households are to be seen.
    WriteVisitCategories "visit_categories:write": CountyAdmin County;
    /// Check in visits to households within one's reach, write down what they found and what is made of it.
    CheckInVisits "visits:check_in": Specialist Village, VillageCadre Village, TownshipStaff Township;
    /// See visits, their versions and what they found; those of others with an audit entry.
    ReadVisits "visits:read": Specialist Village, VillageCadre Village, TownshipStaff Township, CountyAdmin County;
    /// Amend visits and settle versions: one's own, the township anybody's.
    AmendVisits "visits:amend": Specialist Village, VillageCadre Village, TownshipStaff Township, CountyAdmin County;
    /// See how many households are due, seen and not found, by unit.
    CountVisits "visits:count": TownshipStaff Township, Supervisor Township, CountyAdmin County;
    /// Set up and end the screens and kiosks of a hall.
    WriteScreens "screens:write": VillageCadre Village, TownshipStaff Township, CountyAdmin County;
}
