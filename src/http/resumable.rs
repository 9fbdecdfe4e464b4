//! What tus asks of every request and answer below `/v1/uploads`, wherever it was decided.

use actix_web::{
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    http::{
        Method,
        header::{HeaderName, HeaderValue},
    },
    middleware::Next,
};

const BELOW: &str = "/v1/uploads";
const TUS_RESUMABLE: HeaderName = HeaderName::from_static("tus-resumable");

/// Takes `X-HTTP-Method-Override` for the method, because phones cannot send `PATCH`, and says the version in every answer.
pub async fn speak_tus(
    mut request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    let tus = request.path().strip_prefix(BELOW).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    if tus && request.method() == Method::POST {
        let said = request.headers().get("x-http-method-override").and_then(|value| value.to_str().ok());
        let methods = [Method::PATCH, Method::DELETE, Method::HEAD];
        let meant =
            methods.into_iter().find(|method| said.is_some_and(|said| said.eq_ignore_ascii_case(method.as_str())));
        if let Some(meant) = meant {
            request.head_mut().method = meant;
        }
    }
    let mut response = next.call(request).await?;
    if tus {
        response.headers_mut().insert(TUS_RESUMABLE, HeaderValue::from_static("1.0.0"));
    }
    Ok(response)
}
