//! Memory that begins where a line of the cache does.
//!
//! A vector of 512 bits that lies across two lines is read in two parts: products that read their factors where they lie run at 60 GFLOP/s instead of 88 (f64,
//! AVX-512) on blocks that begin 16 bytes behind a page, as the C library's large ones do.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// A line of the cache.
const LINE: usize = 64;
/// What the system's blocks are aligned to.
const SYSTEM: usize = 16;
/// Blocks from this size on are aligned.
const FROM: usize = 1024;

/// Blocks from this size on are counted.
const COUNTED: usize = 4096;

/// Bytes of counted blocks, and the most of them since [`peak_from_here`].
static NOW: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

/// Bytes that are allocated now, in blocks of 4 KiB or more, where the program takes [`Lines`]; 0 elsewhere.
pub fn allocated() -> usize {
    NOW.load(Relaxed)
}

/// Forgets the peak: from here on it is of what follows. Returns what is allocated.
pub fn peak_from_here() -> usize {
    let now = allocated();
    MOST.store(now, Relaxed);
    now
}

/// The most bytes that were allocated at once since [`peak_from_here`].
pub fn peak() -> usize {
    MOST.load(Relaxed)
}

/// Takes a new block into account. Two lanes may pass each other between the two numbers: the peak is then of either, as if one had come first.
fn took(bytes: usize) {
    if bytes >= COUNTED {
        let now = NOW.fetch_add(bytes, Relaxed) + bytes;
        if now > MOST.load(Relaxed) {
            MOST.fetch_max(now, Relaxed);
        }
    }
}

/// A block is given back.
fn gave(bytes: usize) {
    if bytes >= COUNTED {
        NOW.fetch_sub(bytes, Relaxed);
    }
}

/// The system's memory, in which blocks of 1 KiB or more begin at a line of the cache.
///
/// A program takes it with `#[global_allocator]`; the library leaves the choice to who uses it. Such a block lies within one of the system's that is a line longer; how far behind its beginning stands right before it.
pub struct Lines;

/// The system's block around such a block; `None` for those that are the system's own.
fn around(layout: Layout) -> Option<Layout> {
    if layout.size() < FROM || layout.align() > SYSTEM {
        return None;
    }
    Layout::from_size_align(layout.size().checked_add(LINE)?, SYSTEM).ok()
}

/// How far ahead the next line of the cache is, with room for a number before it.
fn to_line(block: *mut u8) -> usize {
    LINE - block.addr() % LINE
}

/// The block within one of the system's.
///
/// # Safety
/// `block` is one that is a line longer than what is to be in it, or null.
unsafe fn within(block: *mut u8) -> *mut u8 {
    if block.is_null() {
        return block;
    }
    // SAFETY: 16 bytes to a line ahead.
    unsafe {
        let inner = block.add(to_line(block));
        inner.cast::<usize>().sub(1).write(to_line(block));
        inner
    }
}

/// How far behind the beginning of the system's block.
///
/// # Safety
/// `inner` came from [`within`].
unsafe fn ahead(inner: *mut u8) -> usize {
    // SAFETY: it was written there.
    unsafe { inner.cast::<usize>().sub(1).read() }
}

/// From this size on memory is asked for in large pages.
const LARGE: usize = 4 << 20;

/// The same block, in pages of 2 MiB where the system has them for who asks: a block of 6 MiB that is written is then there in 0.3 ms instead of 2.
fn in_large_pages(block: *mut u8, bytes: usize) -> *mut u8 {
    #[cfg(target_os = "linux")]
    if bytes >= LARGE && !block.is_null() {
        const PAGE: usize = 1 << 12;
        let start = block.wrapping_add(PAGE - 1).map_addr(|a| a & !(PAGE - 1));
        let whole = (bytes - PAGE) & !(PAGE - 1);
        // SAFETY: whole pages of this block alone; it is advice, which changes no number, and may be refused.
        unsafe { libc::madvise(start.cast(), whole, libc::MADV_HUGEPAGE) };
    }
    block
}

// SAFETY: all blocks are the system's, or lie within one of them, which is found again by the number before them.
unsafe impl GlobalAlloc for Lines {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        took(layout.size());
        // SAFETY: as the caller's; the outer block is a line longer.
        unsafe {
            match around(layout) {
                Some(outer) => within(System.alloc(outer)),
                None => System.alloc(layout),
            }
        }
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        took(layout.size());
        // SAFETY: as the caller's; the outer block is a line longer.
        unsafe {
            match around(layout) {
                Some(outer) => in_large_pages(within(System.alloc_zeroed(outer)), layout.size()),
                None => System.alloc_zeroed(layout),
            }
        }
    }
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        gave(layout.size());
        // SAFETY: a block of this layout came from above, and so did the one around it.
        unsafe {
            match around(layout) {
                Some(outer) => System.dealloc(block.sub(ahead(block)), outer),
                None => System.dealloc(block, layout),
            }
        }
    }
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Where the block moves, both are there for a moment.
        took(size);
        gave(layout.size());
        // SAFETY: as above; the caller has seen to it that the new size is a layout's.
        unsafe {
            let new = Layout::from_size_align_unchecked(size, layout.align());
            match (around(layout), around(new)) {
                (Some(old), Some(outer)) => {
                    let before = ahead(block);
                    let moved = System.realloc(block.sub(before), old, outer.size());
                    if !moved.is_null() && to_line(moved) != before {
                        // What was in it lies as far behind the beginning as it did before.
                        std::ptr::copy(moved.add(before), moved.add(to_line(moved)), layout.size().min(size));
                    }
                    within(moved)
                }
                (None, None) => System.realloc(block, layout, size),
                _ => {
                    let to = self.alloc(new);
                    if !to.is_null() {
                        std::ptr::copy_nonoverlapping(block, to, layout.size().min(size));
                        self.dealloc(block, layout);
                    }
                    to
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Lines, FROM, LINE};

    #[global_allocator]
    static MEMORY: Lines = Lines;

    #[test]
    fn blocks_begin_at_a_line_and_keep_what_is_in_them() {
        let mut kept: Vec<Vec<u8>> = Vec::new();
        for round in 0..200usize {
            // Odd lengths, so that the system's blocks move and begin anywhere.
            let mut x: Vec<u8> = Vec::with_capacity(17 * round % 90 + 1);
            for i in 0..FROM * (1 + round % 7) + 13 * round {
                x.push((i * 31 + round) as u8);
                assert!(x.capacity() < FROM || x.as_ptr().addr() % LINE == 0);
            }
            x.truncate(x.len() / (1 + round % 3));
            x.shrink_to_fit();
            assert!(x.iter().enumerate().all(|(i, &byte)| byte == (i * 31 + round) as u8));
            kept.push(x);
            if round % 3 == 0 {
                kept.swap_remove(round % kept.len());
            }
        }
        let zeros = vec![0.0f64; 1 << 20];
        assert!(zeros.as_ptr().addr() % LINE == 0 && zeros.iter().all(|&x| x == 0.0));
    }
}
