//! The description of the C ABI, and the shared library called through it by name.

use serde_json::Value;
use std::ffi::{CStr, CString, c_void};

/// The lines of every function's comment, in this order.
pub const LINES: [&str; 6] =
    ["Thread safety:", "Blocks:", "Callable from callback:", "Ownership:", "Returns:", "Since:"];

const HEADER: &str = include_str!(concat!(env!("OUT_DIR"), "/weft.h"));
const DESCRIPTION: &str = include_str!(concat!(env!("OUT_DIR"), "/weft_api.json"));

/// include/weft_api.json.
pub struct Api(Value);

impl Api {
    pub fn read() -> Self {
        Self(serde_json::from_str(DESCRIPTION).unwrap())
    }

    pub fn functions(&self) -> impl Iterator<Item = Function<'_>> {
        self.0["functions"].as_array().unwrap().iter().map(Function)
    }

    pub fn version(&self) -> u64 {
        self.0["abi_version"].as_u64().unwrap()
    }

    /// The type of this name.
    pub fn a_type(&self, name: &str) -> Option<&Value> {
        self.0["types"].as_array().unwrap().iter().find(|row| row["name"] == name)
    }

    fn statuses(&self) -> impl Iterator<Item = (&str, i32)> {
        let rows = self.0["constants"].as_array().unwrap().iter().filter(|row| row["group"] == "status");
        rows.map(|row| (row["name"].as_str().unwrap(), row["value"].as_i64().unwrap() as i32))
    }

    pub fn status(&self, name: &str) -> Option<i32> {
        self.statuses().find(|row| row.0 == name).map(|row| row.1)
    }

    pub fn status_name(&self, code: i32) -> &str {
        self.statuses().find(|row| row.1 == code).map_or("a number that is no status", |row| row.0)
    }
}

/// A function of the description, and of the header's text.
#[derive(Clone, Copy)]
pub struct Function<'a>(&'a Value);

impl<'a> Function<'a> {
    pub fn name(&self) -> &'a str {
        self.0["name"].as_str().unwrap()
    }

    pub fn parameters(&self) -> &'a [Value] {
        self.0["parameters"].as_array().unwrap()
    }

    pub fn gives_status(&self) -> bool {
        self.0["returns"]["type"] == "weft_status"
    }

    pub fn callable(&self) -> bool {
        self.0["callable_from_callback"] == true
    }

    pub fn codes(&self) -> Vec<String> {
        let codes = self.0["returns"]["codes"].as_array();
        codes.into_iter().flatten().map(|code| code.as_str().unwrap().to_owned()).collect()
    }

    /// The comment above the function in the header.
    pub fn comment(&self) -> &'static str {
        let name = self.name();
        let at = [" ", "*"].iter().find_map(|before| {
            HEADER.find(&format!("{before}{name}(")).filter(|&at| HEADER[at..].starts_with(*before))
        });
        let declared = declared(name).or(at).unwrap_or_else(|| panic!("{name} is not in the header"));
        let (start, end) =
            (HEADER[..declared].rfind("/**").unwrap(), HEADER[..declared].rfind("*/").unwrap());
        &HEADER[start + 3..end]
    }

    pub fn comment_lines(&self) -> impl Iterator<Item = &'static str> {
        self.comment().lines().map(|line| line.trim_start().trim_start_matches('*').trim())
    }

    /// What follows a label on its line.
    pub fn line(&self, label: &str) -> &'static str {
        let line = self.comment_lines().find_map(|line| line.strip_prefix(label));
        line.unwrap_or_else(|| panic!("{}: no line {label:?}", self.name())).trim()
    }
}

/// Where the header declares a function: in a line that does not belong to a comment.
fn declared(name: &str) -> Option<usize> {
    let mut at = 0;
    for line in HEADER.split_inclusive('\n') {
        if !line.starts_with([' ', '/', '#'])
            && line.contains(&format!("{name}("))
            && line.split('(').next()?.ends_with(name)
        {
            return Some(at);
        }
        at += line.len();
    }
    None
}

/// libweft.so as cargo built it with this test.
pub struct Library(*mut c_void);

// SAFETY: a handle of dlopen may be used on any thread.
unsafe impl Send for Library {}

impl Library {
    pub fn open() -> Self {
        let path = std::env::current_exe().unwrap().with_file_name("libweft.so");
        let path = CString::new(path.to_str().unwrap()).unwrap();
        // SAFETY: a zero-terminated path.
        let library = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        assert!(!library.is_null(), "{path:?} cannot be loaded");
        Self(library)
    }

    fn symbol(&self, name: &str) -> *mut c_void {
        let name = CString::new(name).unwrap();
        // SAFETY: an open library and a zero-terminated name.
        let symbol = unsafe { libc::dlsym(self.0, name.as_ptr()) };
        assert!(!symbol.is_null(), "{name:?} is not in the library");
        symbol
    }

    /// Calls a function with these arguments and zeros behind them.
    pub fn call(&self, name: &str, arguments: &[u64]) -> i32 {
        type Any = extern "C" fn(u64, u64, u64, u64, u64, u64, u64, u64) -> i32;
        assert!(arguments.len() <= 8, "{name} has more than 8 parameters: make Any longer");
        let mut a = [0; 8];
        a[..arguments.len()].copy_from_slice(arguments);
        // SAFETY: Weft's functions take integers and pointers alone, each in a register or a stack slot of 8 bytes in the
        // calling conventions of x86-64 and aarch64, and never look at arguments that they do not have.
        let function: Any = unsafe { std::mem::transmute(self.symbol(name)) };
        function(a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7])
    }

    pub fn last_error(&self) -> String {
        // SAFETY: the function of this name and type in the header; its text is zero-terminated, and copied at once.
        unsafe {
            let function: extern "C" fn() -> *const libc::c_char =
                std::mem::transmute(self.symbol("weft_last_error"));
            CStr::from_ptr(function()).to_string_lossy().into_owned()
        }
    }
}
