//! What a path names.

use std::convert::Infallible;

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;

use crate::api::fault::{Fault, FaultCode};

/// The id in a path, as far as it is text: who asks is looked at before that is complained of.
pub struct Named(Option<String>);

impl Named {
    /// The id.
    pub fn read(&self) -> Result<&str, Fault> {
        let text = self.0.as_deref().filter(|text| !text.contains('\0'));
        text.ok_or_else(|| Fault::of(FaultCode::BadText))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Named, Infallible> {
        // What is not UTF-8 once it is decoded is no path to axum.
        let path = Path::from_request_parts(parts, state).await.ok();
        Ok(Named(path.map(|Path(id)| id)))
    }
}
