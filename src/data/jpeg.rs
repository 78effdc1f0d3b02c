//! The structure of a JPEG file: its segments are read and checked, and the same image is written
//! in the plainest form for the decoder.
//!
//! The decoder knows how to turn coded blocks into pixels. Left alone with a file as it was found,
//! it takes some images for others than they are: it looks for colours where another decoder does
//! not, follows scans in an order of its own, and takes missing data for zeros. Hence it never sees
//! such a file. It gets the tables, the frame and the scans of the image, with the components
//! numbered from one, the colours named as libjpeg-turbo would understand them, and nothing else:
//! no metadata, no thumbnail, no stray bytes, nothing behind the image. What it would still show
//! wrongly is refused here, by name.

use crate::data::refusal::{Reason, Refusal};

/// The longest side in pixels; longer ones are refused before pixels are allocated.
const MAX_SIDE: usize = 8192;
/// The most memory in bytes that pixels and coefficients may take while an image is decoded: that
/// of a progressive image of 8 million pixels with all colours in full size, 9 bytes a pixel, and
/// some more. Larger images must do with as much.
const MAX_DECODED: usize = 80 << 20;
/// The most blocks of an interleaved unit of coding that the standard allows.
const MAX_BLOCKS: usize = 10;

/// The codes of the markers that have a meaning here.
mod code {
    use std::ops::RangeInclusive;

    pub const SEQUENTIAL: RangeInclusive<u8> = 0xC0..=0xC1;
    pub const PROGRESSIVE: u8 = 0xC2;
    pub const HUFFMAN_TABLES: u8 = 0xC4;
    pub const RESTARTS: RangeInclusive<u8> = 0xD0..=0xD7;
    pub const START_OF_IMAGE: u8 = 0xD8;
    pub const END_OF_IMAGE: u8 = 0xD9;
    pub const SCAN: u8 = 0xDA;
    pub const QUANTISATION_TABLES: u8 = 0xDB;
    pub const RESTART_INTERVAL: u8 = 0xDD;
    pub const APP0: u8 = 0xE0;
    pub const APP1: u8 = 0xE1;
    pub const APP14: u8 = 0xEE;

    /// Whether no segment follows a marker although the image goes on.
    pub fn is_alone(code: u8) -> bool {
        code == 0x01 || RESTARTS.contains(&code)
    }
}

/// What the headers of a file say about its image.
pub(super) struct Header<'a> {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) progressive: bool,
    /// The metadata of a camera or an editor: a TIFF file.
    pub(super) exif: Option<&'a [u8]>,
}

