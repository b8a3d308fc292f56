//! What SQL an analyst may send: one SELECT over relations that are named to it. This is the first wall, which
//! tells early and in plain words; the login that runs it is the second.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use sqlparser::ast::{
    Expr, Function, FunctionArguments, Ident, ObjectName, Query, Select, SetExpr, Statement,
    TableFactor, Value, ValueWithSpan, Visit, Visitor,
};
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::parser::Parser;

use super::Refused;

/// Brackets, sub-queries and operators within each other, at most.
const DEPTH_MAX: usize = 40;

/// Words that PostgreSQL reads as times that depend on when they are read.
const MOMENTS: [&str; 4] = ["now", "today", "tomorrow", "yesterday"];

/// The relation of a batch's events.
pub(super) const EVENTS: &str = "events";

/// What the SQL is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Folding: the same events must give the same rows, whenever they are folded.
    Fold,
    /// A question: it may ask what time it is, and be told parameters.
    Question,
}

/// A SELECT that was looked through.
#[derive(Clone, Debug)]
pub(super) struct Checked {
    /// As it is run: written anew from what was read, so that nothing is run that was not read.
    pub text: String,
    /// The relations it reads that are not its own.
    pub relations: BTreeSet<String>,
    /// The functions it calls, each with how many arguments, if that can be told.
    pub functions: BTreeSet<(String, Option<i16>)>,
    /// The highest parameter it names.
    pub parameters: usize,
}

/// Looks through a text that must be one SELECT.
pub(super) fn check(source: &str, purpose: Purpose) -> Result<Checked, Refused> {
    let dialect = PostgreSqlDialect {};
    let mut statements = Parser::new(&dialect)
        .with_recursion_limit(DEPTH_MAX)
        .try_with_sql(source)
        .and_then(|mut parser| parser.parse_statements())
        .map_err(|error| Refused::new(format!("the SQL cannot be read: {error}")))?;
    let only = statements.pop().filter(|_| statements.is_empty());
    let Some(Statement::Query(query)) = only else {
        return Err(Refused::new(
            "there must be exactly one statement, a SELECT",
        ));
    };
    let mut look = Look {
        purpose,
        own: BTreeSet::new(),
        found: Checked {
            text: query.to_string(),
            relations: BTreeSet::new(),
            functions: BTreeSet::new(),
            parameters: 0,
        },
    };
    if let ControlFlow::Break(refused) = query.visit(&mut look) {
        return Err(refused);
    }
    let own = look.own;
    look.found.relations.retain(|name| !own.contains(name));
    Ok(look.found)
}

struct Look {
    purpose: Purpose,
    /// Names given by `with`.
    own: BTreeSet<String>,
    found: Checked,
}

type Flow = ControlFlow<Refused>;

fn refuse(message: impl Into<String>) -> Flow {
    ControlFlow::Break(Refused::new(message))
}

impl Look {
    fn calls(&mut self, name: &ObjectName, args: Option<usize>) -> Flow {
        match plain(name) {
            Some(word) => {
                let args = args.and_then(|n| i16::try_from(n).ok());
                self.found.functions.insert((word, args));
                Flow::Continue(())
            }
            None => refuse(format!("{name} is not a function that may be called here")),
        }
    }

    fn function(&mut self, function: &Function) -> Flow {
        let args = match &function.args {
            FunctionArguments::None => Some(0),
            // what is ordered within a group counts as an argument in the catalogue
            FunctionArguments::List(list) if function.within_group.is_empty() => {
                Some(list.args.len())
            }
            _ => None,
        };
        self.calls(&function.name, args)
    }

    fn text(&mut self, text: &str) -> Flow {
        let word = text.trim().to_ascii_lowercase();
        if self.purpose == Purpose::Fold && MOMENTS.contains(&&*word) {
            return refuse(format!("'{text}' depends on when the events are folded"));
        }
        Flow::Continue(())
    }
}

/// A name of one part, as PostgreSQL reads it; `pg_catalog.` before it changes nothing.
fn plain(name: &ObjectName) -> Option<String> {
    let parts: Option<Vec<&Ident>> = name.0.iter().map(|part| part.as_ident()).collect();
    match *parts?.as_slice() {
        [one] => Some(folded(one)),
        [schema, one] if folded(schema) == "pg_catalog" => Some(folded(one)),
        _ => None,
    }
}

fn folded(ident: &Ident) -> String {
    match ident.quote_style {
        Some(_) => ident.value.clone(),
        None => ident.value.to_ascii_lowercase(),
    }
}

impl Visitor for Look {
    type Break = Refused;

    fn pre_visit_statement(&mut self, statement: &Statement) -> Flow {
        refuse(format!(
            "only SELECT is allowed, and this is within it: {}",
            statement.to_string().chars().take(60).collect::<String>()
        ))
    }

