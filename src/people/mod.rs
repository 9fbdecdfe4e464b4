//! Residents (群众): registered by WeChat or at the desk, sealed at rest, masked in answers, revealed with a reason.

pub mod disclosure;
mod model;
pub mod routes;
pub mod store;
pub mod subject;

pub use model::{IdNumber, IdentityLevel, IdentitySeen, PersonName, Phone, Resident};
pub use store::{find, find_or_create_by_wechat};

use uuid::Uuid;

use crate::{
    app::App,
    crypto::Unsealable,
    rooms::{Room, Sealed},
};

pub const ROOM: Room = Room {
    sealed: &[
        Sealed { table: "residents", column: "name", index: None },
        Sealed { table: "residents", column: "id_number", index: Some(("id_number_index", "id_number")) },
        Sealed { table: "residents", column: "phone", index: Some(("phone_index", "phone")) },
        Sealed { table: "residents", column: "wechat_openid", index: Some(("wechat_openid_index", "wechat_openid")) },
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
) -> Result<(Option<String>, Option<String>), Unsealable> {
    let name = model::shown::<PersonName>(&app.keys, county, id, name, masked)?;
    Ok((name, model::shown::<Phone>(&app.keys, county, id, phone, masked)?))
}
