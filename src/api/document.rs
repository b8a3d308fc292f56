//! Which operation of a document is meant.

use async_graphql::parser::types::{ExecutableDocument, OperationDefinition};

use super::fault::{Fault, FaultCode};

/// The operation of that name; where none is named, the only one.
pub fn operation_of<'d>(
    document: &'d ExecutableDocument,
    wanted: Option<&str>,
) -> Result<&'d OperationDefinition, Fault> {
    let mut operations = document.operations.iter();
    let found = match wanted {
        Some(wanted) => operations.find(|(name, _)| name.is_some_and(|n| n == wanted)),
        None if operations.len() == 1 => operations.next(),
        None => None,
    };
    found
        .map(|(_, operation)| &operation.node)
        .ok_or_else(|| Fault::of(FaultCode::BadOperationName))
}
