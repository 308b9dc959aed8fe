//! What PTX text says of its kernels: their names, and how many bytes each parameter has (PTX ISA, sections `.entry` and
//! `.param`). Asked where the driver does not tell. The text was accepted by the compiler: what is odd here is left to it.

/// A text without its comments.
fn bare(text: &str) -> String {
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = rest.find("/*").into_iter().chain(rest.find("//")).min() {
        let (before, comment) = rest.split_at(at);
        out.push_str(before);
        out.push(' ');
        let end = match comment.strip_prefix("/*") {
            Some(inside) => inside.find("*/").map(|at| at + 4),
            None => comment.find('\n'),
        };
        rest = &comment[end.unwrap_or(comment.len())..];
    }
    out + rest
}

/// A kernel of a text.
struct Entry<'a> {
    name: &'a str,
    /// The list of its parameters.
    list: &'a str,
    /// What is said of its launches behind that.
    directives: &'a str,
}

/// The kernels of a text, in order.
fn entries(bare: &str) -> impl Iterator<Item = Entry<'_>> {
    bare.split(".entry").skip(1).map(|after| {
        let after = after.trim_start();
        let end = after
            .find(|c: char| c.is_whitespace() || matches!(c, '(' | '{' | ';' | '.'))
            .unwrap_or(after.len());
        let (name, rest) = after.split_at(end);
        let split = rest.trim_start().strip_prefix('(').and_then(|list| list.split_once(')'));
        let (list, rest) = split.unwrap_or(("", rest));
        Entry { name, list, directives: rest.split(['{', ';']).next().unwrap_or_default() }
    })
}

/// The names of a text's kernels.
pub fn names(text: &str) -> Vec<String> {
    let bare = bare(text);
    entries(&bare).map(|entry| entry.name.to_owned()).collect()
}

/// Bytes of each parameter of the kernel `name`; `None` if there is no such kernel, or a parameter is of an unknown type.
pub fn parameters(text: &str, name: &str) -> Option<Vec<usize>> {
    let bare = bare(text);
    let list = entries(&bare).find(|entry| entry.name == name)?.list;
    list.split(',').filter(|row| !row.trim().is_empty()).map(size).collect()
}

/// The one block that launches of the kernel `name` can have, if it says so by `.reqntid`: the driver does not tell.
pub fn block(text: &str, name: &str) -> Option<[u32; 3]> {
    let bare = bare(text);
    let directives = entries(&bare).find(|entry| entry.name == name)?.directives;
    let sides = directives.split_once(".reqntid")?.1.split('.').next()?.split(',');
    let mut block = [1; 3];
    for (side, told) in block.iter_mut().zip(sides) {
        *side = number(told.trim())?.try_into().ok()?;
    }
    Some(block)
}

/// Bytes of a parameter such as `.param .align 8 .b8 name[16]`.
fn size(row: &str) -> Option<usize> {
    let (head, count) = match row.split_once('[') {
        Some((head, tail)) => (head, number(tail.split(']').next()?.trim())?),
        None => (row, 1),
    };
    let one = head.split_whitespace().find_map(bytes_of)?;
    let lanes = if head.contains(".v2") {
        2
    } else if head.contains(".v4") {
        4
    } else {
        1
    };
    one.checked_mul(lanes)?.checked_mul(count)
}

fn number(text: &str) -> Option<usize> {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => usize::from_str_radix(digits, 16).ok(),
        None => text.trim_end_matches('U').parse().ok(),
    }
}

/// Bytes of a type's word: ".u64", ".b8", ".texref".
fn bytes_of(word: &str) -> Option<usize> {
    match word {
        ".texref" | ".samplerref" | ".surfref" => Some(8),
        ".f16x2" | ".bf16x2" => Some(4),
        _ => {
            let bits = word
                .strip_prefix(".bf")
                .or_else(|| word.strip_prefix(['.']).and_then(|w| w.strip_prefix(['u', 's', 'b', 'f'])))?;
            matches!(bits, "8" | "16" | "32" | "64" | "128")
                .then(|| bits.parse::<usize>().map(|bits| bits / 8).ok())?
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "
        .version 8.0 // .entry fake(.param .u8 x)
        /* .entry other(.param .u64 y) */
        .visible .entry twice(.param .u64 .ptr .global .align 8 at, .param .u32 count /* , .param .u8 no */)
        { ret; }
        .entry nothing { ret; }
        .weak .entry all (
            .param .b8 a, .param .u16 b, .param .s32 c, .param .f64 d, .param .f16 e, .param .bf16 f,
            .param .align 64 .b8 map[128], .param .align 8 .b8 pair[0x10], .param .u32 row[3], .param .b128 wide
        ) .maxntid 256, 1, 1 { ret; }
        .entry none() .reqntid 0x10 , 8
            .minnctapersm 2 { ret; }";

    #[test]
    fn parameters_are_read_off_the_text() {
        assert_eq!(names(TEXT), ["twice", "nothing", "all", "none"]);
        assert_eq!(parameters(TEXT, "twice"), Some(vec![8, 4]));
        assert_eq!(parameters(TEXT, "nothing"), Some(vec![]));
        assert_eq!(parameters(TEXT, "none"), Some(vec![]));
        assert_eq!(parameters(TEXT, "all"), Some(vec![1, 2, 4, 8, 2, 2, 128, 16, 12, 16]));
        assert_eq!(parameters(TEXT, "fake"), None);
        assert_eq!(parameters(".entry odd(.param .q7 x) {}", "odd"), None);
        assert_eq!(parameters(".entry cut(.param .b8 x[99999999999999999999]) {}", "cut"), None);
        assert_eq!(parameters(".entry open(.param .b8 x[", "open"), Some(vec![]));
        assert_eq!(
            (block(TEXT, "none"), block(TEXT, "all"), block(TEXT, "fake")),
            (Some([16, 8, 1]), None, None)
        );
        assert_eq!(block(".entry k .reqntid 128;", "k"), Some([128, 1, 1]));
        assert_eq!(block(".entry k .reqntid x { }", "k"), None);
        assert_eq!(names("/* open"), Vec::<String>::new());
    }
}
