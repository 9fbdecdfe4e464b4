//! Residents (群众): registered by WeChat or at the desk, sealed at rest, masked in answers, revealed with a reason.

pub mod disclosure;
mod model;
pub mod routes;
pub mod store;

pub use model::{IdNumber, IdentityLevel, IdentitySeen, PersonName, Phone, Resident};
pub use store::{find, find_or_create_by_wechat};

use uuid::Uuid;

use crate::{app::App, crypto::Unsealable};

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
