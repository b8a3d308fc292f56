//! What SQL an analyst may send: one SELECT over relations that are named to it. This is the first wall, which
//! tells early and in plain words; the login that runs it is the second.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use sqlparser::ast::{
    DataType, Expr, Function, FunctionArguments, Ident, ObjectName, Query, Select, SetExpr,
    Statement, TableFactor, Value, ValueWithSpan, Visit, Visitor,
};
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::{Token as Sign, Tokenizer};

use super::Refused;
use super::tokens::{self, Kind, Token};

/// Stack of the thread that reads a text, in bytes. The tree of a text is walked by recursion, as deep as its
/// longest chain of operators.
const STACK_BYTES: usize = 128 << 20;

/// Brackets, sub-queries and operators within each other, at most.
const DEPTH_MAX: usize = 40;

/// Words that PostgreSQL reads as times that depend on when they are read.
const MOMENTS: [&str; 4] = ["now", "today", "tomorrow", "yesterday"];

/// What may be cast to.
const CAST_TYPES: &[&str] = &[
    "bigint",
    "bool",
    "boolean",
    "bytea",
    "char",
    "character",
    "character varying",
    "date",
    "decimal",
    "double precision",
    "float",
    "float4",
    "float8",
    "int",
    "int2",
    "int4",
    "int8",
    "integer",
    "interval",
    "json",
    "jsonb",
    "jsonpath",
    "numeric",
    "real",
    "smallint",
    "text",
    "time",
    "time without time zone",
    "timestamp",
    "timestamp with time zone",
    "timestamp without time zone",
    "timestamptz",
    "uuid",
    "varchar",
];

/// Digits of a number behind a type: `char(10000000)` would swell.
const MODIFIER_DIGITS_MAX: usize = 4;

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
    /// As it is run: the words and signs that were parsed, in their order.
    pub text: String,
    /// The relations it reads that are not its own.
    pub relations: BTreeSet<String>,
    /// The functions it calls, each with how many arguments, if that can be told.
    pub functions: BTreeSet<(String, Option<i16>)>,
    /// Names that stand where a call could, and are none as far as the parser can tell.
    pub doubtful: BTreeSet<String>,
    /// Names behind a dot: functions of one argument, if they are no columns.
    pub attributes: BTreeSet<String>,
    /// The highest parameter it names.
    pub parameters: usize,
}

/// Looks through a text that must be one SELECT, on a thread whose stack is large enough for all that is let
/// through.
pub(super) fn check(source: &str, purpose: Purpose) -> Result<Checked, Refused> {
    let tokens = tokens::read(source)?;
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK_BYTES);
        let started = thread.spawn_scoped(scope, || look_through(&tokens, purpose));
        match started.map(std::thread::ScopedJoinHandle::join) {
            Ok(Ok(checked)) => checked,
            Ok(Err(_)) | Err(_) => Err(Refused::new("the SQL cannot be read: it is too much")),
        }
    })
}

fn look_through(tokens: &[Token], purpose: Purpose) -> Result<Checked, Refused> {
    let text = tokens::written(tokens);
    let dialect = PostgreSqlDialect {};
    let unread =
        |error: &dyn std::fmt::Display| Refused::new(format!("the SQL cannot be read: {error}"));
    let mut signs = Tokenizer::new(&dialect, &text)
        .with_unescape(false)
        .tokenize()
        .map_err(|error| unread(&error))?;
    signs.retain(|sign| !matches!(sign, Sign::Whitespace(_) | Sign::EOF));
    if let Some(odd) = difference(tokens, &signs) {
        return Err(unread(&format!("{odd} can be understood in two ways")));
    }
    let mut statements = Parser::new(&dialect)
        .with_recursion_limit(DEPTH_MAX)
        .try_with_sql(&text)
        .and_then(|mut parser| parser.parse_statements())
        .map_err(|error| unread(&error))?;
    let only = statements.pop().filter(|_| statements.is_empty());
    let Some(Statement::Query(query)) = only else {
        return Err(Refused::new(
            "there must be exactly one statement, a SELECT",
        ));
    };
    if tokens.iter().any(|t| t.kind == Kind::Sign && t.text == ";") {
        return Err(Refused::new(
            "there must be exactly one statement, and nothing before it",
        ));
    }
    let mut look = Look {
        purpose,
        own: BTreeSet::new(),
        calls: BTreeMap::new(),
        found: Checked {
            text,
            relations: BTreeSet::new(),
            functions: BTreeSet::new(),
            doubtful: BTreeSet::new(),
            attributes: BTreeSet::new(),
            parameters: 0,
        },
    };
    if let ControlFlow::Break(refused) = query.visit(&mut look) {
        return Err(refused);
    }
    look.compare(tokens::named(tokens)?);
    let own = look.own;
    look.found.relations.retain(|name| !own.contains(name));
    Ok(look.found)
}

