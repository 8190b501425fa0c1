//! What holds for every operation of the API, described once: who is let in, what may become of any request, and how an
//! error looks. A handler describes what is its own; what it says of a status stands.

use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::Operation;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{ContentBuilder, OpenApi, Ref, RefOr, Response, ResponseBuilder};

use super::caller::PUBLIC;

/// Completes the descriptions of all operations.
pub(super) fn describe(document: &mut OpenApi) {
    for (path, item) in &mut document.paths.paths {
        let operations = [&mut item.get, &mut item.put, &mut item.post, &mut item.delete, &mut item.patch];
        for operation in operations.into_iter().flatten() {
            let is_public = PUBLIC.contains(&path.as_str());
            if !is_public {
                guarded(operation);
            }
            any(operation, is_public);
            for (status, response) in &mut operation.responses.responses {
                match response {
                    RefOr::T(response) if status.starts_with(['4', '5']) => problem(status, response),
                    RefOr::T(_) | RefOr::Ref(_) => {}
                }
            }
        }
    }
    let scheme = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("The token of a paired till; needed if http.tills is \"paired\""))
        .build();
    let components = document.components.get_or_insert_default();
    components.add_security_scheme("token", SecurityScheme::Http(scheme));
}

/// What becomes of a request that has to name a token.
fn guarded(operation: &mut Operation) {
    add(operation, "401", "The request names no token, where one is needed, or one that opens nothing");
    if operation.request_body.is_some() {
        add(operation, "403", "The token is another till's, or who asks may not do this");
    }
    let token = SecurityRequirement::new::<_, [&str; 0], &str>("token", []);
    operation.security = Some(vec![SecurityRequirement::default(), token]);
}

/// What may become of any request.
fn any(operation: &mut Operation, is_public: bool) {
    if operation.request_body.is_some() {
        add(operation, "400", "Not a command");
        add(operation, "413", "Too large");
        add(operation, "415", "Not JSON");
        add(operation, "422", "It breaks a rule");
    }
    if operation.parameters.is_some() {
        add(operation, "400", "A part of the path or of the query cannot be understood");
    }
    if operation.request_body.is_some() || !is_public {
        add(operation, "503", "Too many wait, the disk is full or has failed, or the agent ends");
    }
}

fn add(operation: &mut Operation, status: &str, description: &str) {
    let response = ResponseBuilder::new().description(description).build();
    operation.responses.responses.entry(status.to_owned()).or_insert(RefOr::T(response));
}

/// An error is a problem, in whichever words it is described.
fn problem(status: &str, response: &mut Response) {
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
    response.content.entry("application/problem+json".to_owned()).or_insert(content.into());
    if matches!(status, "429" | "503") {
        let seconds = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0));
        let header = HeaderBuilder::new()
            .schema(Some(seconds))
            .description(Some("In how many seconds to try again; none if a person has to look first"))
            .build();
        response.headers.entry("Retry-After".to_owned()).or_insert(header.into());
    }
}
