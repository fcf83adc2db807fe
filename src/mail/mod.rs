//! The carrier, header fields and notices; pure and streaming.
