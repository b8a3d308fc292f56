//! A group of appends becomes the columns of one statement. Pure.

use std::collections::HashMap;

use domain::StreamKey;
use uuid::Uuid;

use super::append::{Append, StreamWrite};

/// The columns of one group. Numbers of commands, streams and events are 1-based, as SQL ordinality is.
#[derive(Debug, Default)]
pub(super) struct Columns<'a> {
    pub commands: CommandColumns<'a>,
    pub streams: StreamColumns<'a>,
    pub events: EventColumns<'a>,
    pub claims: ClaimColumns<'a>,
    pub rejected: RejectedColumns<'a>,
    /// Which command touches which stream.
    pub links: LinkColumns,
}

#[derive(Debug, Default)]
pub(super) struct CommandColumns<'a> {
    pub id: Vec<Uuid>,
    pub fingerprint: Vec<&'a [u8]>,
    /// Is its id kept?
    pub remembered: Vec<bool>,
    /// Commands that share a stream are kept or refused together.
    pub component: Vec<i32>,
    /// The stream its receipt speaks of.
    pub aggregate_type: Vec<Option<&'a str>>,
    pub aggregate_id: Vec<Option<&'a str>>,
    /// Sequence of its first event there.
    pub sequence: Vec<Option<i64>>,
    pub events: Vec<i32>,
    pub version: Vec<i64>,
    pub receipt: Vec<Option<&'a str>>,
    /// Number of its last event; 0 if it has none.
    pub last_event: Vec<i32>,
}

#[derive(Debug, Default)]
pub(super) struct StreamColumns<'a> {
    pub component: Vec<i32>,
    pub aggregate_type: Vec<&'static str>,
    pub aggregate_id: Vec<&'a str>,
    /// The version the first command of the group expects.
    pub expected: Vec<i64>,
    /// Events of the whole group.
    pub events: Vec<i32>,
    /// Number of its first event; 0 if it has none.
    pub first_event: Vec<i32>,
    pub last_event: Vec<i32>,
}

#[derive(Debug, Default)]
pub(super) struct EventColumns<'a> {
    pub component: Vec<i32>,
    pub aggregate_type: Vec<&'a str>,
    pub aggregate_id: Vec<&'a str>,
    pub sequence: Vec<i64>,
    pub event_type: Vec<&'a str>,
    pub event_version: Vec<&'a str>,
    pub event_id: Vec<Uuid>,
    pub payload: Vec<&'a str>,
    pub metadata: Vec<&'a str>,
}

#[derive(Debug, Default)]
pub(super) struct ClaimColumns<'a> {
    pub component: Vec<i32>,
    pub command: Vec<i32>,
    /// Its place in its command's claims, from 0.
    pub nth: Vec<i32>,
    pub scope: Vec<&'a str>,
    pub value_hash: Vec<&'a [u8]>,
    pub aggregate_id: Vec<&'a str>,
    pub release: Vec<bool>,
}

#[derive(Debug, Default)]
pub(super) struct RejectedColumns<'a> {
    pub component: Vec<i32>,
    pub id: Vec<Uuid>,
    pub source: Vec<&'a str>,
    pub command_id: Vec<Uuid>,
    pub code: Vec<&'a str>,
    pub record: Vec<&'a str>,
    pub details: Vec<String>,
    pub log_source: Vec<Option<&'a str>>,
}

#[derive(Debug, Default)]
pub(super) struct LinkColumns {
    pub command: Vec<i32>,
    pub stream: Vec<i32>,
}

/// Lays a group out. Commands of one stream must stand in the order they were decided.
pub(super) fn columns<'a>(group: &[&'a Append]) -> Columns<'a> {
    let mut out = Columns::default();
    let component = lay_streams(&mut out, group);
    for (append, component) in group.iter().zip(&component) {
        push_events(&mut out, append, *component);
        push_command(&mut out, append, *component);
        push_records(&mut out, append, *component);
    }
    // Streams stand in the order they were first touched; their events' numbers are known only now.
    let mut place: HashMap<(&str, &str), usize> = HashMap::new();
    for (i, key) in out
        .streams
        .aggregate_type
        .iter()
        .zip(&out.streams.aggregate_id)
        .enumerate()
    {
        place.insert((key.0, key.1), i);
    }
    let events = out
        .events
        .aggregate_type
        .iter()
        .zip(&out.events.aggregate_id)
        .enumerate();
    for (i, (aggregate_type, aggregate_id)) in events {
        let stream = place[&(*aggregate_type, *aggregate_id)];
        out.streams.last_event[stream] = number(i);
        if out.streams.first_event[stream] == 0 {
            out.streams.first_event[stream] = number(i);
        }
    }
    out
}

