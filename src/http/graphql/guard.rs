//! What a parsed document may ask for, decided before the library walks it.
//!
//! The library's own checks walk a fragment once for every spread of it, so that a few hundred bytes
//! of fragments that spread the next one twice cost seconds; and they do not count `__typename`.
//! Here each fragment is measured once, and every measure adds up from its parts.

use std::collections::HashMap;

use async_graphql::parser::types::{
    Directive, ExecutableDocument, Field, FragmentDefinition, OperationDefinition, OperationType,
    Selection, SelectionSet,
};
use async_graphql::{Name, Positioned, Value, Variables};

use crate::api::fault::{Fault, FaultCode};
use crate::api::operation_of;
use crate::config::Limits;

/// Deepest nesting below `__schema` and `__type`: what client tools send is 15 deep.
const INTROSPECTION_DEPTH_MAX: u64 = 20;
/// How often one selection set may name the same field: the library resolves each.
const REPEATS_MAX: usize = 10;

/// Checks the whole document and gives the operation to run with its cost, points. The work is linear in
/// the document. `introspects` tells whether the caller may see the schema.
pub fn check<'d>(
    document: &'d ExecutableDocument,
    operation_name: Option<&str>,
    variables: &Variables,
    limits: &Limits,
    introspects: bool,
) -> Result<(&'d OperationDefinition, u64), Fault> {
    let operation = operation_of(document, operation_name)?;
    let (shows_schema, cost) = check_document(document, operation, variables, limits)?;
    if shows_schema && !introspects {
        return Err(Fault::of(FaultCode::IntrospectionDisabled));
    }
    check_variables(operation, variables)?;
    Ok((operation, cost))
}

/// Could a request for the document pass, with the variables' defaults for values?
pub fn check_shape(document: &ExecutableDocument, limits: &Limits) -> Result<(), Fault> {
    let first = document.operations.iter().next();
    let (_, first) = first.ok_or_else(|| Fault::of(FaultCode::BadOperationName))?;
    check_document(document, &first.node, &Variables::default(), limits).map(drop)
}

/// What the only operation of a document of ours costs, points; 1 if it asks for more than it may have,
/// which is for its resolver to say.
pub fn cost(document: &ExecutableDocument, variables: &Variables, limits: &Limits) -> u64 {
    let operation = operation_of(document, None);
    let measured = operation.and_then(|operation| {
        let mut guard = Guard::new(document, operation, variables, limits);
        guard.set(&operation.selection_set.node)
    });
    measured.map_or(1, |measure| measure.cost.on(limits.page_default as u64))
}

/// Says whether any of its operations asks for the schema, and what the one to run costs.
fn check_document(
    document: &ExecutableDocument,
    operation: &OperationDefinition,
    variables: &Variables,
    limits: &Limits,
) -> Result<(bool, u64), Fault> {
    check_directives(document, limits)?;
    let mut guard = Guard::new(document, operation, variables, limits);
    for name in document.fragments.keys() {
        let measure = guard.fragment(name)?;
        within_expansion(&measure, limits)?;
    }
    let (mut shows_schema, mut cost) = (false, 0);
    for (_, candidate) in document.operations.iter() {
        guard.operation = &candidate.node;
        let measure = guard.set(&candidate.node.selection_set.node)?;
        check_measure(&candidate.node, &measure, limits)?;
        shows_schema |= measure.introspection_depth > 0;
        if std::ptr::eq(&raw const candidate.node, operation) {
            cost = measure.cost.on(limits.page_default as u64);
        }
    }
    Ok((shows_schema, cost))
}

/// What a selection set adds up to. All sums saturate.
#[derive(Clone, Copy, Default)]
struct Measure {
    /// Fields, fragments expanded.
    selections: u64,
    /// Fields of this set alone, fragments expanded.
    width: u64,
    /// Those of them that are sensitive where they are root fields.
    sensitive: u64,
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
    /// Objects it can return.
    objects: Paged,
    /// Fields it can return.
    cost: Paged,
}

