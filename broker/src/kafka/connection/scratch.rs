//! Reading from a socket without a buffer per connection.
//!
//! Small frames are read many at a time into one buffer per thread and copied out; a large frame is read straight
//! into its own buffer. So an idle connection holds no buffer, and a small request costs one system call.

use std::cell::RefCell;
use std::io;

use bytes::BufMut;
use tokio::net::TcpStream;

use crate::kafka::frame::{FrameError, FrameReader};

const SCRATCH_BYTES: usize = 64 * 1024;

thread_local! {
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH_BYTES].into_boxed_slice());
}

/// Reads once, without waiting; how many bytes came, 0 at the end of the stream.
pub fn read_into(
    stream: &TcpStream,
    frames: &mut FrameReader,
) -> Result<io::Result<usize>, FrameError> {
    if let Some((buffer, room)) = frames.direct() {
        let read = stream.try_read_buf(&mut buffer.limit(room));
        frames.filled();
        return Ok(read);
    }
    SCRATCH.with_borrow_mut(|scratch| match stream.try_read(scratch) {
        Ok(read) => frames.push(&scratch[..read]).map(|()| Ok(read)),
        Err(error) => Ok(Err(error)),
    })
}
