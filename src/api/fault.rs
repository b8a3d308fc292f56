//! Faults: why a request was not answered, as stable codes beside the domain's refusals.

use async_graphql::ServerError;
use domain::{Code, Refusal};
use serde_json::{Map, Value};

/// Longest message of a refusal or a problem, in characters.
pub const MESSAGE_CHARS_MAX: usize = 200;

/// The stable codes. Never renamed; `docs/errors.md` is generated from here.
macro_rules! faults {
    ($($variant:ident $code:literal $status:literal $retryable:literal $doc:literal;)*) => {
        /// Why a request was not answered (a refused command is not a fault: it is data).
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum FaultCode { $(#[doc = $doc] $variant,)* }

        impl FaultCode {
            /// Every code, in catalogue order.
            pub const ALL: &'static [FaultCode] = &[$(FaultCode::$variant,)*];

            /// The code as clients see it.
            pub fn as_str(self) -> &'static str {
                match self { $(FaultCode::$variant => $code,)* }
            }

            /// The HTTP status of a REST answer; GraphQL uses its own two or three.
            pub fn status(self) -> u16 {
                match self { $(FaultCode::$variant => $status,)* }
            }

            /// May the very same request succeed later?
            pub fn retryable(self) -> bool {
                match self { $(FaultCode::$variant => $retryable,)* }
            }

            /// One sentence for the catalogue.
            pub fn doc(self) -> &'static str {
                match self { $(FaultCode::$variant => $doc,)* }
            }
        }
    };
}

