//! Residents (群众): registered by WeChat or at the desk, sealed at rest, masked in answers, revealed with a reason.

pub mod claims;
pub mod disclosure;
pub mod merging;
mod model;
pub mod registration;
pub mod routes;
mod rules;
pub mod store;
pub mod subject;

pub use model::{
    IdNumber, IdentityLevel, IdentitySeen, MaskedName, MaybeMasked, PersonName, Personal, Phone, Resident,
    searched_name,
};
pub use registration::{Registration, note_taken, register};
pub use routes::{ResidentView, guardian_required};
pub use store::{find, find_or_create_by_wechat, lock, present, with_merged};

use std::collections::HashMap;

use diesel::PgConnection;
use uuid::Uuid;

use crate::{
    app::App,
    crypto::Unsealable,
    error::{Code, Error, Result},
    rooms::{Index, Room, Sealed},
};

pub const ROOM: Room = Room {
    merge: Some(store::merge_history),
    sealed: &[
        Sealed {
            table: "residents",
            column: "name",
            index: Some(Index { form: searched_name, always: true, ..Index::new(&["name_index"], "name") }),
        },
        Sealed {
            table: "residents",
            column: "id_number",
            index: Some(Index::new(&["id_number_index", "id_number_claim"], "id_number")),
        },
        Sealed { table: "residents", column: "phone", index: Some(Index::new(&["phone_index"], "phone")) },
        Sealed {
            table: "residents",
            column: "wechat_openid",
            index: Some(Index::new(&["wechat_openid_index"], "wechat_openid")),
        },
        Sealed { table: "resident_merges", column: "snapshot", index: None },
    ],
    export: Some(subject::export),
    erase: Some(subject::erase),
    ..Room::new("people")
};

/// A resident's name and phone for a view, masked or plain; what other rooms show of a person.
pub fn name_and_phone(
    app: &App,
    (county, id): (i32, Uuid),
    (name, phone): (Option<&[u8]>, Option<&[u8]>),
    masked: bool,
) -> std::result::Result<(Option<String>, Option<String>), Unsealable> {
    let name = model::shown::<PersonName>(&app.keys, county, id, name, masked)?;
    Ok((name, model::shown::<Phone>(&app.keys, county, id, phone, masked)?))
}

/// Masked names of several residents; those without a name are left out.
pub fn masked_names(conn: &mut PgConnection, app: &App, county: i32, ids: &[Uuid]) -> Result<HashMap<Uuid, String>> {
    let mut names = HashMap::new();
    for (id, sealed) in store::names(conn, county, ids)? {
        if let Some(name) = model::shown::<PersonName>(&app.keys, county, id, sealed.as_deref(), true)? {
            names.insert(id, name);
        }
    }
    Ok(names)
}

/// The ID number of a record, opened.
pub fn id_number(app: &App, row: &Resident) -> Result<Option<IdNumber>> {
    Ok(model::open(&app.keys, row.county_id, row.id, row.id_number.as_deref())?)
}

/// The WeChat account of a record, opened; none if it has none.
pub fn wechat_account(conn: &mut PgConnection, app: &App, county: i32, id: Uuid) -> Result<Option<String>> {
    let sealed = store::wechat_of(conn, county, id)?;
    let open = |sealed: Vec<u8>| app.keys.open_text(county, &model::place("wechat_openid", id), &sealed);
    Ok(sealed.map(open).transpose()?)
}

/// Why somebody whose identity is not sure enough may not, and what to do.
pub fn identity_needed(level: IdentityLevel) -> Error {
    let (zh, en) = match level {
        IdentityLevel::None => return Code::IdentityNeeded.into(),
        IdentityLevel::Phone => ("请先验证手机号（prove_phone）", "Prove your phone first (prove_phone)"),
        IdentityLevel::Officer => {
            ("请带证件到党群服务中心核验身份", "Have your identity checked at a service centre, with your ID card")
        }
    };
    Error::new(Code::IdentityNeeded).detail(zh, en)
}