/// Writes the image of the JPEG file `bytes` into `plain` as a file that says the same in the
/// plainest form, with `filler` behind the data of each scan but the first: the decoder wants that
/// one to end with a marker.
///
/// A sequential image has no end marker there: a decoder that meets one too early reads zeros for
/// what is missing. Whether the data of the scans are whole is not known yet.
///
/// # Errors
/// The refusal, if the file breaks off between its segments, contradicts itself, or holds an image
/// that the decoder cannot show as it is.
pub(super) fn rewrite<'a>(bytes: &'a [u8], filler: &[u8], plain: &mut Vec<u8>) -> Result<Header<'a>, Refusal> {
    let mut reader = Reader { bytes, at: 2 };
    let mut frame = None;
    let mut colours = ColourMarkers::default();
    let (mut exif, mut restarts, mut scanned) = (None, false, false);
    plain.clear();
    plain.extend([0xFF, code::START_OF_IMAGE]);
    loop {
        // An image that lacks nothing but its end marker is whole.
        let marker = reader.marker().unwrap_or(code::END_OF_IMAGE);
        match marker {
            code if code::is_alone(code) => continue,
            code::START_OF_IMAGE if !scanned => return Err(corrupt("a second image begins before the first")),
            code::START_OF_IMAGE | code::END_OF_IMAGE => break,
            _ => {}
        }
        let content = reader.segment()?;
        match marker {
            code::SCAN => {
                let frame: &mut Frame = frame.as_mut().ok_or_else(|| corrupt("a scan before the frame"))?;
                if !scanned {
                    colours.write(frame, plain);
                }
                frame.write_scan(content, plain)?;
                plain.extend_from_slice(reader.scan(restarts)?);
                if scanned {
                    plain.extend_from_slice(filler);
                }
                scanned = true;
                if !frame.progressive {
                    return reader.expect_no_scan().map(|()| frame.header(exif));
                }
            }
            code::QUANTISATION_TABLES if scanned => return Err(Refusal::new(Reason::LateTables, "")),
            code::QUANTISATION_TABLES | code::HUFFMAN_TABLES => write_segment(plain, marker, content),
            code::RESTART_INTERVAL => {
                let interval = content.try_into().map_err(|_| corrupt("a restart interval of another length"))?;
                restarts = u16::from_be_bytes(interval) > 0;
                write_segment(plain, marker, content);
            }
            // C8 is reserved; the rest of this range are frames, and CC belongs to one.
            0xC0..=0xCF => {
                if frame.is_some() {
                    return Err(corrupt("a second frame"));
                }
                let new = Frame::read(marker, content, bytes.len())?;
                new.write(marker, content, plain);
                frame = Some(new);
            }
            0xDE | 0xDF => return Err(Refusal::new(Reason::Hierarchical, "")),
            0x02..=0xBF | 0xF0..=0xFD => return Err(corrupt("a segment of an unknown kind")),
            code::APP0 if content.len() >= 14 && content.starts_with(b"JFIF\0") => colours.jfif = true,
            code::APP1 if !scanned && content.starts_with(b"Exif\0\0") => exif = Some(&content[6..]),
            code::APP14 if content.len() >= 12 && content.starts_with(b"Adobe") => colours.adobe = Some(content[11]),
            _ => {}
        }
    }
    let Some(frame) = frame.filter(|_| scanned) else { return Err(truncated()) };
    if !frame.is_complete() {
        return Err(Refusal::new(Reason::Truncated, "its last scans are missing"));
    }
    plain.extend([0xFF, code::END_OF_IMAGE]);
    Ok(frame.header(exif))
}

fn truncated() -> Refusal {
    Refusal::new(Reason::Truncated, "")
}

fn corrupt(what: &str) -> Refusal {
    Refusal::new(Reason::Corrupt, what)
}

/// Writes a marker, the length of its segment and the content, which is shorter than 65,534 bytes.
fn write_segment(to: &mut Vec<u8>, marker: u8, content: &[u8]) {
    to.extend([0xFF, marker]);
    to.extend((content.len() as u16 + 2).to_be_bytes());
    to.extend_from_slice(content);
}

/// A file and the place up to which it has been read.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// The code of the next marker, behind which the reader stands then; stray bytes before it are
    /// passed over. `None` if there is no further marker.
    fn marker(&mut self) -> Option<u8> {
        loop {
            self.at += self.bytes[self.at..].iter().position(|&byte| byte == 0xFF)?;
            // Any number of FF may stand before the code; a zero makes them data.
            self.at += self.bytes[self.at..].iter().position(|&byte| byte != 0xFF)?;
            self.at += 1;
            match self.bytes[self.at - 1] {
                0 => {}
                code => return Some(code),
            }
        }
    }

    /// The content of the segment whose marker was read last.
    fn segment(&mut self) -> Result<&'a [u8], Refusal> {
        let &[high, low, ..] = &self.bytes[self.at..] else { return Err(truncated()) };
        // The length counts its own two bytes.
        let length = usize::from(u16::from_be_bytes([high, low]));
        if length < 2 {
            return Err(corrupt("a segment shorter than its own length"));
        }
        let content = self.bytes.get(self.at + 2..self.at + length).ok_or_else(truncated)?;
        self.at += length;
        Ok(content)
    }

    /// The data of the scan whose header was read last, up to the next marker or the end of the
    /// file. Restart markers are among the data; they count modulo 8, and a file whose markers do
    /// not has lost some of its data.
    fn scan(&mut self, restarts: bool) -> Result<&'a [u8], Refusal> {
        let from = self.at;
        let mut expected = *code::RESTARTS.start();
        loop {
            let before = self.at;
            let marker = self.marker();
            match marker {
                Some(code) if code::RESTARTS.contains(&code) => {
                    if !restarts || code != expected {
                        return Err(corrupt("restart markers out of order"));
                    }
                    expected = if code == *code::RESTARTS.end() { *code::RESTARTS.start() } else { code + 1 };
                }
                _ => {
                    // Back to the marker, which the reader has to find again.
                    let until = if marker.is_some() { self.at - 1 } else { self.bytes.len() };
                    let last = self.bytes[before..until].iter().rposition(|&byte| byte != 0xFF);
                    self.at = before + last.map_or(0, |last| last + 1);
                    return Ok(&self.bytes[from..self.at]);
                }
            }
        }
    }

    /// Checks what is left of a sequential image behind its scan. What is not whole there costs no
    /// pixel.
    fn expect_no_scan(&mut self) -> Result<(), Refusal> {
        while let Some(marker) = self.marker() {
            match marker {
                code::END_OF_IMAGE | code::START_OF_IMAGE => return Ok(()),
                code::SCAN => return Err(Refusal::new(Reason::SeveralScans, "one follows that of all colours")),
                code::HUFFMAN_TABLES => {}
                0xC0..=0xCF => return Err(corrupt("a second frame")),
                _ => {}
            }
            if !code::is_alone(marker) && self.segment().is_err() {
                break;
            }
        }
        Ok(())
    }
}