/// The first token that the parser reads otherwise.
fn difference(tokens: &[Token], signs: &[Sign]) -> Option<String> {
    let is_alike = |token: &Token, sign: &Sign| match (token.kind, sign) {
        (Kind::Word, Sign::Word(word)) => word.quote_style.is_none() && word.value == token.text,
        (Kind::Quoted, Sign::Word(word)) => {
            word.quote_style == Some('"') && word.value == token.inner()
        }
        (Kind::Text, Sign::SingleQuotedString(text)) => text == token.inner(),
        (Kind::Number, Sign::Number(number, false)) => *number == token.text,
        (Kind::Parameter, Sign::Placeholder(name)) => *name == token.text,
        (Kind::Sign, Sign::Neq) => matches!(&*token.text, "<>" | "!="),
        (Kind::Sign, Sign::Word(_) | Sign::SingleQuotedString(_) | Sign::Number(..)) => false,
        (Kind::Sign, sign) => sign.to_string() == token.text,
        _ => false,
    };
    let mut pairs = tokens.iter().zip(signs);
    let odd = pairs.find(|(token, sign)| !is_alike(token, sign));
    match odd {
        Some((token, _)) => Some(token.text.clone()),
        None if tokens.len() != signs.len() => Some("its end".to_owned()),
        None => None,
    }
}

struct Look {
    purpose: Purpose,
    /// Names given by `with`.
    own: BTreeSet<String>,
    /// How often a function is called.
    calls: BTreeMap<String, usize>,
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
                *self.calls.entry(word.clone()).or_default() += 1;
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

    /// What stands where a call could is one, unless the parser has shown it to be something else.
    fn compare(&mut self, named: tokens::Named) {
        for name in named.calls {
            match self.calls.get_mut(&name) {
                Some(left) if *left > 0 => *left -= 1,
                _ => {
                    self.found.doubtful.insert(name);
                }
            }
        }
        let bare = named.bare.into_iter().map(|name| (name, Some(0)));
        self.found.functions.extend(bare);
        self.found.attributes.extend(named.attributes);
    }

    fn cast(&mut self, ty: &DataType) -> Flow {
        match castable(&ty.to_string()) {
            true => Flow::Continue(()),
            false => refuse(format!(
                "there is no type {ty} here; there are {}",
                CAST_TYPES.join(", ")
            )),
        }
    }

    fn text(&mut self, text: &str) -> Flow {
        let word = text.trim().to_ascii_lowercase();
        if self.purpose == Purpose::Fold && MOMENTS.contains(&&*word) {
            return refuse(format!("'{text}' depends on when the events are folded"));
        }
        Flow::Continue(())
    }
}

