//! Protocol buffers, as far as model files need them: the fields of a message, read in place, and written again.

use super::super::OnnxError;

/// The last string in field `number`; empty if there is none.
pub(crate) fn text(bytes: &[u8], number: u32) -> Result<&[u8], OnnxError> {
    let mut found = &b""[..];
    for field in Fields(bytes) {
        if let Field { number: n, value: Value::Bytes(text), .. } = field?
            && n == number
        {
            found = text;
        }
    }
    Ok(found)
}

/// The texts or messages in field `number`.
pub(crate) fn messages(bytes: &[u8], number: u32) -> Result<Vec<&[u8]>, OnnxError> {
    let mut found = Vec::new();
    for field in Fields(bytes) {
        if let Field { number: n, value: Value::Bytes(inner), .. } = field?
            && n == number
        {
            found.push(inner);
        }
    }
    Ok(found)
}

pub(crate) fn lossy(text: &[u8]) -> String {
    String::from_utf8_lossy(text).into_owned()
}

pub(crate) fn unloadable(reason: &str) -> OnnxError {
    OnnxError::Unloadable { reason: reason.to_owned() }
}

/// A field's value, as far as we look into it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Value<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
    Fixed,
}

/// A field of a message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Field<'a> {
    pub(crate) number: u32,
    pub(crate) value: Value<'a>,
    /// All of it, as it stands in the message.
    pub(crate) raw: &'a [u8],
}

/// The fields of one message, in order.
#[derive(Debug)]
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, OnnxError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field().ok_or_else(damaged);
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
}

impl<'a> Fields<'a> {
    fn field(&mut self) -> Option<Field<'a>> {
        let whole = self.0;
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3).ok().filter(|number| *number > 0)?;
        let value = match tag & 7 {
            0 => Value::Varint(self.varint()?),
            1 => self.take(8).map(|_| Value::Fixed)?,
            2 => {
                let length = usize::try_from(self.varint()?).ok()?;
                Value::Bytes(self.take(length)?)
            }
            5 => self.take(4).map(|_| Value::Fixed)?,
            // Groups (3, 4) are older than ONNX.
            _ => return None,
        };
        let raw = whole.get(..whole.len() - self.0.len())?;
        Some(Field { number, value, raw })
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(length)?;
        self.0 = tail;
        Some(head)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..70).step_by(7) {
            let byte = *self.take(1)?.first()?;
            // The tenth byte holds one bit; protocol buffers drop what is beyond.
            value |= u64::from(byte & 0x7f).checked_shl(shift)?;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }
}

/// The numbers in field `number`, written one by one or packed.
pub(crate) fn numbers(bytes: &[u8], number: u32) -> Result<Vec<i64>, OnnxError> {
    let mut found = Vec::new();
    for field in Fields(bytes) {
        match field? {
            Field { number: n, value: Value::Varint(one), .. } if n == number => found.push(one.cast_signed()),
            Field { number: n, value: Value::Bytes(packed), .. } if n == number => {
                let mut rest = Fields(packed);
                while !rest.0.is_empty() {
                    found.push(rest.varint().ok_or_else(damaged)?.cast_signed());
                }
            }
            _ => {}
        }
    }
    Ok(found)
}

/// Writes a field that holds bytes or a message.
pub(crate) fn write_bytes(number: u32, bytes: &[u8], out: &mut Vec<u8>) {
    write_varint(u64::from(number) << 3 | 2, out);
    write_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

/// Writes a field that holds a number.
pub(crate) fn write_number(number: u32, value: u64, out: &mut Vec<u8>) {
    write_varint(u64::from(number) << 3, out);
    write_varint(value, out);
}

fn write_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

fn damaged() -> OnnxError {
    unloadable("it is damaged or not an ONNX file")
}
