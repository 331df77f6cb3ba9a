//! Python's pickle format as `torch.save` uses it, read as data: tensors and containers. Nothing is ever executed.
//!
//! A pickle is a program for a machine with a stack. Here its opcodes build a tree of plain values; a call of any function or
//! class that is none of torch's few for tensors and containers becomes an [`Value::Object`] that remembers the name alone.
//!
//! Source: the opcodes are those of Python's `pickletools` (protocols 0 to 5); the functions are those of `torch._utils`.

use std::collections::HashMap;

/// The number of a value among [`Pickle::values`].
pub type Id = usize;

/// What a pickle holds.
#[derive(Clone, Debug)]
pub enum Value {
    /// None, a truth value, a float, bytes: nothing that is read here.
    Other,
    /// A whole number.
    Int(i64),
    /// A text.
    Text(String),
    /// A tuple or a list.
    List(Vec<Id>),
    /// A dictionary of any class.
    Dict(Vec<(Id, Id)>),
    /// A function or class: module and name.
    Global(String),
    /// A storage: the name of its class, its key in the archive, and its numbers.
    Storage { class: String, key: String, len: usize },
    /// A strided view of a storage; its type is the storage's unless said.
    Tensor { storage: Id, offset: usize, shape: Vec<usize>, strides: Vec<usize>, dtype: Option<String> },
    /// An instance of anything else.
    Object(String),
}

/// A pickle that was read.
pub struct Pickle {
    values: Vec<Value>,
    root: Id,
}

impl Pickle {
    /// The value of a number.
    pub fn value(&self, id: Id) -> &Value {
        &self.values[id]
    }
    /// The number of the whole.
    pub fn root(&self) -> Id {
        self.root
    }
    /// Reads a pickle.
    ///
    /// **Errors**: it is cut short, damaged, or has an opcode that no file of torch has.
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        let mut machine =
            Machine { bytes, at: 0, values: Vec::new(), stack: Vec::new(), marks: Vec::new(), memo: HashMap::new() };
        let root = machine.run()?;
        Ok(Self { values: machine.values, root })
    }
}

struct Machine<'b> {
    bytes: &'b [u8],
    at: usize,
    values: Vec<Value>,
    stack: Vec<Id>,
    /// Heights of the stack at each mark.
    marks: Vec<usize>,
    memo: HashMap<usize, Id>,
}

/// What is done after an opcode.
enum Next {
    Go,
    Stop(Id),
}

