//! Relay connections: pages of a list, each item with an opaque cursor.

use async_graphql::connection::{Connection, Edge, EmptyFields};
use async_graphql::{ObjectType, OutputType, SimpleObject};
use projections::Page;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::cursor::{List, Sealable};
use super::fault::{Fault, FaultCode};
use super::operation::{Operation, Pages};
use super::scalars::Position;

/// A page of `T`, which tells what it is as of.
pub type Paged<T, Extra = AsOf> = Connection<Sealable, T, Extra, EmptyFields>;

/// What every page tells beside its items.
#[derive(SimpleObject)]
pub struct AsOf {
    /// The position in the log the page is as of: it shows every event up to it and none after.
    as_of_position: Position,
}

impl From<domain::Position> for AsOf {
    fn from(position: domain::Position) -> AsOf {
        AsOf {
            as_of_position: Position(position),
        }
    }
}

/// What part of a list is asked for.
pub struct Ask<P> {
    /// The list, which seals and opens its cursors.
    pub list: List,
    /// At most this many.
    pub first: u32,
    /// Those behind this place.
    pub after: Option<P>,
}

impl<P: DeserializeOwned> Ask<P> {
    /// Reads `first` and `after` of the list that `query` with `arguments` gives the caller.
    pub fn read(
        operation: &Operation,
        query: &str,
        arguments: &impl std::fmt::Debug,
        first: Option<i32>,
        after: Option<&str>,
    ) -> Result<Ask<P>, Fault> {
        let first = length(operation.pages, first)?;
        let list = List::new(operation.tenant(), query, arguments);
        let after = after.map(|cursor| list.open(cursor)).transpose()?;
        Ok(Ask { list, first, after })
    }
}

/// How many items somebody asks for.
pub fn length(pages: Pages, first: Option<i32>) -> Result<u32, Fault> {
    match first.map(u32::try_from) {
        None => Ok(pages.default),
        Some(Ok(n)) if (1..=pages.max).contains(&n) => Ok(n),
        Some(_) => Err(Fault::of(FaultCode::PageLimit).with("limit", pages.max)),
    }
}

impl<P> Ask<P> {
    /// The page as a connection; `place` tells where an item stands.
    pub fn connection<Row, T, Q, Extra>(
        &self,
        page: Page<Row>,
        extra: Extra,
        place: impl Fn(&Row) -> Q,
        node: impl Fn(Row) -> T,
    ) -> Paged<T, Extra>
    where
        T: OutputType,
        Q: Serialize,
        Extra: ObjectType,
    {
        let mut connection =
            Connection::with_additional_fields(self.after.is_some(), page.has_next, extra);
        connection.edges.extend(page.items.into_iter().map(|row| {
            let cursor = self.list.at(&place(&row));
            Edge::new(cursor, node(row))
        }));
        connection
    }
}
