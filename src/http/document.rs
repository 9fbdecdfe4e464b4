//! The OpenAPI document: what the handlers say, and what holds for all of them added by rule.

use std::collections::BTreeMap;

use utoipa::{
    OpenApi,
    openapi::{
        self, Content, ContentBuilder, HeaderBuilder, Ref, RefOr, Response, ResponseBuilder,
        path::{HttpMethod, Operation, ParameterBuilder, ParameterIn},
        schema::{ObjectBuilder, Type},
        security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};

use crate::{
    error::{Code, Lang, Problem, ProblemField},
    http::permissions::PERMISSIONS,
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Lianxin 连心",
        description = include_str!("document.md"),
        license(name = "Proprietary"),
    ),
    components(schemas(Problem, ProblemField)),
    tags(
        (name = "appointments", description = "预约: free slots, booking, looking, cancelling"),
        (name = "queue", description = "排队叫号: arriving, tickets, calling, the screen in the hall"),
        (name = "waiting", description = "候补: the waiting list for slots that are full"),
        (name = "windows", description = "窗口: windows of a centre and their opening rules"),
        (name = "matters", description = "事项: the catalogue, its versions, the guide, and all of it as one file"),
        (name = "errands", description = "代办: errands from filing to the archive, their ledger and clock; mandates (委托)"),
        (name = "households", description = "户: members, home points, tags, partners, categories, and the visits that are due"),
        (name = "helpers", description = "服务人员: specialists, cadres, volunteers and care staff; skills, units, hours, applications"),
        (name = "orders", description = "接单: help that is ordered and whoever comes; kinds, claims, codes, notes, disputes"),
        (name = "ratings", description = "好差评: ratings of what was received, and their totals"),
        (name = "departments", description = "县直部门: departments of the county government"),
        (name = "residents", description = "群众: residents and their data"),
        (name = "proxies", description = "代约人、监护人: who may act for a resident"),
        (name = "todos", description = "待办: what waits for a human; one's day; everything open for a resident"),
        (name = "consents", description = "同意: consent texts, and what residents agreed to, per purpose"),
        (name = "data_requests", description = "个人信息权利: a copy of one's data, a correction, closing the record"),
        (name = "sessions", description = "登录: logging in, refreshing, logging out"),
        (name = "account", description = "账号: one's own password, one-time codes and WeChat binding"),
        (name = "staff", description = "工作人员: accounts, posts, deputies (AB 岗), absences, transfer and dismissal"),
        (name = "messages", description = "消息: a resident's inbox"),
        (name = "attachments", description = "附件: files, uploaded at once or in pieces (tus), and links to read them"),
        (name = "units", description = "区划: county, townships, villages"),
        (name = "calendar", description = "工作日: holidays, make-up workdays and deadlines"),
        (name = "jobs", description = "Failed jobs, to be seen and replayed"),
        (name = "audit", description = "审计: who looked at what, and who changed what"),
        (name = "county", description = "本县: name and mini-program of one's own county"),
        (name = "settings", description = "设置: what a county decides otherwise than the default, with its history"),
        (name = "operations", description = "Probes and metrics for those who run the service"),
    )
)]
struct Frame;

/// The document before any operation: information, tags, security schemes, problem schemas.
pub fn frame() -> openapi::OpenApi {
    let mut document = Frame::openapi();
    document.info.version = env!("CARGO_PKG_VERSION").into();
    let components = document.components.get_or_insert_default();
    let bearer = |about: String| {
        let mut scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(about));
        scheme = scheme.bearer_format("JWT");
        SecurityScheme::Http(scheme.build())
    };
    let mut table = String::from(
        "Access token of a session: a JWT (EdDSA), 15 minutes. An operation names the permission that it needs; these roles have it, within this reach:\n\n",
    );
    for (name, grants) in PERMISSIONS {
        let grants: Vec<_> = grants.iter().map(|(role, grant)| format!("{} ({grant:?})", role.as_str())).collect();
        table.push_str(&format!("- `{name}`: {}\n", grants.join(", ")));
    }
    components.add_security_scheme("token", bearer(table));
    components.add_security_scheme("metrics", bearer("`METRICS_TOKEN` of the configuration.".into()));
    document
}

/// Completes the document: summaries, the errors that follow from what an operation takes, and their headers.
pub fn finish(mut document: openapi::OpenApi) -> openapi::OpenApi {
    for (path, item) in &mut document.paths.paths {
        let operations = [
            (HttpMethod::Get, &mut item.get),
            (HttpMethod::Post, &mut item.post),
            (HttpMethod::Put, &mut item.put),
            (HttpMethod::Delete, &mut item.delete),
            // Of tus only.
            (HttpMethod::Patch, &mut item.patch),
            (HttpMethod::Head, &mut item.head),
            (HttpMethod::Options, &mut item.options),
        ];
        for (method, operation) in operations {
            if let Some(operation) = operation {
                complete(path, &method, operation);
            }
        }
    }
    document
}

fn scopes(operation: &Operation) -> Option<String> {
    let security = serde_json::to_value(operation.security.as_ref()?).ok()?;
    let scope = security.as_array()?.iter().find_map(|need| need.get("token"))?;
    scope.get(0)?.as_str().map(str::to_owned)
}

