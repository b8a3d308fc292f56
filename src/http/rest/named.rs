//! What a path names.

use std::convert::Infallible;

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use crate::api::fault::{Fault, FaultCode};

/// The id in a path, as far as it is text: who asks is looked at before that is complained of.
pub struct Named(Option<String>);

impl Named {
    /// The id.
    pub fn read(&self) -> Result<&str, Fault> {
        text(self.0.as_deref())
    }
}

/// Two ids in a path, likewise.
pub struct NamedTwo(Option<(String, String)>);

impl NamedTwo {
    /// The ids, in the path's order.
    pub fn read(&self) -> Result<(&str, &str), Fault> {
        let (one, other) = self.0.as_ref().map(|(one, other)| (one, other)).unzip();
        Ok((
            text(one.map(String::as_str))?,
            text(other.map(String::as_str))?,
        ))
    }
}

fn text(id: Option<&str>) -> Result<&str, Fault> {
    let id = id.filter(|id| !id.contains('\0'));
    id.ok_or_else(|| Fault::of(FaultCode::BadText))
}

/// What a path holds; what is not UTF-8 once it is decoded is no path to axum.
async fn path<T, S>(parts: &mut Parts, state: &S) -> Option<T>
where
    T: DeserializeOwned + Send,
    S: Send + Sync,
{
    let path = Path::<T>::from_request_parts(parts, state).await;
    path.ok().map(|Path(path)| path)
}

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Named, Infallible> {
        Ok(Named(path(parts, state).await))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for NamedTwo {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<NamedTwo, Infallible> {
        Ok(NamedTwo(path(parts, state).await))
    }
}
