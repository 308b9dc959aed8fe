//! The C header as data, for makers of bindings: `include/weft_api.json` is read off the generated header itself, so
//! that the two cannot differ.

use super::declaration::{Item, Variable, items, parameters, variable, words};
use super::layout::Layouts;
use serde_json::{Value, json};
use std::collections::BTreeMap;

const ABOUT: &str = "The C ABI of Weft, generated together with weft.h. C types are spelled without struct; offset, \
    size and align are bytes where pointers have pointer_bits; a field with count is an array. A parameter's direction \
    is in, out or inout (the caller sets struct_size); nullable says whether NULL has a meaning (any other NULL is \
    answered by WEFT_ERROR_INVALID_ARGUMENT); length names the parameter that counts the elements (of void: the bytes), \
    and with 0 there the pointer may be NULL. \
    returns.codes are all the statuses that the function can return. A constant's group is status, dtype, STRUCT.flags \
    (bits of that field) or the first word of its name; values differ within a group.";

/// The lines of a function's comment that begin with these words, and their names here.
const LINES: [(&str, &str); 7] = [
    ("Thread safety: ", "thread_safety"),
    ("Blocks: ", "blocks"),
    ("Callable from callback: ", "callable_from_callback"),
    ("Ownership: ", "ownership"),
    ("Returns: ", "returns"),
    ("Since: ", "since"),
    ("Memory: ", "memory"),
];

/// Rust type and module of each constant of the sources.
pub type Sources = BTreeMap<String, (String, String)>;

/// The description of `header`.
pub fn describe(header: &str, sources: &Sources) -> Value {
    let (mut functions, mut types, mut constants) = (Vec::new(), Vec::new(), Vec::new());
    let mut layouts = Layouts::default();
    for item in items(header) {
        match item.declaration.split(' ').next() {
            Some("typedef") => types.push(a_type(&item, &mut layouts)),
            Some("#define") => constants.push(constant(&item)),
            _ => functions.push(function(&item)),
        }
    }
    constants.iter_mut().for_each(|row| row["group"] = json!(group(text(row, "name"), &types, sources)));
    let version = constants.iter().find(|row| row["name"] == "WEFT_ABI_VERSION").map(|row| &row["value"]);
    json!({
        "about": ABOUT, "abi_version": version, "pointer_bits": 64,
        "functions": functions, "types": types, "constants": constants,
    })
}

fn text<'a>(row: &'a Value, key: &str) -> &'a str {
    row[key].as_str().unwrap_or_default()
}

fn a_type(item: &Item, layouts: &mut Layouts) -> Value {
    let text = item.declaration.trim_start_matches("typedef ");
    if let Some((name, body)) = text.split_once(" {\n") {
        return a_struct(name, item, body, layouts);
    }
    if let Some((returns, rest)) = text.split_once(" (*") {
        let (name, list) = rest.split_once(")(").unwrap_or((rest, ""));
        layouts.alias(name, "void *");
        let list: Vec<_> = parameters(list).iter().map(named).collect();
        return json!({"name": name, "kind": "callback", "returns": returns, "parameters": list, "doc": item.doc});
    }
    let Variable { name, kind, .. } = variable(text);
    layouts.alias(&name, &kind);
    let what = if item.doc.starts_with("Handle of") { "handle" } else { "integer" };
    json!({"name": name, "kind": what, "type": kind, "doc": item.doc})
}

fn named(variable: &Variable) -> Value {
    json!({"name": variable.name, "type": variable.kind})
}

fn a_struct(name: &str, item: &Item, body: &str, layouts: &mut Layouts) -> Value {
    let fields = items(body);
    let variables: Vec<_> = fields.iter().map(|field| variable(&field.declaration)).collect();
    let (places, (size, align)) = layouts.place(name, &variables);
    let rows: Vec<_> = (0..fields.len()).map(|i| field(&fields[i], &variables[i], places[i])).collect();
    json!({"name": name, "kind": "struct", "size": size, "align": align, "fields": rows, "doc": item.doc})
}

fn field(item: &Item, variable: &Variable, (offset, size): (u64, u64)) -> Value {
    let mut row = named(variable);
    if let Some(count) = variable.count {
        row["count"] = json!(count);
    }
    (row["offset"], row["size"], row["doc"]) = (json!(offset), json!(size), json!(item.doc));
    row
}

fn constant(item: &Item) -> Value {
    let text = item.declaration.trim_start_matches("#define ");
    let (name, c) = text.split_once(' ').unwrap_or((text, ""));
    let value = match c.trim_matches(['(', ')']) {
        "UINT64_MAX" => json!(u64::MAX),
        digits => {
            json!(digits.parse::<i64>().unwrap_or_else(|_| panic!("{name}: {c} is not in decimal digits")))
        }
    };
    json!({"name": name, "value": value, "c": c, "group": "", "doc": item.doc})
}

