//! Decodes a poster's file to RGB pixels of one size, or says why it cannot be decoded.
//!
//! The policy is strict: a poster that another program would fill up with grey is refused, since a
//! network would learn the grey. A refusal is a value, not an error: the run goes on without the
//! poster, and the ledger counts it.
//!
//! | file | outcome |
//! |---|---|
//! | JPEG: baseline, extended or progressive, 8 bits, any subsampling, restart markers | accepted |
//! | grey, YCbCr, RGB, CMYK, YCCK | accepted, as RGB |
//! | EXIF orientation 1 to 8 | accepted, turned upright; another number counts as 1 |
//! | stray bytes between header segments | accepted: they cost no pixel |
//! | ends before its last pixel, with or without an end marker after the cut | refused: truncated, or corrupt |
//! | damage that the decoder notices | refused: corrupt |
//! | 12 or 16 bits, lossless, arithmetic coding, 2 or more than 4 colours | refused by name |
//! | PNG, GIF, WebP, HTML, empty, anything else | refused by name, or with its first bytes |
//! | more than 8192 pixels a side, more than 32 million in all, or more blocks than its bytes could code | refused before pixels are allocated |
//! | folder, pipe or device, also behind a link | refused before it is opened |
//! | larger than 64 MiB | refused before it is read |
//! | file on which the decoder panics | refused: the decoder panicked |
//!
//! Compared with Pillow (libjpeg-turbo), files whose colours are stored in full size or halved in
//! one direction, grey files and CMYK files differ by at most 3 levels. Where colours are halved in
//! both directions, this decoder interpolates between them in its own way: of 400 real posters, 235
//! are within 4 levels everywhere; in the others, at most one value in a thousand is further off,
//! by up to 25 levels; the mean difference is below 0.3. Images of two to four pixels a side can
//! differ everywhere.
//!
//! Grey, YCbCr, RGB, CMYK and YCCK become RGB. Four colours are taken to be inverted, as Adobe
//! writes them, even where the file does not say so; Pillow does the same. Embedded colour profiles
//! are not applied.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use exif::{In, Tag};
use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use serde::{Deserialize, Serialize};
use zune_jpeg::JpegDecoder;
use zune_jpeg::errors::DecodeErrors;
use zune_jpeg::zune_core::bytestream::{ZByteIoError, ZCursor};
use zune_jpeg::zune_core::options::DecoderOptions;

use crate::data::poster;
use crate::data::refusal::{Reason, Refusal};

/// The longest side in pixels; longer ones are refused before pixels are allocated.
const MAX_SIDE: usize = 8192;
/// The most pixels of an image; more are refused before they are allocated.
const MAX_PIXELS: usize = 32_000_000;

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
    pub const POSTER: Self = Self { height: 256, width: 256 };

    /// The size of one image in bytes: `height * width * 3`.
    pub const fn bytes(self) -> usize {
        self.height * self.width * 3
    }
}

/// Decodes posters one after another into its own buffers; each thread has a decoder of its own.
#[derive(Default)]
pub struct Decoder {
    file: Vec<u8>,
    /// A copy of the file with another end, for the JPEG decoder: see [`decode_jpeg`].
    body: Vec<u8>,
    pixels: Vec<u8>,
    upright: Vec<u8>,
    resizer: Resizer,
    size: (usize, usize),
    /// Whether the last poster lies in `upright` rather than in `pixels`.
    turned: bool,
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
    /// The refusal, if the file is not a whole JPEG file that can be decoded.
    /// # Panics
    /// If the length of `out` is not that of its shape, or a side of `spec` is zero.
    pub fn decode_poster(&mut self, path: &Path, spec: ImageSpec, out: &mut [u8]) -> Result<(), Refusal> {
        self.read(path)?;
        let bytes = std::mem::take(&mut self.file);
        let result = self.decode_bytes(&bytes, spec, out);
        self.file = bytes;
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
        self.decode_pixels(bytes)?;
        let (width, height) = self.size;
        let pixels = if self.turned { &self.upright } else { &self.pixels };
        resize_with(&mut self.resizer, pixels, width, height, spec, out);
        Ok(())
    }

