//! What every command brings besides its caller and the thing that it is about.

use actix_web::{FromRequest, HttpRequest, dev::Payload, web::Data};
use futures_util::future::LocalBoxFuture;
use serde::de::DeserializeOwned;
use utoipa::ToSchema;
use validator::Validate;

use super::{idempotency::IdempotencyKey, valid::Valid};
use crate::{app::App, error::Lang};

/// The key under which it runs once, the language of the answer, the body ([`Valid`]). Checked in this order, like handler arguments.
pub struct Command<T, const BATCH: bool = false> {
    pub key: IdempotencyKey,
    pub lang: Lang,
    pub app: Data<App>,
    pub body: T,
    /// Of the body's bytes.
    pub digest: [u8; 32],
}

impl<T, const BATCH: bool> FromRequest for Command<T, BATCH>
where
    T: DeserializeOwned + Validate + ToSchema + 'static,
{
    type Error = actix_web::Error;
    type Future = LocalBoxFuture<'static, Result<Self, Self::Error>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let parts = <(IdempotencyKey, Lang, Data<App>, Valid<T, BATCH>)>::from_request(request, payload);
        Box::pin(async move {
            let (key, lang, app, Valid { value: body, digest }) = parts.await?;
            Ok(Self { key, lang, app, body, digest })
        })
    }
}