faults! {
    Unauthenticated "UNAUTHENTICATED" 401 false "No credentials, or none that are accepted. The answer is the same whatever the reason.";
    AmbiguousAuth "AMBIGUOUS_AUTH" 401 false "A bearer token and an API key were sent, or several of one kind; send one.";
    BadSignature "BAD_SIGNATURE" 401 false "The delivery is not signed, or not with a secret of the source that its path names.";
    Stale "STALE" 401 false "The delivery says it was sent at another time than now; `toleranceS` tells how many seconds may lie between.";
    Forbidden "FORBIDDEN" 403 false "The caller is known but may not do this; `role` and `scope` tell what a person or an API key needs, `project` what a webhook's source does not tell of.";
    BadRequest "BAD_REQUEST" 400 false "The request does not have the shape this endpoint reads.";
    BadJson "BAD_JSON" 400 false "The body is not one UTF-8 JSON document of at most 128 levels.";
    BadText "BAD_TEXT" 400 false "A text holds NUL or half of a surrogate pair.";
    BadNumber "BAD_NUMBER" 400 false "A number is outside the range of a 64-bit float.";
    DuplicateKey "DUPLICATE_KEY" 400 false "A JSON object names a key twice.";
    BatchingDisabled "BATCHING_DISABLED" 400 false "The body is an array; one request carries one operation.";
    RouteNotFound "ROUTE_NOT_FOUND" 404 false "Nothing is served at this path.";
    MethodNotAllowed "METHOD_NOT_ALLOWED" 405 false "The path does not take this method; `Allow` names those it takes.";
    NotAcceptable "NOT_ACCEPTABLE" 406 false "None of the media types in `Accept` is served here.";
    RequestTimeout "REQUEST_TIMEOUT" 408 true "The head or the body did not arrive in time.";
    PayloadTooLarge "PAYLOAD_TOO_LARGE" 413 false "The body is larger than this endpoint takes; `limit` tells how many bytes that is.";
    UnsupportedMediaType "UNSUPPORTED_MEDIA_TYPE" 415 false "The body's media type or encoding is not read here; send application/json.";
    UriTooLong "URI_TOO_LONG" 414 false "Path and parameters are longer than 8 KiB; send the document by POST.";
    BadHost "BAD_HOST" 400 false "The request names no host, or several.";
    Misdirected "MISDIRECTED" 421 false "This process does not answer for the host named by the request.";
    UntrustedDocument "UNTRUSTED_DOCUMENT" 403 false "Only documents of the configured list are carried out here, and this is none of them.";
    PersistedNotFound "PERSISTED_NOT_FOUND" 422 true "No document with this hash is known; send its text along with the hash once.";
    PersistedMismatch "PERSISTED_MISMATCH" 422 false "The hash is not that of the document sent with it.";
    TooManySubscriptions "TOO_MANY_SUBSCRIPTIONS" 429 true "A socket, a caller or this process has as many subscriptions as it may; `limit` tells how many where it is the caller's to change.";
    ParseFailed "GRAPHQL_PARSE_FAILED" 422 false "The document is not GraphQL.";
    ValidationFailed "GRAPHQL_VALIDATION_FAILED" 422 false "The document does not fit the schema.";
    BadOperationName "BAD_OPERATION_NAME" 422 false "The document has several operations and none, or no such one, was named.";
    BadVariables "BAD_VARIABLES" 422 false "A variable is missing, or null where a value is due.";
    TokenLimit "TOKEN_LIMIT" 422 false "The document is longer than 16 KiB or 2,000 tokens.";
    DepthLimit "DEPTH_LIMIT" 422 false "Fields are nested deeper than 10, or brackets deeper than 64.";
    AliasLimit "ALIAS_LIMIT" 422 false "More than 30 aliases, counted where fragments are spread.";
    SensitiveOnce "SENSITIVE_ONCE" 422 false "An operation names more than one root field that takes a secret, or one of them twice.";
    RootLimit "ROOT_LIMIT" 422 false "More than 20 root fields of a query or 10 of a mutation.";
    DirectiveLimit "DIRECTIVE_LIMIT" 422 false "More than 50 directives, or 5 at one place.";
    SelectionLimit "SELECTION_LIMIT" 422 false "More than 2,000 fields as written.";
    ExpansionLimit "EXPANSION_LIMIT" 422 false "More than 2,000 fields once fragments are expanded.";
    FragmentCycle "FRAGMENT_CYCLE" 422 false "A fragment spreads itself.";
    IntrospectionDisabled "INTROSPECTION_DISABLED" 422 false "In production the schema is shown to those who may ask something of it.";
    CostLimit "COST_LIMIT" 422 false "Pages within pages could return more than 10,000 objects; `cost` and `limit` tell both.";
    PageLimit "PAGE_LIMIT" 422 false "A page size or a list is outside its limits; `limit` tells the highest.";
    BadCursor "BAD_CURSOR" 422 false "The cursor was not given out for this query, or not to this tenant.";
    BadPosition "BAD_POSITION" 422 false "The position is not a whole number, or lies beyond the end of the log.";
    NotProved "NOT_PROVED" 500 false "What is stored does not prove it: the log or its seals are not as they were. `daybook verify` names the event.";
    Archived "ARCHIVED" 410 false "The log does not hold these events any more: not from `missing` on, and from `first` on again, which is null where nothing is.";
    StaleRead "STALE_READ" 503 true "The read models have not come to the position asked for in time; `appliedPosition` and `readModels` tell how far they are.";
    Timeout "TIMEOUT" 504 true "The operation took longer than 10 seconds. A command may have been kept: sending it again with the same commandId is safe.";
    RateLimited "RATE_LIMITED" 429 true "Too much was asked; `quota` tells of what (address, user, cost, sign_in_address, sign_in_account, log_bytes, log_records), `retryAfterMs` when to try again.";
    Overloaded "OVERLOADED" 503 true "Too much is waiting; `retryAfterMs` tells when to try again.";
    Resume "RESUME" 503 true "The subscription cannot go on; what comes after `position` has not been sent. Subscribe again from there.";
    AsOfNotBuilt "AS_OF_NOT_BUILT" 422 false "The read model `readModel` has no generation as of the position `asOf`; `rebuildProjection` with SCRATCH builds one.";
    AsOfUnsupported "AS_OF_UNSUPPORTED" 422 false "What is asked is not told by read models alone, so not as of a position; `field` names it.";
    ReadModelBuilding "READ_MODEL_BUILDING" 503 true "The read model is being built for the first time.";
    Unavailable "UNAVAILABLE" 503 true "The database cannot be reached, or a read model that the command has a question to is behind the log. Sending a command again with the same commandId is safe.";
    Internal "INTERNAL" 500 false "A fault of ours; `requestId` finds it in the log.";
}

