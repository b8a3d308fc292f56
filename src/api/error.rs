//! Refusals as GraphQL data.

use std::borrow::Cow;

use async_graphql::parser::types::Field;
use async_graphql::registry::{Deprecation, MetaEnumValue, MetaType, MetaTypeId, Registry};
use async_graphql::{
    ContextSelectionSet, Interface, Name, OutputType, Positioned, ServerResult, SimpleObject, Value,
};
use domain::{Code, Refusal};

use super::fault::{MESSAGE_CHARS_MAX, cut};
use super::scalars::Json;

/// The domain's codes as an enum: made from [`Code::ALL`], so that the two cannot part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrorCode(pub Code);

impl OutputType for ErrorCode {
    fn type_name() -> Cow<'static, str> {
        Cow::Borrowed("ErrorCode")
    }

    fn create_type_info(registry: &mut Registry) -> String {
        registry.create_output_type::<Self, _>(MetaTypeId::Enum, |_| MetaType::Enum {
            name: "ErrorCode".to_owned(),
            description: Some(
                "Why a command, or a record of one, was refused. Never renamed.".to_owned(),
            ),
            enum_values: Code::ALL
                .iter()
                .map(|code| (code.as_str().to_owned(), meta(*code)))
                .collect(),
            visible: None,
            inaccessible: false,
            tags: Vec::new(),
            rust_typename: Some(std::any::type_name::<Self>()),
            directive_invocations: Vec::new(),
            requires_scopes: Vec::new(),
        })
    }

    async fn resolve(
        &self,
        _: &ContextSelectionSet<'_>,
        _: &Positioned<Field>,
    ) -> ServerResult<Value> {
        Ok(Value::Enum(Name::new(self.0.as_str())))
    }
}

fn meta(code: Code) -> MetaEnumValue {
    MetaEnumValue {
        name: code.as_str().to_owned(),
        description: Some(code.doc().to_owned()),
        deprecation: Deprecation::NoDeprecated,
        visible: None,
        inaccessible: false,
        tags: Vec::new(),
        directive_invocations: Vec::new(),
    }
}

/// Why a command, or a record of one, was not carried out.
#[derive(Interface)]
#[graphql(
    field(name = "code", ty = "&ErrorCode", desc = "The stable code."),
    field(
        name = "message",
        ty = "&String",
        desc = "One sentence for a person; never parse it."
    ),
    field(
        name = "path",
        ty = "&Vec<String>",
        desc = "The offending field, from the mutation's arguments: `[\"input\", \"vin\"]`. Empty if no one field is to blame."
    ),
    field(
        name = "retryable",
        ty = "&bool",
        desc = "May the very same request succeed later?"
    )
)]
#[expect(
    clippy::enum_variant_names,
    reason = "variants are named as the schema's member types"
)]
pub enum UserError {
    /// A stream was not at the expected version.
    ConflictError(ConflictError),
    /// Something is larger or more than its limit.
    LimitError(LimitError),
    /// A value is not what its field accepts.
    ValidationError(ValidationError),
    /// The rules of the domain say no.
    RefusalError(RefusalError),
}

/// A member of [`UserError`]: what all of them tell, and its own facts.
macro_rules! user_error {
    ($(#[doc = $doc:literal])* $name:ident { $($(#[doc = $field_doc:literal])* $field:ident: $ty:ty,)* }) => {
        $(#[doc = $doc])*
        #[derive(SimpleObject)]
        pub struct $name {
            /// The stable code.
            code: ErrorCode,
            /// One sentence for a person; never parse it.
            message: String,
            /// The offending field, from the mutation's arguments.
            path: Vec<String>,
            /// May the very same request succeed later?
            retryable: bool,
            $($(#[doc = $field_doc])* $field: $ty,)*
        }

        impl $name {
            fn new(refusal: Refusal, $($field: $ty),*) -> $name {
                $name {
                    code: ErrorCode(refusal.code),
                    message: cut(&refusal.message, MESSAGE_CHARS_MAX),
                    path: refusal.path,
                    retryable: refusal.code.retryable(),
                    $($field,)*
                }
            }
        }
    };
}

user_error! {
    /// The object is not at the version the caller expected, or the command lost too many races.
    ConflictError {
        /// The version the object is at.
        actual_version: Option<i32>,
    }
}
user_error! {
    /// Something is larger, or more, than its limit.
    LimitError {
        /// The most that is accepted.
        limit: Option<f64>,
        /// What was sent.
        actual: Option<f64>,
    }
}
user_error! {
    /// A value is not what its field accepts.
    ValidationError {
        /// The facts behind the refusal, by name: limits and actual values.
        details: Json,
    }
}
user_error! {
    /// The rules of the domain say no.
    RefusalError {
        /// The facts behind the refusal, by name.
        details: Json,
    }
}

impl From<Refusal> for UserError {
    fn from(mut refusal: Refusal) -> UserError {
        let number = |name: &str| {
            refusal
                .details
                .get(name)
                .and_then(serde_json::Value::as_f64)
        };
        match refusal.code {
            Code::VersionConflict => {
                let actual = number("actualVersion").map(|version| version as i32);
                UserError::ConflictError(ConflictError::new(refusal, actual))
            }
            Code::TooLarge | Code::OutOfRange => {
                let (limit, actual) = (number("limit"), number("actual"));
                UserError::LimitError(LimitError::new(refusal, limit, actual))
            }
            code => {
                let details = Json(
                    Value::from_json(std::mem::take(&mut refusal.details).into())
                        .unwrap_or_default(),
                );
                if is_about_a_value(code) {
                    UserError::ValidationError(ValidationError::new(refusal, details))
                } else {
                    UserError::RefusalError(RefusalError::new(refusal, details))
                }
            }
        }
    }
}

/// Is the value itself at fault, whatever the state of things?
fn is_about_a_value(code: Code) -> bool {
    matches!(
        code,
        Code::Validation
            | Code::BadText
            | Code::DuplicateKey
            | Code::BadTimestamp
            | Code::InvalidCoordinates
            | Code::NullIsland
            | Code::FixInFuture
            | Code::FixTooOld
            | Code::InvalidSpeed
            | Code::InvalidCourse
            | Code::UnknownEventType
            | Code::TimestampTooOld
            | Code::TimestampInFuture
            | Code::PersonalDataRefused
            | Code::UnreadableInput
    )
}
