//! Objects made ready to be sent, and kept until they are.

use std::ops::Range;

use penstock_core::shm::queue::{Buffer, Item, QueueError};
use pyo3::{
    buffer::PyBuffer,
    exceptions::PyTypeError,
    intern,
    prelude::*,
    sync::PyOnceLock,
    types::{PyBytes, PyMemoryView, PyString},
};

use super::{
    super::{
        arrays, codes,
        short::{self, Room, Writer},
    },
    SharedQueue, is_full, refusals,
};

/// Letting the interpreter go costs about what copying 32 KiB does.
pub(super) const COPIED_ATTACHED: usize = 32 << 10;

/// Strings and bytes of more than this are not copied before they are sent: a batch of them would go through memory
/// twice.
const KEPT_WHOLE: usize = 512;

/// What is sent in one step.
const STEP: usize = 256;

enum Stream {
    /// Encoded here.
    Own(Range<usize>),
    /// An object whose own bytes are sent.
    Whole(Py<PyAny>),
    /// Bytes that somebody else keeps.
    Buffer(PyBuffer<u8>),
}

/// Bytes beside the stream.
enum Beside {
    Exported(PyBuffer<u8>),
    /// The content of an array, which is kept from being resized by one reference more.
    Array {
        content: arrays::Content,
        _array: Py<PyAny>,
    },
}

// SAFETY: the address is of memory that the object keeps in place; nothing is done with either without
// the interpreter.
unsafe impl Send for Beside {}

impl Beside {
    fn content(&self) -> Buffer<'_> {
        match self {
            Self::Exported(buffer) => of_buffer(buffer),
            // SAFETY: the array keeps its memory in place, and who writes there during a send spoils the
            // item only.
            Self::Array { content, .. } => unsafe { Buffer::new(content.0, content.1) },
        }
    }
}

struct Packed {
    code: u16,
    stream: Stream,
    buffers: Vec<Beside>,
}

/// One object or many, in order.
#[derive(Default)]
pub(super) struct Pack {
    bytes: Vec<u8>,
    packed: Vec<Packed>,
    accepted: usize,
}

