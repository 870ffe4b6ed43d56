//! Answers with the subject that it was called on, and what it was sent.
use std::io::{self, Read, Write};

fn main() -> io::Result<()> {
    let subject = std::env::args().nth(1).unwrap_or_default();
    let mut payload = Vec::new();
    io::stdin().read_to_end(&mut payload)?;
    let mut reply = format!("{subject}: ").into_bytes();
    reply.extend(payload);
    io::stdout().write_all(&reply)
}
