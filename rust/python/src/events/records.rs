//! `Records`: one for each handler of an emission; the first needs no memory of its own.

use super::outcomes::Record;

#[derive(Default)]
pub(super) struct Records {
    first: Option<Record>,
    rest: Vec<Record>,
}

impl Records {
    pub(super) const NONE: Self = Self {
        first: None,
        rest: Vec::new(),
    };

    #[inline]
    pub(super) fn with_capacity(count: usize) -> Self {
        let rest = if count > 1 {
            Vec::with_capacity(count - 1)
        } else {
            Vec::new()
        };
        Self { first: None, rest }
    }

    #[inline]
    pub(super) fn push(&mut self, record: Record) {
        if self.first.is_none() {
            self.first = Some(record);
        } else {
            self.rest.push(record);
        }
    }

    pub(super) fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.rest.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Record> {
        self.first.iter().chain(&self.rest)
    }

    pub(super) fn get(&self, index: usize) -> Option<&Record> {
        match index {
            0 => self.first.as_ref(),
            _ => self.rest.get(index - 1),
        }
    }

    pub(super) fn get_mut(&mut self, index: usize) -> Option<&mut Record> {
        match index {
            0 => self.first.as_mut(),
            _ => self.rest.get_mut(index - 1),
        }
    }
}

impl FromIterator<Record> for Records {
    fn from_iter<I: IntoIterator<Item = Record>>(records: I) -> Self {
        let mut made = Self::default();
        for record in records {
            made.push(record);
        }
        made
    }
}
