//! The way back: what a handler answers, and the bytes that it becomes.

use std::pin::Pin;

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::ApiKey;
use kafka_protocol::protocol::Encodable;

use super::RequestHead;

/// What goes back for one request.
#[derive(Debug)]
pub enum Reply {
    /// The response's bytes, in pieces.
    Segments(Vec<Bytes>),
    /// No response at all (produce with acks=0).
    None,
    /// No response: the connection ends, for this reason, once earlier requests are answered.
    Close(&'static str),
}

pub type ReplyFuture = Pin<Box<dyn Future<Output = Reply> + Send>>;
/// Length, response header and body in one buffer.
pub(in crate::kafka) fn encode<R: Encodable>(
    key: ApiKey,
    head: RequestHead,
    response: &R,
) -> Reply {
    const PREFIX: [u8; 4] = [0; 4];
    let mut buffer = BytesMut::with_capacity(512);
    buffer.put_slice(&PREFIX);
    buffer.put_i32(head.correlation_id);
    // An ApiVersions response never has tags in its header: its reader does not know the version yet.
    if head.flexible && key != ApiKey::ApiVersions {
        buffer.put_u8(0);
    }
    if let Err(error) = response.encode(&mut buffer, head.version) {
        tracing::error!(api = ?key, version = head.version, %error, "a response does not encode");
        return Reply::Close("its response does not encode");
    }
    let length = (buffer.len() - PREFIX.len()) as u32;
    buffer[..PREFIX.len()].copy_from_slice(&length.to_be_bytes());
    Reply::Segments(vec![buffer.freeze()])
}

/// Puts length and response header before a body in segments.
pub(in crate::kafka) fn framed(head: RequestHead, mut body: Vec<Bytes>) -> Vec<Bytes> {
    let header_len = 4 + usize::from(head.flexible);
    let body_len: usize = body.iter().map(Bytes::len).sum();
    let mut prefix = BytesMut::with_capacity(4 + header_len);
    prefix.put_u32((header_len + body_len) as u32);
    prefix.put_i32(head.correlation_id);
    if head.flexible {
        prefix.put_u8(0);
    }
    body.insert(0, prefix.freeze());
    body
}
