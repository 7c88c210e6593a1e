//! Numbers and texts as compact bytes, for what travels between flowhost processes: LEB128 as in the
//! WebAssembly specification, and texts after their length. Knows nothing of what they mean.

/// Why bytes are not what they should be.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CompactError {
    /// They end too early.
    #[error("the bytes end too early")]
    Short,
    /// Some are left.
    #[error("{0} bytes are left over")]
    Trailing(usize),
    /// A number has more bits than fit.
    #[error("a number does not fit")]
    Number,
    /// A text is no UTF-8.
    #[error("a text is not UTF-8")]
    Text,
    /// A count or a tag that means nothing.
    #[error("{what} {found} means nothing")]
    Meaningless {
        /// Of what.
        what: &'static str,
        /// The number.
        found: u64,
    },
    /// Types are nested too deeply.
    #[error("nested more than {0} deep")]
    Nested(usize),
}

/// Appends a number: seven bits a byte, the lowest first, the highest bit set on all but the last.
pub(crate) fn number(to: &mut Vec<u8>, mut number: u64) {
    loop {
        let low = (number & 0x7f) as u8;
        number >>= 7;
        if number == 0 {
            return to.push(low);
        }
        to.push(low | 0x80);
    }
}

/// Appends a length.
pub(crate) fn length(to: &mut Vec<u8>, length: usize) {
    number(to, length as u64);
}

/// Appends a text after its length in bytes.
pub(crate) fn text(to: &mut Vec<u8>, text: &str) {
    length(to, text.len());
    to.extend_from_slice(text.as_bytes());
}

/// Takes apart what the functions beside it wrote.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Where the next byte is.
    pub(crate) fn position(&self) -> usize {
        self.at
    }

    /// How many bytes are left.
    pub(crate) fn left(&self) -> usize {
        self.bytes.len().saturating_sub(self.at)
    }

    pub(crate) fn byte(&mut self) -> Result<u8, CompactError> {
        let byte = self.bytes.get(self.at).copied().ok_or(CompactError::Short)?;
        self.at += 1;
        Ok(byte)
    }

    /// So many bytes.
    pub(crate) fn take(&mut self, length: usize) -> Result<&'a [u8], CompactError> {
        let end = self.at.checked_add(length).ok_or(CompactError::Short)?;
        let taken = self.bytes.get(self.at..end).ok_or(CompactError::Short)?;
        self.at = end;
        Ok(taken)
    }

    /// So many bytes as an array.
    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], CompactError> {
        self.take(N)?.try_into().map_err(|_| CompactError::Short)
    }

    pub(crate) fn number(&mut self) -> Result<u64, CompactError> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let low = u64::from(byte & 0x7f);
            if shift == 63 && low > 1 {
                return Err(CompactError::Number);
            }
            number |= low << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(CompactError::Number)
    }

    /// How many there are of what takes at least a byte each: never more than bytes are left.
    pub(crate) fn count(&mut self) -> Result<usize, CompactError> {
        let count = usize::try_from(self.number()?).map_err(|_| CompactError::Short)?;
        if count > self.left() { Err(CompactError::Short) } else { Ok(count) }
    }

    pub(crate) fn text(&mut self) -> Result<&'a str, CompactError> {
        let length = self.count()?;
        std::str::from_utf8(self.take(length)?).map_err(|_| CompactError::Text)
    }

    /// Fails when bytes are left.
    pub(crate) fn end(&self) -> Result<(), CompactError> {
        match self.left() {
            0 => Ok(()),
            left => Err(CompactError::Trailing(left)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_and_texts_come_back(numbers: Vec<u64>, said: String) {
            let mut bytes = Vec::new();
            numbers.iter().for_each(|one| number(&mut bytes, *one));
            text(&mut bytes, &said);
            let mut reader = Reader::new(&bytes);
            for one in numbers {
                prop_assert_eq!(reader.number(), Ok(one));
            }
            prop_assert_eq!(reader.text(), Ok(&*said));
            prop_assert_eq!(reader.end(), Ok(()));
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let number = |bytes: &[u8]| Reader::new(bytes).number();
        assert_eq!(number(&[0xff; 9]), Err(CompactError::Short));
        assert_eq!(number(&[0xff; 11]), Err(CompactError::Number));
        assert_eq!(number(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]), Ok(u64::MAX));
        assert_eq!(Reader::new(&[5, b'a']).text(), Err(CompactError::Short));
        assert_eq!(Reader::new(&[1, 0xff]).text(), Err(CompactError::Text));
        assert_eq!(Reader::new(&[0]).end(), Err(CompactError::Trailing(1)));
    }
}
