//! Documents and what the guard says of them.

use async_graphql::parser::parse_query;
use serde_json::json;

use super::*;
use crate::config::Settings;

fn check(text: &str, variables: serde_json::Value, expect: &str) {
    let document = parse_query(text).expect("the document parses");
    let variables = Variables::from_json(variables);
    let got = match super::check(
        &document,
        None,
        &variables,
        &Settings::default().limits,
        true,
    ) {
        Ok(_) => "ok",
        Err(fault) => fault.code(),
    };
    assert_eq!(got, expect, "{}", &text[..text.len().min(100)]);
}

fn plain(text: &str, expect: &str) {
    check(text, json!({}), expect);
}

/// `query` spreads f0; each fragment spreads the next one `fan` times; the last has one field.
fn bomb(levels: usize, fan: usize, leaf: &str) -> String {
    let mut text = "{ ...f0 }".to_owned();
    for level in 0..levels {
        let spread = format!("...f{} ", level + 1).repeat(fan);
        text += &format!(" fragment f{level} on Query {{ {spread}}}");
    }
    text + &format!(" fragment f{levels} on Query {{ {leaf} }}")
}

#[test]
fn fragment_bombs_are_refused_in_bounded_work() {
    for (levels, fan) in [(22, 2), (30, 2), (60, 2), (30, 8), (11, 2)] {
        plain(&bomb(levels, fan, "__typename"), "EXPANSION_LIMIT");
    }
    plain(&bomb(4, 2, "__typename"), "ok"); // 16 roots
    plain(&bomb(10, 1, "__typename"), "ok");
}

#[test]
fn work_is_linear_in_the_document() {
    let document = parse_query(bomb(60, 2, "a")).expect("parses");
    let operation = operation_of(&document, None).expect("one");
    let (variables, limits) = (Variables::default(), Settings::default().limits);
    let mut guard = Guard::new(&document, operation, &variables, &limits);
    guard.set(&operation.selection_set.node).expect("no cycle");
    assert_eq!(guard.fragments.len(), 61, "each fragment is measured once");
}

#[test]
fn cycles_are_refused_used_or_not() {
    plain(
        "{ ...a } fragment a on Query { ...b } fragment b on Query { ...a }",
        "FRAGMENT_CYCLE",
    );
    plain(
        "{ ...a } fragment a on Query { x { ...a } }",
        "FRAGMENT_CYCLE",
    );
    plain("{ y } fragment a on Query { ...a }", "FRAGMENT_CYCLE");
}

#[test]
fn depth_counts_through_fragments() {
    let nested = |n: usize| format!("{}a{}", "{ a ".repeat(n - 1) + "{ ", " }".repeat(n));
    plain(&nested(10), "ok");
    plain(&nested(11), "DEPTH_LIMIT");
    plain(
        "{ a { a { a { a { ...d } } } } } fragment d on X { ... on X { b { b { b { b { b { b { b } } } } } } } }",
        "DEPTH_LIMIT",
    );
}

#[test]
fn introspection_has_its_own_depth_and_no_circles() {
    let of_type = "{ kind name ofType ".repeat(9) + "{ name }" + &" }".repeat(9);
    let standard = format!(
        "{{ __schema {{ queryType {{ name }} types {{ ...T }} directives {{ name args {{ ...I }} }} }} }}
         fragment T on __Type {{ kind fields(includeDeprecated: true) {{ name args {{ ...I }} type {{ ...R }} }}
           inputFields {{ ...I }} interfaces {{ ...R }} enumValues {{ name }} possibleTypes {{ ...R }} }}
         fragment I on __InputValue {{ name type {{ ...R }} defaultValue }}
         fragment R on __Type {of_type}",
    );
    plain(&standard, "ok");
    plain(
        "{ __schema { types { fields { type { fields { type { fields { type { name } } } } } } } } }",
        "DEPTH_LIMIT",
    );
}

#[test]
fn aliases_roots_and_repeats_are_counted_expanded() {
    let many = |n: usize, what: &str| (0..n).map(|i| format!("a{i}: {what} ")).collect::<String>();
    plain(&format!("{{ {} }}", many(101, "__typename")), "ALIAS_LIMIT");
    plain(&format!("{{ x {{ {} }} }}", many(30, "y")), "ok");
    plain(&format!("{{ x {{ {} }} }}", many(31, "y")), "ALIAS_LIMIT");
    plain(
        "{ x { ...a ...a ...a ...a } } fragment a on X { b: a c: a d: a e: a f: a g: a h: a i: a }",
        "ALIAS_LIMIT",
    );
    let roots = |n: usize| (0..n).map(|i| format!("r{i} ")).collect::<String>();
    plain(&format!("{{ {} }}", roots(20)), "ok");
    plain(&format!("{{ {} }}", roots(21)), "ROOT_LIMIT");
    plain(&format!("mutation {{ {} }}", roots(11)), "ROOT_LIMIT");
    plain(
        &format!("{{ {} }}", "__typename ".repeat(500)),
        "SELECTION_LIMIT",
    );
}

#[test]
fn directives_are_bounded() {
    plain("{ a @include(if: true) @skip(if: false) }", "ok");
    plain(&format!("{{ a {} }}", "@aa ".repeat(10)), "DIRECTIVE_LIMIT");
    plain(
        &format!(
            "{{ x {{ {} }} }}",
            "a @aa b @bb ".repeat(10) + &"c @cc ".repeat(10) + &"d @x @y @z ".repeat(10)
        ),
        "DIRECTIVE_LIMIT",
    );
}

