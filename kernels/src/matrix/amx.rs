//! AMX-BF16: the one place with its instructions.
//!
//! The compiler has no intrinsics for them that are stable, so they are written down. A product is a
//! single piece of assembly: no tile register holds anything before or after it. What lasts from one to
//! the next is the configuration, the sizes of the tiles, which belongs to the thread.

use super::{Product, Sizes, Step};
use std::arch::asm;
use std::arch::x86_64::{__cpuid_count, __get_cpuid_max};
use std::mem::offset_of;
use std::sync::OnceLock;

/// Proof that AMX-TILE and AMX-BF16 exist here and that this process may use them.
#[derive(Clone, Copy, Debug)]
pub struct Amx(());

/// Bytes of a row of a tile, at most.
const ROW: usize = 64;

/// `LDTILECFG`'s operand, palette 1.
#[repr(C, align(64))]
struct Configuration {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    /// Bytes of a row of each tile; there are 8.
    bytes: [u16; 16],
    /// Rows of each tile.
    rows: [u8; 16],
}

impl Amx {
    /// The token, where the processor has the instructions and the system lets this process use them.
    pub(super) fn detect() -> Option<Self> {
        static ALLOWED: OnceLock<bool> = OnceLock::new();
        ALLOWED.get_or_init(|| has_instructions() && is_allowed()).then_some(Self(()))
    }

    /// Tiles 0 to 3 are blocks of C, 4 and 5 of A, 6 and 7 of B.
    pub(super) fn configure(self, Sizes { rows, depth }: Sizes) {
        let (a_row, a_rows, b_rows) = (2 * depth as u16, rows as u8, (depth / 2) as u8);
        let row = ROW as u16;
        let bytes = [row, row, row, row, a_row, a_row, row, row, 0, 0, 0, 0, 0, 0, 0, 0];
        let rows = [a_rows, a_rows, a_rows, a_rows, a_rows, a_rows, b_rows, b_rows, 0, 0, 0, 0, 0, 0, 0, 0];
        let configuration = Configuration { palette: 1, start_row: 0, reserved: [0; 14], bytes, rows };
        // SAFETY: `self` proves that the instruction exists; the sizes are those that palette 1 allows
        // (`Unit::with_sizes` has checked them), and 64 bytes are read.
        unsafe { asm!("ldtilecfg [{}]", in(reg) &configuration, options(readonly, nostack)) }
    }

    /// Gives the tiles back, so that the system need not save them.
    pub(super) fn release(self) {
        // SAFETY: `self` proves that the instruction exists. No tile holds anything.
        unsafe { asm!("tilerelease", options(nomem, nostack, preserves_flags)) }
    }

