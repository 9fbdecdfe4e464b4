//! What every room's routes stand on, and the one list of routes.

pub mod cached;
pub mod caller;
pub mod document;
pub mod etag;
mod faults;
pub mod idempotency;
pub mod limits;
pub mod page;
pub mod permissions;
pub mod serve;
pub mod valid;
pub mod way;

use actix_web::{HttpRequest, HttpResponse, http::header, web};
use utoipa_actix_web::service_config::ServiceConfig;

use crate::{
    appointments, calendar,
    error::{Code, Error, Result},
    jobs, matters, messages, people, sessions, telemetry, units, windows,
};

/// Every route of the API: mounted and documented from this one list.
pub fn routes(list: &mut ServiceConfig) {
    list.service(units::routes::list_units)
        .service(units::routes::get_unit)
        .service(calendar::routes::list_calendar_days)
        .service(calendar::routes::get_due_date)
        .service(sessions::routes::log_in_staff)
        .service(sessions::routes::log_in_resident)
        .service(sessions::routes::refresh_session)
        .service(sessions::routes::get_own_session)
        .service(sessions::routes::log_out)
        .service(sessions::routes::get_signing_keys)
        .service(people::routes::register_resident)
        .service(people::routes::look_up_resident)
        .service(people::disclosure::prove_phone)
        .service(people::routes::get_resident)
        .service(people::routes::update_resident)
        .service(people::disclosure::reveal_resident)
        .service(matters::routes::list_matters)
        .service(matters::routes::create_matter)
        .service(matters::routes::get_matter)
        .service(matters::routes::update_matter)
        .service(windows::routes::list_windows)
        .service(windows::routes::create_window)
        .service(windows::routes::get_window)
        .service(windows::routes::update_window)
        .service(windows::routes::create_opening_rule)
        .service(windows::slots::list_slots)
        .service(appointments::routes::list_appointments)
        .service(appointments::routes::book_appointment)
        .service(appointments::routes::get_appointment)
        .service(appointments::routes::cancel_appointment)
        .service(messages::routes::list_messages)
        .service(messages::routes::read_message)
        .service(messages::routes::list_message_grants)
        .service(messages::routes::grant_message_templates)
        .service(messages::staff::get_message_slip)
        .service(messages::staff::list_resident_messages)
        .service(messages::template_routes::list_message_templates)
        .service(messages::template_routes::update_message_template)
        .service(jobs::routes::list_dead_jobs)
        .service(jobs::routes::replay_job)
        .service(telemetry::get_liveness)
        .service(telemetry::get_readiness)
        .service(telemetry::get_metrics);
}

/// What no route took: 405 with `Allow` where the path exists for other methods, 404 otherwise.
pub async fn no_route(request: HttpRequest, document: web::Data<serve::Document>) -> Result<HttpResponse> {
    let allowed = document.methods(request.path());
    if allowed.is_empty() {
        return Err(Code::RouteNotFound.into());
    }
    Err(Error::new(Code::MethodNotAllowed).header(header::ALLOW, allowed.join(", ")))
}
