//! What every room's routes stand on, and the one list of routes.

pub mod cached;
pub mod caller;
pub mod command;
pub mod document;
pub mod etag;
pub mod faults;
pub mod files;
pub mod idempotency;
pub mod limits;
pub mod page;
pub mod permissions;
pub mod resumable;
pub mod serve;
pub mod valid;
pub mod way;

use actix_web::{HttpRequest, HttpResponse, http::header, web};
use utoipa_actix_web::service_config::ServiceConfig;

use crate::{
    appointments, attachments, audit, calendar, consents, data_requests, departments, desk,
    error::{Code, Error, Result},
    jobs, matters, messages, opening, people, proxies, queue, sessions, settings, staff, telemetry, todos, units,
    windows,
};

/// Every route of the API: mounted and documented from this one list.
pub fn routes(list: &mut ServiceConfig) {
    // What is asked most comes first: actix tries the list from the top, and each path with an id costs a regular expression.
    list.service(matters::routes::list_matters)
        .service(matters::routes::create_matter)
        .service(matters::routes::get_matter)
        .service(matters::routes::update_matter)
        .service(matters::guide::get_matter_guide)
        .service(matters::version_routes::list_matter_versions)
        .service(matters::version_routes::get_matter_version)
        .service(matters::version_routes::publish_matter_version)
        .service(matters::import::export_catalogue)
        .service(matters::import::import_catalogue)
        .service(windows::routes::list_windows)
        .service(windows::routes::get_window)
        .service(windows::slots::list_slots)
        .service(appointments::day::get_centre_day)
        .service(appointments::routes::list_appointments)
        .service(appointments::booking::book_appointment)
        .service(appointments::holding::hold_appointment)
        .service(appointments::routes::get_appointment)
        .service(appointments::holding::book_held_appointment)
        .service(appointments::moving::reschedule_appointment)
        .service(appointments::moving::cancel_appointment)
        .service(appointments::routes::get_appointment_history)
        .service(appointments::routes::reveal_appointment)
        .service(windows::routes::create_window)
        .service(opening::window_routes::update_window)
        .service(opening::rule_routes::create_opening_rule)
        .service(opening::rule_routes::update_opening_rule)
        .service(opening::rule_routes::delete_opening_rule)
        .service(opening::affected_routes::list_affected)
        .service(opening::affected_routes::resolve_affected)
        .service(opening::exception_routes::list_opening_exceptions)
        .service(opening::exception_routes::create_opening_exceptions)
        .service(opening::exception_routes::delete_opening_exception)
        .service(queue::handles::get_appointment_code)
        .service(queue::handles::get_appointment_wxacode)
        .service(queue::line::get_appointment_queue)
        .service(queue::line::get_unit_queue)
        .service(queue::arriving::arrive_appointment)
        .service(queue::arriving::create_arrival)
        .service(queue::arriving::create_walk_in)
        .service(queue::calling::call_next_ticket)
        .service(queue::calling::call_ticket)
        .service(queue::calling::recall_ticket)
        .service(queue::calling::skip_ticket)
        .service(queue::calling::serve_ticket)
        .service(queue::calling::finish_appointment)
        .service(queue::calling::transfer_ticket)
        .service(queue::pausing::pause_window)
        .service(queue::pausing::resume_window)
        .service(queue::closing::note_no_show)
        .service(queue::closing::excuse_appointment)
        .service(queue::screens::create_screen)
        .service(queue::screens::list_screens)
        .service(queue::screens::end_screen)
        .service(queue::halls::get_hall)
        .service(queue::halls::stream_hall)
        .service(queue::halls::arrive_at_kiosk)
        .service(queue::halls::walk_in_at_kiosk)
        .service(appointments::waiting::routes::join_waiting)
        .service(appointments::waiting::routes::list_waiting)
        .service(appointments::waiting::routes::get_waiting)
        .service(appointments::waiting::routes::leave_waiting)
        .service(units::routes::list_units)
        .service(units::routes::get_unit)
        .service(departments::routes::list_departments)
        .service(departments::routes::create_department)
        .service(departments::routes::get_department)
        .service(departments::routes::update_department)
        .service(calendar::routes::list_calendar_days)
        .service(calendar::routes::get_due_date)
        .service(sessions::password::log_in_staff)
        .service(sessions::wechat::log_in_staff_by_wechat)
        .service(sessions::routes::log_in_resident)
        .service(sessions::routes::refresh_session)
        .service(sessions::routes::get_own_session)
        .service(sessions::routes::log_out)
        .service(sessions::devices::list_own_sessions)
        // After `current`, which would be taken for an id.
        .service(sessions::devices::end_own_session)
        .service(sessions::routes::get_signing_keys)
        .service(people::registration::register_resident)
        .service(people::routes::look_up_resident)
        .service(people::disclosure::prove_phone)
        .service(people::routes::get_resident)
        .service(people::routes::update_resident)
        .service(people::disclosure::reveal_resident)
        .service(people::merging::list_duplicates)
        .service(people::merging::merge_resident)
        .service(people::merging::take_over_resident)
        .service(people::claims::issue_claim_code)
        .service(people::claims::claim_at_desk)
        .service(people::claims::claim_by_phone)
        .service(proxies::children::register_child)
        .service(proxies::routes::create_proxy)
        .service(proxies::routes::list_proxies)
        .service(proxies::routes::list_principals)
        .service(proxies::invitations::accept_proxy)
        .service(proxies::routes::get_proxy)
        .service(proxies::invitations::issue_proxy_code)
        .service(proxies::routes::end_proxy)
        .service(todos::routes::list_todos)
        .service(todos::routes::create_todo)
        .service(todos::routes::get_todo)
        .service(todos::routes::take_todo)
        .service(todos::routes::put_back_todo)
        .service(todos::routes::hand_over_todo)
        .service(todos::routes::finish_todo)
        .service(desk::routes::get_my_day)
        .service(desk::routes::get_open_for_resident)
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
        .service(consents::texts::list_consent_texts)
        .service(consents::texts::publish_consent_text)
        .service(consents::routes::list_consents)
        .service(consents::routes::record_consent)
        .service(consents::routes::withdraw_consent)
        .service(data_requests::routes::create_data_request)
        .service(data_requests::routes::list_data_requests)
        .service(data_requests::routes::get_data_request)
        .service(data_requests::archive::get_data_archive)
        .service(data_requests::routes::decide_data_request)
        .service(staff::routes::list_staff)
        .service(staff::routes::create_staff)
        .service(staff::import::import_staff)
        .service(staff::routes::get_staff)
        .service(staff::routes::update_staff)
        .service(staff::posts::create_staff_post)
        .service(staff::posts::update_staff_post)
        .service(staff::posts::end_staff_post)
        .service(staff::accounts::reset_staff_password)
        .service(staff::accounts::reset_staff_totp)
        .service(staff::accounts::enable_staff)
        .service(staff::accounts::list_staff_sessions)
        .service(staff::accounts::end_staff_sessions)
        .service(staff::leaving::transfer_staff)
        .service(staff::leaving::dismiss_staff)
        .service(staff::absences::create_absence)
        .service(staff::absences::list_absences)
        .service(staff::absences::cancel_absence)
        .service(staff::own::change_own_password)
        .service(staff::own::enrol_totp)
        .service(staff::own::create_wechat_code)
        .service(staff::own::unbind_wechat)
        .service(audit::routes::list_audit)
        .service(audit::routes::list_resident_audit)
        .service(units::county::get_county)
        .service(units::county::update_county)
        .service(settings::routes::list_settings)
        .service(settings::routes::get_setting)
        .service(settings::routes::list_setting_history)
        .service(settings::routes::set_setting)
        .service(attachments::routes::upload_attachment)
        .service(attachments::routes::get_attachment)
        .service(attachments::routes::remove_attachment)
        .service(attachments::links::create_attachment_link)
        .service(attachments::links::get_file)
        .service(attachments::tus::describe_uploads)
        .service(attachments::tus::create_upload)
        .service(attachments::tus::get_upload)
        .service(attachments::tus::append_upload)
        .service(attachments::tus::remove_upload)
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
