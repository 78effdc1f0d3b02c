use std::path::Path;

use jpeg_encoder::{ColorType, SamplingFactor};
use onesheet::data::decode::{Decoder, ImageSpec, resize};
use onesheet::data::refusal::{Reason, Refusal};

use super::{encode, jpeg, pixels};

const W: u16 = 40;
const H: u16 = 56;
/// The file's own size: decoding to it shows the pixels of the decoder without the resize.
const SAME: ImageSpec = ImageSpec { height: H as usize, width: W as usize };

fn decode(file: &[u8], spec: ImageSpec) -> Result<Vec<u8>, Refusal> {
    let mut out = vec![0; spec.bytes()];
    Decoder::new().decode_bytes(file, spec, &mut out).map(|()| out)
}

fn refused(file: &[u8]) -> Reason {
    decode(file, SAME).unwrap_err().reason
}

/// The largest difference of two images, and the mean difference.
fn distance(a: &[u8], b: &[u8]) -> (u8, f64) {
    assert_eq!(a.len(), b.len());
    let differences = a.iter().zip(b).map(|(&a, &b)| a.abs_diff(b));
    (differences.clone().max().unwrap(), differences.map(f64::from).sum::<f64>() / a.len() as f64)
}

fn assert_close(a: &[u8], b: &[u8], what: &str) {
    let (max, mean) = distance(a, b);
    assert!(max <= 16 && mean < 2.5, "{what}: off by up to {max}, {mean:.2} on average");
}

#[test]
fn colours_survive_every_way_of_storing_them() {
    let rgb = pixels(3, W, H);
    let plain = encode(&rgb, W, H, ColorType::Rgb, |_| {});
    let progressive = encode(&rgb, W, H, ColorType::Rgb, |e| e.set_progressive(true));
    let restarts = encode(&rgb, W, H, ColorType::Rgb, |e| e.set_restart_interval(2));
    let subsampled = encode(&rgb, W, H, ColorType::Rgb, |e| e.set_sampling_factor(SamplingFactor::F_2_2));
    for (file, what) in
        [(plain, "plain"), (progressive, "progressive"), (restarts, "restarts"), (subsampled, "subsampled")]
    {
        assert_close(&decode(&file, SAME).unwrap(), &rgb, what);
    }

    let grey: Vec<u8> = rgb.iter().step_by(3).copied().collect();
    let as_rgb: Vec<u8> = grey.iter().flat_map(|&level| [level; 3]).collect();
    assert_close(&decode(&encode(&grey, W, H, ColorType::Luma, |_| {}), SAME).unwrap(), &as_rgb, "grey");

    // The encoder takes ink, where 0 is none, and inverts it as Adobe does: red = (255 - cyan) *
    // (255 - black) / 255.
    let black = 40;
    let mut inks = Vec::new();
    let mut shown = Vec::new();
    for &light in rgb.as_chunks::<3>().0 {
        inks.extend(light.map(|light| 255 - light));
        inks.push(black);
        shown.extend(light.map(|light| (u32::from(light) * (255 - u32::from(black)) / 255) as u8));
    }
    for (colours, what) in [(ColorType::Cmyk, "CMYK"), (ColorType::CmykAsYcck, "YCCK")] {
        assert_close(&decode(&encode(&inks, W, H, colours, |_| {}), SAME).unwrap(), &shown, what);
    }
}

/// A TIFF header and one entry: the orientation, as a short.
fn exif(orientation: u8) -> Vec<u8> {
    let mut tiff = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    tiff.extend([orientation, 0, 0, 0, 0, 0, 0]);
    tiff
}

