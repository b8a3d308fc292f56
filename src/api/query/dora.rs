//! Questions for DORA's figures, and for deployments in numbers.

use async_graphql::{Context, InputObject, Object, Result};
use projections::ReadError;
use projections::deployments::{self, StatisticsQuery};
use projections::dora::{self, DoraQuery, DoraScope};

use super::deployment::AsOfInput;
use crate::api::access::{AuthRole, Scope, auth, to};
use crate::api::failure::store_fault;
use crate::api::fault::{Fault, FaultCode};
use crate::api::operation::Operation;
use crate::api::scalars::{DateTime, Position};
use crate::api::types::deployment::EnvironmentTier;
use crate::api::types::dora::{DoraBenchmark, DoraBucket, DoraMetrics, LeadTimeBasis};
use crate::api::types::span::{invalid, span, zone};
use crate::api::types::statistics::ApplicationStats;

/// How many days a span has at most: ten years, so that no question reads for ever.
const SPAN_DAYS_MAX: i64 = 3_660;

/// Whose deployments; conditions add up.
#[derive(Debug, Default, InputObject)]
pub struct DoraScopeInput {
    /// Those of this project.
    project: Option<String>,
    /// Those of one of these services.
    services: Option<Vec<String>>,
    /// Those this team was said to own.
    team: Option<String>,
    /// Those to this environment.
    environment: Option<String>,
}

/// Questions about how well software is delivered.
#[derive(Default)]
pub struct DoraQueries;

#[Object]
impl DoraQueries {
    /// DORA's five figures over the deployments that ran at a time with `from` <= time < `to`, ten years
    /// at most. A figure belongs to the time of its deployment, so that what becomes known later changes
    /// the past; `asOf` asks for what was known before.
    #[expect(
        clippy::too_many_arguments,
        reason = "each is an argument of the schema"
    )]
    #[graphql(directive = auth::apply(AuthRole::Viewer, to(Scope::DeploymentsRead)))]
    async fn dora_metrics(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whose deployments; all if not said.")] scope: Option<DoraScopeInput>,
        #[graphql(
            desc = "Those to environments that were for this.",
            default_with = "EnvironmentTier::Production"
        )]
        tier: EnvironmentTier,
        #[graphql(desc = "Time of a deployment, included.")] from: DateTime,
        #[graphql(desc = "Time of a deployment, excluded.")] to: DateTime,
        #[graphql(
            desc = "How the span is cut beside, into 1,000 buckets at most; not if not said."
        )]
        bucket: Option<DoraBucket>,
        #[graphql(desc = "Zone of the IANA database whose days are meant; UTC if not said.")]
        zone: Option<String>,
        #[graphql(desc = "As it was known then; as it is if not said.")] as_of: Option<AsOfInput>,
        #[graphql(
            desc = "Where lead times begin.",
            default_with = "LeadTimeBasis::Committed"
        )]
        basis: LeadTimeBasis,
        #[graphql(
            desc = "The report whose bands figures are compared with.",
            default_with = "DoraBenchmark::Report2023"
        )]
        benchmark: DoraBenchmark,
    ) -> Result<DoraMetrics> {
        let operation = Operation::of(ctx);
        let (from, to) = span(from, to)?;
        if (to - from).num_days() > SPAN_DAYS_MAX {
            return Err(invalid("to", "the span is longer than ten years").into());
        }
        let mut query = DoraQuery {
            scope: scope.unwrap_or_default().into(),
            tier: tier.into(),
            from,
            to,
            bucket: bucket.map(Into::into),
            zone: self::zone(zone)?,
            basis: basis.into(),
            known_at: None,
        };
        query.known_at = match as_of {
            None => None,
            Some(as_of) => Some(known_at(operation, as_of).await?),
        };
        let mut snapshot = operation.read(&[deployments::NAME]).await?;
        let figures = match dora::dora(&mut snapshot, &query).await {
            Err(error @ ReadError::TooManyBuckets { .. }) => {
                return Err(invalid("bucket", &error.to_string()).into());
            }
            figures => snapshot.answer(figures)?,
        };
        Ok(DoraMetrics::new(query, benchmark.into(), figures))
    }

    /// Deployments in numbers: how many stand where, what is waited for, how long steps take.
    #[graphql(directive = auth::apply(AuthRole::Viewer, to(Scope::DeploymentsRead)))]
    async fn application_stats(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Of this project; of all if not said.")] project: Option<String>,
        #[graphql(desc = "Deployments known from then on.")] from: Option<DateTime>,
        #[graphql(desc = "Deployments known before then.")] to: Option<DateTime>,
    ) -> Result<ApplicationStats> {
        let operation = Operation::of(ctx);
        if let (Some(from), Some(to)) = (from, to) {
            span(from, to)?;
        }
        let query = StatisticsQuery {
            project,
            from: from.map(|from| from.0),
            to: to.map(|to| to.0),
        };
        let mut snapshot = operation.read(&[deployments::NAME]).await?;
        let found = deployments::statistics(&mut snapshot, &query).await;
        Ok(ApplicationStats::new(query, snapshot.answer(found)?))
    }
}

impl From<DoraScopeInput> for DoraScope {
    fn from(input: DoraScopeInput) -> DoraScope {
        DoraScope {
            project: input.project,
            services: input.services,
            team: input.team,
            environment: input.environment,
        }
    }
}

/// The position up to which was known what is asked for. The operation's reads show it from here on: an
/// answer as of a position never lacks part of what had happened by then.
pub async fn known_at(operation: &Operation, as_of: AsOfInput) -> Result<domain::Position, Fault> {
    let (store, tenant) = (&operation.parts.store, operation.tenant());
    let known = match as_of {
        AsOfInput::Time(DateTime(time)) => store.reached_by(tenant, time).await,
        AsOfInput::Position(Position(position)) => match store.head(tenant).await {
            Ok(head) if position > head => {
                let fault = Fault::of(FaultCode::BadPosition);
                return Err(fault.with("head", head.to_string()));
            }
            head => head.map(|_| position),
        },
    };
    let known = known.map_err(store_fault)?;
    operation.show(known).await;
    Ok(known)
}
