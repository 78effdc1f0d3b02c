//! Decodes a poster's file to RGB pixels of one size, or says why it cannot be decoded.
//!
//! The policy is strict: a poster that another program would fill up with grey is refused, since a
//! network would learn the grey. A refusal is a value, not an error: the run goes on without the
//! poster, and the ledger counts it.
//!
//! | file | outcome |
//! |---|---|
//! | JPEG: baseline, extended or progressive, 8 bits, usual subsampling, restart markers | accepted |
//! | grey, YCbCr, RGB, CMYK, YCCK | accepted, as RGB |
//! | EXIF orientation 1 to 8 | accepted, turned upright; another number counts as 1 |
//! | stray bytes between segments, metadata, thumbnails, bytes after the image | accepted: they cost no pixel |
//! | lacks nothing but its end marker | accepted |
//! | ends before its last pixel, with or without an end marker after the cut | refused: truncated, or corrupt |
//! | progressive, with scans missing | refused: truncated |
//! | damage that the decoder notices, restart markers out of order | refused: corrupt |
//! | sequential, with its colours in several scans | refused: several scans |
//! | progressive, with quantisation tables between its scans | refused by name |
//! | a first component that is not the finest, thirds, halves of quarters, halved colours in up to 4 pixels' width | refused: unusual sampling |
//! | 12 or 16 bits, lossless, hierarchical, arithmetic coding, 2 or more than 4 colours | refused by name |
//! | PNG, GIF, WebP, HTML, empty, anything else | refused by name, or with its first bytes |
//! | more than 8192 pixels a side, more memory than 80 MiB, or more blocks than its bytes could code | refused before pixels are allocated |
//! | folder, pipe or device, also behind a link | refused before it is opened |
//! | larger than 64 MiB | refused before it is read |
//! | file on which the decoder panics | refused: the decoder panicked |
//!
//! 80 MiB are the pixels of a sequential image of 27 million pixels. A progressive one takes its
//! coefficients besides: there they are an image of 9 million pixels with all colours in full size,
//! or of 13 million with colours halved in both directions.
//!
//! The pixels are those of libjpeg-turbo (as Pillow has it) to within 6 levels, and on average to
//! within 1. Only in the last row and column of an image with halved colours may a value be
//! further off, in 400 real posters by up to 32: this decoder interpolates there with what the
//! encoder has filled up the last blocks with. `tools/jpeg_grid` compares files of all kinds.
//!
//! Where the markers of a file contradict each other about its colours, libjpeg-turbo's reading
//! counts: JFIF before Adobe, Adobe before the components' ids. Four colours are taken to be
//! inverted, as Adobe writes them, even where the file does not say so; Pillow does the same.
//! Embedded colour profiles are not applied.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use exif::{In, Tag};
use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use serde::{Deserialize, Serialize};
use zune_jpeg::JpegDecoder;
use zune_jpeg::errors::DecodeErrors;
use zune_jpeg::zune_core::bytestream::{ZByteIoError, ZCursor};
use zune_jpeg::zune_core::options::DecoderOptions;

use crate::data::jpeg::{self, Header};
use crate::data::poster;
use crate::data::refusal::{Reason, Refusal};
use crate::error::Error;

/// The size in bytes of a buffer that a decoder keeps for the next poster: the pixels of an image
/// of 8 million. Larger ones are given back.
const KEPT_BYTES: usize = 3 << 23;
/// Held while an image is decoded that takes more than that: one of them at a time, however many
/// threads there are.
static LARGE: Mutex<()> = Mutex::new(());

/// The size to which posters are resized.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageSpec {
    /// The height in pixels.
    pub height: usize,
    /// The width in pixels.
    pub width: usize,
}

impl ImageSpec {
    /// 256 by 256 pixels, the size at which posters are decoded for the models.
    pub const POSTER: Self = Self::square(256);

    /// As high as wide.
    pub const fn square(side: usize) -> Self {
        Self { height: side, width: side }
    }

    /// The size of one image in bytes: `height * width * 3`.
    pub const fn bytes(self) -> usize {
        self.height * self.width * 3
    }
}

/// Decodes posters one after another into its own buffers; each thread has a decoder of its own.
#[derive(Default)]
pub struct Decoder {
    file: Vec<u8>,
    /// The file as the JPEG decoder gets it: see [`jpeg::rewrite`].
    plain: Vec<u8>,
    /// The pixels as they are stored, `[height, width, 3]`.
    pixels: Vec<u8>,
    /// Pixels on their way to be turned upright.
    turned: Vec<u8>,
    resizer: Resizer,
    size: (usize, usize),
}

