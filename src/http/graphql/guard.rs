//! What a parsed document may ask for, decided before the library walks it.
//!
//! The library's own checks walk a fragment once for every spread of it, so that a few hundred bytes
//! of fragments that spread the next one twice cost seconds; and they do not count `__typename`.
//! Here each fragment is measured once, and every measure adds up from its parts.

use std::collections::{HashMap, HashSet};

use async_graphql::parser::types::{
    Directive, ExecutableDocument, Field, FragmentDefinition, OperationDefinition, OperationType,
    Selection, SelectionSet,
};
use async_graphql::{Name, Positioned, Value, Variables};

use crate::api::fault::{Fault, FaultCode};

/// Most fields of an operation once fragments are expanded, `__typename` counted.
pub const SELECTIONS_MAX: u64 = 2_000;
/// Deepest nesting of fields; a list costs two (`nodes` or `edges`).
pub const DEPTH_MAX: u32 = 10;
/// Deepest nesting below `__schema` and `__type`: what client tools send is 15 deep.
pub const INTROSPECTION_DEPTH_MAX: u32 = 20;
/// Most aliases, counted where fragments are spread.
pub const ALIASES_MAX: u64 = 30;
/// Most fields at the root of a query.
pub const QUERY_ROOTS_MAX: u64 = 20;
/// Most fields at the root of a mutation.
pub const MUTATION_ROOTS_MAX: u64 = 10;
/// Most directives in a document.
pub const DIRECTIVES_MAX: usize = 50;
/// Most directives at one place.
pub const DIRECTIVES_HERE_MAX: usize = 5;
/// How often one selection set may name the same field: the library resolves each.
pub const REPEATS_MAX: usize = 10;
/// Most objects that pages within pages could return.
pub const OBJECTS_MAX: u64 = 10_000;
/// Largest page, and longest list among a query's arguments.
pub const PAGE_MAX: usize = 200;
/// The page when `first` is not given.
pub const PAGE_DEFAULT: u64 = 50;

/// Checks the whole document and gives the operation to run.
pub fn check<'d>(
    document: &'d ExecutableDocument,
    operation_name: Option<&str>,
    variables: &Variables,
) -> Result<&'d OperationDefinition, Fault> {
    let operation = select(document, operation_name)?;
    check_directives(document)?;
    let mut guard = Guard::new(document, operation, variables);
    for name in document.fragments.keys() {
        let measure = guard.fragment(name)?;
        within_expansion(&measure)?;
    }
    for (_, candidate) in document.operations.iter() {
        guard.operation = &candidate.node;
        let measure = guard.set(&candidate.node.selection_set.node)?;
        check_measure(&candidate.node, &measure)?;
    }
    check_variables(operation, variables)?;
    Ok(operation)
}

/// The names of the fields at the operation's root, fragments expanded, each once.
pub fn root_fields(document: &ExecutableDocument, operation: &OperationDefinition) -> Vec<Name> {
    let (mut names, mut spread) = (Vec::new(), HashSet::new());
    let mut sets = vec![&operation.selection_set.node];
    while let Some(set) = sets.pop() {
        for item in &set.items {
            match &item.node {
                Selection::Field(field) if !names.contains(&field.node.name.node) => {
                    names.push(field.node.name.node.clone());
                }
                Selection::Field(_) => {}
                Selection::InlineFragment(inline) => sets.push(&inline.node.selection_set.node),
                Selection::FragmentSpread(name) => {
                    let name = &name.node.fragment_name.node;
                    if let Some(fragment) =
                        document.fragments.get(name).filter(|_| spread.insert(name))
                    {
                        sets.push(&fragment.node.selection_set.node);
                    }
                }
            }
        }
    }
    names
}

fn select<'d>(
    document: &'d ExecutableDocument,
    wanted: Option<&str>,
) -> Result<&'d OperationDefinition, Fault> {
    let mut operations = document.operations.iter();
    let found = match wanted {
        Some(wanted) => operations.find(|(name, _)| name.is_some_and(|n| n == wanted)),
        None if operations.len() == 1 => operations.next(),
        None => None,
    };
    found
        .map(|(_, o)| &o.node)
        .ok_or_else(|| Fault::of(FaultCode::BadOperationName))
}

/// What a selection set adds up to. All sums saturate.
#[derive(Clone, Copy, Default)]
struct Measure {
    /// Fields, fragments expanded.
    selections: u64,
    /// Fields of this set alone, fragments expanded.
    width: u64,
    /// Aliases, fragments expanded.
    aliases: u64,
    /// Levels of fields.
    depth: u32,
    /// Levels of the part that is introspection.
    introspection_depth: u32,
    /// How often a path through it meets a list of the introspection schema.
    lists: u32,
    /// Likewise `fields` alone.
    fields: u32,
    /// Objects returned once.
    once: u64,
    /// Objects returned once for each item of the page this set belongs to.
    each: u64,
}