/// So many once, and so many for each item of the page the selection set belongs to.
#[derive(Clone, Copy, Default)]
struct Paged {
    once: u64,
    each: u64,
}

impl Paged {
    fn add(&mut self, other: Paged) {
        self.once = self.once.saturating_add(other.once);
        self.each = self.each.saturating_add(other.each);
    }

    /// All of them, on a page of this size.
    fn on(self, page: u64) -> u64 {
        self.once.saturating_add(self.each.saturating_mul(page))
    }
}

impl Measure {
    fn add(&mut self, other: Measure) {
        self.selections = self.selections.saturating_add(other.selections);
        self.width = self.width.saturating_add(other.width);
        self.sensitive = self.sensitive.saturating_add(other.sensitive);
        self.aliases = self.aliases.saturating_add(other.aliases);
        self.depth = self.depth.max(other.depth);
        self.introspection_depth = self.introspection_depth.max(other.introspection_depth);
        self.lists = self.lists.max(other.lists);
        self.fields = self.fields.max(other.fields);
        self.objects.add(other.objects);
        self.cost.add(other.cost);
    }
}

/// Walks a document; each fragment once.
struct Guard<'d> {
    document: &'d ExecutableDocument,
    operation: &'d OperationDefinition,
    variables: &'d Variables,
    limits: &'d Limits,
    /// Finished fragments; `None` while one is being measured.
    fragments: HashMap<Name, Option<Measure>>,
}

impl<'d> Guard<'d> {
    fn new(
        document: &'d ExecutableDocument,
        operation: &'d OperationDefinition,
        variables: &'d Variables,
        limits: &'d Limits,
    ) -> Guard<'d> {
        Guard {
            document,
            operation,
            variables,
            limits,
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
        let leaf = field.selection_set.node.items.is_empty();
        let (objects, cost) = (
            inner.objects.on(page),
            inner.cost.on(page).saturating_add(1),
        );
        // A page's items are counted once for each item, a page itself is no object.
        let per_item = matches!(name, "nodes" | "edges") && field.get_argument("ids").is_none();
        let itself = u64::from(name != "edges" && !leaf && inner.objects.each == 0);
        let paged = |n: u64| match per_item {
            true => Paged { once: 0, each: n },
            false => Paged { once: n, each: 0 },
        };
        let mut measure = Measure {
            selections: inner.selections.saturating_add(1),
            width: 1,
            sensitive: u64::from(self.limits.sensitive_fields.has(name)),
            aliases: inner
                .aliases
                .saturating_add(u64::from(field.alias.is_some())),
            depth: inner.depth + 1,
            introspection_depth: 0,
            lists: inner.lists + u32::from(INTROSPECTION_LISTS.contains(&name)),
            fields: inner.fields + u32::from(name == "fields"),
            objects: paged(objects.saturating_add(itself)),
            cost: paged(cost),
        };
        if matches!(name, "__schema" | "__type") {
            // Bounded by its own depth; it reads nothing.
            measure.introspection_depth = measure.depth;
            measure.depth = 1;
            (measure.objects, measure.cost) = (Paged::default(), Paged::default());
        }
        Ok(measure)
    }

    /// How many items the field's page may hold; refuses pages and lists outside their limits.
    fn page(&self, field: &Field) -> Result<u64, Fault> {
        let most = self.limits.page_max;
        let mut page = self.limits.page_default as u64;
        let lists = self.operation.ty != OperationType::Mutation;
        for (name, value) in &field.arguments {
            let first = matches!(name.node.as_str(), "first" | "last");
            if !lists && !first {
                continue;
            }
            // Variables are looked at where they are: they may be as large as a body.
            let mut longest = 0;
            let value = value.node.clone().into_const_with(|name| {
                let value = self.variable(&name);
                longest = longest.max(longest_list(value));
                Ok::<_, ()>(match value {
                    Value::Number(_) => value.clone(),
                    _ => Value::Null,
                })
            });
            let Ok(value) = value else { continue };
            if lists && longest.max(longest_list(&value)) > most {
                return Err(page_limit(most));
            }
            if let (true, Value::Number(number)) = (first, &value) {
                match number.as_i64() {
                    Some(n @ 1..) if n <= most as i64 => page = n.unsigned_abs(),
                    _ => return Err(page_limit(most)),
                }
            }
        }
        Ok(page)
    }

