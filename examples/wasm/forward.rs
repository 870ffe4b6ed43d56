//! Asks another function, keeps what it said in the key-value bucket, and publishes it on `greeted`.
use std::io::{self, Read};

/// Host services: what a function may ask of its node.
mod nex {
    const KV_SET: i32 = 2;
    const PUBLISH: i32 = 32;
    const REQUEST: i32 = 33;

    /// An argument, laid out as the node reads it.
    #[repr(C)]
    struct Bytes {
        at: *const u8,
        size: usize,
    }

    #[link(wasm_import_module = "nex")]
    extern "C" {
        fn call(method: i32, arguments: *const Bytes, count: i32) -> i32;
        fn read(to: *mut u8, size: i32) -> i32;
    }

    /// What failed, as HTTP has its codes.
    #[derive(Debug)]
    pub struct Error {
        pub code: i32,
        pub text: String,
    }

    fn ask(method: i32, arguments: &[&[u8]]) -> Result<Vec<u8>, Error> {
        let list: Vec<Bytes> =
            arguments.iter().map(|bytes| Bytes { at: bytes.as_ptr(), size: bytes.len() }).collect();
        let size = unsafe { call(method, list.as_ptr(), list.len() as i32) };
        let mut answer = Vec::new();
        let mut part = [0; 4096];
        loop {
            let count = unsafe { read(part.as_mut_ptr(), part.len() as i32) };
            if count == 0 {
                break;
            }
            answer.extend_from_slice(&part[..count as usize]);
        }
        if size < 0 {
            return Err(Error { code: -size, text: String::from_utf8_lossy(&answer).into_owned() });
        }
        Ok(answer)
    }

    pub fn kv_set(key: &str, value: &[u8]) -> Result<(), Error> {
        ask(KV_SET, &[key.as_bytes(), value]).map(drop)
    }

    pub fn publish(subject: &str, payload: &[u8]) -> Result<(), Error> {
        ask(PUBLISH, &[subject.as_bytes(), payload]).map(drop)
    }

    pub fn request(subject: &str, payload: &[u8]) -> Result<Vec<u8>, Error> {
        ask(REQUEST, &[subject.as_bytes(), payload, b""])
    }
}

fn main() -> Result<(), nex::Error> {
    let mut name = Vec::new();
    io::stdin().read_to_end(&mut name).expect("the payload can be read");
    let said = nex::request("echo", &name)?;
    nex::kv_set("last", &said)?;
    nex::publish("greeted", &said)?;
    print!("asked, and was told: {}", String::from_utf8_lossy(&said));
    Ok(())
}
