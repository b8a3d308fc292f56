//! W3C trace context: who called us, and what we call ourselves to others and in the log.

use std::collections::HashMap;

use opentelemetry::Context;
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::{SpanContext, TraceContextExt, TraceFlags, TraceState};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator};

/// One step of a trace that spans processes.
#[derive(Clone, Debug, PartialEq)]
pub struct TraceContext(SpanContext);

/// The longest header read; version 00 takes 55, later ones may append to it.
const HEADER_BYTES_MAX: usize = 128;

impl TraceContext {
    /// Reads a `traceparent` header; anything that is not exactly one is ignored.
    pub fn parse(header: &str) -> Option<TraceContext> {
        if !well_formed(header) {
            return None;
        }
        let carrier = HashMap::from([("traceparent".to_owned(), header.to_owned())]);
        let context = TraceContextPropagator::new().extract_with_context(&Context::new(), &carrier);
        let span = context.span().span_context().clone();
        span.is_valid().then_some(TraceContext(span))
    }

    /// The first step of a new trace.
    pub fn root() -> TraceContext {
        let ids = RandomIdGenerator::default();
        TraceContext(SpanContext::new(
            ids.new_trace_id(),
            ids.new_span_id(),
            TraceFlags::SAMPLED,
            false,
            TraceState::default(),
        ))
    }

    /// A step of ours below this one.
    pub fn child(&self) -> TraceContext {
        TraceContext(SpanContext::new(
            self.0.trace_id(),
            RandomIdGenerator::default().new_span_id(),
            self.0.trace_flags(),
            false,
            TraceState::default(),
        ))
    }

    /// The header for calls of ours, and the metadata of events.
    pub fn traceparent(&self) -> String {
        let flags = (self.0.trace_flags() & TraceFlags::SAMPLED).to_u8();
        format!("00-{}-{}-{flags:02x}", self.0.trace_id(), self.0.span_id())
    }

    /// The trace's id, 32 hexadecimal digits.
    pub fn trace_id(&self) -> String {
        self.0.trace_id().to_string()
    }
}

/// The layout of the specification, to the byte: the library is more forgiving than that.
fn well_formed(header: &str) -> bool {
    let bytes = header.as_bytes();
    if bytes.len() < 55 || bytes.len() > HEADER_BYTES_MAX {
        return false;
    }
    let hex = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let layout = bytes[..55].iter().enumerate().all(|(i, byte)| match i {
        2 | 35 | 52 => *byte == b'-',
        _ => hex(byte),
    });
    let end = match &header[..2] {
        "00" => bytes.len() == 55,
        _ => bytes.len() == 55 || bytes[55] == b'-',
    };
    layout && end
}

#[cfg(test)]
mod tests {
    use super::TraceContext;

    const GIVEN: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_well_formed_header_is_kept_and_continued() {
        let given = TraceContext::parse(GIVEN).expect("well formed");
        assert_eq!(given.traceparent(), GIVEN);
        let ours = given.child();
        assert_eq!(ours.trace_id(), "0af7651916cd43dd8448eb211c80319c");
        assert_ne!(ours.traceparent(), GIVEN);
        let later = format!("cc{}-what-will-come", &GIVEN[2..]);
        assert!(TraceContext::parse(&later).is_some());
    }

    #[test]
    fn a_root_is_a_header_of_its_own() {
        let root = TraceContext::root();
        assert_eq!(
            TraceContext::parse(&root.traceparent()).unwrap().trace_id(),
            root.trace_id()
        );
    }

    #[test]
    fn anything_else_is_ignored() {
        let zeros = "00-00000000000000000000000000000000-b7ad6b7169203331-01";
        let long = format!("cc{}-{}", &GIVEN[2..], "x".repeat(64 * 1024));
        let cases = [
            "",
            "garbage",
            zeros,
            &long,
            &GIVEN.to_uppercase(),
            &GIVEN[..54],
            &format!("{GIVEN}-"),
            &format!("ff{}", &GIVEN[2..]),
            &GIVEN.replace('-', "_"),
            &format!(" {GIVEN}"),
            "00-0af7651916cd43dd8448eb211c80319ä-b7ad6b716920333-01",
        ];
        for case in cases {
            assert_eq!(TraceContext::parse(case), None, "{case:?}");
        }
    }
}
