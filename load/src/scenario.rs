//! What a run asks: which requests, and how often each.

use clap::ValueEnum;

use crate::call::Call;
use crate::calls::{Make, boards, deployments, logs, people, vehicles};
use crate::chance::Chance;
use crate::world::World;

/// A mix of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    /// GraphQL as a front-end asks: nine questions for each command
    Mixed,
    /// Positions of vehicles and log records in batches, over REST
    Ingest,
    /// Sockets that follow vehicles, and whoever changes these
    Subscriptions,
    /// Bolt Tracker: a feed, latest positions, histories, heat maps and trends
    S0,
    /// Live Fleet Tracking: telephones that report, maps, fleets, people who sign in
    S1,
    /// Dep_tracker: deployments from the wish to the end, DORA's figures, objectives
    S2,
    /// Log Ingestion Server: batches of 1,000 records, single ones, searches
    S3,
    /// Health Competition: scores and boards
    S4,
}

/// A front-end's requests in percent.
const MIXED: &[(u64, Make)] = &[
    (20, vehicles::list),
    (22, vehicles::near),
    (16, vehicles::one),
    (8, vehicles::past),
    (8, deployments::list),
    (8, boards::page),
    (4, logs::page),
    (4, vehicles::heatmap),
    (4, vehicles::report),
    (4, vehicles::rename),
    (2, deployments::go_on),
];

const INGEST: &[(u64, Make)] = &[(60, vehicles::feed), (40, logs::batch)];

const SUBSCRIPTIONS: &[(u64, Make)] = &[(100, vehicles::rename)];

const S0: &[(u64, Make)] = &[
    (20, vehicles::feed),
    (40, vehicles::rest_latest),
    (16, vehicles::rest_history),
    (10, vehicles::rest_heatmap),
    (8, vehicles::rest_trend),
    (6, vehicles::rest_summary),
];

const S1: &[(u64, Make)] = &[
    (40, vehicles::report),
    (25, vehicles::near),
    (10, vehicles::one),
    (8, vehicles::fleet),
    (8, people::me),
    (4, people::token_status),
    (4, people::list),
    (1, people::sign_in),
];

const S2: &[(u64, Make)] = &[
    (35, deployments::rest_list),
    (15, deployments::list),
    (10, deployments::rest_stats),
    (8, deployments::dora),
    (7, deployments::sla),
    (25, deployments::go_on),
];

const S3: &[(u64, Make)] = &[
    (30, logs::batch),
    (40, logs::single),
    (15, logs::filter),
    (10, logs::recent),
    (5, logs::status),
];

const S4: &[(u64, Make)] = &[
    (30, boards::submit),
    (30, boards::rest_page),
    (20, boards::page),
    (20, boards::around),
];

impl Scenario {
    /// As it is called on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Scenario::Mixed => "mixed",
            Scenario::Ingest => "ingest",
            Scenario::Subscriptions => "subscriptions",
            Scenario::S0 => "s0",
            Scenario::S1 => "s1",
            Scenario::S2 => "s2",
            Scenario::S3 => "s3",
            Scenario::S4 => "s4",
        }
    }

    /// One request of the mix.
    pub fn call(self, world: &World, chance: &mut Chance) -> Call {
        let mix = self.mix();
        let all = mix.iter().map(|(share, _)| share).sum();
        let mut at = chance.below(all);
        for (share, make) in mix {
            match at.checked_sub(*share) {
                None => return make(world, chance),
                Some(rest) => at = rest,
            }
        }
        unreachable!("what is below the sum is within one of its parts")
    }

    fn mix(self) -> &'static [(u64, Make)] {
        match self {
            Scenario::Mixed => MIXED,
            Scenario::Ingest => INGEST,
            Scenario::Subscriptions => SUBSCRIPTIONS,
            Scenario::S0 => S0,
            Scenario::S1 => S1,
            Scenario::S2 => S2,
            Scenario::S3 => S3,
            Scenario::S4 => S4,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn asked(scenario: Scenario, count: usize) -> BTreeMap<&'static str, usize> {
        let world = World::new(1, 20, "2026-03-01T12:00:00Z".parse().unwrap());
        let mut chance = Chance::new(1);
        let mut asked = BTreeMap::new();
        for _ in 0..count {
            let call = scenario.call(&world, &mut chance);
            // As if it had been answered.
            call.then.into_iter().for_each(|stage| world.wait(stage));
            *asked.entry(call.operation).or_default() += 1;
        }
        asked
    }

    #[test]
    fn shares_are_percent_and_are_kept() {
        for scenario in Scenario::value_variants() {
            let sum: u64 = scenario.mix().iter().map(|(share, _)| share).sum();
            assert_eq!(sum, 100, "{scenario:?}");
        }
        let asked = asked(Scenario::Mixed, 10_000);
        assert!((1_900..2_100).contains(&asked["vehicles"]), "{asked:?}");
        let commands = ["reportPositions", "changeVehicleProfile", "startDeployment"];
        assert!(commands.iter().all(|name| asked.contains_key(name)));
    }

    #[test]
    fn a_deployment_is_wanted_then_started_then_ended() {
        let asked = asked(Scenario::S2, 3_000);
        let [wanted, started, ended] =
            ["requestDeployment", "startDeployment", "succeedDeployment"].map(|name| asked[name]);
        assert!(wanted - started <= 1 && started - ended <= 1, "{asked:?}");
        assert!(ended > 200, "{asked:?}");
    }
}
