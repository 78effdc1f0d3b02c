//! The choice of the instruction set: detected once, overridden by `ONESHEET_ISA`.

#[cfg(target_arch = "aarch64")]
use super::neon::Neon;
use super::{Kernel, Simd, portable::Portable};

#[cfg(feature = "doubled")]
use super::doubled::Doubled;
#[cfg(target_arch = "x86_64")]
use super::{avx2::Avx2, avx512::Avx512};
use crate::matrix::Unit;
use crate::precision::Precision;
use std::fmt;
use std::sync::OnceLock;

/// An instruction set that this machine has.
#[derive(Clone, Copy, Debug)]
pub struct Isa {
    token: Token,
    /// What multiplies blocks of bf16, where that is worth its while.
    matrix_unit: Option<Unit>,
    precision: Precision,
}

#[derive(Clone, Copy, Debug)]
enum Token {
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512<false>, Option<Avx512<true>>),
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    #[cfg(target_arch = "aarch64")]
    Neon(Neon),
    #[cfg(all(feature = "doubled", target_arch = "x86_64"))]
    Doubled(Doubled<Avx2>),
    #[cfg(all(feature = "doubled", target_arch = "aarch64"))]
    Doubled(Doubled<Doubled<Neon>>),
    Portable(Portable),
}

/// `ONESHEET_ISA` names an instruction set that this machine does not have.
#[derive(Clone, Debug)]
pub struct UnknownIsa(String);

impl fmt::Display for UnknownIsa {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let names: Vec<_> = Isa::available().iter().map(|isa| isa.name()).collect();
        write!(f, "ONESHEET_ISA={}: this machine has {}", self.0, names.join(", "))
    }
}

impl std::error::Error for UnknownIsa {}

impl Isa {
    /// All instruction sets of this machine, the best first. The portable one is always among them,
    /// and last.
    pub fn available() -> Vec<Isa> {
        let found = [
            #[cfg(target_arch = "x86_64")]
            Avx512::<true>::detect().and_then(|with_bf16| {
                let token = Token::Avx512(Avx512::detect()?, Some(with_bf16));
                Some((token, Some(Unit::detect()?)))
            }),
            #[cfg(target_arch = "x86_64")]
            Avx512::detect().map(|s| (Token::Avx512(s, Avx512::detect()), None)),
            #[cfg(target_arch = "x86_64")]
            Avx2::detect().map(|s| (Token::Avx2(s), None)),
            #[cfg(target_arch = "aarch64")]
            Neon::detect().map(|s| (Token::Neon(s), None)),
            #[cfg(all(feature = "doubled", target_arch = "x86_64"))]
            Avx2::detect().map(|s| (Token::Doubled(Doubled(s)), None)),
            #[cfg(all(feature = "doubled", target_arch = "aarch64"))]
            Neon::detect().map(|s| (Token::Doubled(Doubled(Doubled(s))), None)),
            Some((Token::Portable(Portable), None)),
        ];
        let isa = |(token, matrix_unit)| Isa { token, matrix_unit, precision: Precision::F32 };
        found.into_iter().flatten().map(isa).collect()
    }

    /// The instruction set that every machine has.
    pub fn portable() -> Isa {
        Isa { token: Token::Portable(Portable), matrix_unit: None, precision: Precision::F32 }
    }

    /// The instruction set that `ONESHEET_ISA` names (amx, avx512, avx2, neon or portable), or else the
    /// best available. The variable is read once per process.
    ///
    /// # Errors
    /// If the variable names an instruction set that is not available here.
    pub fn choose() -> Result<Isa, UnknownIsa> {
        static CHOICE: OnceLock<Result<Isa, UnknownIsa>> = OnceLock::new();
        CHOICE
            .get_or_init(|| {
                let available = Self::available();
                match std::env::var("ONESHEET_ISA") {
                    Err(_) => Ok(available[0]),
                    Ok(name) => available.into_iter().find(|isa| isa.name() == name).ok_or(UnknownIsa(name)),
                }
            })
            .clone()
    }