#[test]
fn exif_orientation_is_undone() {
    // The corners are red, green, blue and grey, clockwise from the top left.
    let corners = [[250, 20, 20], [20, 240, 20], [20, 20, 250], [128, 128, 128]];
    let (w, h) = (32, 48);
    let mut rgb = Vec::new();
    for y in 0..h {
        for x in 0..w {
            rgb.extend(
                corners[match (x < w / 2, y < h / 2) {
                    (true, true) => 0,
                    (false, true) => 1,
                    (false, false) => 2,
                    (true, false) => 3,
                }],
            );
        }
    }
    // For each orientation, the corner of the stored picture that is shown in each place, from the
    // EXIF standard.
    let shown = [
        (1, [0, 1, 2, 3]),
        (2, [1, 0, 3, 2]),
        (3, [2, 3, 0, 1]),
        (4, [3, 2, 1, 0]),
        (5, [0, 3, 2, 1]),
        (6, [3, 0, 1, 2]),
        (7, [2, 1, 0, 3]),
        (8, [1, 2, 3, 0]),
        (0, [0, 1, 2, 3]),
        (9, [0, 1, 2, 3]),
    ];
    for (orientation, order) in shown {
        let file = encode(&rgb, w, h, ColorType::Rgb, |e| e.add_exif_metadata(&exif(orientation)).unwrap());
        let size = |a: u16, b: u16| ImageSpec { height: usize::from(a), width: usize::from(b) };
        let spec = if (5..=8).contains(&orientation) { size(w, h) } else { size(h, w) };
        let out = decode(&file, spec).unwrap();
        let at = |x: usize, y: usize| &out[(y * spec.width + x) * 3..][..3];
        let (right, bottom) = (spec.width - 5, spec.height - 5);
        let found = [at(4, 4), at(right, 4), at(right, bottom), at(4, bottom)];
        for (found, corner) in found.iter().zip(order) {
            assert!(distance(found, &corners[corner]).0 < 24, "orientation {orientation}: {found:?}");
        }
    }
    let broken = encode(&rgb, w, h, ColorType::Rgb, |e| e.add_exif_metadata(b"MM\0*nonsense").unwrap());
    assert_close(&decode(&broken, ImageSpec { height: 48, width: 32 }).unwrap(), &rgb, "broken EXIF is ignored");
}

#[test]
fn other_formats_are_refused_by_name() {
    for (bytes, reason) in [
        (&b""[..], Reason::Empty),
        (b"\x89PNG\r\n\x1A\nrest", Reason::Png),
        (b"GIF89a...", Reason::Gif),
        (b"RIFF\0\0\0\0WEBPVP8 ", Reason::WebP),
        (b"\n <!DOCTYPE HTML><title>404</title>", Reason::Html),
        (b"<?xml version='1.0'?><html>", Reason::Html),
        (b"BM......", Reason::OtherFormat),
        (b"\xFF\xD8", Reason::OtherFormat),
        (b"\xFF\xD8\xFF", Reason::Truncated),
    ] {
        assert_eq!(refused(bytes), reason, "{bytes:?}");
    }
}

/// The position of the first marker `FF code` of a header.
fn marker(file: &[u8], code: u8) -> usize {
    file.windows(2).position(|pair| pair == [0xFF, code]).unwrap()
}

#[test]
fn coding_that_is_not_supported_is_refused_by_name() {
    let file = jpeg(1, W, H);
    let patched = |offset: usize, byte: u8| {
        let mut file = file.clone();
        let at = marker(&file, 0xC0);
        file[at + offset] = byte;
        file
    };
    for code in [0xC9, 0xCA] {
        assert_eq!(refused(&patched(1, code)), Reason::Arithmetic, "SOF {code:X}");
    }
    for code in [0xC3, 0xCB] {
        assert_eq!(refused(&patched(1, code)), Reason::Lossless, "SOF {code:X}");
    }
    assert_eq!(refused(&patched(4, 12)), Reason::Precision);
    let mut conditioned = file.clone();
    let at = marker(&file, 0xC0);
    conditioned.splice(at..at, [0xFF, 0xCC, 0, 4, 0, 16]);
    assert_eq!(refused(&conditioned), Reason::Arithmetic, "a table for arithmetic coding before the frame");
}