/// What a client is told when its request is not answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    /// Which kind.
    pub kind: FaultKind,
    /// One sentence for a person.
    pub message: String,
    /// Facts a program can act on.
    pub facts: Map<String, Value>,
}

/// A fault's own code, or the domain's code for an argument it would refuse in a command too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// Of this catalogue.
    Fault(FaultCode),
    /// Of the domain's.
    Refused(Code),
}

impl Fault {
    /// A fault with its catalogue sentence.
    pub fn of(code: FaultCode) -> Fault {
        Fault::new(code, code.doc())
    }

    /// A fault with a sentence of its own.
    pub fn new(code: FaultCode, message: impl Into<String>) -> Fault {
        Fault {
            kind: FaultKind::Fault(code),
            message: message.into(),
            facts: Map::new(),
        }
    }

    /// A resolver's fault as it was raised; what the library says itself is a document that does
    /// not fit.
    pub fn of_error(error: &ServerError) -> Fault {
        let source = error.source.as_ref();
        let own = source.and_then(|source| source.downcast_ref::<Fault>());
        own.cloned()
            .unwrap_or_else(|| Fault::new(FaultCode::ValidationFailed, &*error.message))
    }

    /// Adds a fact.
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Fault {
        self.facts.insert(name.to_owned(), value.into());
        self
    }

    /// The code as clients see it.
    pub fn code(&self) -> &'static str {
        match self.kind {
            FaultKind::Fault(code) => code.as_str(),
            FaultKind::Refused(code) => code.as_str(),
        }
    }

    /// May the very same request succeed later?
    pub fn is_passing(&self) -> bool {
        matches!(self.kind, FaultKind::Fault(code) if code.retryable())
    }

    /// The HTTP status of a REST answer.
    pub fn status(&self) -> u16 {
        match self.kind {
            FaultKind::Fault(code) => code.status(),
            FaultKind::Refused(Code::NotFound) => 404,
            FaultKind::Refused(
                Code::SignInFailed
                | Code::InvalidToken
                | Code::TokenExpired
                | Code::SessionRevoked
                | Code::RefreshReused,
            ) => 401,
            FaultKind::Refused(_) => 422,
        }
    }
}

/// The message. A resolver's error is made of it and keeps the fault, which the transport tells.
impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Fault {
        let mut facts = refusal.details;
        if !refusal.path.is_empty() {
            facts.insert("argument".to_owned(), refusal.path.join(".").into());
        }
        Fault {
            kind: FaultKind::Refused(refusal.code),
            message: refusal.message,
            facts,
        }
    }
}

/// Cuts a message to so many characters.
pub fn cut(message: &str, chars_max: usize) -> String {
    match message.char_indices().nth(chars_max) {
        None => message.to_owned(),
        Some(_) => message.chars().take(chars_max - 1).chain(['…']).collect(),
    }
}

/// `docs/errors.md`: every code a client can meet.
pub fn catalogue() -> String {
    let mut page = format!(
        "# Error codes\n\nGenerated from the program; a test holds it. Codes are never renamed. \
         Retryable says whether the very same request may succeed later.\n\n## Refusals\n\n\
         Why a command, or one record of it, was not carried out: `userErrors[].code` of a mutation, \
         `results[].error.code` of a record. Nothing was appended for it.\n\n{}",
        domain::refusal::catalogue()
    );
    page += "\n## Faults\n\nWhy a request was not answered: `errors[].extensions.code` in GraphQL, \
             `code` in problem+json, which has the status below. GraphQL itself answers 422 as 400 in \
             `application/graphql-response+json` and as 200 in `application/json`.\n\n\
             | code | status | retryable | meaning |\n|---|---|---|---|\n";
    for code in FaultCode::ALL {
        let (name, status, doc) = (code.as_str(), code.status(), code.doc());
        let retryable = if code.retryable() { "yes" } else { "no" };
        page += &format!("| `{name}` | {status} | {retryable} | {doc} |\n");
    }
    page
}