    /// Decodes a file to pixels of its own size, turned upright: u8 `[height, width, 3]`, RGB, with
    /// the width and height that [`Decoder::size`] returns.
    ///
    /// # Errors
    /// The refusal, if the bytes are not a whole JPEG file that can be decoded.
    pub fn decode_pixels(&mut self, bytes: &[u8]) -> Result<&[u8], Refusal> {
        check_format(bytes)?;
        DECODING.set(true);
        let decoded = catch_unwind(AssertUnwindSafe(|| {
            decode_jpeg(bytes, [&mut self.body, &mut self.upright], &mut self.pixels)
        }));
        DECODING.set(false);
        let Picture { width, height, orientation } = decoded.unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            Err(Refusal::new(Reason::DecoderPanic, text.unwrap_or_default()))
        })?;
        self.size = if orientation >= 5 { (height, width) } else { (width, height) };
        self.turned = orientation != 1;
        if self.turned {
            turn_upright(&self.pixels, width, height, orientation, &mut self.upright);
        }
        Ok(if self.turned { &self.upright } else { &self.pixels })
    }

    /// The width and height of the last decoded poster, turned upright.
    pub fn size(&self) -> (usize, usize) {
        self.size
    }

    fn read(&mut self, path: &Path) -> Result<(), Refusal> {
        let unreadable = |error: std::io::Error| Refusal::new(Reason::Unreadable, error.to_string());
        poster::read(path, &mut self.file).map_err(unreadable)?
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

struct Picture {
    width: usize,
    height: usize,
    /// The EXIF orientation, 1 to 8.
    orientation: u32,
}

/// The number of bytes put in the place of an end marker: as many as the decoder reads ahead.
const FILLER: usize = 4;

/// Decodes a JPEG file into `pixels`, `[height, width, 3]` RGB, as they are stored: not yet
/// upright. `body` and `again` are buffers.
///
/// A decoder that meets the end marker too early reads zeros for what is missing and reports
/// success: a file that was cut off and given an end marker would pass with a grey or patterned
/// bottom. A sequential file is therefore decoded without its end marker, so that running out of
/// bytes is an error. A progressive file needs the marker; it is decoded a second time with other
/// bytes before the marker, and is whole if they change nothing.
fn decode_jpeg(bytes: &[u8], [body, again]: [&mut Vec<u8>; 2], pixels: &mut Vec<u8>) -> Result<Picture, Refusal> {
    let Some(end) = bytes.windows(2).rposition(|pair| pair == END_OF_IMAGE) else { return decode_whole(bytes, pixels) };
    let progressive = frame_marker(bytes) == Some(PROGRESSIVE);
    body.clear();
    body.extend_from_slice(&bytes[..end]);
    if !progressive {
        body.extend_from_slice(&[0; FILLER]);
        return decode_whole(body, pixels);
    }
    let picture = decode_whole(bytes, pixels)?;
    // This is not a pattern that a Huffman code would take for nothing.
    body.extend_from_slice(&[0b1011_0010; 16 * FILLER]);
    body.extend_from_slice(END_OF_IMAGE);
    match decode_whole(body, again) {
        Ok(_) if again == pixels => Ok(picture),
        _ => Err(Refusal::new(Reason::Truncated, "its last scan is not whole")),
    }
}

const END_OF_IMAGE: &[u8] = b"\xFF\xD9";
/// The marker code of a progressive frame.
const PROGRESSIVE: u8 = 0xC2;

/// Decodes the bytes as they are, and leaves it to the decoder whether they are a whole file.
fn decode_whole(bytes: &[u8], pixels: &mut Vec<u8>) -> Result<Picture, Refusal> {
    // Sizes are checked below, where the refusal states them: the decoder need not object to any.
    let any = usize::from(u16::MAX);
    let strict = DecoderOptions::default().set_strict_mode(true).set_max_width(any).set_max_height(any);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), strict);
    let mut headers = decoder.decode_headers();
    if matches!(headers, Err(DecodeErrors::FormatStatic("[strict-mode]: Extra bytes between headers"))) {
        // This is the one fault that costs no pixel. Only the headers are forgiven: what follows is
        // decoded strictly.
        decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), strict.set_strict_mode(false));
        headers = decoder.decode_headers();
        decoder.set_options(strict);
    }
    headers.map_err(|error| refusal_of(error, bytes))?;
    let (width, height) = decoder.dimensions().ok_or_else(|| Refusal::new(Reason::Corrupt, "no size"))?;
    let colours = decoder.info().map_or(0, |info| info.components);
    if !matches!(colours, 1 | 3 | 4) {
        return Err(Refusal::new(Reason::Colours, format!("{colours}")));
    }
    if width.max(height) > MAX_SIDE || width * height > MAX_PIXELS {
        return Err(Refusal::new(Reason::TooManyPixels, format!("{width}x{height}")));
    }
    // No code is shorter than one bit, and each block of 8x8 pixels takes at least one code.
    if bytes.len() * 8 < width.div_ceil(8) * height.div_ceil(8) {
        return Err(Refusal::new(Reason::TooFewBytes, format!("{width}x{height} in {} bytes", bytes.len())));
    }
    let orientation = decoder.exif().map_or(1, |exif| orientation(exif));
    pixels.resize(width * height * 3, 0);
    decoder.decode_into(pixels).map_err(|error| refusal_of(error, bytes))?;
    Ok(Picture { width, height, orientation })
}

