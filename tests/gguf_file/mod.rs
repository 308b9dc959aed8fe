//! GGUF files for the tests of `generate`: read whole, changed, written again.

#[path = "../support/blocks.rs"]
mod blocks;

use half::{bf16, f16};
use weft::dtype::Dtype;

const F32: u32 = 6;
const STRING: u32 = 8;
const ARRAY: u32 = 9;

/// A tensor's elements in one of the file's element types.
#[derive(Clone)]
pub enum TensorData {
    F32(Vec<f32>),
    F16(Vec<f16>),
    Bf16(Vec<bf16>),
    /// Blocks of a type with this number in GGUF.
    Blocks(u32, Dtype, Vec<u8>),
}

impl TensorData {
    pub fn brain(values: &[f32]) -> Self {
        Self::Bf16(values.iter().map(|&value| bf16::from_f32(value)).collect())
    }

    /// Q8_0: 32 elements share a binary16 scale.
    pub fn quantise(values: &[f32]) -> Self {
        let block = |block: &[f32]| {
            let largest = block.iter().fold(0.0f32, |most, value| most.max(value.abs()));
            let scale = f16::from_f32(largest / 127.0);
            let divisor = if scale == f16::ZERO { 1.0 } else { scale.to_f32() };
            let quantised = block.iter().map(|value| (value / divisor).round() as i8 as u8);
            scale.to_le_bytes().into_iter().chain(quantised).collect::<Vec<u8>>()
        };
        Self::Blocks(8, Dtype::Q8_0, values.chunks(32).flat_map(block).collect())
    }

    /// `count` elements that are about as large as a model's weights, of the type with number `code` in GGUF.
    pub fn random_blocks(code: u32, dtype: Dtype, count: usize, mut random: impl FnMut() -> u64) -> Self {
        let mut bytes: Vec<u8> = (0..count / dtype.block() * dtype.size()).map(|_| random() as u8).collect();
        let size =
            [6e-4, 8e-3, 8e-3, 2e-4, 3e-5][blocks::FORMATS.iter().position(|&other| other == dtype).unwrap()];
        for block in bytes.chunks_mut(dtype.size()) {
            for (index, &at) in blocks::scales(dtype).iter().enumerate() {
                let scale = size * [1.0, if dtype == Dtype::Q4_1 { -7.5 } else { 7.5 }][index];
                block[at..at + 2].copy_from_slice(&f16::from_f32(scale).to_le_bytes());
            }
        }
        Self::Blocks(code, dtype, bytes)
    }

    pub fn values(&self) -> Vec<f32> {
        let decode = |dtype: Dtype, block: &[u8]| -> Vec<f32> {
            (0..dtype.block()).map(|i| blocks::item(dtype, block, i)).collect()
        };
        match self {
            Self::F32(values) => values.clone(),
            Self::F16(values) => values.iter().map(|value| value.to_f32()).collect(),
            Self::Bf16(values) => values.iter().map(|value| value.to_f32()).collect(),
            Self::Blocks(_, dtype, bytes) => {
                bytes.chunks(dtype.size()).flat_map(|block| decode(*dtype, block)).collect()
            }
        }
    }

    pub fn to_f32(&self) -> Self {
        Self::F32(self.values())
    }

    fn code(&self) -> u32 {
        match self {
            Self::F32(_) => 0,
            Self::F16(_) => 1,
            Self::Blocks(code, ..) => *code,
            Self::Bf16(_) => 30,
        }
    }

    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::F32(values) => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
            Self::F16(values) => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
            Self::Bf16(values) => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
            Self::Blocks(_, _, bytes) => bytes.clone(),
        }
    }
}

#[derive(Clone)]
pub struct Tensor {
    pub name: String,
    pub dims: Vec<u64>,
    pub data: TensorData,
}

/// A model file: metadata as (key, type, bytes of the value), and tensors of F32 or F16.
pub struct Model {
    entries: Vec<(String, u32, Vec<u8>)>,
    pub tensors: Vec<Tensor>,
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, size: usize) -> &'a [u8] {
        self.at += size;
        &self.bytes[self.at - size..self.at]
    }
    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take(4).try_into().unwrap())
    }
    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take(8).try_into().unwrap())
    }
    fn text(&mut self) -> String {
        let size = self.u64() as usize;
        String::from_utf8(self.take(size).to_vec()).unwrap()
    }
    /// The bytes of a string or a 4-byte number: the bundled model has no other kinds of metadata.
    fn value(&mut self, kind: u32) -> Vec<u8> {
        if kind == STRING { text(&self.text()) } else { self.take(4).to_vec() }
    }
}

fn text(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat()
}

fn aligned(size: usize) -> usize {
    size.next_multiple_of(32)
}