thread_local! {
    static DECODING: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread is in the JPEG decoder, whose panics become refusals, so that a program's
/// panic hook should say nothing.
pub fn panics_are_caught() -> bool {
    DECODING.get()
}

impl Decoder {
    /// A decoder with empty buffers; they grow to fit the largest poster.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads the poster at `path`, decodes it, turns it upright and resizes it.
    ///
    /// # Shapes
    /// `out`: `[spec.height, spec.width, 3]` u8, RGB, overwritten; unspecified after a refusal.
    /// # Errors
    /// The inner one is the refusal, if the file is not a whole JPEG file that can be decoded. The
    /// outer one is [`Error::Io`], if this process can read no file at all, since it is out of file
    /// handles or memory.
    /// # Panics
    /// If the length of `out` is not that of its shape, or a side of `spec` is zero.
    pub fn decode_poster(
        &mut self,
        path: &Path,
        spec: ImageSpec,
        out: &mut [u8],
    ) -> Result<Result<(), Refusal>, Error> {
        let mut bytes = std::mem::take(&mut self.file);
        let read = poster::read(path, &mut bytes).map_err(Error::io(path, "read the poster"));
        let result = read.map(|read| read.and_then(|()| self.decode_bytes(&bytes, spec, out)));
        self.file = bytes;
        self.give_back();
        result
    }

    /// Decodes a poster from the bytes of its file, as [`Decoder::decode_poster`] does from its
    /// path.
    ///
    /// # Errors
    /// The refusal, if the bytes are not a whole JPEG file that can be decoded.
    /// # Panics
    /// If the length of `out` is not that of its shape, or a side of `spec` is zero.
    pub fn decode_bytes(&mut self, bytes: &[u8], spec: ImageSpec, out: &mut [u8]) -> Result<(), Refusal> {
        let stored = self.decode_stored(bytes);
        let result = stored.map(|(stored, large)| {
            self.resize_upright(stored, spec, out);
            large
        });
        self.give_back();
        // Only now may another thread decode a large image.
        result.map(drop)
    }

    /// Gives back the buffers that a poster of unusual size has made unusually large.
    fn give_back(&mut self) {
        for buffer in [&mut self.file, &mut self.plain, &mut self.pixels] {
            if buffer.capacity() > KEPT_BYTES {
                *buffer = Vec::new();
            }
        }
    }

    /// Resizes first and then turns what has become small.
    fn resize_upright(&mut self, stored: Stored, spec: ImageSpec, out: &mut [u8]) {
        let Stored { width, height, orientation } = stored;
        if orientation == 1 {
            return resize_with(&mut self.resizer, &self.pixels, width, height, spec, out);
        }
        let lying = if orientation >= 5 { ImageSpec { height: spec.width, width: spec.height } } else { spec };
        self.turned.resize(lying.bytes(), 0);
        resize_with(&mut self.resizer, &self.pixels, width, height, lying, &mut self.turned);
        turn_upright(&self.turned, lying.width, lying.height, orientation, out);
    }

    /// Decodes a file to pixels of its own size, turned upright: u8 `[height, width, 3]`, RGB, with
    /// the width and height that [`Decoder::size`] returns.
    ///
    /// # Errors
    /// The refusal, if the bytes are not a whole JPEG file that can be decoded.
    pub fn decode_pixels(&mut self, bytes: &[u8]) -> Result<&[u8], Refusal> {
        let (Stored { width, height, orientation }, _large) = self.decode_stored(bytes)?;
        if orientation == 1 {
            return Ok(&self.pixels);
        }
        self.turned.resize(self.pixels.len(), 0);
        turn_upright(&self.pixels, width, height, orientation, &mut self.turned);
        Ok(&self.turned)
    }

    /// Decodes a file into `self.pixels` as it is stored, not yet upright.
    fn decode_stored(&mut self, bytes: &[u8]) -> Result<(Stored, OneLarge), Refusal> {
        check_format(bytes)?;
        DECODING.set(true);
        let decoded = catch_unwind(AssertUnwindSafe(|| decode_jpeg(bytes, &mut self.plain, &mut self.pixels)));
        DECODING.set(false);
        let (stored, large) = decoded.unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            Err(Refusal::new(Reason::DecoderPanic, text.unwrap_or_default()))
        })?;
        let Stored { width, height, orientation } = stored;
        self.size = if orientation >= 5 { (height, width) } else { (width, height) };
        Ok((stored, large))
    }

    /// The width and height of the last decoded poster, turned upright.
    pub fn size(&self) -> (usize, usize) {
        self.size
    }
}

