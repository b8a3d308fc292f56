//! A group of appends becomes the columns of one statement. Pure.

use std::collections::HashMap;

use domain::StreamKey;
use uuid::Uuid;

use super::append::Append;

/// The columns of one group. Indexes into commands and streams are 1-based, as SQL ordinality is.
#[derive(Debug, Default)]
pub(super) struct Columns<'a> {
    pub commands: CommandColumns<'a>,
    pub streams: StreamColumns<'a>,
    /// Which command touches which stream.
    pub links: LinkColumns,
    pub events: EventColumns<'a>,
    pub claims: ClaimColumns<'a>,
    pub rejected: RejectedColumns<'a>,
}

#[derive(Debug, Default)]
pub(super) struct CommandColumns<'a> {
    pub id: Vec<Uuid>,
    pub fingerprint: Vec<&'a [u8]>,
    /// Commands that share a stream are kept or refused together.
    pub component: Vec<i32>,
    /// Index of the stream its receipt speaks of; 0 if it touches none.
    pub stream: Vec<i32>,
    /// Sequence of its first event there.
    pub sequence: Vec<Option<i64>>,
    pub events: Vec<i32>,
    pub version: Vec<i64>,
    pub receipt: Vec<Option<&'a str>>,
    pub metadata: Vec<&'a str>,
}

#[derive(Debug, Default)]
pub(super) struct StreamColumns<'a> {
    pub aggregate_type: Vec<&'a str>,
    pub aggregate_id: Vec<&'a str>,
    /// The version the first command of the group expects.
    pub expected: Vec<i64>,
    /// Events of the whole group.
    pub events: Vec<i32>,
}

#[derive(Debug, Default)]
pub(super) struct LinkColumns {
    pub command: Vec<i32>,
    pub stream: Vec<i32>,
}

#[derive(Debug, Default)]
pub(super) struct EventColumns<'a> {
    pub command: Vec<i32>,
    pub stream: Vec<i32>,
    pub sequence: Vec<i64>,
    pub event_type: Vec<&'a str>,
    pub event_version: Vec<&'a str>,
    pub event_id: Vec<Uuid>,
    pub payload: Vec<&'a str>,
}

#[derive(Debug, Default)]
pub(super) struct ClaimColumns<'a> {
    pub command: Vec<i32>,
    pub scope: Vec<&'a str>,
    pub value_hash: Vec<&'a [u8]>,
    pub aggregate_id: Vec<&'a str>,
    pub release: Vec<bool>,
}

#[derive(Debug, Default)]
pub(super) struct RejectedColumns<'a> {
    pub command: Vec<i32>,
    pub id: Vec<Uuid>,
    pub source: Vec<&'a str>,
    pub code: Vec<&'a str>,
    pub record: Vec<&'a str>,
    pub details: Vec<String>,
}

/// Lays a group out. Commands of one stream must stand in the order they were decided.
pub(super) fn columns<'a>(group: &[&'a Append]) -> Columns<'a> {
    let mut out = Columns::default();
    let mut stream_index: HashMap<&'a StreamKey, usize> = HashMap::new();
    let mut components = Components::new(group.len());
    let mut last_command: Vec<usize> = Vec::new();
    for (command, append) in group.iter().enumerate() {
        let ordinal = ordinal(command);
        for write in &append.writes {
            let stream = *stream_index.entry(&write.stream).or_insert_with(|| {
                out.streams.aggregate_type.push(write.stream.aggregate_type);
                out.streams.aggregate_id.push(&write.stream.aggregate_id);
                out.streams.expected.push(write.expected);
                out.streams.events.push(0);
                last_command.push(command);
                out.streams.expected.len() - 1
            });
            components.join(command, last_command[stream]);
            last_command[stream] = command;
            out.streams.events[stream] += count(write.events.len());
            out.links.command.push(ordinal);
            out.links.stream.push(stream_ordinal(stream));
            for (i, event) in write.events.iter().enumerate() {
                out.events.command.push(ordinal);
                out.events.stream.push(stream_ordinal(stream));
                out.events.sequence.push(write.expected + 1 + i as i64);
                out.events.event_type.push(event.event_type);
                out.events.event_version.push(event.event_version);
                out.events.event_id.push(event.event_id);
                out.events.payload.push(&event.payload);
            }
        }
        push_command(&mut out, append, &stream_index);
        push_records(&mut out, append, ordinal);
    }
    out.commands.component = (0..group.len())
        .map(|c| ordinal(components.root(c)))
        .collect();
    out
}