/// One of the colours that an image is made of, before they become red, green and blue.
#[derive(Clone, Copy, Default)]
struct Component {
    id: u8,
    /// How many blocks of it a unit of coding has side by side, and one above the other: its
    /// resolution in relation to the other components.
    across: u8,
    down: u8,
    /// What the scans of a progressive image have given of it so far.
    progress: Progress,
}

/// For each coefficient of a block, the lowest of its bits that is known, or [`UNKNOWN`].
#[derive(Clone, Copy)]
struct Progress([u8; 64]);

const UNKNOWN: u8 = u8::MAX;

impl Default for Progress {
    fn default() -> Self {
        Self([UNKNOWN; 64])
    }
}

struct Frame {
    progressive: bool,
    width: usize,
    height: usize,
    components: [Component; 4],
    /// How many of the components there are: 1, 3 or 4.
    count: usize,
}

impl Frame {
    /// Reads the header of a frame in a file of `file_bytes` bytes.
    fn read(marker: u8, content: &[u8], file_bytes: usize) -> Result<Self, Refusal> {
        match marker {
            code::PROGRESSIVE => {}
            code if code::SEQUENTIAL.contains(&code) => {}
            0xC3 | 0xC7 | 0xCB | 0xCF => return Err(Refusal::new(Reason::Lossless, "")),
            0xC5 | 0xC6 => return Err(Refusal::new(Reason::Hierarchical, "")),
            0xC9 | 0xCA | 0xCC | 0xCD | 0xCE => return Err(Refusal::new(Reason::Arithmetic, "")),
            _ => return Err(corrupt("a frame of a reserved kind")),
        }
        let &[precision, h1, h0, w1, w0, count, ref components @ ..] = content else {
            return Err(corrupt("a frame without a size"));
        };
        let (components, rest) = components.as_chunks::<3>();
        let count = usize::from(count);
        if components.len() != count || !rest.is_empty() {
            return Err(corrupt("a frame of another length than its colours take"));
        }
        if precision != 8 {
            return Err(Refusal::new(Reason::Precision, ""));
        }
        if !matches!(count, 1 | 3 | 4) {
            return Err(Refusal::new(Reason::Colours, format!("{count}")));
        }
        let mut frame = Self {
            progressive: marker == code::PROGRESSIVE,
            width: u16::from_be_bytes([w1, w0]).into(),
            height: u16::from_be_bytes([h1, h0]).into(),
            components: Default::default(),
            count,
        };
        for (component, &[id, sampling, _]) in frame.components.iter_mut().zip(components) {
            *component = Component { id, across: sampling >> 4, down: sampling & 15, ..Component::default() };
        }
        // The only component is one block after the other, whatever its resolution is said to be.
        if count == 1 {
            (frame.components[0].across, frame.components[0].down) = (1, 1);
        }
        frame.check_size(file_bytes)?;
        frame.check_sampling()?;
        Ok(frame)
    }