impl Measure {
    fn add(&mut self, other: Measure) {
        self.selections = self.selections.saturating_add(other.selections);
        self.width = self.width.saturating_add(other.width);
        self.aliases = self.aliases.saturating_add(other.aliases);
        self.depth = self.depth.max(other.depth);
        self.introspection_depth = self.introspection_depth.max(other.introspection_depth);
        self.lists = self.lists.max(other.lists);
        self.fields = self.fields.max(other.fields);
        self.once = self.once.saturating_add(other.once);
        self.each = self.each.saturating_add(other.each);
    }
}

/// Walks a document; each fragment once.
struct Guard<'d> {
    document: &'d ExecutableDocument,
    operation: &'d OperationDefinition,
    variables: &'d Variables,
    /// Finished fragments; `None` while one is being measured.
    fragments: HashMap<Name, Option<Measure>>,
}

impl<'d> Guard<'d> {
    fn new(
        document: &'d ExecutableDocument,
        operation: &'d OperationDefinition,
        variables: &'d Variables,
    ) -> Guard<'d> {
        Guard {
            document,
            operation,
            variables,
            fragments: HashMap::new(),
        }
    }

    fn fragment(&mut self, name: &Name) -> Result<Measure, Fault> {
        match self.fragments.get(name) {
            Some(Some(measure)) => return Ok(*measure),
            Some(None) => return Err(Fault::of(FaultCode::FragmentCycle)),
            None => {}
        }
        let Some(fragment) = self.document.fragments.get(name) else {
            return Ok(Measure::default()); // the library says what is unknown
        };
        self.fragments.insert(name.clone(), None);
        let measure = self.set(&fragment.node.selection_set.node)?;
        self.fragments.insert(name.clone(), Some(measure));
        Ok(measure)
    }

    fn set(&mut self, set: &'d SelectionSet) -> Result<Measure, Fault> {
        let mut sum = Measure::default();
        let mut repeats: HashMap<&str, usize> = HashMap::new();
        for item in &set.items {
            match &item.node {
                Selection::Field(field) => {
                    let seen = repeats.entry(&field.node.response_key().node).or_default();
                    *seen += 1;
                    if *seen > REPEATS_MAX {
                        return Err(Fault::of(FaultCode::SelectionLimit).with("limit", REPEATS_MAX));
                    }
                    sum.add(self.field(&field.node)?);
                }
                Selection::InlineFragment(inline) => {
                    sum.add(self.set(&inline.node.selection_set.node)?);
                }
                Selection::FragmentSpread(spread) => {
                    sum.add(self.fragment(&spread.node.fragment_name.node)?);
                }
            }
        }
        Ok(sum)
    }

    fn field(&mut self, field: &'d Field) -> Result<Measure, Fault> {
        let inner = self.set(&field.selection_set.node)?;
        let page = self.page(field)?;
        let name = field.name.node.as_str();
        let own = inner.once.saturating_add(inner.each.saturating_mul(page));
        let leaf = field.selection_set.node.items.is_empty();
        let mut measure = Measure {
            selections: inner.selections.saturating_add(1),
            width: 1,
            aliases: inner
                .aliases
                .saturating_add(u64::from(field.alias.is_some())),
            depth: inner.depth + 1,
            introspection_depth: 0,
            lists: inner.lists + u32::from(INTROSPECTION_LISTS.contains(&name)),
            fields: inner.fields + u32::from(name == "fields"),
            once: own,
            each: 0,
        };
        match name {
            "__schema" | "__type" => {
                measure.introspection_depth = measure.depth;
                measure.depth = 1;
            }
            "nodes" if field.get_argument("ids").is_none() => {
                (measure.once, measure.each) = (0, own.saturating_add(1));
            }
            "edges" => (measure.once, measure.each) = (0, own),
            _ if !leaf && inner.each == 0 => measure.once = own.saturating_add(1),
            _ => {}
        }
        Ok(measure)
    }

    /// How many items the field's page may hold; refuses pages and lists outside their limits.
    fn page(&self, field: &Field) -> Result<u64, Fault> {
        let mut page = PAGE_DEFAULT;
        for (name, value) in &field.arguments {
            let value = value
                .node
                .clone()
                .into_const_with(|v| Ok::<_, ()>(self.variable(&v)));
            let Ok(value) = value else { continue };
            if self.operation.ty != OperationType::Mutation && longest_list(&value) > PAGE_MAX {
                return Err(page_limit());
            }
            if let (true, Value::Number(number)) = (name.node == "first", &value) {
                match number.as_i64() {
                    Some(n @ 1..) if n <= PAGE_MAX as i64 => page = n.unsigned_abs(),
                    _ => return Err(page_limit()),
                }
            }
        }
        Ok(page)
    }

    fn variable(&self, name: &Name) -> Value {
        if let Some(value) = self.variables.get(name) {
            return value.clone();
        }
        let definitions = &self.operation.variable_definitions;
        let definition = definitions.iter().find(|d| d.node.name.node == *name);
        definition
            .and_then(|d| d.node.default_value())
            .cloned()
            .unwrap_or_default()
    }
}