#[test]
fn pages_and_lists_are_bounded_whether_literal_or_variable() {
    for (text, variables, expect) in [
        ("{ v(first: 200) { nodes { id } } }", json!({}), "ok"),
        (
            "{ v(first: 201) { nodes { id } } }",
            json!({}),
            "PAGE_LIMIT",
        ),
        ("{ v(first: 0) { nodes { id } } }", json!({}), "PAGE_LIMIT"),
        ("{ v(first: -1) { nodes { id } } }", json!({}), "PAGE_LIMIT"),
        (
            "query($n: Int) { v(first: $n) { nodes { id } } }",
            json!({"n": 99_999_999}),
            "PAGE_LIMIT",
        ),
        (
            "query($n: Int) { v(first: $n) { nodes { id } } }",
            json!({"n": null}),
            "ok",
        ),
        (
            "query($n: Int = 500) { v(first: $n) { nodes { id } } }",
            json!({}),
            "PAGE_LIMIT",
        ),
        (
            "query($i: [ID!]!) { nodes(ids: $i) { id } }",
            json!({"i": vec!["a"; 201]}),
            "PAGE_LIMIT",
        ),
        (
            "query($i: [ID!]!) { nodes(ids: $i) { id } }",
            json!({"i": vec!["a"; 200]}),
            "ok",
        ),
        (
            "mutation($i: X!) { report(input: $i) { id } }",
            json!({"i": {"fixes": vec![1; 1000]}}),
            "ok",
        ),
    ] {
        check(text, variables, expect);
    }
}

#[test]
fn pages_within_pages_multiply() {
    // Fields times pages: 1 + 1 + 50 x (1 + 1 + 1 + 20 x (1 + 1)) = 2,152
    plain(
        "{ h { c { nodes { id e(first: 20) { nodes { id } } } } } }",
        "ok",
    );
    plain(
        "{ h { c(first: 200) { nodes { id e { nodes { id } } } } } }",
        "COST_LIMIT",
    );
    plain(
        "{ h { c(first: 200) { edges { node { e { edges { node { id } } } } } } } }",
        "COST_LIMIT",
    );
    plain(
        "{ a(first: 200) { nodes { id x { id } } } b(first: 200) { nodes { id } } }",
        "ok",
    );
    let wide = |n: usize| (0..n).map(|i| format!("f{i} ")).collect::<String>();
    plain(
        &format!(
            "{{ v(first: 200) {{ nodes {{ {} }} pageInfo {{ endCursor }} }} }}",
            wide(23)
        ),
        "ok",
    );
    plain(
        &format!("{{ v(first: 200) {{ nodes {{ {} }} }} }}", wide(25)),
        "COST_LIMIT",
    );
    check(
        "query($i: [ID!]!) { nodes(ids: $i) { id x { y } } }",
        json!({"i": vec!["a"; 200]}),
        "ok",
    );
}

#[test]
fn variables_and_operation_names() {
    check("query($a: Int!) { f(a: $a) }", json!({}), "BAD_VARIABLES");
    check(
        "query($a: Int!) { f(a: $a) }",
        json!({"a": null}),
        "BAD_VARIABLES",
    );
    check(
        "query($a: Int! = 1, $b: Int) { f(a: $a, b: $b) }",
        json!({}),
        "ok",
    );
    plain("query A { a } query B { b }", "BAD_OPERATION_NAME");
    let document = parse_query("query A { a } query B { b }").expect("parses");
    let named = |name| {
        super::check(
            &document,
            Some(name),
            &Variables::default(),
            &Settings::default().limits,
            true,
        )
    };
    assert!(named("B").is_ok());
    assert!(named("C").is_err());
}

#[test]
fn whoever_may_not_see_the_schema_is_shown_none_of_it() {
    let refused = |text: &str, name: Option<&str>| {
        let document = parse_query(text).expect("parses");
        let (variables, limits) = (Variables::default(), Settings::default().limits);
        let checked = super::check(&document, name, &variables, &limits, false);
        checked.map_or_else(|fault| fault.code(), |_| "ok")
    };
    for (text, expect) in [
        (
            "{ __schema { queryType { name } } }",
            "INTROSPECTION_DISABLED",
        ),
        (
            "{ a: __type(name: \"X\") { name } }",
            "INTROSPECTION_DISABLED",
        ),
        (
            "{ ...F } fragment F on Query { ... on Query { __schema { types { name } } } }",
            "INTROSPECTION_DISABLED",
        ),
        (
            "mutation { __schema { types { name } } }",
            "INTROSPECTION_DISABLED",
        ),
        ("{ __typename a { __typename } }", "ok"),
    ] {
        assert_eq!(refused(text, None), expect, "{text}");
    }
    let both = "query A { a } query B { __schema { types { name } } }";
    assert_eq!(refused(both, Some("A")), "INTROSPECTION_DISABLED");
}

#[test]
fn what_takes_a_secret_stands_once() {
    for (text, expect) in [
        ("mutation { signIn }", "ok"),
        ("mutation { a: signIn b: refreshSession }", "SENSITIVE_ONCE"),
        ("mutation { signIn signIn }", "SENSITIVE_ONCE"),
        (
            "{ ...F ...F } fragment F on Query { signIn }",
            "SENSITIVE_ONCE",
        ),
        (
            "{ ... on Query { signIn } ... { signIn } }",
            "SENSITIVE_ONCE",
        ),
        ("{ a { signIn } b { signIn } signIn }", "ok"),
    ] {
        plain(text, expect);
    }
}