    fn components(&self) -> &[Component] {
        &self.components[..self.count]
    }

    fn check_size(&self, file_bytes: usize) -> Result<(), Refusal> {
        let &Self { width, height, .. } = self;
        if width == 0 || height == 0 {
            return Err(corrupt("an image without pixels"));
        }
        if width.max(height) > MAX_SIDE || self.decoded_bytes() > MAX_DECODED {
            let kind = if self.progressive { ", progressive" } else { "" };
            return Err(Refusal::new(Reason::TooManyPixels, format!("{width}x{height}{kind}")));
        }
        // No code is shorter than one bit, and each block of 8x8 pixels takes at least one code.
        if file_bytes * 8 < width.div_ceil(8) * height.div_ceil(8) {
            return Err(Refusal::new(Reason::TooFewBytes, format!("{width}x{height} in {file_bytes} bytes")));
        }
        Ok(())
    }

    /// The memory that the pixels take while they are decoded, and all the coefficients where they
    /// come in several scans.
    fn decoded_bytes(&self) -> usize {
        let pixels = self.width * self.height * 3;
        if !self.progressive {
            return pixels;
        }
        let most = |side: fn(&Component) -> u8| self.components().iter().map(side).max().map_or(1, usize::from).max(1);
        let (across, down) = (most(|component| component.across), most(|component| component.down));
        let units = self.width.div_ceil(8 * across) * self.height.div_ceil(8 * down);
        let blocks = |component: &Component| usize::from(component.across) * usize::from(component.down);
        let coefficients = units * self.components().iter().map(blocks).sum::<usize>() * 64;
        pixels + coefficients * size_of::<i16>()
    }

    /// Refuses the samplings that the decoder shows wrongly or not at all.
    fn check_sampling(&self) -> Result<(), Refusal> {
        let components = self.components();
        if components.iter().any(|component| !matches!(component.across, 1..=4) || !matches!(component.down, 1..=4)) {
            return Err(corrupt("a sampling factor that is not 1 to 4"));
        }
        let first = components[0];
        // It knows no thirds across, and no half of a component of which four are above each other.
        let is_shown = |component: &Component| {
            matches!(component.across, 1 | 2 | 4)
                && first.across.is_multiple_of(component.across)
                && first.down.is_multiple_of(component.down)
                && (first.down, component.down) != (4, 2)
        };
        let blocks = components.iter().map(|component| usize::from(component.across * component.down)).sum::<usize>();
        // libjpeg-turbo interpolates between more than two values, and repeats fewer.
        let is_halved = |component: &Component| component.across * 2 == first.across;
        let is_narrow = self.width <= 4 && components.iter().any(is_halved);
        if components.iter().all(is_shown) && blocks <= MAX_BLOCKS && !is_narrow {
            return Ok(());
        }
        let factors: Vec<String> =
            components.iter().map(|component| format!("{}x{}", component.across, component.down)).collect();
        let narrow = if is_narrow { format!(" in a width of {}", self.width) } else { String::new() };
        Err(Refusal::new(Reason::Sampling, factors.join(",") + &narrow))
    }

    /// Writes the header of the frame, with the components numbered from 1.
    fn write(&self, marker: u8, content: &[u8], to: &mut Vec<u8>) {
        if !self.progressive {
            // The mark of Motion JPEG, whose frames rely on the standard's own Huffman tables: the
            // decoder takes them where a file lacks tables, as libjpeg-turbo does in every file.
            write_segment(to, code::APP0, b"AVI1\0");
        }
        let start = to.len();
        write_segment(to, marker, content);
        let components = to[start + 10..].as_chunks_mut::<3>().0;
        for ((written, component), number) in components.iter_mut().zip(self.components()).zip(1..) {
            written[0] = number;
            written[1] = component.across << 4 | component.down;
        }
    }