    fn pre_visit_query(&mut self, query: &Query) -> Flow {
        for cte in query.with.iter().flat_map(|with| &with.cte_tables) {
            let name = folded(&cte.alias.name);
            if name == EVENTS || name.starts_with("pg_") {
                return refuse(format!("WITH cannot call something {name}"));
            }
            self.own.insert(name);
        }
        let strange = query.for_clause.is_some()
            || query.settings.is_some()
            || query.format_clause.is_some()
            || !query.pipe_operators.is_empty();
        match &*query.body {
            _ if !query.locks.is_empty() => refuse("FOR UPDATE and FOR SHARE lock rows"),
            _ if strange => refuse("this is not PostgreSQL's SELECT"),
            SetExpr::Table(_) => refuse("write SELECT * FROM instead of TABLE"),
            SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_) => {
                refuse("only SELECT is allowed, also within WITH")
            }
            _ => Flow::Continue(()),
        }
    }

    fn pre_visit_select(&mut self, select: &Select) -> Flow {
        match select.into {
            Some(_) => refuse("SELECT INTO writes a table"),
            None => Flow::Continue(()),
        }
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> Flow {
        match factor {
            TableFactor::Table {
                sample: Some(_), ..
            }
            | TableFactor::Derived {
                sample: Some(_), ..
            } => refuse("TABLESAMPLE gives other rows each time"),
            TableFactor::Table {
                name,
                args: Some(args),
                ..
            } => self.calls(name, Some(args.args.len())),
            TableFactor::Function { name, args, .. } => self.calls(name, Some(args.len())),
            TableFactor::Table { name, .. } => {
                let word = match &*name.0 {
                    [part] => part.as_ident().map(folded),
                    _ => None,
                };
                match word {
                    Some(word) => {
                        self.found.relations.insert(word);
                        Flow::Continue(())
                    }
                    None => refuse(format!("there is no relation {name} here")),
                }
            }
            TableFactor::Derived { .. }
            | TableFactor::UNNEST { .. }
            | TableFactor::NestedJoin { .. } => Flow::Continue(()),
            other => refuse(format!("{other} cannot be selected from here")),
        }
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> Flow {
        match expr {
            Expr::Function(function) => self.function(function),
            Expr::BinaryOp {
                op: sqlparser::ast::BinaryOperator::PGCustomBinaryOperator(_),
                ..
            } => refuse("operators are written without OPERATOR()"),
            _ => Flow::Continue(()),
        }
    }

    fn pre_visit_value(&mut self, value: &ValueWithSpan) -> Flow {
        match &value.value {
            Value::Placeholder(name) => {
                let number = name.strip_prefix('$').and_then(|n| n.parse().ok());
                match (self.purpose, number) {
                    (Purpose::Question, Some(number @ 1..=usize::MAX)) => {
                        self.found.parameters = self.found.parameters.max(number);
                        Flow::Continue(())
                    }
                    (Purpose::Question, _) => refuse("parameters are called $1, $2, ..."),
                    (Purpose::Fold, _) => refuse("there are no parameters here"),
                }
            }
            Value::SingleQuotedString(text)
            | Value::EscapedStringLiteral(text)
            | Value::UnicodeStringLiteral(text) => self.text(&text.clone()),
            Value::DollarQuotedString(text) => self.text(&text.value.clone()),
            _ => Flow::Continue(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(source: &str) -> String {
        check(source, Purpose::Fold).expect_err(source).0
    }

    #[test]
    fn one_select_is_read_with_what_it_uses() {
        let checked = check(
            "-- a comment\nwith Days as (select Recorded_at::date d from EVENTS)
             select d, count(*), pg_catalog.upper('x') from days, generate_series(1, 2) group by 1;",
            Purpose::Fold,
        )
        .expect("good");
        assert_eq!(Vec::from_iter(checked.relations), ["events"]);
        let names: Vec<_> = checked.functions.iter().map(|f| &*f.0).collect();
        assert_eq!(names, ["count", "generate_series", "upper"]);
        assert!(!checked.text.contains(';') && !checked.text.contains("comment"));
    }

    #[test]
    fn all_else_is_refused_in_words() {
        let refusals = [
            ("select 1; select 2", "exactly one statement"),
            ("", "exactly one statement"),
            ("delete from events", "exactly one statement"),
            ("copy events to program 'sh'", "exactly one statement"),
            ("create temp table t (i int)", "exactly one statement"),
            ("set role daybook", "exactly one statement"),
            (
                "with d as (delete from events returning 1) select 1",
                "only SELECT",
            ),
            ("select * into t from events", "SELECT INTO"),
            ("select * from events for update", "FOR UPDATE"),
            (
                "select * from pg_catalog.pg_authid",
                "no relation pg_catalog.pg_authid",
            ),
            (
                "select * from read.heatmap_g1",
                "no relation read.heatmap_g1",
            ),
            ("select public.dblink('x')", "not a function"),
            ("select * from public.dblink('x') d", "not a function"),
            ("select * from events tablesample system (1)", "TABLESAMPLE"),
            (
                "with pg_class as (select 1) select 1",
                "cannot call something pg_class",
            ),
            ("select $1", "no parameters"),
            ("select ' Now '::timestamptz", "depends on when"),
            ("select date $$today$$", "depends on when"),
            ("select 1 operator(pg_catalog.+) 2", "OPERATOR"),
        ];
        for (source, expected) in refusals {
            let said = refused(source);
            assert!(said.contains(expected), "{source}: {said}");
        }
        let deep = format!("select {}1{}", "(".repeat(500), ")".repeat(500));
        assert!(refused(&deep).contains("cannot be read"));
    }

    #[test]
    fn a_question_may_name_the_time_and_parameters() {
        let checked = check("select $2, 'now'::timestamptz, $1", Purpose::Question).expect("good");
        assert_eq!(checked.parameters, 2);
        assert!(check("select $0", Purpose::Question).is_err());
    }
}