fn push_command<'a>(
    out: &mut Columns<'a>,
    append: &'a Append,
    stream_index: &HashMap<&'a StreamKey, usize>,
) {
    let mut writing = append.writes.iter().filter(|w| !w.events.is_empty());
    let first = writing.next();
    let single = writing.next().is_none();
    let named = first.or(append.writes.first());
    let columns = &mut out.commands;
    columns.id.push(append.command_id);
    columns.fingerprint.push(&append.fingerprint);
    columns
        .stream
        .push(named.map_or(0, |w| stream_ordinal(stream_index[&w.stream])));
    columns.sequence.push(first.map(|w| w.expected + 1));
    columns
        .events
        .push(count(append.writes.iter().map(|w| w.events.len()).sum()));
    columns.version.push(match named {
        Some(w) if single => w.expected + w.events.len() as i64,
        _ => 0,
    });
    columns.receipt.push(append.receipt.as_deref());
    columns.metadata.push(&append.metadata);
}

fn push_records<'a>(out: &mut Columns<'a>, append: &'a Append, ordinal: i32) {
    for claim in &append.claims {
        out.claims.command.push(ordinal);
        out.claims.scope.push(&claim.scope);
        out.claims.value_hash.push(&claim.value_hash);
        out.claims.aggregate_id.push(&claim.aggregate_id);
        out.claims.release.push(claim.release);
    }
    for rejected in &append.rejected {
        out.rejected.command.push(ordinal);
        out.rejected.id.push(Uuid::now_v7());
        out.rejected.source.push(rejected.source);
        out.rejected.code.push(rejected.refusal.code.as_str());
        out.rejected.record.push(&rejected.record);
        out.rejected.details.push(details(&rejected.refusal));
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

fn ordinal(command: usize) -> i32 {
    count(command + 1)
}

fn stream_ordinal(stream: usize) -> i32 {
    count(stream + 1)
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
    use super::super::append::{Basis, NewEvent, StreamWrite};
    use super::*;

    fn write(id: &str, expected: i64, events: usize) -> StreamWrite {
        StreamWrite {
            stream: StreamKey {
                aggregate_type: "vehicle",
                aggregate_id: id.into(),
            },
            expected,
            events: (0..events)
                .map(|_| NewEvent {
                    event_id: Uuid::nil(),
                    event_type: "vehicle.retired",
                    event_version: "1",
                    payload: "{}".into(),
                })
                .collect(),
            basis: Basis::default(),
        }
    }

    fn append(writes: Vec<StreamWrite>) -> Append {
        Append {
            command_id: Uuid::nil(),
            fingerprint: [0; 16],
            writes,
            claims: vec![],
            rejected: vec![],
            receipt: None,
            metadata: "{}".into(),
        }
    }

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
        assert_eq!(columns.streams.expected, [4, 0, 9]);
        assert_eq!(columns.streams.events, [3, 3, 1]);
        assert_eq!(columns.events.sequence, [5, 1, 2, 6, 7, 10, 3]);
        assert_eq!(
            columns.commands.version,
            [5, 2, 7, 9, 0],
            "0: it wrote two streams"
        );
        assert_eq!(columns.commands.events, [1, 2, 2, 0, 2]);
        assert_eq!(
            columns.commands.sequence,
            [Some(5), Some(1), Some(6), None, Some(10)]
        );
        assert_eq!(columns.links.command, [1, 2, 3, 4, 5, 5]);
        assert_eq!(columns.links.stream, [1, 2, 1, 3, 3, 2]);
    }
}