    /// Checks the header of a scan, and writes it with the numbers that the components have got.
    fn write_scan(&mut self, content: &[u8], to: &mut Vec<u8>) -> Result<(), Refusal> {
        let bad = || corrupt("a scan whose header contradicts itself");
        let (&count, rest) = content.split_first().ok_or_else(bad)?;
        let Some((selectors, &[from, until, bits])) = rest.split_at_checked(2 * usize::from(count)) else {
            return Err(bad());
        };
        let start = to.len();
        write_segment(to, code::SCAN, content);
        let written = to[start + 5..].as_chunks_mut::<2>().0;
        let mut chosen = [false; 4];
        for (&[id, _], written) in selectors.as_chunks::<2>().0.iter().zip(written) {
            // Where components share an id, each is meant once, in their order.
            let mut places = 0..self.count;
            let place = places.find(|&at| self.components[at].id == id && !chosen[at]).ok_or_else(bad)?;
            chosen[place] = true;
            written[0] = place as u8 + 1;
        }
        let parts = chosen.iter().filter(|&&part| part).count();
        if parts == 0 {
            return Err(bad());
        }
        if !self.progressive && parts < self.count {
            return Err(Refusal::new(Reason::SeveralScans, format!("{parts} of {} colours in the first", self.count)));
        }
        if self.progressive {
            for (component, _) in self.components.iter_mut().zip(chosen).filter(|&(_, chosen)| chosen) {
                component.progress.advance(parts, from, until, bits)?;
            }
        }
        Ok(())
    }

    /// Whether the scans of a progressive image have given all bits of all coefficients.
    fn is_complete(&self) -> bool {
        self.components().iter().all(|component| component.progress.0 == [0; 64])
    }

    fn header<'a>(&self, exif: Option<&'a [u8]>) -> Header<'a> {
        Header { width: self.width, height: self.height, progressive: self.progressive, exif }
    }
}

impl Progress {
    /// Notes that a scan of `parts` components has given the coefficients `from` to `until`:
    /// `bits` are the lowest that were known before and the lowest that it gives, four bits each,
    /// where zero also says that none were known. The scan must go on where those before it ended.
    fn advance(&mut self, parts: usize, from: u8, until: u8, bits: u8) -> Result<(), Refusal> {
        let out_of_order = || corrupt("scans that do not build on each other");
        let (before, now) = (bits >> 4, bits & 15);
        let coefficients = match (from, until) {
            (0, 0) => 0..1,
            (1..=63, 1..=63) if from <= until && parts == 1 && self.0[0] != UNKNOWN => {
                usize::from(from)..usize::from(until) + 1
            }
            _ => return Err(out_of_order()),
        };
        let known = if before == 0 { UNKNOWN } else { before };
        if now > 13 || (before > 0 && now + 1 != before) || self.0[coefficients.clone()].iter().any(|&bit| bit != known)
        {
            return Err(out_of_order());
        }
        self.0[coefficients].fill(now);
        Ok(())
    }
}

/// The markers that say what colours the components are.
#[derive(Default)]
struct ColourMarkers {
    /// Whether the file says that it follows JFIF, in which three components are YCbCr.
    jfif: bool,
    /// Adobe's number of the transform of colours: 0 is none, 1 YCbCr, 2 YCCK.
    adobe: Option<u8>,
}

impl ColourMarkers {
    /// Tells the decoder by an Adobe marker what libjpeg-turbo would take the components for, where
    /// that is not what it takes them for without one. Files contradict themselves, and most
    /// programs that show images follow its order of precedence.
    fn write(&self, frame: &Frame, to: &mut Vec<u8>) {
        let ids = [0, 1, 2].map(|at| frame.components[at].id);
        let is_transformed = match frame.count {
            3 => self.jfif || self.adobe.map_or(ids != *b"RGB", |transform| transform != 0),
            _ => self.adobe.is_some_and(|transform| transform != 0),
        };
        let transform = match (frame.count, is_transformed) {
            (3, false) => 0,
            (4, true) => 2,
            // Grey, YCbCr and CMYK.
            _ => return,
        };
        let mut adobe = *b"Adobe\0\x64\0\0\0\0\0";
        adobe[11] = transform;
        write_segment(to, code::APP14, &adobe);
    }
}
