//! Answers with what it was sent.
use std::io::{self, Read, Write};

fn main() -> io::Result<()> {
    let mut payload = Vec::new();
    io::stdin().read_to_end(&mut payload)?;
    io::stdout().write_all(&payload)
}