#[test]
fn sizes_are_checked_before_pixels_are_made() {
    let claiming = |width: u16, height: u16| {
        let mut file = jpeg(1, W, H);
        let at = marker(&file, 0xC0);
        file[at + 5..at + 7].copy_from_slice(&height.to_be_bytes());
        file[at + 7..at + 9].copy_from_slice(&width.to_be_bytes());
        file
    };
    for (width, height, reason) in [
        (8193, 10, Reason::TooManyPixels),
        (10, 65535, Reason::TooManyPixels),
        (8000, 8000, Reason::TooManyPixels),
        (5000, 5000, Reason::TooFewBytes),
        (0, 10, Reason::Corrupt),
    ] {
        assert_eq!(refused(&claiming(width, height)), reason, "{width}x{height}");
    }
}

#[test]
fn truncated_files_are_refused_wherever_they_end() {
    let progressive = encode(&pixels(1, W, H), W, H, ColorType::Rgb, |e| e.set_progressive(true));
    for file in [jpeg(1, W, H), progressive] {
        for end in (3..file.len() - 40).step_by(7) {
            let reason = refused(&file[..end]);
            assert!(matches!(reason, Reason::Truncated | Reason::Corrupt), "{end} of {}: {reason}", file.len());
        }
    }
}

/// Tests a file with the size and content of a poster that was cut off: cameras and web servers
/// leave such files when a transfer breaks and something closes the file.
#[test]
fn truncated_files_with_an_end_marker_are_refused_too() {
    let (w, h) = (230, 345);
    let mut noisy = pixels(1, w, h);
    noisy.iter_mut().enumerate().for_each(|(i, v)| *v = v.wrapping_add((i * 7919 % 31) as u8));
    // The last fifth is plain, as the end of many posters is.
    let plain = noisy.len() * 4 / 5;
    noisy[plain..].fill(0);
    for (pixels, progressive, sampling, restarts) in [
        (&pixels(1, w, h), false, SamplingFactor::F_2_2, None),
        (&pixels(1, w, h), true, SamplingFactor::F_2_2, None),
        (&noisy, false, SamplingFactor::F_2_2, None),
        (&noisy, false, SamplingFactor::F_1_1, Some(4)),
        (&noisy, true, SamplingFactor::F_1_1, None),
    ] {
        let file = encode(pixels, w, h, ColorType::Rgb, |e| {
            e.set_progressive(progressive);
            e.set_sampling_factor(sampling);
            e.set_optimized_huffman_tables(progressive);
            if let Some(every) = restarts {
                e.set_restart_interval(every);
            }
        });
        let spec = ImageSpec { height: usize::from(h), width: usize::from(w) };
        decode(&file, spec).expect("the whole file");
        for percent in 1..100 {
            let cut = &file[..file.len() * percent / 100];
            let closed = [cut, b"\xFF\xD9"].concat();
            for bytes in [cut, &closed] {
                let result = decode(bytes, spec).map_err(|refusal| refusal.reason);
                let what = format!("{percent} % of {}, progressive {progressive}, {sampling:?}", file.len());
                match result {
                    Err(Reason::Truncated | Reason::Corrupt) => {}
                    Err(other) => panic!("{what}: {other}"),
                    Ok(_) => panic!("{what}: accepted, closed {}", bytes.len() > cut.len()),
                }
            }
        }
    }
}

#[test]
fn padding_between_headers_is_forgiven_but_not_what_follows_it() {
    let mut file = jpeg(1, W, H);
    let whole = decode(&file, SAME).unwrap();
    let at = marker(&file, 0xDB);
    file.splice(at..at, [0; 9]);
    assert_eq!(decode(&file, SAME).unwrap(), whole);
    assert!(decode(&file[..file.len() * 2 / 3], SAME).is_err());
}

#[test]
fn damage_anywhere_never_panics() {
    let file = jpeg(5, W, H);
    let mut decoder = Decoder::new();
    let mut out = vec![0; SAME.bytes()];
    for at in 0..file.len() {
        for byte in [0, 0xFF, file[at] ^ 0x10] {
            let mut file = file.clone();
            file[at] = byte;
            if let Err(refusal) = decoder.decode_bytes(&file, SAME, &mut out) {
                assert!(!refusal.to_string().contains('\n'));
            }
        }
    }
    decoder.decode_bytes(&file, SAME, &mut out).unwrap();
    assert_eq!(out, decode(&file, SAME).unwrap(), "buffers carry nothing over");
}