fn complete(path: &str, method: &HttpMethod, operation: &mut Operation) {
    let permission = scopes(operation);
    let takes_parameter = |name: &str| {
        operation
            .parameters
            .iter()
            .flatten()
            .any(|parameter| matches!(parameter, RefOr::T(parameter) if parameter.name == name))
    };
    let has_parameters = operation.parameters.iter().flatten().next().is_some();
    let keyed = takes_parameter("Idempotency-Key");
    let mut codes: Vec<Code> = Vec::new();
    if permission.is_some() {
        codes.extend([Code::Unauthenticated, Code::TokenExpired, Code::SessionEnded, Code::Forbidden]);
        codes.push(Code::CountySuspended);
    }
    let json = matches!(&operation.request_body, Some(RefOr::T(body)) if body.content.contains_key("application/json"));
    if json {
        codes.extend([Code::MalformedJson, Code::BodyTooLarge, Code::UnsupportedMediaType, Code::Invalid]);
    }
    if has_parameters {
        codes.push(Code::Invalid);
    }
    if keyed {
        codes.extend([Code::IdempotencyKeyMissing, Code::MalformedHeader, Code::IdempotencyInProgress]);
        codes.extend([Code::IdempotencyKeyReused, Code::TooManyRequests, Code::OutcomeUnknown]);
    }
    if takes_parameter("If-Match") {
        codes.extend([Code::PreconditionRequired, Code::VersionStale]);
    }
    if path.contains('{') || takes_parameter("county") {
        codes.push(Code::NotFound);
    }
    if path.starts_with("/v1") || path.starts_with("/.well-known") {
        codes.extend([Code::Internal, Code::Unavailable]);
    }
    let said = errors_said(operation);
    codes.extend(Code::ALL.iter().filter(|code| said.iter().any(|said| said == code.as_str())));
    codes.sort_by_key(|code| (code.status(), code.as_str()));
    codes.dedup();

    let description = operation.description.take().unwrap_or_default();
    let need = match (&permission, method) {
        (Some(permission), _) => format!("Permission: `{permission}`."),
        (None, _) => "Permission: none, public.".into(),
    };
    operation.description = Some(format!("{description}\n\n{need}").trim().to_owned());
    let mut by_status: BTreeMap<u16, Vec<Code>> = BTreeMap::new();
    for code in codes {
        by_status.entry(code.status().as_u16()).or_default().push(code);
    }
    for (status, codes) in by_status {
        operation.responses.responses.insert(status.to_string(), RefOr::T(problem(status, &codes)));
    }
    for (status, response) in &mut operation.responses.responses {
        if let RefOr::T(response) = response {
            let text = || Some(ObjectBuilder::new().schema_type(Type::String));
            let id = HeaderBuilder::new().schema(text()).description(Some("Names this request in our logs"));
            response.headers.insert("X-Request-Id".into(), RefOr::T(id.build()));
            if keyed && status.starts_with('2') {
                let replayed = HeaderBuilder::new()
                    .schema(text())
                    .description(Some("`true` when this is the stored answer of an earlier request"));
                response.headers.insert("Idempotency-Replayed".into(), RefOr::T(replayed.build()));
            }
        }
    }
}

/// Codes that a handler names itself, in an `x-errors` extension.
fn errors_said(operation: &mut Operation) -> Vec<String> {
    let said = operation.extensions.as_ref().and_then(|all| all.get("x-errors").cloned());
    said.and_then(|said| serde_json::from_value(said).ok()).unwrap_or_default()
}

fn problem(status: u16, codes: &[Code]) -> Response {
    let lines: Vec<_> = codes
        .iter()
        .map(|code| format!("`{}`: {}（{}）", code.as_str(), code.title().get(Lang::En), code.title().get(Lang::Zh)))
        .collect();
    let example = codes.first().map(|code| {
        serde_json::json!(crate::error::Error::new(*code).problem(
            Lang::Zh,
            "/v1/…",
            "01994c5e-7f00-7000-8000-000000000000"
        ))
    });
    let content: Content =
        ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).example(example).build();
    let mut response =
        ResponseBuilder::new().description(lines.join("; ")).content("application/problem+json", content);
    if matches!(status, 409 | 429 | 503) {
        let seconds = HeaderBuilder::new()
            .schema(Some(ObjectBuilder::new().schema_type(Type::Integer)))
            .description(Some("Seconds after which trying again makes sense"));
        response = response.header("Retry-After", seconds.build());
    }
    response.build()
}

/// The `Idempotency-Key` parameter, for the annotation of repeatable operations.
pub struct IdempotencyHeader;

impl utoipa::IntoParams for IdempotencyHeader {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<openapi::path::Parameter> {
        vec![header(
            "Idempotency-Key",
            "A new UUID for every action, the same one for its repeats: the first answer comes again, byte for byte, for 7 days.",
            "0199a0c0-1111-7000-8000-000000000001",
        )]
    }
}

/// The `If-Match` parameter.
pub struct IfMatchHeader;

impl utoipa::IntoParams for IfMatchHeader {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<openapi::path::Parameter> {
        vec![header("If-Match", "The `ETag` that was read; 412 when somebody changed the thing since.", "\"3\"")]
    }
}

/// The `Tus-Resumable` parameter.
pub struct TusHeader;

impl utoipa::IntoParams for TusHeader {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<openapi::path::Parameter> {
        vec![header("Tus-Resumable", "The version of tus; 412 for any other.", "1.0.0")]
    }
}

fn header(name: &str, about: &str, example: &str) -> openapi::path::Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Header)
        .required(openapi::Required::True)
        .description(Some(about))
        .example(Some(example.into()))
        .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
        .build()
}