/// What a constant is a value of.
fn group(name: &str, types: &[Value], sources: &Sources) -> String {
    let (kind, module) = sources.get(name).map_or(("", ""), |row| (row.0.as_str(), row.1.as_str()));
    let bits = types.iter().find(|row| flags(row).is_some_and(|doc| speaks_of(doc, name)));
    match (kind, module, bits) {
        ("weft_status", ..) => "status".into(),
        (_, "dtype", _) => "dtype".into(),
        (.., Some(row)) => format!("{}.flags", text(row, "name")),
        _ => name.split('_').nth(1).unwrap_or_default().to_lowercase(),
    }
}

/// The comment of a struct's field `flags`.
fn flags(row: &Value) -> Option<&str> {
    let mut fields = row["fields"].as_array()?.iter();
    fields.find(|field| field["name"] == "flags").map(|field| text(field, "doc"))
}

/// Whether a comment names the constant, or its family: "WEFT_ROPE bits".
fn speaks_of(doc: &str, name: &str) -> bool {
    let family = |word: &str| name.strip_prefix(word).is_some_and(|rest| rest.starts_with('_'));
    words(doc).any(|word| word == name || (family(word) && doc.contains(&format!("{word} bits"))))
}

fn function(item: &Item) -> Value {
    let (head, list) = item.declaration.split_once('(').unwrap_or((&item.declaration, ""));
    let Variable { name, kind, .. } = variable(head);
    let (doc, lines) = split(&item.doc);
    let list: Vec<_> = parameters(list).iter().map(|each| parameter(each, &item.doc, &lines)).collect();
    let mut row = json!({"name": name, "returns": {"type": kind}, "parameters": list, "doc": doc});
    for (label, text) in &lines {
        match *label {
            "returns" => row[*label] = returned(&kind, text),
            "callable_from_callback" => row[*label] = json!(text.starts_with("yes")),
            _ => row[*label] = json!(text.trim_end_matches('.')),
        }
    }
    row
}

fn returned(kind: &str, text: &str) -> Value {
    let mut row = json!({"type": kind, "text": text});
    if kind == "weft_status" {
        row["codes"] = words(text).filter(|word| word.starts_with("WEFT_")).collect();
    }
    row
}

/// A function's comment: what it says first, and its fixed lines, each joined to one.
fn split(doc: &str) -> (String, Vec<(&'static str, String)>) {
    let (mut first, mut lines) = (String::new(), Vec::<(&str, String)>::new());
    for line in doc.lines() {
        let label = LINES.iter().find_map(|(label, key)| Some((*key, line.strip_prefix(label)?)));
        match (label, lines.last_mut()) {
            (Some((key, rest)), _) => lines.push((key, rest.to_owned())),
            (None, Some((_, text))) if !line.is_empty() => *text = format!("{text} {line}"),
            (None, Some(_)) => {}
            (None, None) => first = format!("{first}\n{line}"),
        }
    }
    (first.trim().to_owned(), lines)
}

fn parameter(variable: &Variable, doc: &str, lines: &[(&str, String)]) -> Value {
    let (mut row, name) = (named(variable), variable.name.as_str());
    if !variable.kind.contains('*') {
        return row;
    }
    let sized = doc.contains(&format!("The caller sets {name}->struct_size"));
    let written = if sized { "inout" } else { "out" };
    row["direction"] = json!(if variable.kind.starts_with("const ") { "in" } else { written });
    row["nullable"] = json!(may_be_null(name, &doc.replace('\n', " ")));
    let memory = lines.iter().find(|line| line.0 == "memory").map_or("", |line| &line.1);
    if let Some(length) = length(name, memory) {
        row["length"] = json!(length);
    }
    row
}

/// Whether some clause says "NAME may be NULL" or "NAME, unless NULL".
fn may_be_null(name: &str, doc: &str) -> bool {
    let said = |clause: &str| {
        let (before, _) = clause.split_once("may be NULL").or_else(|| clause.split_once("unless NULL"))?;
        words(before).find(|word| *word == name).map(drop)
    };
    doc.split(['.', ';', ':']).any(|clause| said(clause).is_some())
}

/// The parameter that counts the elements behind `name`: "`name` is valid for `count` reads".
fn length<'a>(name: &str, memory: &'a str) -> Option<&'a str> {
    let clause = memory.split([';', ',']).find(|clause| clause.contains(&format!("`{name}`")))?;
    clause.split_once("for `")?.1.split('`').next()
}
