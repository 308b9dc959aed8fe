//! NVIDIA's assembler, where there is one.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// What ptxas says of a text.
pub struct Report {
    pub fine: bool,
    pub text: String,
}

impl Report {
    /// Bytes that registers were spilled to, and read back from.
    pub fn spilled(&self) -> u32 {
        let before = |what: &str| {
            let counts = self.text.match_indices(what).map(|(at, _)| self.text[..at].trim_end());
            counts.map(|text| text.rsplit([' ', '\n']).next().unwrap().parse::<u32>().unwrap()).sum::<u32>()
        };
        before("bytes spill stores") + before("bytes spill loads")
    }

    /// The line of an error that ended the run, where others may have gone unsaid.
    pub fn fatal_line(&self) -> Option<usize> {
        let line = self.text.lines().find(|line| line.contains(", line ") && line.contains("fatal"))?;
        line.split(", line ").nth(1)?.split(';').next()?.parse().ok()
    }

    /// The lines that errors are in, counted from 1.
    pub fn wrong_lines(&self) -> Vec<usize> {
        let number = |line: &str| {
            let digits: String =
                line.split(", line ").nth(1)?.chars().take_while(char::is_ascii_digit).collect();
            digits.parse().ok()
        };
        self.text.lines().filter(|line| line.contains("error")).filter_map(number).collect()
    }
}

/// The program.
pub struct Assembler(PathBuf);

impl Assembler {
    /// In `PTXAS`, in the Python environment that tests/run makes, or on the path.
    pub fn find() -> Option<Self> {
        let named = env::var_os("PTXAS").map(PathBuf::from);
        let path = env::var_os("PATH").unwrap_or_default();
        let on_path = env::split_paths(&path).map(|folder| folder.join("ptxas")).find(|file| file.exists());
        let found = named.or_else(in_environment).or(on_path);
        if found.is_none() {
            println!("skipped: no ptxas (pip install nvidia-cuda-nvcc, or set PTXAS)");
        }
        found.map(Self)
    }

    /// Assembles `text` for `target`; `name` is that of the file left under target/tmp.
    pub fn assemble(&self, name: &str, target: &str, text: &str) -> Report {
        let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.ptx"));
        fs::write(&file, text).unwrap();
        let object = file.with_extension("cubin");
        let output = Command::new(&self.0)
            .args(["-v", &format!("-arch={target}"), "-o"])
            .args([&object, &file])
            .output()
            .unwrap_or_else(|error| panic!("{}: {error}", self.0.display()));
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        Report { fine: output.status.success(), text }
    }
}

fn in_environment() -> Option<PathBuf> {
    let lib = Path::new(env!("CARGO_MANIFEST_DIR")).join(".venv/lib");
    let pythons = fs::read_dir(lib).ok()?.map(|entry| entry.unwrap().path());
    pythons.map(|python| python.join("site-packages/nvidia/cu13/bin/ptxas")).find(|file| file.exists())
}
