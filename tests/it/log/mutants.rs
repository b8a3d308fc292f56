//! True histories told wrong: the checker must see through every lie.

use uuid::Uuid;

use super::journal::{Entry, Line, Read, Wish, check};

/// A history that was true is told wrong, one way after the other.
pub fn catch_in_histories(journal: &[Line], log: &[Entry], reads: &[Read]) {
    type Lie = fn(&mut Vec<Line>, &mut Vec<Entry>, &mut Read);
    assert!(log.len() > 20, "a history is long enough to lie about");
    let lies: &[(&str, Lie)] = &[
        ("an acknowledged event is lost", |_, log, _| {
            log.truncate(log.len() - 1)
        }),
        ("one in the middle is lost", |_, log, _| {
            log.remove(log.len() / 2);
        }),
        ("one is lost and the gap closed", |_, log, _| {
            let at = log.len() / 2;
            log.remove(at);
            log[at..].iter_mut().for_each(|entry| entry.position -= 1);
        }),
        ("one stands twice", |_, log, _| {
            let again = log[log.len() / 2].clone();
            let next = log.len() as i64 + 1;
            log.push(Entry {
                position: next,
                ..again
            });
        }),
        ("two versions are twins", |_, log, _| {
            let at = log.iter().rposition(|entry| entry.sequence > 1).unwrap();
            log[at].sequence -= 1;
        }),
        ("two of a stream have changed places", |_, log, _| {
            let at = log.iter().rposition(|entry| entry.sequence > 1).unwrap();
            let stream = log[at].stream.clone();
            let before = log[..at]
                .iter()
                .rposition(|entry| entry.stream == stream)
                .unwrap();
            let (earlier, later) = (log[before].position, log[at].position);
            log.swap(before, at);
            (log[before].position, log[at].position) = (earlier, later);
        }),
        ("what was refused was kept", |lines, _, _| {
            let at = lines
                .iter()
                .rposition(|line| matches!(line, Line::Ok { .. }))
                .unwrap();
            let Line::Ok { op, .. } = lines[at] else {
                unreachable!()
            };
            lines[at] = Line::Fail(op);
        }),
        ("what nobody kept was acknowledged", |lines, _, _| {
            let at = lines
                .iter()
                .rposition(|line| matches!(line, Line::Fail(_)))
                .unwrap();
            let Line::Fail(op) = lines[at] else {
                unreachable!()
            };
            lines[at] = Line::Ok {
                op,
                position: 1,
                version: 1,
                facts: 1,
            };
        }),
        ("an acknowledged operation never came", |lines, _, _| {
            let op = Uuid::now_v7();
            let wish = Wish::Rename {
                vehicle: "bus0".to_owned(),
            };
            lines.push(Line::Invoke(op, wish));
            lines.push(Line::Ok {
                op,
                position: 9,
                version: 9,
                facts: 1,
            });
        }),
        ("an event comes from nobody", |lines, log, _| {
            let op = log.iter().rev().find_map(|entry| entry.op).unwrap();
            let of = |line: &Line| match line {
                Line::Invoke(of, _) | Line::Fail(of) | Line::Info(of) => *of,
                Line::Ok { op, .. } => *op,
            };
            lines.retain(|line| of(line) != op);
        }),
        ("a receipt names another place", |lines, _, _| {
            let ok = lines.iter_mut().rev().find_map(|line| match line {
                Line::Ok { position, .. } => Some(position),
                _ => None,
            });
            *ok.unwrap() -= 1;
        }),
        (
            "an operation was decided on what it had not seen",
            |lines, _, _| {
                let kept = lines.iter().rev().find_map(|line| match line {
                    Line::Ok { op, .. } => Some(*op),
                    _ => None,
                });
                for line in lines {
                    if let Line::Invoke(op, wish) = line
                        && Some(*op) == kept
                    {
                        let (stream, events) = ("s0".to_owned(), 1);
                        *wish = Wish::Append {
                            stream,
                            expected: -9,
                            events,
                        };
                    }
                }
            },
        ),
        ("time ran backwards", |lines, _, _| {
            // The last acknowledged is told to have been sent after itself was answered.
            let at = lines
                .iter()
                .rposition(|line| matches!(line, Line::Ok { .. }))
                .unwrap();
            let Line::Ok { op, .. } = lines[at] else {
                unreachable!()
            };
            let sent = lines
                .iter()
                .position(|l| matches!(l, Line::Invoke(of, _) if *of == op));
            let sent = lines.remove(sent.unwrap());
            lines.push(sent);
        }),
        ("an outcome stays unknown", |lines, _, _| {
            lines.push(Line::Invoke(
                Uuid::now_v7(),
                Wish::Rename {
                    vehicle: "bus0".to_owned(),
                },
            ));
        }),
        ("a reader missed one", |_, _, read| {
            read.remove(read.len() / 2);
        }),
        ("a reader stopped early", |_, _, read| {
            read.truncate(read.len() - 1)
        }),
        ("a reader saw one twice", |_, _, read| {
            let at = read.len() / 2;
            read.insert(at, read[at]);
        }),
        ("a reader saw two in the wrong order", |_, _, read| {
            let at = read.len() / 2;
            read.swap(at, at + 1);
        }),
        ("a reader saw what was rolled back", |_, _, read| {
            let at = read.len() / 2;
            read[at].1 = Uuid::now_v7();
        }),
    ];
    let mut caught = 0;
    for (what, lie) in lies {
        let (mut lines, mut log, mut read) = (journal.to_vec(), log.to_vec(), reads[0].clone());
        lie(&mut lines, &mut log, &mut read);
        let found = check(&lines, &log, &[read]);
        assert!(!found.is_empty(), "nobody notices that {what}");
        caught += 1;
    }
    eprintln!(
        "torture: mutants caught {caught}/{} in a true history",
        lies.len()
    );
}