    /// The name: `amx` (AVX-512 with a matrix unit), `avx512`, `avx2`, `neon` or `portable`; `doubled` for
    /// the shape of AVX-512 put together from the vectors of AVX2 or NEON, which tests build (feature
    /// `doubled`).
    pub fn name(self) -> &'static str {
        if self.has_matrix_unit() {
            return "amx";
        }
        match self.token {
            #[cfg(target_arch = "x86_64")]
            Token::Avx512(..) => "avx512",
            #[cfg(target_arch = "x86_64")]
            Token::Avx2(_) => "avx2",
            #[cfg(target_arch = "aarch64")]
            Token::Neon(_) => "neon",
            #[cfg(all(feature = "doubled", any(target_arch = "x86_64", target_arch = "aarch64")))]
            Token::Doubled(_) => "doubled",
            Token::Portable(_) => "portable",
        }
    }

    /// Whether the processor has instructions for bf16. Where it has none, they are done lane by lane
    /// in plain arithmetic, with the same results, many times slower than f32.
    pub fn has_bf16(self) -> bool {
        match self.token {
            #[cfg(target_arch = "x86_64")]
            Token::Avx512(_, with_bf16) => with_bf16.is_some(),
            _ => false,
        }
    }

    /// Whether it has instructions for [blocks of bf16](crate::matrix). Where it has none, blocks are
    /// multiplied in plain arithmetic, with the same results, many times slower than f32.
    pub fn has_matrix_unit(self) -> bool {
        self.matrix_unit.is_some()
    }

    /// The same instructions with this in the place of a matrix unit. [`Unit::Plain`] computes on any
    /// machine what one with a matrix unit computes, to the bit.
    pub fn with_matrix_unit(self, unit: Unit) -> Self {
        Self { matrix_unit: Some(unit), ..self }
    }

    /// What multiplies blocks of bf16.
    pub fn matrix_unit(self) -> Unit {
        self.matrix_unit.unwrap_or(Unit::Plain)
    }

    /// The same instructions, for convolutions that multiply in this precision wherever their
    /// algorithm has a form for it: blocks and minimal filtering. All else multiplies f32.
    pub fn with_precision(self, precision: Precision) -> Self {
        Self { precision, ..self }
    }

    /// The precision that convolutions multiply in: f32, unless it was
    /// [chosen](Self::with_precision).
    pub fn precision(self) -> Precision {
        self.precision
    }

    /// The number of vector registers.
    pub fn registers(self) -> usize {
        self.run(Sizes)[0]
    }

    /// The number of `f32` that a vector holds.
    pub fn lanes(self) -> usize {
        self.run(Sizes)[1]
    }

    /// Runs a kernel with these instructions. A call costs nanoseconds: make it once per cache
    /// block, inside the task.
    #[inline]
    pub fn run<K: Kernel>(self, kernel: K) -> K::Output {
        match self.token {
            // SAFETY: the token proves that the processor has the features that the function
            // enables.
            #[cfg(target_arch = "x86_64")]
            Token::Avx512(s, with_bf16) => unsafe {
                if const { matches!(K::PRECISION, Precision::Bf16) }
                    && let Some(s) = with_bf16
                {
                    return kernel.run_avx512_bf16(s);
                }
                kernel.run_avx512(s)
            },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Token::Avx2(s) => unsafe { kernel.run_avx2(s) },
            // SAFETY: as above.
            #[cfg(target_arch = "aarch64")]
            Token::Neon(s) => unsafe { kernel.run_neon(s) },
            // SAFETY: as above: the token holds that of AVX2.
            #[cfg(all(feature = "doubled", target_arch = "x86_64"))]
            Token::Doubled(s) => unsafe { kernel.run_doubled(s) },
            // SAFETY: as above: the token holds that of NEON.
            #[cfg(all(feature = "doubled", target_arch = "aarch64"))]
            Token::Doubled(s) => unsafe { kernel.run_doubled(s) },
            Token::Portable(s) => kernel.run(s),
        }
    }
}

/// The number of registers and of lanes.
struct Sizes;

impl Kernel for Sizes {
    type Output = [usize; 2];

    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> [usize; 2] {
        [S::REGISTERS, S::LANES]
    }
}

/// A kernel compiled for each instruction set. As methods, so that each kernel is compiled beside its own
/// module: functions of this module would all make up one unit of the compiler, and keep one processor busy.
///
/// # Safety
/// The processor has the features, which the token proves.
trait Compiled: Kernel + Sized {
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
    unsafe fn run_avx512(self, s: Avx512<false>) -> Self::Output {
        self.run(s)
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma")]
    unsafe fn run_avx512_bf16(self, s: Avx512<true>) -> Self::Output {
        self.run(s)
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn run_avx2(self, s: Avx2) -> Self::Output {
        self.run(s)
    }

    #[cfg(target_arch = "aarch64")]
    #[target_feature(enable = "neon")]
    unsafe fn run_neon(self, s: Neon) -> Self::Output {
        self.run(s)
    }

    // By another name than that of the set it is made of, whose machine code tools/assembly judges.
    #[cfg(all(feature = "doubled", any(target_arch = "x86_64", target_arch = "aarch64")))]
    #[cfg_attr(target_arch = "x86_64", target_feature(enable = "avx2,fma"))]
    #[cfg_attr(target_arch = "aarch64", target_feature(enable = "neon"))]
    unsafe fn run_doubled(self, s: impl Simd) -> Self::Output {
        self.run(s)
    }
}

impl<K: Kernel> Compiled for K {}
