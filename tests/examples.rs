//! The examples in C build without warnings, run, and say what they should; `generate` reproduces the reference
//! tokens, and answers bad arguments and bad files with one sentence and exit code 2.

mod gguf_file;

use gguf_file::{Model, TensorData};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Once;
use weft::dtype::Dtype;

const MODEL: &str = "examples-c/models/pycode.gguf";

/// Builds all examples once a test program.
fn program(name: &str) -> PathBuf {
    static BUILD: Once = Once::new();
    BUILD.call_once(|| {
        let mut make = Command::new("make");
        make.args(["-s", "-C", "examples-c"]).env("CARGO", env!("CARGO"));
        let output = make.output().expect("make runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    });
    Path::new("examples-c/build").join(name).canonicalize().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// The output of an example that must succeed.
fn run(name: &str) -> String {
    let output = Command::new(program(name)).output().unwrap();
    assert!(output.status.success(), "{name}: {}{}", stdout(&output), stderr(&output));
    stdout(&output)
}

fn generate(arguments: &[&str]) -> Output {
    Command::new(program("generate")).args(arguments).output().unwrap()
}

/// What generate writes when it must succeed.
fn written(arguments: &[&str]) -> String {
    let output = generate(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
    stdout(&output)
}

/// The tokens that `model` goes on with.
fn tokens(model: &str, prompt: &[&str], arguments: &[&str]) -> Vec<i64> {
    let all = [&["--model", model, "--temperature", "0", "--tokens"], prompt, arguments].concat();
    let text = written(&all);
    assert_eq!(text.lines().count(), 1, "{text}");
    text.split_whitespace().map(|token| token.parse().unwrap()).collect()
}

/// Exit code 2, nothing on stdout, and one line on stderr, which is returned.
#[track_caller]
fn refused(arguments: &[&str]) -> String {
    let output = generate(arguments);
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {text}");
    assert_eq!(stdout(&output), "", "{arguments:?}");
    assert!(text.starts_with("generate: ") && text.ends_with('\n'), "{arguments:?}: {text:?}");
    assert_eq!(text.lines().count(), 1, "{arguments:?}: {text}");
    text
}

fn temporary(name: &str, bytes: &[u8]) -> String {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, bytes).unwrap();
    path.to_str().unwrap().to_owned()
}

fn reference() -> Vec<Value> {
    serde_json::from_str(&std::fs::read_to_string("tests/data/reference.json").unwrap()).unwrap()
}

fn numbers(value: &Value) -> Vec<i64> {
    value.as_array().unwrap().iter().map(|number| number.as_i64().unwrap()).collect()
}

#[test]
fn hello_adds() {
    assert_eq!(run("01_hello"), "11 22 33 44\n");
    assert!(std::fs::read_to_string("examples-c/01_hello.c").unwrap().lines().count() <= 30);
}

#[test]
fn matmul_checks_itself() {
    let text = run("02_matmul");
    assert!(text.contains("GFLOP/s, largest error"), "{text}");
}

#[test]
fn two_queues_meet() {
    assert_eq!(run("03_two_queues"), "1 and 2, doubled 10 times and added: 3072\n");
}

#[test]
fn errors_are_as_expected() {
    let text = run("04_errors");
    for name in ["WRONG_KIND", "STALE_HANDLE", "INVALID_ARGUMENT", "UNAVAILABLE"] {
        assert!(text.contains(&format!("WEFT_ERROR_{name}: ")) || name == "UNAVAILABLE", "{name}: {text}");
    }
    assert!(text.contains("WEFT_WOULD_BLOCK") && text.ends_with("and 1 + 1 is still 2\n"), "{text}");
}

#[test]
fn devices_are_listed() {
    let text = run("05_devices");
    assert!(text.contains("cpu: ") && text.contains(" cores\n") && text.contains("libcuda"), "{text}");
}

#[test]
fn a_kernel_runs_where_there_is_a_gpu() {
    let text = run("06_kernel");
    assert!(
        text.starts_with("no GPU to run a kernel on: ") || text.contains("0 of 1000 numbers are wrong"),
        "{text}"
    );
}

#[test]
fn generate_reproduces_the_reference() {
    let mut compared = 0;
    for case in reference() {
        let prompt = case["prompt"].as_str().unwrap();
        for threads in ["1", "2"] {
            let found = tokens(MODEL, &["--prompt", prompt], &["-n", "128", "--threads", threads]);
            assert_eq!(found, numbers(&case["output_tokens"]), "{prompt:?} with {threads} threads");
            compared += found.len();
        }
    }
    assert_eq!(compared, 2 * 1024);
}

#[test]
fn text_tokens_and_chance() {
    let case = &reference()[0];
    let (prompt, text) = (case["prompt"].as_str().unwrap(), case["text"].as_str().unwrap());
    // The bundled model is the default; the text is followed by a newline.
    let output = generate(&["-p", prompt, "--temperature=0"]);
    assert_eq!(stdout(&output), format!("{text}\n"));
    let report = stderr(&output);
    for part in ["load ", " ms, prefill ", "first token after ", "decode "] {
        assert!(report.contains(part), "{report}");
    }
    let output = generate(&["-p", prompt, "--temperature=0", "--echo", "-n", "4"]);
    assert_eq!(stdout(&output), format!("{prompt}{}\n", &text[..4]));
    assert_eq!(written(&["-p", prompt, "-n", "0"]), "");

    let ids = numbers(&case["prompt_tokens"]).iter().map(i64::to_string).collect::<Vec<_>>().join(" ");
    let found = tokens(MODEL, &["--prompt-tokens", &ids], &["-n", "128"]);
    assert_eq!(found, numbers(&case["output_tokens"]));
    // One candidate leaves nothing to chance; a seed repeats itself; another one does not.
    let sampled =
        |arguments: &[&str]| written(&[&["-p", prompt, "--tokens", "-n", "64"], arguments].concat());
    let best = tokens(MODEL, &["-p", prompt], &["-n", "64"]);
    let words: Vec<i64> = sampled(&["--top-k", "1"]).split_whitespace().map(|t| t.parse().unwrap()).collect();
    assert_eq!(words, best);
    assert_eq!(sampled(&["--seed", "7"]), sampled(&["--seed", "7"]));
    assert_ne!(sampled(&["--seed", "7"]), sampled(&["--seed", "8"]));
    assert_ne!(sampled(&["--temperature", "5", "--top-k", "1000000"]), sampled(&["--seed", "8"]));
}

#[test]
fn a_long_prompt_goes_through_in_pieces() {
    // 1,100 tokens are three pieces. What comes next depends on the context alone: feeding one token more gives the
    // continuation that the shorter prompt found.
    let text = std::fs::read_to_string("examples-c/Makefile").unwrap().repeat(2);
    let prompt = &text[..1100];
    let found = tokens(MODEL, &["-p", prompt], &["-n", "4"]);
    let longer = format!("{prompt}{}", found[0] as u8 as char);
    assert_eq!(tokens(MODEL, &["-p", &longer], &["-n", "3"]), found[1..]);
}

#[test]
fn help_names_every_option() {
    let output = generate(&["--help"]);
    assert!(output.status.success());
    let options = [
        "--model",
        "--prompt",
        "-n",
        "--device",
        "--threads",
        "--temperature",
        "--top-k",
        "--seed",
        "--tokens",
    ];
    options.iter().for_each(|option| assert!(stdout(&output).contains(option), "{option}"));
}

#[test]
fn bad_arguments_are_refused() {
    let cases: &[(&[&str], &str)] = &[
        (&[], "--prompt is missing"),
        (&["-p", ""], "--prompt is empty"),
        (&["-p"], "--prompt needs a value"),
        (&["-p", "x", "-n"], "--count needs a value"),
        (&["-p", "x", "-n", "ten"], "\"ten\""),
        (&["-p", "x", "-n", "-1"], "\"-1\""),
        (&["-p", "x", "-n", "1.5"], "\"1.5\""),
        (&["-p", "x", "-n", "99999999999999999999"], "--count"),
        (&["-p", "x", "-n", "2048"], "context holds 2048"),
        (&["-p", "x", "--temperature", "nan"], "--temperature is \"nan\""),
        (&["-p", "x", "--temperature", "inf"], "--temperature"),
        (&["-p", "x", "--temperature", "-1"], "--temperature"),
        (&["-p", "x", "--temperature", ""], "--temperature"),
        (&["-p", "x", "--top-k", "0"], "--top-k"),
        (&["-p", "x", "--threads", "257"], "--threads"),
        (&["-p", "x", "--threads", "-2"], "--threads"),
        (&["-p", "x", "--seed", "-3"], "--seed"),
        (&["-p", "x", "--device", "abacus"], "abacus"),
        (&["-p", "x", "--device", "cuda:999"], "cuda:999"),
        (&["-p", "x", "--fast"], "unknown option \"--fast\""),
        (&["x"], "unknown option \"x\""),
        (&["-p", "x", "--tokens=yes"], "--tokens takes no value"),
        (&["-p", "x", "--prompt-tokens", "1"], "exclude each other"),
        (&["--prompt-tokens", "1 two"], "two"),
        (&["--prompt-tokens", "256"], "token 256"),
        (&["--prompt-tokens", "-1"], "-1"),
        (&["--prompt-tokens", " "], "no tokens"),
    ];
    for (arguments, part) in cases {
        let text = refused(arguments);
        assert!(text.contains(part), "{arguments:?}: {text}");
    }
    refused(&["-p", &"long ".repeat(500), "-n", "0"]);
}

#[test]
fn missing_and_cut_files_are_refused() {
    assert!(refused(&["-p", "x", "--model", "/nonexistent/model"]).contains("cannot open"));
    assert!(refused(&["-p", "x", "--model", "tests"]).contains("not a file"));
    assert!(refused(&["-p", "x", "--model", "Cargo.toml"]).contains("no GGUF file"));
    assert!(refused(&["-p", "x", "--model", &temporary("empty.gguf", b"")]).contains("no GGUF file"));
    let whole = std::fs::read(MODEL).unwrap();
    let header = (0..4096).step_by(37).chain(0..64);
    for size in header.chain((4096..whole.len()).step_by(whole.len() / 40)).chain([whole.len() - 1]) {
        refused(&["-p", "x", "--model", &temporary("cut.gguf", &whole[..size])]);
    }
}

#[test]
fn hostile_headers_are_refused() {
    let whole = std::fs::read(MODEL).unwrap();
    let patched = |at: usize, bytes: &[u8]| {
        let mut file = whole.clone();
        file[at..at + bytes.len()].copy_from_slice(bytes);
        refused(&["-p", "x", "--model", &temporary("patched.gguf", &file)])
    };
    assert!(patched(0, b"GGML").contains("no GGUF file"));
    assert!(patched(4, &1u32.to_le_bytes()).contains("version 1"));
    assert!(patched(4, &99u32.to_le_bytes()).contains("version 99"));
    // Counts of tensors and of metadata, then the size of the first key.
    for at in [8, 16, 24] {
        for count in [u64::MAX, 1 << 63, 1 << 40, whole.len() as u64 / 16, 57] {
            patched(at, &count.to_le_bytes());
        }
    }
}

/// Whatever single bytes of the header say, the program ends by itself: with an answer or with a sentence.
#[test]
fn random_damage_never_crashes() {
    let mut file = std::fs::read(MODEL).unwrap();
    let mut state = 1u64;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as usize % below
    };
    for _ in 0..300 {
        let (at, byte) = (random(3600), random(256) as u8);
        let before = std::mem::replace(&mut file[at], byte);
        let model = temporary("damaged.gguf", &file);
        let output = generate(&["-p", "x", "-n", "1", "--temperature", "0", "--model", &model]);
        let code = output.status.code();
        assert!(
            code == Some(0) || code == Some(2),
            "byte {at} = {byte}: {:?} {}",
            output.status,
            stderr(&output)
        );
        file[at] = before;
    }
}

/// The bundled model, rewritten with `change`.
fn rewritten(name: &str, change: impl FnOnce(&mut Model)) -> String {
    let mut model = Model::read(&std::fs::read(MODEL).unwrap());
    change(&mut model);
    temporary(name, &model.write())
}

const PROMPT: &[&str] = &["-p", "class Queue:\n"];

#[test]
fn other_element_types_and_an_own_head() {
    let expected = tokens(MODEL, PROMPT, &["-n", "48"]);
    let model = rewritten("f32.gguf", |model| {
        model.tensors.iter_mut().for_each(|tensor| tensor.data = tensor.data.to_f32())
    });
    assert_eq!(tokens(&model, PROMPT, &["-n", "48"]), expected, "F32");
    let model = rewritten("mixed.gguf", |model| {
        let some = model.tensors.iter_mut().filter(|tensor| tensor.name.contains("attn_k"));
        some.for_each(|tensor| tensor.data = tensor.data.to_f32());
    });
    assert_eq!(tokens(&model, PROMPT, &["-n", "48"]), expected, "F32 keys");
    let model = rewritten("head.gguf", |model| {
        let mut head = model.tensors[0].clone();
        assert_eq!(head.name, "token_embd.weight");
        head.name = "output.weight".into();
        model.tensors.push(head);
    });
    assert_eq!(tokens(&model, PROMPT, &["-n", "48"]), expected, "output.weight");
}

#[test]
fn weights_in_blocks_are_what_they_decode_to() {
    let quantised = rewritten("q8_0.gguf", |model| model.map_matrices(TensorData::quantise));
    let singles = rewritten("q8_0-as-f32.gguf", |model| {
        model.map_matrices(|values| TensorData::quantise(values).to_f32())
    });
    let found = tokens(&quantised, PROMPT, &["-n", "48"]);
    assert_eq!(found, tokens(&singles, PROMPT, &["-n", "48"]));
    // 8 bits are enough for a model to go on much as it does.
    let exact = tokens(MODEL, PROMPT, &["-n", "48"]);
    assert_eq!(found[..8], exact[..8]);
    // Random weights of all types, those of one matrix of different ones.
    let types = [(2, Dtype::Q4_0), (3, Dtype::Q4_1), (12, Dtype::Q4K), (14, Dtype::Q6K), (8, Dtype::Q8_0)];
    for first in 0..types.len() {
        let blocks = |model: &mut Model| {
            let mut state = 1 + first as u64;
            let mut random = || {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                state >> 33
            };
            let matrices = model.tensors.iter_mut().filter(|tensor| tensor.dims.len() > 1);
            for (number, tensor) in matrices.enumerate() {
                let (code, dtype) = types[(first + number) % types.len()];
                let count = tensor.dims.iter().product::<u64>() as usize;
                tensor.data = TensorData::random_blocks(code, dtype, count, &mut random);
            }
        };
        let packed = rewritten("blocks.gguf", blocks);
        let singles = rewritten("blocks-as-f32.gguf", |model| {
            blocks(model);
            model.tensors.iter_mut().for_each(|tensor| tensor.data = tensor.data.to_f32());
        });
        for count in ["1", "12"] {
            assert_eq!(
                tokens(&packed, PROMPT, &["-n", count]),
                tokens(&singles, PROMPT, &["-n", count]),
                "{first}"
            );
        }
    }
}

#[test]
fn brain_floats_are_their_singles() {
    let brain = rewritten("bf16.gguf", |model| model.map_matrices(TensorData::brain));
    let same = rewritten("bf16-as-f32.gguf", |model| {
        model.map_matrices(|values| TensorData::F32(TensorData::brain(values).values()))
    });
    assert_eq!(tokens(&brain, PROMPT, &["-n", "48"]), tokens(&same, PROMPT, &["-n", "48"]));
}

#[test]
fn rope_factors_scale_and_end_of_text() {
    let expected = tokens(MODEL, PROMPT, &["-n", "32"]);
    let factors = |factor: f32| {
        rewritten("factors.gguf", |model| {
            model.push("rope_freqs.weight", &[32], TensorData::F32(vec![factor; 32]))
        })
    };
    assert_eq!(tokens(&factors(1.0), PROMPT, &["-n", "32"]), expected);
    let slower = tokens(&factors(2.0), PROMPT, &["-n", "32"]);
    assert_ne!(slower, expected);
    let linear = rewritten("linear.gguf", |model| {
        model.set_text("llama.rope.scaling.type", "linear");
        model.set_f32("llama.rope.scaling.factor", 2.0);
    });
    assert_eq!(tokens(&linear, PROMPT, &["-n", "32"]), slower);
    let last = expected[20];
    let ended = rewritten("end.gguf", |model| model.set_u32("tokenizer.ggml.eos_token_id", last as u32));
    let until: Vec<i64> = expected.iter().copied().take_while(|&token| token != last).collect();
    assert_eq!(tokens(&ended, PROMPT, &["-n", "32"]), until);
    let output = generate(&[&["-m", &ended, "-n", "64", "--top-k", "2"], PROMPT].concat());
    assert!(output.status.success(), "{}", stderr(&output));
}

#[test]
fn other_models_are_refused() {
    let refuse = |part: &str, change: &dyn Fn(&mut Model)| {
        let model = rewritten("other.gguf", |model| change(model));
        let text = refused(&["-p", "x", "--model", &model]);
        assert!(text.contains(part), "{part}: {text}");
    };
    refuse("architecture", &|model| model.set_text("general.architecture", "gpt2"));
    refuse("mixture of experts", &|model| model.set_u32("llama.expert_count", 8));
    refuse("yarn", &|model| model.set_text("llama.rope.scaling.type", "yarn"));
    refuse("block_count", &|model| model.set_u32("llama.block_count", 0));
    refuse("blk.6.attn_norm", &|model| model.set_u32("llama.block_count", 7));
    refuse("blk.5", &|model| model.set_u32("llama.block_count", 5));
    refuse("head_count", &|model| model.set_u32("llama.attention.head_count", 3));
    refuse("freq_base", &|model| model.set_f32("llama.rope.freq_base", f32::NAN));
    refuse("epsilon", &|model| model.set_f32("llama.attention.layer_norm_rms_epsilon", -1.0));
    refuse("general.alignment", &|model| model.set_u32("general.alignment", 3));
    refuse("embedding_length", &|model| model.set_text("llama.embedding_length", "wide"));
    refuse("attn_q.bias", &|model| model.push("blk.0.attn_q.bias", &[256], TensorData::F32(vec![0.0; 256])));
    refuse("--prompt-tokens", &|model| model.set_text("tokenizer.ggml.model", "bert"));
}

#[test]
fn vocabularies_of_pieces() {
    let text = written(&[PROMPT, &["--temperature", "0", "-n", "64"]].concat());
    // Every token is a byte in another spelling, so the same text comes out.
    let spm = rewritten("spm.gguf", |model| {
        model.set_text("tokenizer.ggml.model", "llama");
        model.set_texts("tokenizer.ggml.tokens", (0..256).map(|byte| format!("<0x{byte:02X}>")));
        model.set_f32s("tokenizer.ggml.scores", vec![0.0; 256]);
        model.set_flag("tokenizer.ggml.add_bos_token", false);
        model.set_flag("tokenizer.ggml.add_space_prefix", false);
    });
    // A space is U+2581 there, whose three bytes the model never saw: a prompt without spaces.
    let spaceless = &["-p", "import(os)\n", "--temperature", "0", "-n", "64"];
    assert_eq!(written(&[&["-m", &spm], &spaceless[..]].concat()), written(spaceless));
    let bpe = rewritten("bpe.gguf", |model| {
        model.set_text("tokenizer.ggml.model", "gpt2");
        model.set_texts("tokenizer.ggml.tokens", (0..=255).map(|byte| gguf_file::stand_in(byte).to_string()));
        model.set_texts("tokenizer.ggml.merges", std::iter::empty());
    });
    assert_eq!(written(&[&["-m", &bpe], PROMPT, &["--temperature", "0", "-n", "64"]].concat()), text);
}

/// Joins follow the order of merges, or the scores: the echo of ids shows which tokens a prompt became.
#[test]
fn pieces_join_best_first() {
    // Tokens 128 on never occur in the bundled model's texts: they can be anything. A prompt that becomes other tokens
    // has another continuation; giving those tokens as numbers must find the same one.
    let pieces = |joined: &[&str]| {
        let bytes = (0..=255).map(|byte| gguf_file::stand_in(byte).to_string());
        let mut all: Vec<String> = bytes.collect();
        joined.iter().enumerate().for_each(|(i, piece)| all[200 + i] = (*piece).into());
        all
    };
    let bpe = rewritten("merges.gguf", |model| {
        model.set_text("tokenizer.ggml.model", "gpt2");
        model.set_texts("tokenizer.ggml.tokens", pieces(&["ab", "bc", "abc", "Ġab", "abcabc"]).into_iter());
        let merges = ["b c", "a b", "a bc", "Ġ ab", "abc abc"];
        model.set_texts("tokenizer.ggml.merges", merges.iter().map(|merge| merge.to_string()));
    });
    let cases =
        [("abc", "202"), ("ab", "200"), ("x ab", "120 203"), ("x  ab", "120 32 203"), ("abcabc!", "204 33")];
    for (prompt, ids) in cases {
        let (by_text, by_ids) = (
            tokens(&bpe, &["-p", prompt], &["-n", "16"]),
            tokens(&bpe, &["--prompt-tokens", ids], &["-n", "16"]),
        );
        assert_eq!(by_text, by_ids, "{prompt:?}");
    }
    let spm = rewritten("scores.gguf", |model| {
        let mut all = pieces(&["ab", "bc", "abc", "▁ab", "▁"]);
        all[205] = "<0xD0>".into();
        all[206] = "<0xB6>".into();
        let mut scores = vec![-100.0; 256];
        scores[200..205].copy_from_slice(&[-5.0, -1.0, -2.0, -3.0, -9.0]);
        model.set_text("tokenizer.ggml.model", "llama");
        model.set_texts("tokenizer.ggml.tokens", all.into_iter());
        model.set_f32s("tokenizer.ggml.scores", scores);
        model.set_u32("tokenizer.ggml.bos_token_id", 1);
    });
    // A space stands before the text, and the token that begins texts before that.
    let cases =
        [("abc", "1 204 202"), ("ab", "1 203"), ("x ab", "1 204 120 203"), ("aж", "1 204 97 205 206")];
    for (prompt, ids) in cases {
        let (by_text, by_ids) = (
            tokens(&spm, &["-p", prompt], &["-n", "16"]),
            tokens(&spm, &["--prompt-tokens", ids], &["-n", "16"]),
        );
        assert_eq!(by_text, by_ids, "{prompt:?}");
    }
}