/// The arguments of a call that leaves the interpreter.
struct Detached<'a>(&'a [Item<'a>]);

// SAFETY: the pointers in there are to memory that the pack keeps in place, whose objects are not
// touched without the interpreter.
unsafe impl Send for Detached<'_> {}

impl Pack {
    pub(super) fn accepted(&self) -> usize {
        self.accepted
    }

    /// Encodes `object`; raises what pickling it raises.
    pub(super) fn add(&mut self, object: &Bound<'_, PyAny>) -> PyResult<()> {
        let mut room = Room::new();
        if let Some((code, bytes)) = short::encode(object, &mut room) {
            // Any other code was written to this frame's room, and has to be copied.
            let is_content = matches!(
                code,
                codes::RAW | codes::TEXT_1 | codes::TEXT_2 | codes::TEXT_4
            );
            let is_short = bytes.len() <= KEPT_WHOLE || !is_content;
            let stream = if is_short {
                self.own(bytes)
            } else {
                Stream::Whole(object.clone().unbind())
            };
            self.push(code, stream, Vec::new());
            return Ok(());
        }
        if let Ok(view) = object.cast_exact::<PyMemoryView>() {
            return self.add_view(view);
        }
        if self.add_array(object, &mut room) || self.add_mixed(object, &mut room) {
            return Ok(());
        }
        self.add_pickle(object, intern!(object.py(), "dump"))
    }

    /// False: it is no array, or one for pickle.
    fn add_array(&mut self, object: &Bound<'_, PyAny>, room: &mut Room) -> bool {
        let mut writer = Writer::new(room);
        let Some(content) = arrays::put_head(&mut writer, object) else {
            return false;
        };
        let begin = self.bytes.len();
        self.bytes.extend_from_slice(writer.written());
        let buffers = if arrays::is_beside(content) {
            let _array = object.clone().unbind();
            vec![Beside::Array { content, _array }]
        } else {
            // SAFETY: the array has so many bytes there, and no code of Python's runs meanwhile.
            let content = unsafe { arrays::bytes(content) };
            self.bytes.extend_from_slice(content);
            Vec::new()
        };
        let stream = Stream::Own(begin..self.bytes.len());
        self.push(codes::ARRAY, stream, buffers);
        true
    }

    /// False: it is no container, or one for pickle.
    fn add_mixed(&mut self, object: &Bound<'_, PyAny>, room: &mut Room) -> bool {
        let Some((bytes, arrays)) = short::encode_mixed(object, room) else {
            return false;
        };
        let stream = self.own(bytes);
        let beside = arrays.into_iter().map(|array| Beside::Array {
            content: array.content,
            _array: array.array,
        });
        self.push(codes::MIXED, stream, beside.collect());
        true
    }

    /// A view of plain bytes travels as those, another one with its format and shape.
    fn add_view(&mut self, view: &Bound<'_, PyMemoryView>) -> PyResult<()> {
        let py = view.py();
        let is_plain = view.getattr(intern!(py, "ndim"))?.eq(1)?
            && view.getattr(intern!(py, "format"))?.eq("B")?
            && view.getattr(intern!(py, "c_contiguous"))?.is_truthy()?;
        if is_plain {
            let buffer = PyBuffer::get(view)?;
            self.push(codes::VIEW, Stream::Buffer(buffer), Vec::new());
            return Ok(());
        }
        self.add_pickle(view, intern!(py, "dump_view"))
    }

    fn add_pickle(
        &mut self,
        object: &Bound<'_, PyAny>,
        function: &Bound<'_, PyString>,
    ) -> PyResult<()> {
        static MODULE: PyOnceLock<Py<PyModule>> = PyOnceLock::new();
        let py = object.py();
        let module = MODULE.get_or_try_init(py, || {
            py.import("penstock.shared.payload").map(Bound::unbind)
        })?;
        let dumped = module.bind(py).call_method1(function, (object,))?;
        let (stream, buffers): (Bound<'_, PyBytes>, Vec<PyBuffer<u8>>) = dumped.extract()?;
        let stream = if stream.as_bytes().len() <= COPIED_ATTACHED {
            self.own(stream.as_bytes())
        } else {
            Stream::Whole(stream.into_any().unbind())
        };
        let buffers = buffers.into_iter().map(Beside::Exported).collect();
        self.push(codes::PICKLE, stream, buffers);
        Ok(())
    }

    /// Adds bytes as they are, from any object with the buffer interface.
    pub(super) fn add_bytes(&mut self, object: &Bound<'_, PyAny>) -> PyResult<()> {
        let stream = if let Ok(bytes) = object.cast_exact::<PyBytes>() {
            match bytes.as_bytes() {
                bytes if bytes.len() <= KEPT_WHOLE => self.own(bytes),
                _ => Stream::Whole(object.clone().unbind()),
            }
        } else {
            let buffer = PyBuffer::<u8>::get(object)?;
            if !buffer.is_c_contiguous() {
                let message = "the bytes of this object do not lie in one piece";
                return Err(PyTypeError::new_err(message));
            }
            Stream::Buffer(buffer)
        };
        self.push(codes::RAW, stream, Vec::new());
        Ok(())
    }

    fn own(&mut self, bytes: &[u8]) -> Stream {
        let begin = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        Stream::Own(begin..self.bytes.len())
    }

    fn push(&mut self, code: u16, stream: Stream, buffers: Vec<Beside>) {
        self.packed.push(Packed {
            code,
            stream,
            buffers,
        });
    }

    /// Sends as many as fit; true once all of them are sent.
    pub(super) fn send(&mut self, py: Python<'_>, queue: &SharedQueue) -> PyResult<bool> {
        while self.accepted < self.packed.len() {
            match self.send_step(py, queue) {
                Ok(count) => self.accepted += count,
                Err(failure) if is_full(&failure) => return Ok(false),
                Err(failure) => return Err(refusals::of_put(py, queue, failure)),
            }
        }
        Ok(true)
    }

    fn send_step(&self, py: Python<'_>, queue: &SharedQueue) -> Result<usize, QueueError> {
        let rest = &self.packed[self.accepted..];
        let packed = &rest[..rest.len().min(STEP)];
        let buffers: Vec<Vec<Buffer<'_>>> = packed
            .iter()
            .map(|packed| packed.buffers.iter().map(Beside::content).collect())
            .collect();
        let items: Vec<Item<'_>> = packed
            .iter()
            .zip(&buffers)
            .map(|(packed, buffers)| Item {
                code: packed.code,
                stream: self.stream(py, packed),
                buffers,
            })
            .collect();
        let streams = items.iter().map(|item| item.stream);
        let total: usize = streams
            .chain(buffers.iter().flatten().copied())
            .map(|buffer| buffer.content().1)
            .sum();
        if total <= COPIED_ATTACHED {
            return queue.queue.send_many(&items);
        }
        let detached = Detached(&items);
        py.detach(|| {
            let Detached(items) = { detached };
            queue.queue.send_many(items)
        })
    }

    fn stream<'a>(&'a self, py: Python<'a>, packed: &'a Packed) -> Buffer<'a> {
        match &packed.stream {
            Stream::Own(range) => Buffer::from(&self.bytes[range.clone()]),
            Stream::Buffer(buffer) => of_buffer(buffer),
            Stream::Whole(object) => {
                let mut room = Room::new();
                let encoded = short::encode(object.bind(py), &mut room);
                let (at, length) = encoded.map_or((std::ptr::dangling(), 0), |(_, bytes)| {
                    (bytes.as_ptr(), bytes.len())
                });
                // SAFETY: what was kept whole is a string of bytes or characters, whose code is its
                // own content: in place and unchanged as long as the pack keeps the object.
                unsafe { Buffer::new(at, length) }
            }
        }
    }
}

