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
    /// Change the catalogue.
    WriteMatters "matters:write": CountyAdmin County;
    /// Change windows and opening rules.
    WriteWindows "windows:write": TownshipStaff Township, CountyAdmin County;
    /// Book; a resident for oneself, staff for a resident.
    BookAppointments "appointments:book": Resident Own, Specialist Village, VillageCadre Village, TownshipStaff Township, CountyAdmin County;
    /// See appointments.
    ReadAppointments "appointments:read": Resident Own, Specialist Village, VillageCadre Village, TownshipStaff Township, Supervisor Township, CountyAdmin County;
    /// Cancel appointments.
    CancelAppointments "appointments:cancel": Resident Own, Specialist Village, VillageCadre Village, TownshipStaff Township, CountyAdmin County;
    /// Read one's inbox.
    ReadMessages "messages:read": Resident Own;
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
}
