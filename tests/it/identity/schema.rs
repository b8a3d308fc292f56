//! The committed schema as these tests read it: every root field, who it is for, and where ids go in.

use std::collections::HashMap;

use async_graphql::parser::parse_schema;
use async_graphql::parser::types::{
    BaseType, FieldDefinition, Type, TypeKind, TypeSystemDefinition,
};

/// A field of Query, Mutation or Subscription.
#[derive(Clone, Debug)]
pub struct RootField {
    /// Such as `Query.vehicle`.
    pub path: String,
    /// The keyword its operation begins with.
    pub keyword: &'static str,
    /// Whether anything is selected of it.
    pub is_object: bool,
    /// Role and scope of its `@auth`; `None` if it has none that can be read.
    pub rule: Option<(String, Option<String>)>,
    /// Where ids go in, such as `input.vehicleId`.
    pub ids: Vec<String>,
}

impl RootField {
    pub fn name(&self) -> &str {
        self.path.split('.').next_back().unwrap()
    }

    /// An operation that asks for nothing but this, with these arguments.
    pub fn document(&self, arguments: &str) -> String {
        let selection = if self.is_object { "{ __typename }" } else { "" };
        format!(
            "{} {{ {}{arguments} {selection} }}",
            self.keyword,
            self.name()
        )
    }
}

/// The schema as it is committed.
pub fn committed() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/schema.graphql");
    std::fs::read_to_string(path).unwrap()
}

/// The root fields of a schema.
pub fn root_fields(sdl: &str) -> Vec<RootField> {
    let types: HashMap<String, TypeKind> = parse_schema(sdl)
        .unwrap()
        .definitions
        .into_iter()
        .filter_map(|definition| match definition {
            TypeSystemDefinition::Type(of) => Some((of.node.name.node.to_string(), of.node.kind)),
            _ => None,
        })
        .collect();
    let mut fields = Vec::new();
    for (root, keyword) in [
        ("Query", "query"),
        ("Mutation", "mutation"),
        ("Subscription", "subscription"),
    ] {
        let TypeKind::Object(object) = &types[root] else {
            panic!("{root} is no object");
        };
        for field in &object.fields {
            let field = &field.node;
            let mut ids = Vec::new();
            for argument in &field.arguments {
                let argument = &argument.node;
                collect_ids(&types, &argument.name.node, &argument.ty.node, &mut ids);
            }
            let returned = types.get(name_of(&field.ty.node));
            fields.push(RootField {
                path: format!("{root}.{}", field.name.node),
                keyword,
                is_object: matches!(
                    returned,
                    Some(TypeKind::Object(_) | TypeKind::Interface(_) | TypeKind::Union(_))
                ),
                rule: rule_of(field),
                ids,
            });
        }
    }
    fields
}

fn collect_ids(types: &HashMap<String, TypeKind>, path: &str, ty: &Type, ids: &mut Vec<String>) {
    match name_of(ty) {
        // A command's own id, not that of an object.
        "ID" if !path.ends_with("commandId") => ids.push(path.to_owned()),
        name => {
            if let Some(TypeKind::InputObject(input)) = types.get(name) {
                for field in &input.fields {
                    let path = format!("{path}.{}", field.node.name.node);
                    collect_ids(types, &path, &field.node.ty.node, ids);
                }
            }
        }
    }
}

fn name_of(ty: &Type) -> &str {
    match &ty.base {
        BaseType::Named(name) => name,
        BaseType::List(inner) => name_of(inner),
    }
}

fn rule_of(field: &FieldDefinition) -> Option<(String, Option<String>)> {
    let mut directives = field.directives.iter().map(|directive| &directive.node);
    let auth = directives.find(|directive| directive.name.node == "auth")?;
    let text = |name: &str| {
        let value = auth.get_argument(name)?.node.to_string();
        Some(value.trim_matches('"').to_owned())
    };
    Some((text("role")?, text("scope")))
}