fn of_buffer(buffer: &PyBuffer<u8>) -> Buffer<'_> {
    // SAFETY: the exporter keeps its memory in place until the buffer is released (a bytearray or an
    // array cannot be resized meanwhile), and who writes there during a send spoils the item only.
    unsafe { Buffer::new(buffer.buf_ptr().cast_const().cast(), buffer.len_bytes()) }
}

/// Sends an array whose content lies beside the record, or a container with such, if there is room now. False: it is
/// for [`Pack`], which will also find out why.
pub(super) fn send_array(queue: &SharedQueue, object: &Bound<'_, PyAny>) -> bool {
    let mut room = Room::new();
    let mut writer = Writer::new(&mut room);
    if let Some(content) = arrays::put_head(&mut writer, object) {
        if !arrays::is_beside(content) {
            return false;
        }
        // SAFETY: the array has so many bytes there, and the caller keeps it, so that it is not resized.
        let buffers = [unsafe { Buffer::new(content.0, content.1) }];
        return send_beside(queue, object.py(), codes::ARRAY, writer.written(), &buffers);
    }
    let Some((bytes, arrays)) = short::encode_mixed(object, &mut room) else {
        return false;
    };
    let contents = arrays.iter().map(|array| array.content);
    // SAFETY: as above; `arrays` keeps them until after the call.
    let buffers = contents.map(|content| unsafe { Buffer::new(content.0, content.1) });
    let buffers: Vec<_> = buffers.collect();
    send_beside(queue, object.py(), codes::MIXED, bytes, &buffers)
}

fn send_beside(
    queue: &SharedQueue,
    py: Python<'_>,
    code: u16,
    stream: &[u8],
    buffers: &[Buffer<'_>],
) -> bool {
    let item = [Item {
        code,
        stream: stream.into(),
        buffers,
    }];
    // What was born in the arena is not copied.
    let copied = buffers
        .iter()
        .filter(|buffer| !queue.queue.is_born_here(buffer));
    if copied.map(|buffer| buffer.content().1).sum::<usize>() <= COPIED_ATTACHED {
        return queue.queue.send_many(&item).is_ok();
    }
    let detached = Detached(&item);
    let sent = py.detach(|| {
        let Detached(item) = { detached };
        queue.queue.send_many(item)
    });
    sent.is_ok()
}