#[test]
fn only_regular_files_are_opened() {
    let folder = tempfile::tempdir().unwrap();
    let mut out = vec![0; SAME.bytes()];
    let mut read = |path: &Path| Decoder::new().decode_poster(path, SAME, &mut out);
    assert_eq!(read(folder.path()).unwrap_err().reason, Reason::NotAFile);
    assert_eq!(read(&folder.path().join("1.jpg")).unwrap_err().reason, Reason::Unreadable);
    let file = folder.path().join("2.jpg");
    std::fs::write(&file, jpeg(1, W, H)).unwrap();
    read(&file).unwrap();
    #[cfg(unix)]
    {
        let link = |to: &Path, name: &str| {
            let link = folder.path().join(name);
            std::os::unix::fs::symlink(to, &link).unwrap();
            link
        };
        read(&link(&file, "3.jpg")).unwrap();
        assert_eq!(read(&link(Path::new("/dev/zero"), "4.jpg")).unwrap_err().reason, Reason::NotAFile);
    }
    let large = std::fs::File::create(folder.path().join("5.jpg")).unwrap();
    large.set_len((64 << 20) + 1).unwrap();
    assert_eq!(read(&folder.path().join("5.jpg")).unwrap_err().reason, Reason::FileTooLarge);
}

/// Resizes bilinearly with half-pixel centres, in f64, as TensorFlow defines it.
fn bilinear(rgb: &[u8], width: usize, height: usize, spec: ImageSpec) -> Vec<u8> {
    let near = |to: usize, from_size: usize, to_size: usize| {
        let centre = (to as f64 + 0.5) * from_size as f64 / to_size as f64 - 0.5;
        let clamp = |at: f64| at.clamp(0.0, from_size as f64 - 1.0) as usize;
        (clamp(centre.floor()), clamp(centre.floor() + 1.0), centre - centre.floor())
    };
    let mut out = Vec::new();
    for y in 0..spec.height {
        for x in 0..spec.width {
            let (left, right, fx) = near(x, width, spec.width);
            let (top, bottom, fy) = near(y, height, spec.height);
            for c in 0..3 {
                let at = |x: usize, y: usize| f64::from(rgb[(y * width + x) * 3 + c]);
                let row = |y: usize| at(left, y) * (1.0 - fx) + at(right, y) * fx;
                out.push((row(top) * (1.0 - fy) + row(bottom) * fy).round() as u8);
            }
        }
    }
    out
}

#[test]
fn resizes_bilinearly_without_antialiasing() {
    for (width, height) in [(40, 56), (256, 256), (300, 444), (1, 1), (7, 1000)] {
        let noise: Vec<u8> =
            (0..width * height * 3).map(|i| (i as u32).wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect();
        let mut out = vec![0; ImageSpec::POSTER.bytes()];
        resize(&noise, width, height, ImageSpec::POSTER, &mut out);
        let (max, _) = distance(&out, &bilinear(&noise, width, height, ImageSpec::POSTER));
        assert!(max <= 1, "{width}x{height}: off by {max}");
    }
}

#[test]
fn refusals_are_counted_by_reason() {
    let refusals = [
        ("2.jpg".to_owned(), decode(&jpeg(1, W, H)[..300], SAME).unwrap_err()),
        ("1.jpg".to_owned(), decode(b"\x89PNG\r\n\x1A\n", SAME).unwrap_err()),
        ("3.jpg".to_owned(), decode(&jpeg(1, W, H)[..300], SAME).unwrap_err()),
    ];
    let ledger = Refusal::ledger(refusals.iter().map(|(name, refusal)| (name.clone(), refusal)));
    assert_eq!(ledger.count("posters refused (PNG file, not JPEG)"), 1);
    assert_eq!(ledger.count("posters refused (truncated)"), 2);
    assert_eq!(ledger.entries()[1].names, ["2.jpg", "3.jpg"]);
}