/// Lays out the streams and the links; returns each command's component.
///
/// A stream that is only relied on stands there once for each component: whoever relies on what others rely
/// on as well is not refused with them.
fn lay_streams<'a>(out: &mut Columns<'a>, group: &[&'a Append]) -> Vec<i32> {
    let mut components = join(group);
    let mut place: HashMap<(&'a StreamKey, usize), usize> = HashMap::new();
    for (command, append) in group.iter().enumerate() {
        let component = components.root(command);
        for write in &append.writes {
            let streams = &mut out.streams;
            let stream = *place.entry((&write.stream, component)).or_insert_with(|| {
                streams.component.push(number(component));
                streams.aggregate_type.push(write.stream.aggregate_type);
                streams.aggregate_id.push(&write.stream.aggregate_id);
                streams.expected.push(write.expected);
                streams.events.push(0);
                streams.first_event.push(0);
                streams.last_event.push(0);
                streams.events.len() - 1
            });
            streams.events[stream] += count(write.events.len());
            out.links.command.push(number(command));
            out.links.stream.push(number(stream));
        }
    }
    (0..group.len())
        .map(|c| number(components.root(c)))
        .collect()
}

/// Commands hang together by the streams that one of them writes.
fn join(group: &[&Append]) -> Components {
    let adds = |write: &&StreamWrite| !write.events.is_empty();
    let writes = || {
        group
            .iter()
            .enumerate()
            .map(|(i, append)| (i, &append.writes))
    };
    let mut last: HashMap<&StreamKey, usize> = HashMap::new();
    for (command, writes) in writes() {
        last.extend(writes.iter().filter(adds).map(|w| (&w.stream, command)));
    }
    let mut components = Components::new(group.len());
    for (command, writes) in writes() {
        for write in writes {
            if let Some(other) = last.get(&write.stream) {
                components.join(command, *other);
            }
        }
    }
    components
}

fn push_events<'a>(out: &mut Columns<'a>, append: &'a Append, component: i32) {
    for write in &append.writes {
        for (i, event) in write.events.iter().enumerate() {
            let columns = &mut out.events;
            columns.component.push(component);
            columns.aggregate_type.push(write.stream.aggregate_type);
            columns.aggregate_id.push(&write.stream.aggregate_id);
            columns.sequence.push(write.expected + 1 + i as i64);
            columns.event_type.push(event.event_type);
            columns.event_version.push(event.event_version);
            columns.event_id.push(event.event_id);
            columns.payload.push(&event.payload);
            columns.metadata.push(&append.metadata);
        }
    }
}

/// After its events: its last event is the last one laid out.
fn push_command<'a>(out: &mut Columns<'a>, append: &'a Append, component: i32) {
    let mut writing = append.writes.iter().filter(|w| !w.events.is_empty());
    let first = writing.next();
    let named = first.or(append.writes.first());
    let events: usize = append.writes.iter().map(|w| w.events.len()).sum();
    let columns = &mut out.commands;
    columns.id.push(append.command_id);
    columns.fingerprint.push(&append.fingerprint);
    columns.remembered.push(append.is_remembered());
    columns.component.push(component);
    columns
        .aggregate_type
        .push(named.map(|w| w.stream.aggregate_type));
    columns
        .aggregate_id
        .push(named.map(|w| &*w.stream.aggregate_id));
    columns.sequence.push(first.map(|w| w.expected + 1));
    columns.events.push(count(events));
    columns.version.push(append.version());
    columns.receipt.push(append.receipt.as_deref());
    columns.last_event.push(if events == 0 {
        0
    } else {
        count(out.events.sequence.len())
    });
}