impl Machine<'_> {
    fn run(&mut self) -> Result<Id, String> {
        loop {
            if let Next::Stop(id) = self.step()? {
                return Ok(id);
            }
        }
    }

    fn take(&mut self, n: usize) -> Result<&[u8], String> {
        let end = self.at.checked_add(n).filter(|&end| end <= self.bytes.len());
        let end = end.ok_or("its pickle is cut short")?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }
    /// A whole number of `W` bytes, little endian.
    fn number<const W: usize>(&mut self) -> Result<usize, String> {
        let mut wide = [0; 8];
        wide[..W].copy_from_slice(self.take(W)?);
        usize::try_from(u64::from_le_bytes(wide)).map_err(|_| "its pickle has a length beyond memory".into())
    }
    fn line(&mut self) -> Result<String, String> {
        let rest = &self.bytes[self.at..];
        let end = rest.iter().position(|&b| b == b'\n').ok_or("its pickle is cut short")?;
        let line = String::from_utf8_lossy(&rest[..end]).into_owned();
        self.at += end + 1;
        Ok(line)
    }
    fn text(&mut self, n: usize) -> Result<Value, String> {
        Ok(Value::Text(String::from_utf8_lossy(self.take(n)?).into_owned()))
    }
    fn skip(&mut self, n: usize) -> Result<Value, String> {
        self.take(n).map(|_| Value::Other)
    }

    fn add(&mut self, value: Value) -> Id {
        self.values.push(value);
        self.values.len() - 1
    }
    fn push(&mut self, value: Value) -> Result<Next, String> {
        let id = self.add(value);
        self.stack.push(id);
        Ok(Next::Go)
    }
    fn pop(&mut self) -> Result<Id, String> {
        // Nothing below a mark is an operand of what comes after it.
        let floor = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() <= floor {
            return Err("its pickle is damaged: an operand is missing".into());
        }
        self.stack.pop().ok_or_else(|| "its pickle is damaged".into())
    }
    fn top(&self) -> Result<Id, String> {
        self.stack.last().copied().ok_or_else(|| "its pickle is damaged: the stack is empty".into())
    }
    fn marked(&mut self) -> Result<Vec<Id>, String> {
        let from = self.marks.pop().filter(|&m| m <= self.stack.len());
        Ok(self.stack.split_off(from.ok_or("its pickle is damaged: a mark is missing")?))
    }
    fn remember(&mut self, key: usize) -> Result<Next, String> {
        let top = self.top()?;
        self.memo.insert(key, top);
        Ok(Next::Go)
    }
    fn recall(&mut self, key: usize) -> Result<Next, String> {
        let id = *self.memo.get(&key).ok_or("its pickle is damaged: a value is named before it is made")?;
        self.stack.push(id);
        Ok(Next::Go)
    }
    fn list(&mut self, n: usize) -> Result<Next, String> {
        let mut items = (0..n).map(|_| self.pop()).collect::<Result<Vec<_>, _>>()?;
        items.reverse();
        self.push(Value::List(items))
    }
    fn extend(&mut self, items: Vec<Id>) -> Result<Next, String> {
        let top = self.top()?;
        if let Value::List(list) = &mut self.values[top] {
            list.extend(items);
        }
        Ok(Next::Go)
    }
    fn set_items(&mut self, items: &[Id]) -> Result<Next, String> {
        let top = self.top()?;
        if let Value::Dict(dict) = &mut self.values[top] {
            dict.extend(items.chunks_exact(2).map(|pair| (pair[0], pair[1])));
        }
        Ok(Next::Go)
    }

    fn step(&mut self) -> Result<Next, String> {
        let opcode = self.take(1)?[0];
        match opcode {
            // Protocol and frames say nothing of the values.
            0x80 => self.take(1).map(|_| Next::Go),
            0x95 => self.take(8).map(|_| Next::Go),
            b'.' => self.pop().map(Next::Stop),
            b'(' => {
                self.marks.push(self.stack.len());
                Ok(Next::Go)
            }
            b'0' => self.pop().map(|_| Next::Go),
            b'1' => self.marked().map(|_| Next::Go),
            b'2' => {
                let top = self.top()?;
                self.stack.push(top);
                Ok(Next::Go)
            }
            b'q' => self.number::<1>().and_then(|k| self.remember(k)),
            b'r' => self.number::<4>().and_then(|k| self.remember(k)),
            0x94 => self.remember(self.memo.len()),
            b'p' => self.line()?.parse().map_err(|_| "its pickle is damaged".into()).and_then(|k| self.remember(k)),
            b'h' => self.number::<1>().and_then(|k| self.recall(k)),
            b'j' => self.number::<4>().and_then(|k| self.recall(k)),
            b'g' => self.line()?.parse().map_err(|_| "its pickle is damaged".into()).and_then(|k| self.recall(k)),
            b'}' => self.push(Value::Dict(Vec::new())),
            b']' | b')' | 0x8f => self.push(Value::List(Vec::new())),
            b'a' => self.pop().and_then(|item| self.extend(vec![item])),
            b'e' | 0x90 => self.marked().and_then(|items| self.extend(items)),
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.set_items(&[key, value])
            }
            b'u' => self.marked().and_then(|items| self.set_items(&items)),
            b'd' => {
                let items = self.marked()?;
                self.push(Value::Dict(Vec::new()))?;
                self.set_items(&items)
            }
            b't' | b'l' | 0x91 => self.marked().and_then(|items| self.push(Value::List(items))),
            0x85..=0x87 => self.list(usize::from(opcode - 0x84)),
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.push(Value::Global(format!("{module}.{name}")))
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let word = |id: Id| if let Value::Text(t) = &self.values[id] { t.as_str() } else { "?" };
                let global = format!("{}.{}", word(module), word(name));
                self.push(Value::Global(global))
            }
            b'R' | 0x81 => {
                let (arguments, function) = (self.pop()?, self.pop()?);
                let value = self.call(function, arguments);
                self.push(value)
            }
            0x92 => {
                let (_, arguments, class) = (self.pop()?, self.pop()?, self.pop()?);
                let value = self.call(class, arguments);
                self.push(value)
            }
            // What an object is given after it was made says nothing here: dictionaries have their items already.
            b'b' => self.pop().map(|_| Next::Go),
            b'Q' => {
                let id = self.pop()?;
                let value = self.storage(id)?;
                self.push(value)
            }
            _ => self.constant(opcode).and_then(|value| self.push(value)),
        }
    }

    /// The opcodes that push one constant.
    fn constant(&mut self, opcode: u8) -> Result<Value, String> {
        match opcode {
            b'N' | 0x88 | 0x89 => Ok(Value::Other),
            b'J' => Ok(Value::Int(i64::from(self.number::<4>()? as u32 as i32))),
            b'K' => Ok(Value::Int(self.number::<1>()? as i64)),
            b'M' => Ok(Value::Int(self.number::<2>()? as i64)),
            0x8a => self.number::<1>().and_then(|n| self.long(n)),
            0x8b => self.number::<4>().and_then(|n| self.long(n)),
            b'I' | b'L' => {
                let line = self.line()?;
                Ok(line.trim_end_matches('L').parse().map_or(Value::Other, Value::Int))
            }
            b'F' => self.line().map(|_| Value::Other),
            b'G' => self.skip(8),
            b'S' => Ok(Value::Text(self.line()?.trim_matches(['\'', '"']).to_string())),
            b'V' => self.line().map(Value::Text),
            b'X' => self.number::<4>().and_then(|n| self.text(n)),
            b'U' | 0x8c => self.number::<1>().and_then(|n| self.text(n)),
            b'T' => self.number::<4>().and_then(|n| self.text(n)),
            0x8d => self.number::<8>().and_then(|n| self.text(n)),
            b'C' => self.number::<1>().and_then(|n| self.skip(n)),
            b'B' => self.number::<4>().and_then(|n| self.skip(n)),
            0x8e | 0x96 => self.number::<8>().and_then(|n| self.skip(n)),
            other => Err(format!("its pickle has the opcode {other:#04x}, which no file of torch.save has")),
        }
    }
    fn long(&mut self, n: usize) -> Result<Value, String> {
        let bytes = self.take(n)?;
        if n > 8 {
            return Ok(Value::Other);
        }
        let negative = bytes.last().is_some_and(|b| b & 0x80 != 0);
        let mut wide = [if negative { 0xff } else { 0 }; 8];
        wide[..n].copy_from_slice(bytes);
        Ok(Value::Int(i64::from_le_bytes(wide)))
    }

    fn items(&self, id: Id) -> &[Id] {
        if let Value::List(items) = &self.values[id] {
            items
        } else {
            &[]
        }
    }
    fn size(&self, id: Id) -> Option<usize> {
        if let Value::Int(n) = self.values[id] {
            usize::try_from(n).ok()
        } else {
            None
        }
    }
    fn sizes(&self, id: Id) -> Option<Vec<usize>> {
        self.items(id).iter().map(|&i| self.size(i)).collect()
    }

    /// ("storage", class, key, device, numbers): how torch names what lies in the archive.
    fn storage(&self, id: Id) -> Result<Value, String> {
        let found = match *self.items(id) {
            [_, class, key, _, len, ..] => match (&self.values[class], &self.values[key], self.size(len)) {
                (Value::Global(class), Value::Text(key), Some(len)) => {
                    Some(Value::Storage { class: class.clone(), key: key.clone(), len })
                }
                _ => None,
            },
            _ => None,
        };
        found.ok_or_else(|| "its pickle names a storage in a way that torch.save does not".into())
    }

    /// What torch's functions make of their arguments; every other is an object that is known by name alone.
    fn call(&self, function: Id, arguments: Id) -> Value {
        let Value::Global(name) = &self.values[function] else { return Value::Object("?".into()) };
        let arguments = self.items(arguments);
        let first = |default: Value| arguments.first().map_or(default, |&a| self.values[a].clone());
        match (name.as_str(), arguments) {
            ("collections.OrderedDict" | "collections.defaultdict" | "builtins.dict" | "collections.Counter", _) => {
                self.dict(arguments)
            }
            // A number of numpy's, as training loops note them.
            ("numpy.core.multiarray.scalar" | "numpy._core.multiarray.scalar", _) => Value::Other,
            ("torch.Size" | "builtins.list" | "builtins.tuple" | "builtins.set", _) => first(Value::List(Vec::new())),
            ("torch._utils._rebuild_parameter" | "torch._utils._rebuild_parameter_with_state", _)
            | ("torch.nn.parameter.Parameter" | "torch.nn.parameter.Buffer", [_, ..]) => first(Value::Other),
            (
                "torch._utils._rebuild_tensor_v2" | "torch._utils._rebuild_tensor",
                &[storage, offset, shape, strides, ..],
            ) => self.tensor([storage, offset, shape, strides], None),
            ("torch._utils._rebuild_tensor_v3", &[storage, offset, shape, strides, _, _, dtype, ..]) => {
                self.tensor([storage, offset, shape, strides], Some(dtype))
            }
            ("torch._tensor._rebuild_from_type_v2", &[inner, _, arguments, ..]) => self.call(inner, arguments),
            _ => Value::Object(name.clone()),
        }
    }

    /// A dictionary made of a list of pairs, or of nothing.
    fn dict(&self, arguments: &[Id]) -> Value {
        let pairs = arguments.first().map(|&a| self.items(a)).unwrap_or_default();
        let pair = |&p: &Id| if let [key, value] = *self.items(p) { Some((key, value)) } else { None };
        Value::Dict(pairs.iter().filter_map(pair).collect())
    }

    fn tensor(&self, [storage, offset, shape, strides]: [Id; 4], dtype: Option<Id>) -> Value {
        let dtype = dtype.map(|d| if let Value::Global(name) = &self.values[d] { name.clone() } else { "?".into() });
        let sizes = (self.size(offset), self.sizes(shape), self.sizes(strides));
        match (&self.values[storage], sizes) {
            (Value::Storage { .. }, (Some(offset), Some(shape), Some(strides))) if shape.len() == strides.len() => {
                Value::Tensor { storage, offset, shape, strides, dtype }
            }
            _ => Value::Object("a tensor that is no strided view of a storage".into()),
        }
    }
}

#[cfg(test)]
#[path = "pickle_tests.rs"]
mod tests;