    /// Multiplies.
    ///
    /// # Safety
    /// The tiles of this thread are configured for the product's sizes, and its blocks lie in their
    /// slices.
    pub(super) unsafe fn multiply<const N: usize>(self, product: Product<N>) {
        let Product { a, a_at, a_row, b, b_at, b_row, steps, c, c_at, c_row, accumulate } = product;
        let c = c.as_mut_ptr();
        macro_rules! multiply {
            (load [$($load:literal,)*] step [$($step:literal,)*] store [$($store:literal,)*] $($operands:tt)*) => {
                asm!(
                    "tilezero tmm0",
                    "tilezero tmm1",
                    "tilezero tmm2",
                    "tilezero tmm3",
                    "test {accumulate:e}, {accumulate:e}",
                    "jz 2f",
                    $($load,)*
                    "2:",
                    $($step,)*
                    "add {step}, 16",
                    "dec {count}",
                    "jnz 2b",
                    $($store,)*
                    a0 = in(reg) a.as_ptr().add(a_at[0]),
                    a1 = in(reg) a.as_ptr().add(a_at[1]),
                    a_row = in(reg) a_row * size_of::<u16>(),
                    b0 = in(reg) b.as_ptr().add(b_at[0]),
                    b_row = in(reg) b_row * size_of::<u32>(),
                    c0 = in(reg) c.add(c_at[0]),
                    c1 = in(reg) c.add(c_at[1]),
                    c_row = in(reg) c_row * size_of::<f32>(),
                    accumulate = in(reg) u32::from(accumulate),
                    step = inout(reg) steps.as_ptr() => _,
                    count = inout(reg) steps.len() => _,
                    at = out(reg) _,
                    $($operands)*
                    out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                    out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                    options(nostack),
                )
            };
        }
        const { assert!(size_of::<Step>() == 16 && offset_of!(Step, a) == 0 && offset_of!(Step, b) == 8) };
        // SAFETY: `self` proves that the instructions exist; the caller's promise. The blocks of C are
        // loaded before any is stored, and nothing but them is written.
        unsafe {
            if N == 1 {
                multiply! {
                    load ["tileloadd tmm0, [{c0} + {c_row}]", "tileloadd tmm2, [{c1} + {c_row}]",]
                    step [
                        "mov {at}, [{step}]",
                        "lea {at}, [{a0} + 2 * {at}]",
                        "tileloadd tmm4, [{at} + {a_row}]",
                        "mov {at}, [{step} + 8]",
                        "lea {at}, [{b0} + 4 * {at}]",
                        "tileloadd tmm6, [{at} + {b_row}]",
                        "tdpbf16ps tmm0, tmm4, tmm6",
                        "mov {at}, [{step}]",
                        "lea {at}, [{a1} + 2 * {at}]",
                        "tileloadd tmm5, [{at} + {a_row}]",
                        "tdpbf16ps tmm2, tmm5, tmm6",
                    ]
                    store ["tilestored [{c0} + {c_row}], tmm0", "tilestored [{c1} + {c_row}], tmm2",]
                }
            } else {
                multiply! {
                    load [
                        "tileloadd tmm0, [{c0} + {c_row}]",
                        "tileloadd tmm1, [{c0} + {c_row} + 64]",
                        "tileloadd tmm2, [{c1} + {c_row}]",
                        "tileloadd tmm3, [{c1} + {c_row} + 64]",
                    ]
                    step [
                        "mov {at}, [{step}]",
                        "lea {at}, [{a0} + 2 * {at}]",
                        "tileloadd tmm4, [{at} + {a_row}]",
                        "mov {at}, [{step} + 8]",
                        "lea {at}, [{b0} + 4 * {at}]",
                        "tileloadd tmm6, [{at} + {b_row}]",
                        "tdpbf16ps tmm0, tmm4, tmm6",
                        "mov {at}, [{step} + 8]",
                        "lea {at}, [{b1} + 4 * {at}]",
                        "tileloadd tmm7, [{at} + {b_row}]",
                        "tdpbf16ps tmm1, tmm4, tmm7",
                        "mov {at}, [{step}]",
                        "lea {at}, [{a1} + 2 * {at}]",
                        "tileloadd tmm5, [{at} + {a_row}]",
                        "tdpbf16ps tmm2, tmm5, tmm6",
                        "tdpbf16ps tmm3, tmm5, tmm7",
                    ]
                    store [
                        "tilestored [{c0} + {c_row}], tmm0",
                        "tilestored [{c0} + {c_row} + 64], tmm1",
                        "tilestored [{c1} + {c_row}], tmm2",
                        "tilestored [{c1} + {c_row} + 64], tmm3",
                    ]
                    b1 = in(reg) b.as_ptr().add(b_at[1 % N]),
                }
            }
        }
    }
}

/// AMX-BF16 and AMX-TILE, which `is_x86_feature_detected` does not know yet.
fn has_instructions() -> bool {
    const AMX_BF16: u32 = 1 << 22;
    const AMX_TILE: u32 = 1 << 24;
    #[allow(unused_unsafe, reason = "safe since Rust 1.94")]
    // SAFETY: every processor of 64 bits has the instruction, and this one has the leaf.
    let features = unsafe { if __get_cpuid_max(0).0 < 7 { 0 } else { __cpuid_count(7, 0).edx } };
    features & (AMX_BF16 | AMX_TILE) == AMX_BF16 | AMX_TILE
}

/// Asks the system for the tile registers, which it lends only to processes that have asked, because
/// they have to be saved with every thread that uses them.
fn is_allowed() -> bool {
    const ARCH_REQ_XCOMP_PERM: libc::c_int = 0x1023;
    const XFEATURE_XTILEDATA: libc::c_ulong = 18;
    // SAFETY: the call takes two numbers and touches no memory of ours.
    unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0 }
}