/// Resizes RGB pixels as `tf.image.resize` does by default, to within 1 level of it: bilinear,
/// half-pixel centres, no antialiasing, without regard to the aspect ratio.
///
/// # Shapes
/// `rgb`: `[height, width, 3]` u8; `out`: `[spec.height, spec.width, 3]` u8, overwritten.
/// # Panics
/// If a slice's length differs from its shape, or a side is zero.
pub fn resize(rgb: &[u8], width: usize, height: usize, spec: ImageSpec, out: &mut [u8]) {
    resize_with(&mut Resizer::new(), rgb, width, height, spec, out);
}

fn resize_with(resizer: &mut Resizer, rgb: &[u8], width: usize, height: usize, spec: ImageSpec, out: &mut [u8]) {
    assert!(width > 0 && height > 0 && spec.bytes() > 0, "an image without pixels");
    assert_eq!(rgb.len(), width * height * 3, "rgb is not [height, width, 3]");
    assert_eq!(out.len(), spec.bytes(), "out is not [spec.height, spec.width, 3]");
    // `Interpolation` looks only at the two nearest pixels; `Convolution` would widen its kernel,
    // which is antialiasing.
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Interpolation(FilterType::Bilinear));
    // Typed images, since the others would compile a dozen pixel types that are never used into
    // this crate.
    let from = TypedImageRef::<U8x3>::from_buffer(width as u32, height as u32, rgb).expect("the length was checked");
    let mut to =
        TypedImage::<U8x3>::from_buffer(spec.width as u32, spec.height as u32, out).expect("the length was checked");
    resizer.resize_typed(&from, &mut to, &options).expect("a resize without cropping");
}

/// Accepts a JPEG file by its first bytes, and names the format of any other file.
fn check_format(bytes: &[u8]) -> Result<(), Refusal> {
    let starts = |magic: &[u8]| bytes.starts_with(magic);
    let reason = if bytes.is_empty() {
        Reason::Empty
    } else if starts(b"\xFF\xD8\xFF") {
        return Ok(());
    } else if starts(b"\x89PNG\r\n\x1A\n") {
        Reason::Png
    } else if starts(b"GIF8") {
        Reason::Gif
    } else if starts(b"RIFF") && bytes.get(8..12) == Some(b"WEBP") {
        Reason::WebP
    } else if looks_like_html(bytes) {
        Reason::Html
    } else {
        let head: Vec<String> = bytes.iter().take(8).map(|byte| format!("{byte:02X}")).collect();
        return Err(Refusal::new(Reason::OtherFormat, format!("starts with {}", head.join(" "))));
    };
    Err(Refusal::new(reason, ""))
}

fn looks_like_html(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(512)]).to_ascii_lowercase();
    let text = text.trim_start_matches(|c: char| c.is_whitespace() || c == '\u{FEFF}');
    text.starts_with("<!doctype html") || (text.starts_with('<') && text.contains("<html"))
}

/// How the pixels of an image are stored.
#[derive(Clone, Copy)]
struct Stored {
    width: usize,
    height: usize,
    /// The EXIF orientation, 1 to 8.
    orientation: u32,
}

/// The right to hold the pixels of a large image; nothing for others.
type OneLarge = Option<MutexGuard<'static, ()>>;

/// What follows the data of a sequential image: bits that are no Huffman code, at least as many as
/// the decoder reads ahead. Where it needs them, the data were not whole.
const NO_CODE: [u8; 16] = *b"\xFF\0\xFF\0\xFF\0\xFF\0\xFF\0\xFF\0\xFF\0\xFF\0";
/// What follows the data of the scans of a progressive image in the second of two tries. This is
/// not a pattern that a Huffman code would take for nothing.
const NOT_ZERO: [u8; 64] = [0b1011_0010; 64];

