//! Questions about objectives.

use async_graphql::{Context, ID, Object, Result};
use projections::slos::{self, SloFilter};

use super::deployment::AsOfInput;
use super::dora::known_at;
use crate::api::access::{AuthRole, Scope, auth, to};
use crate::api::operation::Operation;
use crate::api::page::{Ask, Paged};
use crate::api::types::slo::{ServiceLevelIndicator, Slo};

/// Questions about objectives.
#[derive(Default)]
pub struct SloQueries;

#[Object]
impl SloQueries {
    /// One objective; null if there is none with this id, or was none then.
    #[graphql(directive = auth::apply(AuthRole::Viewer, to(Scope::DeploymentsRead)))]
    async fn slo(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The objective's id.")] id: ID,
        #[graphql(desc = "As it was known then; as it is if not said.")] as_of: Option<AsOfInput>,
    ) -> Result<Option<Slo>> {
        let known = match as_of {
            None => None,
            Some(as_of) => Some(known_at(Operation::of(ctx), as_of).await?),
        };
        slo(ctx, &id, known).await
    }

    /// Objectives by ascending id. Conditions add up.
    #[expect(
        clippy::too_many_arguments,
        reason = "each is an argument of the schema"
    )]
    #[graphql(directive = auth::apply(AuthRole::Viewer, to(Scope::DeploymentsRead)))]
    async fn slos(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Those of this project alone.")] project: Option<String>,
        #[graphql(desc = "Those of this service alone.")] service: Option<String>,
        #[graphql(desc = "Those that measure this.")] sli: Option<ServiceLevelIndicator>,
        #[graphql(desc = "Those that are measured no more, or those that are; all if not said.")]
        retired: Option<bool>,
        #[graphql(desc = "At most this many, 1 to 200; 50 if not said.")] first: Option<i32>,
        #[graphql(desc = "Those behind this cursor.")] after: Option<String>,
    ) -> Result<Paged<Slo>> {
        let operation = Operation::of(ctx);
        let filter = SloFilter {
            project,
            service,
            sli: sli.map(Into::into),
            retired,
        };
        let ask = Ask::<String>::read(operation, "slos", &filter, first, after.as_deref())?;
        let mut snapshot = operation.read(&[slos::NAME]).await?;
        let after = ask.after.as_deref();
        let page = slos::slos(&mut snapshot, &filter, after, ask.first).await;
        let page = snapshot.answer(page)?;
        let as_of = page.as_of.into();
        let node = |row| Slo::new(row, None);
        Ok(ask.connection(page, as_of, |row| row.id.clone(), node))
    }
}

/// One objective, as it is or as it was known at a position.
pub async fn slo(
    ctx: &Context<'_>,
    id: &str,
    known_at: Option<domain::Position>,
) -> Result<Option<Slo>> {
    let mut snapshot = Operation::of(ctx).read(&[slos::NAME]).await?;
    let row = slos::slo(&mut snapshot, id, known_at).await;
    Ok(snapshot.answer(row)?.map(|row| Slo::new(row, known_at)))
}