fn push_records<'a>(out: &mut Columns<'a>, append: &'a Append, component: i32) {
    let command = count(out.commands.id.len());
    for (nth, claim) in append.claims.iter().enumerate() {
        out.claims.component.push(component);
        out.claims.command.push(command);
        out.claims.nth.push(count(nth));
        out.claims.scope.push(&claim.scope);
        out.claims.value_hash.push(&claim.value_hash);
        out.claims.aggregate_id.push(&claim.aggregate_id);
        out.claims.release.push(claim.release);
    }
    for rejected in &append.rejected {
        out.rejected.component.push(component);
        out.rejected.id.push(Uuid::now_v7());
        out.rejected.source.push(rejected.source);
        out.rejected.command_id.push(append.command_id);
        out.rejected.code.push(rejected.refusal.code.as_str());
        out.rejected.record.push(&rejected.record);
        out.rejected.details.push(details(&rejected.refusal));
        out.rejected.log_source.push(rejected.log_source.as_deref());
    }
}

fn details(refusal: &domain::Refusal) -> String {
    serde_json::json!({
        "message": refusal.message,
        "path": refusal.path,
        "facts": refusal.details,
    })
    .to_string()
}

/// The largest group has far fewer members than an i32 counts.
fn count(n: usize) -> i32 {
    i32::try_from(n).expect("a group is bounded far below 2^31")
}

/// From an index to SQL's numbering.
fn number(index: usize) -> i32 {
    count(index + 1)
}

/// Which commands hang together: union-find over their indexes.
struct Components {
    parent: Vec<usize>,
}

impl Components {
    fn new(n: usize) -> Components {
        Components {
            parent: (0..n).collect(),
        }
    }

    fn root(&mut self, mut x: usize) -> usize {
        while self.parent[x] != x {
            self.parent[x] = self.parent[self.parent[x]];
            x = self.parent[x];
        }
        x
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        // The smaller index is the root, so that a component is named by its first command.
        let (low, high) = (a.min(b), a.max(b));
        self.parent[high] = low;
    }
}

#[cfg(test)]
mod tests {
    use super::super::append::drafts::{append, write};
    use super::*;

    #[test]
    fn commands_of_one_stream_are_one_chain_and_one_component() {
        let group = [
            append(vec![write("a", 4, 1)]),
            append(vec![write("b", 0, 2)]),
            append(vec![write("a", 5, 2)]),
            append(vec![write("c", 9, 0)]),
            append(vec![write("c", 9, 1), write("b", 2, 1)]),
        ];
        let columns = columns(&group.iter().collect::<Vec<_>>());
        assert_eq!(columns.commands.component, [1, 2, 1, 2, 2]);
        assert_eq!(columns.streams.aggregate_id, ["a", "b", "c"]);
        assert_eq!(columns.streams.component, [1, 2, 2]);
        assert_eq!(columns.streams.expected, [4, 0, 9]);
        assert_eq!(columns.streams.events, [3, 3, 1]);
        assert_eq!(columns.streams.first_event, [1, 2, 6]);
        assert_eq!(columns.streams.last_event, [5, 7, 6]);
        assert_eq!(columns.events.sequence, [5, 1, 2, 6, 7, 10, 3]);
        assert_eq!(columns.events.component, [1, 2, 2, 1, 1, 2, 2]);
        assert_eq!(
            columns.commands.version,
            [5, 2, 7, 9, 0],
            "0: it wrote two streams"
        );
        assert_eq!(columns.commands.events, [1, 2, 2, 0, 2]);
        assert_eq!(columns.commands.last_event, [1, 3, 5, 0, 7]);
        assert_eq!(
            columns.commands.sequence,
            [Some(5), Some(1), Some(6), None, Some(10)]
        );
        assert_eq!(columns.links.command, [1, 2, 3, 4, 5, 5]);
        assert_eq!(columns.links.stream, [1, 2, 1, 3, 3, 2]);
    }

    #[test]
    fn who_relies_on_one_stream_does_not_hang_together() {
        let group = [
            append(vec![write("a", 4, 1), write("rules", 7, 0)]),
            append(vec![write("b", 0, 1), write("rules", 7, 0)]),
            append(vec![write("a", 5, 1), write("rules", 7, 0)]),
        ];
        let columns = columns(&group.iter().collect::<Vec<_>>());
        assert_eq!(columns.commands.component, [1, 2, 1]);
        assert_eq!(
            columns.streams.aggregate_id,
            ["a", "rules", "b", "rules"],
            "once for each component"
        );
        assert_eq!(columns.streams.component, [1, 1, 2, 2]);
        assert_eq!(columns.streams.last_event, [3, 0, 2, 0]);
        assert_eq!(columns.links.stream, [1, 2, 3, 4, 1, 2]);
    }
}