/// May something be made this type?
fn castable(ty: &str) -> bool {
    let mut word = ty.to_ascii_lowercase();
    while let Some(element) = word.strip_suffix(']').and_then(|w| w.rsplit_once('[')) {
        word = element.0.to_owned();
    }
    if let Some((before, (modifiers, after))) = word
        .split_once('(')
        .and_then(|(before, rest)| Some((before, rest.split_once(')')?)))
    {
        let is_small = |n: &str| n.len() <= MODIFIER_DIGITS_MAX && n.parse::<u16>().is_ok();
        if !modifiers.split(',').all(|n| is_small(n.trim())) {
            return false;
        }
        word = format!("{before}{after}");
    }
    CAST_TYPES.contains(&word.trim())
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
            Expr::Cast { data_type, .. } => self.cast(data_type),
            Expr::TypedString(typed) => self.cast(&typed.data_type),
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
            Value::SingleQuotedString(text) => self.text(text),
            Value::Number(..) | Value::Boolean(_) | Value::Null => Flow::Continue(()),
            other => refuse(format!("texts are written as plain '...', not as {other}")),
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
            ("select date 'today'", "depends on when"),
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
    /// Texts that two readers could take for different ones: each was run as something that was never looked at.
    #[test]
    fn what_can_be_read_in_two_ways_is_refused() {
        for source in [
            "select 1::bpchar('5), pg_backend_pid(), (2')",
            "select 1::bpchar(pg_backend_pid())",
            "select X'1F'",
            "select b'1'",
            r"select E'\'', pg_backend_pid() --'",
            "select U&'x'",
            "select u&\"x\"",
            "select N'x'",
            "select $$a$$",
            "select $a$ x $a$",
            "select 'a' 'b'",
            "select 'a'\n'b'",
            "select 1a",
            "select 0x1F",
            "select 1_000",
            "select .5",
            "select a$1",
            "select 'open",
            "select /* open",
            "select (1",
            "select 1) x, (select 2",
            "select [1)",
            "select 1 \u{a0}",
            "select \u{e4}",
            "select '\u{0}'",
            "select 1 operator(pg_catalog.+) 2",
            "select \"\"",
        ] {
            let said = check(source, Purpose::Question).expect_err(source).0;
            let words = ["cannot be read", "alone", "OPERATOR", "no type"];
            assert!(words.iter().any(|w| said.contains(w)), "{source}: {said}");
        }
    }

    #[test]
    fn what_runs_is_word_for_word_what_was_written() {
        for (source, runs) in [
            ("select 'a''''b'", "select 'a''''b'"),
            (r"select '\'", r"select '\'"),
            (
                "select a.b->>'x', -1, \"Q\"\"q\" /* c /* d */ */ from a -- '",
                "select a . b ->> 'x' , - 1 , \"Q\"\"q\" from a",
            ),
            (
                "select x=-1, y[1], z::numeric(10,2), 1e-3 from t;",
                "select x = - 1 , y [ 1 ] , z :: numeric ( 10 , 2 ) , 1e-3 from t",
            ),
            (
                "select sum(a) filter (where b ? 'c' and d != 1), e.* from e group by rollup (1)",
                "select sum ( a ) filter ( where b ? 'c' and d != 1 ) , e . * from e group by rollup ( 1 )",
            ),
        ] {
            let checked = check(source, Purpose::Question);
            assert_eq!(checked.map(|c| c.text), Ok(runs.to_owned()), "{source}");
        }
    }

    #[test]
    fn whatever_could_be_a_call_is_named() {
        let hidden = check(
            "select n.pg_sleep from unnest(array[1]) n",
            Purpose::Question,
        );
        assert!(hidden.expect_err("a call").0.contains("pg_sleep"));
        let checked = check(
            "with r(n) as (select 1) select (x).\"lo_get\", current_role, e.a as user
             from r, unnest(array[1]) as n(b)",
            Purpose::Question,
        )
        .expect("good");
        assert_eq!(Vec::from_iter(checked.attributes), ["a", "lo_get"]);
        assert_eq!(Vec::from_iter(checked.doubtful), ["n", "r", "unnest"]);
        let bare = ("current_role".to_owned(), Some(0));
        assert!(checked.functions.contains(&bare));
    }

    #[test]
    fn a_long_text_is_refused_or_read_and_never_ends_the_process() {
        let terms = |n: usize| format!("select 1{}", "+1".repeat(n));
        assert!(check(&terms(1_900), Purpose::Fold).is_ok());
        assert!(refused(&terms(2_500)).contains("4000 words and signs"));
        let casts = format!("select 'x'{}", "::text".repeat(1_900));
        assert!(check(&casts, Purpose::Fold).is_ok());
        let unions = |n: usize| format!("select 1{}", " union select 1".repeat(n));
        assert!(check(&unions(32), Purpose::Fold).is_ok());
        assert!(refused(&unions(33)).contains("32 are allowed"));
        let chains = [(" is null", 2), ("->x", 2), ("[1]", 3), (" and 1", 2)];
        for (link, tokens) in chains {
            let source = format!("select a{}", link.repeat(3_990 / tokens));
            assert!(check(&source, Purpose::Question).is_ok(), "{link}");
        }
    }

    #[test]
    fn only_plain_types_are_cast_to() {
        for ty in ["xml", "regclass", "bit(8)", "char(10000000)", "xml[]"] {
            for source in [
                format!("select '1'::{ty}"),
                format!("select cast('1' as {ty})"),
            ] {
                assert!(check(&source, Purpose::Fold).is_err(), "{source}");
            }
        }
        for ty in [
            "int[]",
            "numeric(10,2)",
            "timestamptz(3)",
            "timestamp with time zone",
            "double precision",
            "varchar(20)",
            "jsonb",
        ] {
            let read = check(&format!("select '1'::{ty}, cast(x as {ty})"), Purpose::Fold);
            assert!(read.is_ok(), "{ty}: {read:?}");
        }
        assert!(refused("select xml '<a/>'").contains("xml"));
        assert!(refused("select * from jsonb_to_record('{}') as t(a xml)").contains("xml"));
    }
}