/// Turns an error of the decoder into a refusal. Some errors are told apart by their text; the
/// version of the decoder is pinned, and tests watch the texts.
fn refusal_of(error: DecodeErrors, bytes: &[u8]) -> Refusal {
    let reason = match &error {
        DecodeErrors::SofError(text) if text.contains("bits of precision") => Reason::Precision,
        DecodeErrors::ExhaustedData => Reason::Truncated,
        DecodeErrors::FormatStatic("Premature end of buffer" | "Premature End of image") => Reason::Truncated,
        DecodeErrors::IoErrors(ZByteIoError::NotEnoughBytes(..)) => Reason::Truncated,
        _ => unsupported_coding(bytes).unwrap_or(Reason::Corrupt),
    };
    if reason != Reason::Corrupt {
        return Refusal::new(reason, "");
    }
    let text = match error {
        DecodeErrors::Format(text) => text,
        DecodeErrors::FormatStatic(text) => text.to_owned(),
        other => other.to_string(),
    };
    // The detail is one line, whatever the decoder wrote.
    Refusal::new(reason, text.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// Names a coding that the decoder does not support: it skips the frame header of such a file, and
/// then fails for lack of one.
fn unsupported_coding(bytes: &[u8]) -> Option<Reason> {
    match frame_marker(bytes)? {
        0xC3 | 0xC7 | 0xCB | 0xCF => Some(Reason::Lossless),
        0xC9 | 0xCA | 0xCC | 0xCD | 0xCE => Some(Reason::Arithmetic),
        _ => None,
    }
}

/// The code of the frame header, which says how the pixels are coded; `None` if there is no frame
/// header before the first scan.
fn frame_marker(bytes: &[u8]) -> Option<u8> {
    let mut rest = bytes.get(2..)?;
    // A segment is FF, a code, and a length that counts its own two bytes.
    while let &[0xFF, code, high, low, ..] = rest {
        match code {
            // C4 (Huffman tables) and C8 (reserved) are no frame headers; CC (tables of arithmetic
            // coding) says as much as one.
            0xC0..=0xCF if !matches!(code, 0xC4 | 0xC8) => return Some(code),
            0xDA => return None,
            _ => rest = rest.get(2 + usize::from(u16::from_be_bytes([high, low]))..)?,
        }
    }
    None
}

/// The orientation that a camera or an editor noted, 1 to 8; 1 (upright) if there is no valid one.
fn orientation(exif: &[u8]) -> u32 {
    let fields = exif::Reader::new().read_raw(exif.to_vec()).ok();
    let value = fields.and_then(|fields| fields.get_field(Tag::Orientation, In::PRIMARY)?.value.get_uint(0));
    value.filter(|value| (1..=8).contains(value)).unwrap_or(1)
}

/// Undoes an EXIF orientation: `rgb` is `[height, width, 3]`; `out` gets the same shape, or
/// `[width, height, 3]` for the orientations 5 to 8.
fn turn_upright(rgb: &[u8], width: usize, height: usize, orientation: u32, out: &mut Vec<u8>) {
    let (right, bottom) = (width - 1, height - 1);
    let (out_width, out_height) = if orientation >= 5 { (height, width) } else { (width, height) };
    out.clear();
    for y in 0..out_height {
        for x in 0..out_width {
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
            let at = (from_y * width + from_x) * 3;
            out.extend_from_slice(&rgb[at..at + 3]);
        }
    }
}