    fn variable(&self, name: &Name) -> &Value {
        if let Some(value) = self.variables.get(name) {
            return value;
        }
        let definitions = &self.operation.variable_definitions;
        let definition = definitions.iter().find(|d| d.node.name.node == *name);
        definition
            .and_then(|d| d.node.default_value())
            .unwrap_or(&ABSENT)
    }
}

/// The value of a variable that has none.
static ABSENT: Value = Value::Null;

/// Lists of the introspection schema: nested in each other they multiply.
const INTROSPECTION_LISTS: &[&str] = &[
    "types",
    "fields",
    "inputFields",
    "interfaces",
    "possibleTypes",
    "args",
];

fn check_measure(
    operation: &OperationDefinition,
    measure: &Measure,
    limits: &Limits,
) -> Result<(), Fault> {
    let roots_max = match operation.ty {
        OperationType::Mutation => limits.mutation_root_fields_max,
        _ => limits.query_root_fields_max,
    };
    within_expansion(measure, limits)?;
    within(
        FaultCode::AliasLimit,
        limits.aliases_max as u64,
        measure.aliases,
    )?;
    within(FaultCode::SensitiveOnce, 1, measure.sensitive)?;
    within(FaultCode::RootLimit, roots_max as u64, measure.width)?;
    within(
        FaultCode::DepthLimit,
        limits.depth_max as u64,
        measure.depth.into(),
    )?;
    if measure.introspection_depth > 0 {
        let depth = measure.introspection_depth.into();
        within(FaultCode::DepthLimit, INTROSPECTION_DEPTH_MAX, depth)?;
        within(FaultCode::DepthLimit, 3, measure.lists.into())?;
        within(FaultCode::DepthLimit, 1, measure.fields.into())?;
    }
    let page = limits.page_default as u64;
    let (objects, cost) = (measure.objects.on(page), measure.cost.on(page));
    within(FaultCode::CostLimit, limits.nodes_max as u64, objects)
        .and_then(|()| within(FaultCode::CostLimit, limits.cost_max as u64, cost))
        .map_err(|fault| fault.with("cost", cost).with("nodes", objects))
}

fn within(code: FaultCode, limit: u64, actual: u64) -> Result<(), Fault> {
    if actual > limit {
        return Err(Fault::of(code).with("limit", limit).with("actual", actual));
    }
    Ok(())
}

fn within_expansion(measure: &Measure, limits: &Limits) -> Result<(), Fault> {
    within(
        FaultCode::ExpansionLimit,
        limits.selections_max as u64,
        measure.selections,
    )
}

/// Directives as written: on operations, variables, fragments and selections.
fn check_directives(document: &ExecutableDocument, limits: &Limits) -> Result<(), Fault> {
    let mut total = 0;
    let mut sets = Vec::new();
    let mut count = |directives: &[Positioned<Directive>]| {
        total += directives.len();
        let here = directives.len() as u64;
        within(
            FaultCode::DirectiveLimit,
            limits.directives_per_field_max as u64,
            here,
        )?;
        within(
            FaultCode::DirectiveLimit,
            limits.directives_max as u64,
            total as u64,
        )
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

fn page_limit(most: usize) -> Fault {
    let message = format!("a page or list holds 1 to {most} items");
    Fault::new(FaultCode::PageLimit, message).with("limit", most)
}

#[cfg(test)]
mod tests;
