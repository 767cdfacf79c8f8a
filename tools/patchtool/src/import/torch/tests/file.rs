//! Files as `torch.save` wrote them before 1.6: pickles of a magic number, a version, the system, the value and the
//! storage keys, then the storages.

use half::{bf16, f16};

/// A Python value.
#[derive(Clone)]
pub(super) enum Value {
    Int(u8),
    /// An `argparse.Namespace` with one attribute.
    Namespace,
    Dictionary(Vec<(String, Value)>),
    /// An `nn.Module` with these children or parameters.
    Module(Vec<(String, Value)>),
    /// An object of another class, with attributes.
    Object(Vec<(String, Value)>),
    Tensor(Tensor),
}

/// A tensor whose values count up.
#[derive(Clone)]
pub(super) struct Tensor {
    pub(super) shape: Vec<usize>,
    pub(super) element: Element,
    pub(super) first: f32,
}

#[derive(Clone, Copy)]
pub(super) enum Element {
    F16,
    BF16,
    F32,
    F64,
    I64,
}

impl Element {
    fn storage(self) -> &'static str {
        match self {
            Self::F16 => "HalfStorage",
            Self::BF16 => "BFloat16Storage",
            Self::F32 => "FloatStorage",
            Self::F64 => "DoubleStorage",
            Self::I64 => "LongStorage",
        }
    }

    fn bytes(self, value: f32) -> Vec<u8> {
        match self {
            Self::F16 => f16::from_f32(value).to_le_bytes().into(),
            Self::BF16 => bf16::from_f32(value).to_le_bytes().into(),
            Self::F32 => value.to_le_bytes().into(),
            Self::F64 => f64::from(value).to_le_bytes().into(),
            Self::I64 => (value as i64).to_le_bytes().into(),
        }
    }
}

impl Tensor {
    fn count(&self) -> usize {
        self.shape.iter().product()
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let values = (0..self.count()).map(|i| self.first + i as f32);
        values.flat_map(|value| self.element.bytes(value)).collect()
    }
}

/// A dictionary of values.
pub(super) fn dictionary<const N: usize>(entries: [(&str, Value); N]) -> Value {
    Value::Dictionary(entries.map(|(key, value)| (key.to_owned(), value)).into())
}

/// The file of a value.
pub(super) fn saved(value: &Value) -> Vec<u8> {
    let mut pickle = Pickle {
        bytes: b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.\
            \x80\x02}(X\x10\x00\x00\x00protocol_versionM\xe9\x03X\x0d\x00\x00\x00little_endian\x88u.\x80\x02"
            .to_vec(),
        storages: Vec::new(),
    };
    pickle.value(value);
    pickle.bytes.extend(b".\x80\x02](");
    for i in 0..pickle.storages.len() {
        pickle.text(&i.to_string());
    }
    pickle.bytes.extend(b"e.");
    for storage in &pickle.storages {
        pickle.bytes.extend((storage.count() as u64).to_le_bytes());
        pickle.bytes.extend(storage.bytes());
    }
    pickle.bytes
}

struct Pickle {
    bytes: Vec<u8>,
    storages: Vec<Tensor>,
}

impl Pickle {
    fn value(&mut self, value: &Value) {
        match value {
            Value::Int(value) => self.bytes.extend([b'K', *value]),
            Value::Namespace => {
                self.bytes.extend(b"cargparse\nNamespace\n)\x81}(");
                self.text("lr");
                self.bytes.extend(b"K\x01ub");
            }
            Value::Dictionary(entries) => self.entries(entries),
            Value::Module(members) => {
                let is_parameter =
                    |(_, member): &&(String, Value)| matches!(member, Value::Tensor(_));
                let (parameters, modules) = members.iter().cloned().partition(|m| is_parameter(&m));
                self.bytes.extend(b"c__main__\nNet\n)\x81}(");
                for (attribute, members) in [
                    ("_parameters", parameters),
                    ("_buffers", Vec::new()),
                    ("_backward_hooks", Vec::new()),
                    ("_modules", modules),
                ] {
                    self.text(attribute);
                    self.entries(&members);
                }
                self.bytes.extend(b"ub");
            }
            Value::Object(attributes) => {
                self.bytes.extend(b"c__main__\nNet\n)\x81");
                self.entries(attributes);
                self.bytes.push(b'b');
            }
            Value::Tensor(tensor) => self.tensor(tensor),
        }
    }

    fn entries(&mut self, entries: &[(String, Value)]) {
        self.bytes.extend(b"}(");
        for (key, value) in entries {
            self.text(key);
            self.value(value);
        }
        self.bytes.push(b'u');
    }

    fn tensor(&mut self, tensor: &Tensor) {
        let strides: Vec<usize> = (0..tensor.shape.len())
            .map(|i| tensor.shape[i + 1..].iter().product())
            .collect();
        self.bytes.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
        self.text("storage");
        let storage = format!("ctorch\n{}\n", tensor.element.storage());
        self.bytes.extend(storage.bytes());
        self.text(&self.storages.len().to_string());
        self.text("cpu");
        self.number(tensor.count());
        self.bytes.extend(b"NtQK\x00");
        self.tuple(&tensor.shape);
        self.tuple(&strides);
        self.bytes.extend(b"\x89}tR");
        self.storages.push(tensor.clone());
    }

    fn text(&mut self, text: &str) {
        self.bytes.push(b'X');
        self.bytes.extend((text.len() as u32).to_le_bytes());
        self.bytes.extend(text.as_bytes());
    }

    fn number(&mut self, value: usize) {
        self.bytes.push(b'J');
        self.bytes.extend((value as u32).to_le_bytes());
    }

    fn tuple(&mut self, values: &[usize]) {
        self.bytes.push(b'(');
        for &value in values {
            self.number(value);
        }
        self.bytes.push(b't');
    }
}