/// Lists of the introspection schema: nested in each other they multiply.
const INTROSPECTION_LISTS: &[&str] = &[
    "types",
    "fields",
    "inputFields",
    "interfaces",
    "possibleTypes",
    "args",
];

fn check_measure(operation: &OperationDefinition, measure: &Measure) -> Result<(), Fault> {
    let over = |code, limit: u64, actual: u64| {
        if actual > limit {
            return Err(Fault::of(code).with("limit", limit).with("actual", actual));
        }
        Ok(())
    };
    let roots_max = match operation.ty {
        OperationType::Mutation => MUTATION_ROOTS_MAX,
        _ => QUERY_ROOTS_MAX,
    };
    within_expansion(measure)?;
    over(FaultCode::AliasLimit, ALIASES_MAX, measure.aliases)?;
    over(FaultCode::RootLimit, roots_max, measure.width)?;
    over(
        FaultCode::DepthLimit,
        DEPTH_MAX.into(),
        measure.depth.into(),
    )?;
    if measure.introspection_depth > 0 {
        let depth = measure.introspection_depth.into();
        over(FaultCode::DepthLimit, INTROSPECTION_DEPTH_MAX.into(), depth)?;
        over(FaultCode::DepthLimit, 3, measure.lists.into())?;
        over(FaultCode::DepthLimit, 1, measure.fields.into())?;
    }
    let objects = measure
        .once
        .saturating_add(measure.each.saturating_mul(PAGE_DEFAULT));
    if objects > OBJECTS_MAX {
        return Err(Fault::of(FaultCode::CostLimit)
            .with("limit", OBJECTS_MAX)
            .with("cost", objects));
    }
    Ok(())
}

fn within_expansion(measure: &Measure) -> Result<(), Fault> {
    if measure.selections > SELECTIONS_MAX {
        return Err(Fault::of(FaultCode::ExpansionLimit).with("limit", SELECTIONS_MAX));
    }
    Ok(())
}

/// Directives as written: on operations, variables, fragments and selections.
fn check_directives(document: &ExecutableDocument) -> Result<(), Fault> {
    let mut total = 0;
    let mut sets = Vec::new();
    let mut count = |directives: &[Positioned<Directive>]| {
        total += directives.len();
        if directives.len() > DIRECTIVES_HERE_MAX || total > DIRECTIVES_MAX {
            return Err(Fault::of(FaultCode::DirectiveLimit).with("limit", DIRECTIVES_MAX));
        }
        Ok(())
    };
    for (_, operation) in document.operations.iter() {
        count(&operation.node.directives)?;
        for variable in &operation.node.variable_definitions {
            count(&variable.node.directives)?;
        }
        sets.push(&operation.node.selection_set.node);
    }
    for fragment in document.fragments.values() {
        let FragmentDefinition {
            directives,
            selection_set,
            ..
        } = &fragment.node;
        count(directives)?;
        sets.push(&selection_set.node);
    }
    while let Some(set) = sets.pop() {
        for item in &set.items {
            count(item.node.directives())?;
            match &item.node {
                Selection::Field(field) => sets.push(&field.node.selection_set.node),
                Selection::InlineFragment(inline) => sets.push(&inline.node.selection_set.node),
                Selection::FragmentSpread(_) => {}
            }
        }
    }
    Ok(())
}

/// Every variable that must have a value has one.
fn check_variables(operation: &OperationDefinition, variables: &Variables) -> Result<(), Fault> {
    for definition in &operation.variable_definitions {
        let definition = &definition.node;
        let name = &definition.name.node;
        if definition.var_type.node.nullable {
            continue;
        }
        let absent = match variables.get(name) {
            None => definition.default_value.is_none(),
            Some(value) => *value == Value::Null,
        };
        if absent {
            let message = format!(
                "variable ${} needs a value",
                name.chars().take(60).collect::<String>()
            );
            return Err(Fault::new(FaultCode::BadVariables, message));
        }
    }
    Ok(())
}

fn longest_list(value: &Value) -> usize {
    match value {
        Value::List(items) => items
            .iter()
            .map(longest_list)
            .max()
            .unwrap_or_default()
            .max(items.len()),
        Value::Object(members) => members.values().map(longest_list).max().unwrap_or_default(),
        _ => 0,
    }
}

fn page_limit() -> Fault {
    let message = format!("a page or list holds 1 to {PAGE_MAX} items");
    Fault::new(FaultCode::PageLimit, message).with("limit", PAGE_MAX)
}

#[cfg(test)]
mod tests;