impl Model {
    pub fn read(bytes: &[u8]) -> Self {
        let mut from = Reader { bytes, at: 8 };
        let (tensors, entries) = (from.u64(), from.u64());
        let entry = |from: &mut Reader| {
            let (key, kind) = (from.text(), from.u32());
            (key, kind, from.value(kind))
        };
        let entries = (0..entries).map(|_| entry(&mut from)).collect();
        let head = |from: &mut Reader| {
            let (name, rank) = (from.text(), from.u32());
            let dims: Vec<u64> = (0..rank).map(|_| from.u64()).collect();
            (name, dims, from.u32(), from.u64() as usize)
        };
        let heads: Vec<_> = (0..tensors).map(|_| head(&mut from)).collect();
        let data = &bytes[aligned(from.at)..];
        let tensors = heads.into_iter().map(|(name, dims, kind, offset)| {
            let count = dims.iter().product::<u64>() as usize;
            Tensor { name, dims, data: elements(kind, &data[offset..], count) }
        });
        Self { entries, tensors: tensors.collect() }
    }

    pub fn write(&self) -> Vec<u8> {
        let mut file = [b"GGUF".as_slice(), &3u32.to_le_bytes()].concat();
        file.extend((self.tensors.len() as u64).to_le_bytes());
        file.extend((self.entries.len() as u64).to_le_bytes());
        for (key, kind, value) in &self.entries {
            file.extend([text(key), kind.to_le_bytes().to_vec(), value.clone()].concat());
        }
        let mut data = Vec::new();
        for tensor in &self.tensors {
            file.extend([text(&tensor.name), (tensor.dims.len() as u32).to_le_bytes().to_vec()].concat());
            tensor.dims.iter().for_each(|dim| file.extend(dim.to_le_bytes()));
            file.extend(tensor.data.code().to_le_bytes());
            file.extend((data.len() as u64).to_le_bytes());
            data.extend(tensor.data.bytes());
            data.resize(aligned(data.len()), 0);
        }
        file.resize(aligned(file.len()), 0);
        [file, data].concat()
    }

    pub fn push(&mut self, name: &str, dims: &[u64], data: TensorData) {
        self.tensors.push(Tensor { name: name.into(), dims: dims.to_vec(), data });
    }

    /// Replaces the elements of everything but vectors.
    pub fn map_matrices(&mut self, change: impl Fn(&[f32]) -> TensorData) {
        let matrices = self.tensors.iter_mut().filter(|tensor| tensor.dims.len() > 1);
        matrices.for_each(|tensor| tensor.data = change(&tensor.data.values()));
    }

    fn set(&mut self, key: &str, kind: u32, value: Vec<u8>) {
        self.entries.retain(|entry| entry.0 != key);
        self.entries.push((key.into(), kind, value));
    }

    fn set_array(&mut self, key: &str, kind: u32, items: Vec<Vec<u8>>) {
        let count = (items.len() as u64).to_le_bytes().to_vec();
        self.set(key, ARRAY, [kind.to_le_bytes().to_vec(), count, items.concat()].concat());
    }

    pub fn set_u32(&mut self, key: &str, value: u32) {
        self.set(key, 4, value.to_le_bytes().to_vec());
    }
    pub fn set_f32(&mut self, key: &str, value: f32) {
        self.set(key, F32, value.to_le_bytes().to_vec());
    }
    pub fn set_flag(&mut self, key: &str, value: bool) {
        self.set(key, 7, vec![value.into()]);
    }
    pub fn set_text(&mut self, key: &str, value: &str) {
        self.set(key, STRING, text(value));
    }
    pub fn set_texts(&mut self, key: &str, values: impl Iterator<Item = String>) {
        self.set_array(key, STRING, values.map(|value| text(&value)).collect());
    }
    pub fn set_f32s(&mut self, key: &str, values: Vec<f32>) {
        self.set_array(key, F32, values.iter().map(|value| value.to_le_bytes().to_vec()).collect());
    }
}

fn elements(kind: u32, bytes: &[u8], count: usize) -> TensorData {
    let f32s = |bytes: &[u8]| bytes.chunks(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
    let f16s = |bytes: &[u8]| bytes.chunks(2).map(|b| f16::from_le_bytes(b.try_into().unwrap())).collect();
    match kind {
        0 => TensorData::F32(f32s(&bytes[..4 * count])),
        1 => TensorData::F16(f16s(&bytes[..2 * count])),
        _ => panic!("element type {kind}"),
    }
}

/// The printable character that stands for a byte in GPT-2's vocabularies.
pub fn stand_in(byte: u8) -> char {
    let itself = |byte: u8| matches!(byte, 33..=126 | 161..=172 | 174..=255);
    let others = (0..byte).filter(|&other| !itself(other)).count() as u32;
    if itself(byte) { byte.into() } else { char::from_u32(256 + others).unwrap() }
}