/// Decodes a JPEG file into `pixels`, `[height, width, 3]` RGB, as they are stored: not yet
/// upright. `plain` is a buffer.
///
/// A decoder that meets a marker too early reads zeros for what is missing and reports success: a
/// file that was cut off and given an end marker would pass with a grey or patterned bottom. A
/// sequential file is therefore decoded without its end marker, so that running out of bytes is an
/// error. A progressive file needs its markers; it is decoded a second time with other bytes before
/// them, and is whole if they change nothing.
fn decode_jpeg(bytes: &[u8], plain: &mut Vec<u8>, pixels: &mut Vec<u8>) -> Result<(Stored, OneLarge), Refusal> {
    let Header { width, height, progressive, exif } = jpeg::rewrite(bytes, &[], plain)?;
    let stored = Stored { width, height, orientation: exif.map_or(1, orientation) };
    let is_large = width * height * 3 > KEPT_BYTES;
    let large = is_large.then(|| LARGE.lock().unwrap_or_else(PoisonError::into_inner));
    pixels.resize(width * height * 3, 0);
    if !progressive {
        plain.extend_from_slice(&NO_CODE);
        return decode_plain(plain, pixels).map(|()| (stored, large));
    }
    decode_plain(plain, pixels)?;
    let first = crc32fast::hash(pixels);
    jpeg::rewrite(bytes, &NOT_ZERO, plain)?;
    match decode_plain(plain, pixels) {
        Ok(()) if crc32fast::hash(pixels) == first => Ok((stored, large)),
        _ => Err(Refusal::new(Reason::Truncated, "a scan is not whole")),
    }
}

/// Decodes a file that [`jpeg::rewrite`] has made.
fn decode_plain(plain: &[u8], pixels: &mut [u8]) -> Result<(), Refusal> {
    // Sizes were checked when the headers were read: the decoder need not object to any.
    let any = usize::from(u16::MAX);
    let strict = DecoderOptions::default().set_strict_mode(true).set_max_width(any).set_max_height(any);
    JpegDecoder::new_with_options(ZCursor::new(plain), strict).decode_into(pixels).map_err(refusal_of)
}

/// Turns an error of the decoder into a refusal. Some errors are told apart by their text; the
/// version of the decoder is pinned, and tests watch the texts.
fn refusal_of(error: DecodeErrors) -> Refusal {
    let text = match error {
        DecodeErrors::ExhaustedData
        | DecodeErrors::FormatStatic("Premature end of buffer")
        | DecodeErrors::IoErrors(ZByteIoError::NotEnoughBytes(..)) => return Refusal::new(Reason::Truncated, ""),
        // No code is all ones (ITU-T T.81, annex C): these are the bits of `NO_CODE`, behind the end.
        DecodeErrors::Format(text) if text.contains("Bad Huffman Code 0xFFFF") => {
            return Refusal::new(Reason::Truncated, "");
        }
        DecodeErrors::Format(text) => text,
        DecodeErrors::FormatStatic(text) => text.to_owned(),
        other => other.to_string(),
    };
    // The detail is one line, whatever the decoder wrote.
    Refusal::new(Reason::Corrupt, text.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// The orientation that a camera or an editor noted, 1 to 8; 1 (upright) if there is no valid one.
fn orientation(exif: &[u8]) -> u32 {
    let fields = exif::Reader::new().read_raw(exif.to_vec()).ok();
    let value = fields.and_then(|fields| fields.get_field(Tag::Orientation, In::PRIMARY)?.value.get_uint(0));
    value.filter(|value| (1..=8).contains(value)).unwrap_or(1)
}

/// Undoes an EXIF orientation: `rgb` is `[height, width, 3]`; `out` has the same shape, or
/// `[width, height, 3]` for the orientations 5 to 8.
fn turn_upright(rgb: &[u8], width: usize, height: usize, orientation: u32, out: &mut [u8]) {
    let (right, bottom) = (width - 1, height - 1);
    let out_width = if orientation >= 5 { height } else { width };
    let (rgb, out) = (rgb.as_chunks::<3>().0, out.as_chunks_mut::<3>().0);
    for (y, row) in out.chunks_exact_mut(out_width).enumerate() {
        for (x, pixel) in row.iter_mut().enumerate() {
            let (from_x, from_y) = match orientation {
                2 => (right - x, y),
                3 => (right - x, bottom - y),
                4 => (x, bottom - y),
                5 => (y, x),
                6 => (y, bottom - x),
                7 => (right - y, bottom - x),
                8 => (right - y, x),
                _ => (x, y),
            };
            *pixel = rgb[from_y * width + from_x];
        }
    }
}
