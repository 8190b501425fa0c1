//! zstd in one piece, with contexts that each thread keeps: to make one costs more than to pack a small batch with it.

use std::cell::RefCell;
use std::io;

use zstd::bulk::{Compressor, Decompressor};

/// Fast, and within a tenth of the next levels' size on batches of sales.
const LEVEL: i32 = 1;

thread_local! {
    static COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// Appends the packed form of `plain`, as one frame that states its size.
pub(crate) fn pack_onto(bytes: &mut Vec<u8>, plain: &[u8]) -> io::Result<()> {
    let start = bytes.len();
    bytes.resize(start + zstd::zstd_safe::compress_bound(plain.len()), 0);
    let length = COMPRESSOR.with_borrow_mut(|kept| {
        let compressor = match kept {
            Some(compressor) => compressor,
            None => kept.insert(Compressor::new(LEVEL)?),
        };
        compressor.compress_to_buffer(plain, &mut bytes[start..])
    })?;
    bytes.truncate(start + length);
    Ok(())
}

/// How many bytes a frame says that it holds; `None` if it does not say, or is no frame.
pub(crate) fn plain_bytes(packed: &[u8]) -> Option<u64> {
    zstd::zstd_safe::get_frame_content_size(packed).ok().flatten()
}

/// Unpacks a frame that holds at most `bytes_max` bytes.
pub(crate) fn unpack(packed: &[u8], bytes_max: usize) -> io::Result<Vec<u8>> {
    DECOMPRESSOR.with_borrow_mut(|kept| {
        let decompressor = match kept {
            Some(decompressor) => decompressor,
            None => kept.insert(Decompressor::new()?),
        };
        decompressor.decompress(packed, bytes_max)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_contexts_remember_nothing() {
        for plain in [vec![7; 5_000], vec![], (0..200_000u32).flat_map(u32::to_le_bytes).collect(), vec![7; 5_000]] {
            let mut packed = vec![1, 2];
            pack_onto(&mut packed, &plain).expect("packs");
            let frame = &packed[2..];
            assert_eq!(plain_bytes(frame), Some(plain.len() as u64));
            assert_eq!(unpack(frame, plain.len()).expect("unpacks"), plain);
            // What is damaged or too large fails, and the next frame is none the worse.
            unpack(&frame[..frame.len() - 1], plain.len()).expect_err("is cut off");
            if !plain.is_empty() {
                unpack(frame, plain.len() - 1).expect_err("is too large");
            }
        }
    }
}
