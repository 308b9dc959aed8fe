//! Reads what cbindgen writes: comments, the declarations under them, and the variables that these declare.

/// A comment and the declaration under it.
pub struct Item {
    /// The comment's lines, without stars.
    pub doc: String,
    /// From the declaration's first word to its `;`, without `struct`; of a struct, all lines of its body too.
    pub declaration: String,
}

/// A parameter, a field, or a function's name and result.
pub struct Variable {
    /// What it is called.
    pub name: String,
    /// Its C type.
    pub kind: String,
    /// Elements, of an array.
    pub count: Option<u64>,
}

/// Every commented declaration of a text whose comments begin in the first column.
pub fn items(text: &str) -> Vec<Item> {
    let (mut items, mut lines) = (Vec::new(), text.lines());
    while let Some(line) = lines.next() {
        if let Some(doc) = line.strip_prefix("/* ").and_then(|rest| rest.strip_suffix(" */")) {
            items.push(Item { doc: doc.to_owned(), declaration: declaration(&mut lines) });
        } else if line == "/**" {
            let comment: Vec<_> =
                lines.by_ref().take_while(|line| *line != " */").map(without_star).collect();
            items.push(Item { doc: comment.join("\n"), declaration: declaration(&mut lines) });
        }
    }
    items
}

fn without_star(line: &str) -> &str {
    line.strip_prefix(" * ").unwrap_or_else(|| line.trim_start_matches(" *"))
}

fn declaration<'a>(lines: &mut impl Iterator<Item = &'a str>) -> String {
    let first = lines.next().unwrap_or_default();
    if first.starts_with('#') {
        return first.to_owned();
    }
    if first.ends_with('{') {
        let body = lines.take_while(|line| !line.starts_with('}'));
        let body: Vec<_> = body.map(|line| line.strip_prefix("  ").unwrap_or(line)).collect();
        return format!("{}\n{}", first.replacen("typedef struct ", "typedef ", 1), body.join("\n"));
    }
    let mut all = first.to_owned();
    while !all.ends_with(';') {
        let Some(line) = lines.next() else { break };
        all = format!("{all} {}", line.trim());
    }
    all.trim_end_matches(';').replace("struct ", "")
}

/// What `const weft_submit *options` or `char name[32]` declares.
pub fn variable(text: &str) -> Variable {
    let (text, count) = match text.trim().split_once('[') {
        Some((text, count)) => (text, count.trim_end_matches(']').parse().ok()),
        None => (text.trim(), None),
    };
    let at = text.rfind([' ', '*']).map_or(0, |at| at + 1);
    Variable { name: text[at..].to_owned(), kind: text[..at].trim().to_owned(), count }
}

/// The parameters of a function, of the text behind its opening parenthesis.
pub fn parameters(list: &str) -> Vec<Variable> {
    let list = list.trim_end_matches(')');
    if list == "void" { Vec::new() } else { list.split(',').map(variable).collect() }
}

/// The identifiers of a text.
pub fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}
