//! Pictures of paper, and the templates that it is made by.

use std::sync::Arc;

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Json, Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use printing::template::Kind;
use printing::{Paper, Profile, png};
use protocol::latest::print::PrintTemplateView;
use serde::Deserialize;

use super::jobs::{job_id, no_such_job};
use crate::http::problem::ApiError;
use crate::http::routes::ApiParts;
use crate::printing::Unprintable;

/// Pictures that are drawn at once. One of a long receipt takes a megabyte and tens of milliseconds of a processor that the
/// tills need.
pub(crate) const PICTURES_MAX: usize = 2;

/// After how many seconds one may ask again.
const RETRY_S: u32 = 1;

/// The paper of a print job as its printer prints it, from the very bytes that are sent.
#[utoipa::path(
    get, path = "/v1/print-jobs/{job_id}/preview.png", params(("job_id" = i64, Path, example = 2)),
    responses(
        (status = 200, description = "A picture", body = [u8], content_type = "image/png"),
        (status = 404, description = "No such job"),
        (status = 422, description = "It cannot be printed"),
    )
)]
pub(super) async fn preview(
    State(parts): State<ApiParts>,
    id: Result<Path<i64>, PathRejection>,
) -> Result<Response, ApiError> {
    let id = job_id(id)?;
    let found = parts.readers.read(move |view| Ok(view.print_job(id)?.zip(view.print_data(id)?))).await?;
    let (job, data) = found.ok_or_else(|| no_such_job(id))?;
    let printing = parts.printing.clone();
    picture(&parts, move || printing.paper(&job, &data)).await
}

/// Which kinds of paper have a template of the store's own, and what is wrong with those that are not used.
#[utoipa::path(get, path = "/v1/print-templates", responses((status = 200, body = Vec<PrintTemplateView>)))]
pub(super) async fn templates(State(parts): State<ApiParts>) -> Json<Vec<PrintTemplateView>> {
    Json(parts.printing.templates())
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PreviewQuery {
    profile: Option<String>,
}

/// The paper of a template with made-up data.
#[utoipa::path(
    get, path = "/v1/print-templates/{kind}/preview.png",
    params(
        ("kind" = String, Path, example = "receipt"),
        ("profile" = Option<String>, Query, description = "The printer's profile, such as 58mm-gb18030; 80mm if left out"),
    ),
    responses(
        (status = 200, description = "A picture", body = [u8], content_type = "image/png"),
        (status = 400, description = "No such profile"),
        (status = 404, description = "No such kind of paper"),
    )
)]
pub(super) async fn template_preview(
    State(parts): State<ApiParts>,
    kind: Result<Path<String>, PathRejection>,
    query: Result<Query<PreviewQuery>, QueryRejection>,
) -> Result<Response, ApiError> {
    let Path(name) = kind.map_err(|rejection| ApiError::malformed(rejection.body_text()))?;
    let Query(PreviewQuery { profile }) = query.map_err(|rejection| ApiError::malformed(rejection.body_text()))?;
    let kind = Kind::named(&name).ok_or_else(|| {
        let names: Vec<&str> = Kind::ALL.into_iter().map(Kind::name).collect();
        let detail = format!("{name:?} is none of {}", names.join(", "));
        ApiError::new(StatusCode::NOT_FOUND, "print.unknown_kind", "No such kind of paper", detail)
    })?;
    let profile = match profile {
        None => Profile::USUAL,
        Some(name) => {
            Profile::named(&name).ok_or_else(|| ApiError::malformed(format!("{name:?} is no printer's profile")))?
        }
    };
    let printing = parts.printing.clone();
    picture(&parts, move || printing.sample(kind, &profile)).await
}

/// Draws on a thread that may take its time. As many at once as [`PICTURES_MAX`]; whoever comes after that is told to come
/// again, because a screen that waits asks again anyway.
async fn picture(
    parts: &ApiParts,
    draw: impl FnOnce() -> Result<Paper, Unprintable> + Send + 'static,
) -> Result<Response, ApiError> {
    let Ok(place) = Arc::clone(&parts.pictures).try_acquire_owned() else {
        let detail = format!("{PICTURES_MAX} pictures are being drawn; ask again in a moment");
        let busy = ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "print.previews_busy", "Too many previews", detail);
        return Err(busy.after(RETRY_S));
    };
    let drawn = tokio::task::spawn_blocking(move || {
        let drawn = draw().map(|paper| png::preview(&paper));
        // Only here: a picture goes on being drawn when nobody waits for it any more.
        drop(place);
        drawn
    });
    let drawn = drawn.await;
    match drawn {
        Ok(Ok(png)) => Ok(([(header::CONTENT_TYPE, "image/png")], png).into_response()),
        Ok(Err(error)) => {
            let title = "It cannot be printed";
            Err(ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "print.unprintable", title, error.to_string()))
        }
        Err(error) => {
            let title = "The picture cannot be drawn";
            Err(ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "print.not_drawn", title, error.to_string()))
        }
    }
}
