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
    for code in [0xC5, 0xC6, 0xDE] {
        assert_eq!(refused(&patched(1, code)), Reason::Hierarchical, "SOF {code:X}");
    }
    assert_eq!(refused(&patched(9, 2)), Reason::Corrupt, "a length for three colours");
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
fn large_images_must_do_with_the_memory_of_a_progressive_one_of_8_million_pixels() {
    let claiming = |side: u16, progressive: bool, factors: &[u8; 3]| {
        let file = encode(&pixels(1, W, H), W, H, ColorType::Rgb, |e| e.set_progressive(progressive));
        let mut file = resampled(&file, factors);
        let at = marker(&file, if progressive { 0xC2 } else { 0xC0 });
        file[at + 5..at + 7].copy_from_slice(&side.to_be_bytes());
        file[at + 7..at + 9].copy_from_slice(&side.to_be_bytes());
        refused(&file)
    };
    let (full, halved) = (&[0x11; 3], &[0x22, 0x11, 0x11]);
    // What is not too large fails the next check.
    for (side, progressive, factors, reason) in [
        (5200, false, full, Reason::TooFewBytes),
        (5300, false, full, Reason::TooManyPixels),
        (3000, true, full, Reason::TooFewBytes),
        (3100, true, full, Reason::TooManyPixels),
        (3700, true, halved, Reason::TooFewBytes),
        (3800, true, halved, Reason::TooManyPixels),
    ] {
        assert_eq!(claiming(side, progressive, factors), reason, "{side}, progressive {progressive}, {factors:X?}");
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

/// A segment: a marker, its length, its content.
fn segment(code: u8, content: &[u8]) -> Vec<u8> {
    [&[0xFF, code][..], &(content.len() as u16 + 2).to_be_bytes(), content].concat()
}

/// The file with other bytes put in at a place.
fn inserted(file: &[u8], at: usize, bytes: &[u8]) -> Vec<u8> {
    [&file[..at], bytes, &file[at..]].concat()
}

fn adobe(transform: u8) -> Vec<u8> {
    segment(0xEE, &[b"Adobe\0\x64\0\0\0\0", &[transform][..]].concat())
}

/// A file without its segments of the kind `code`.
fn without(file: &[u8], code: u8) -> Vec<u8> {
    let mut file = file.to_vec();
    while let Some(at) = file.windows(2).position(|pair| pair == [0xFF, code]) {
        let length = usize::from(u16::from_be_bytes([file[at + 2], file[at + 3]]));
        file.drain(at..at + 2 + length);
    }
    file
}

/// The file with other sampling factors in its frame, as 0x21 for two blocks side by side.
fn resampled(file: &[u8], factors: &[u8]) -> Vec<u8> {
    let mut file = file.to_vec();
    let at = file.windows(2).position(|pair| matches!(pair, [0xFF, 0xC0 | 0xC2])).unwrap();
    for (component, &factor) in file[at + 10..].as_chunks_mut::<3>().0.iter_mut().zip(factors) {
        component[1] = factor;
    }
    file
}

#[test]
fn every_usual_sampling_is_shown_in_one_scan_and_in_progressive_ones() {
    use SamplingFactor::{F_1_1, F_1_2, F_1_4, F_2_1, F_2_2, F_2_4, F_4_1, F_4_2};
    let rgb = pixels(3, W, H);
    for sampling in [F_1_1, F_2_1, F_1_2, F_2_2, F_4_1, F_1_4, F_4_2, F_2_4] {
        for progressive in [false, true] {
            let file = encode(&rgb, W, H, ColorType::Rgb, |e| {
                e.set_sampling_factor(sampling);
                e.set_progressive(progressive);
            });
            match decode(&file, SAME) {
                Ok(out) => {
                    let (max, mean) = distance(&out, &rgb);
                    assert!(max <= 40 && mean < 4.0, "{sampling:?}, progressive {progressive}: {max}, {mean}");
                }
                // The encoder interleaves only some samplings.
                Err(refusal) => {
                    assert_eq!((refusal.reason, progressive), (Reason::SeveralScans, false), "{sampling:?}")
                }
            }
        }
    }
}

#[test]
fn sequential_files_with_several_scans_are_refused_by_name() {
    let rgb = pixels(1, W, H);
    // This encoder writes a scan for each colour where it counts the codes first, and where a colour
    // is quartered.
    for (sampling, optimised, restarts) in [
        (SamplingFactor::F_1_1, true, 0),
        (SamplingFactor::F_2_2, true, 0),
        (SamplingFactor::F_4_1, false, 0),
        (SamplingFactor::F_4_1, false, 3),
    ] {
        let file = encode(&rgb, W, H, ColorType::Rgb, |e| {
            e.set_optimized_huffman_tables(optimised);
            e.set_sampling_factor(sampling);
            e.set_restart_interval(restarts);
        });
        assert_eq!(refused(&file), Reason::SeveralScans, "{sampling:?}, restarts {restarts}");
    }
    let file = jpeg(1, W, H);
    let (scan, end) = (marker(&file, 0xDA), file.len() - 2);
    assert_eq!(refused(&inserted(&file, end, &file[scan..end])), Reason::SeveralScans, "the same scan once more");
    assert!(decode(&[&file, &file[scan..]].concat(), SAME).is_ok(), "a scan behind the end is none");
}

#[test]
fn samplings_that_the_decoder_confuses_are_refused_by_name() {
    let file = jpeg(1, W, H);
    for factors in [
        [0x11, 0x22, 0x11],
        [0x11, 0x11, 0x21],
        [0x21, 0x12, 0x11],
        [0x12, 0x22, 0x11],
        [0x31, 0x11, 0x11],
        [0x14, 0x12, 0x12],
        [0x22, 0x41, 0x11],
        [0x42, 0x21, 0x11],
    ] {
        assert_eq!(refused(&resampled(&file, &factors)), Reason::Sampling, "{factors:X?}");
    }
    let refusal = decode(&resampled(&file, &[0x11, 0x22, 0x11]), SAME).unwrap_err();
    assert_eq!(refusal.to_string(), "unusual sampling: 1x1,2x2,1x1");
    for factors in [[0x01, 0x11, 0x11], [0x11, 0x15, 0x11]] {
        assert_eq!(refused(&resampled(&file, &factors)), Reason::Corrupt, "{factors:X?}");
    }
    // libjpeg-turbo does not interpolate between two colours.
    for (width, reason) in [(4, Some(Reason::Sampling)), (5, None)] {
        let narrow = encode(&pixels(1, width, 9), width, 9, ColorType::Rgb, |e| {
            e.set_sampling_factor(SamplingFactor::F_2_1);
        });
        assert_eq!(decode(&narrow, SAME).err().map(|refusal| refusal.reason), reason, "{width} pixels wide");
    }
    let grey: Vec<u8> = pixels(1, W, H).iter().step_by(3).copied().collect();
    let grey = encode(&grey, W, H, ColorType::Luma, |_| {});
    let plain = decode(&grey, SAME).unwrap();
    assert_eq!(
        decode(&resampled(&grey, &[0x22]), SAME).unwrap(),
        plain,
        "the only component has no other to differ from"
    );
}

#[test]
fn colour_markers_that_disagree_are_read_as_libjpeg_turbo_reads_them() {
    // The encoder takes these for YCbCr and stores them as they are.
    let stored = pixels(2, W, H);
    let jfif = encode(&stored, W, H, ColorType::Ycbcr, |_| {});
    let bare = without(&jfif, 0xE0);
    let with_ids = |file: &[u8], ids: &[u8; 3]| {
        let mut file = file.to_vec();
        let (frame, scan) = (marker(&file, 0xC0), marker(&file, 0xDA));
        for (at, &id) in ids.iter().enumerate() {
            file[frame + 10 + 3 * at] = id;
            file[scan + 5 + 2 * at] = id;
        }
        file
    };
    let marked = |file: &[u8], transform| inserted(file, 2, &adobe(transform));
    let ycbcr = decode(&jfif, SAME).unwrap();
    assert!(distance(&ycbcr, &stored).1 > 20.0, "the two readings differ");
    for (file, what) in [
        (bare.clone(), "no marker"),
        (marked(&jfif, 0), "JFIF and Adobe's RGB"),
        (marked(&jfif, 1), "JFIF and Adobe's YCbCr"),
        (marked(&bare, 1), "Adobe's YCbCr"),
        (marked(&bare, 2), "YCCK of three"),
        (marked(&bare, 7), "a number that Adobe does not have"),
        (with_ids(&jfif, b"RGB"), "JFIF and the ids of RGB"),
        (with_ids(&marked(&bare, 1), b"RGB"), "Adobe's YCbCr and the ids of RGB"),
        (with_ids(&bare, &[0, 1, 2]), "ids from 0"),
        (with_ids(&bare, &[5, 5, 5]), "ids that are all the same"),
        (inserted(&marked(&bare, 0), 2, &segment(0xE0, b"JFIF\0\x01\x01\0\0\x01\0\x01\0\0")), "JFIF is first"),
    ] {
        assert!(decode(&file, SAME).unwrap() == ycbcr, "{what}: not as YCbCr");
    }
    for (file, what) in [
        (marked(&bare, 0), "Adobe's RGB"),
        (with_ids(&bare, b"RGB"), "the ids of RGB"),
        (with_ids(&marked(&bare, 0), b"RGB"), "both"),
    ] {
        assert_close(&decode(&file, SAME).unwrap(), &stored, what);
    }

    let inks: Vec<u8> = stored.as_chunks::<3>().0.iter().flat_map(|&[a, b, c]| [a, b, c, 30]).collect();
    let cmyk = encode(&inks, W, H, ColorType::Cmyk, |_| {});
    let bare = without(&cmyk, 0xEE);
    let shown = decode(&cmyk, SAME).unwrap();
    assert!(decode(&bare, SAME).unwrap() == shown, "four colours without a marker are CMYK");
    let ycck = decode(&marked(&bare, 2), SAME).unwrap();
    assert!(distance(&ycck, &shown).1 > 20.0, "the two readings differ");
    assert!(decode(&marked(&bare, 1), SAME).unwrap() == ycck, "any transform of four colours is YCCK");

    let grey = encode(&stored[..usize::from(W) * usize::from(H)], W, H, ColorType::Luma, |_| {});
    let shown = decode(&grey, SAME).unwrap();
    for at in [2, marker(&grey, 0xDA)] {
        assert!(decode(&inserted(&grey, at, &adobe(0)), SAME).unwrap() == shown, "grey, marked at {at}");
    }
}

#[test]
fn what_stands_beside_the_image_changes_neither_pixels_nor_verdict() {
    let rgb = pixels(4, W, H);
    let thumbnail = jpeg(9, 16, 16);
    for progressive in [false, true] {
        let file = encode(&rgb, W, H, ColorType::Rgb, |e| e.set_progressive(progressive));
        let whole = decode(&file, SAME).unwrap();
        // An orientation that turns nothing, and a thumbnail with an end marker of its own.
        let exif = segment(0xE1, &[b"Exif\0\0", &exif(1)[..], &thumbnail].concat());
        let (scan, end) = (marker(&file, 0xDA), file.len() - 2);
        for (bytes, what) in [
            (inserted(&file, 2, &exif), "EXIF"),
            (file[..end].to_vec(), "no end marker"),
            (inserted(&file[..end], 2, &exif), "EXIF, no end marker"),
            (inserted(&file[..end], 2, &exif).into_iter().chain([0xFF]).collect(), "half an end marker"),
            ([&file, &b"more"[..]].concat(), "bytes after the end"),
            ([&file, &thumbnail[..]].concat(), "a second image after the end"),
            ([&file[..end], &thumbnail[..]].concat(), "a second image in place of the end"),
            (inserted(&file, end, &segment(0xFE, b"before the end")), "a comment before the end"),
            (inserted(&file, scan, b"\0stray\xFF\0bytes"), "stray bytes"),
            (inserted(&file, scan, &[0xFF; 9]), "fill bytes"),
            (inserted(&file, scan, &[0xFF, 0xD3, 0xFF, 0x01]), "markers that stand alone"),
        ] {
            assert!(decode(&bytes, SAME).unwrap() == whole, "{what}, progressive {progressive}");
        }
        // The cut is noticed whatever stands in front of it and behind it.
        let cut = &file[..file.len() * 3 / 4];
        for bytes in [cut.to_vec(), inserted(cut, 2, &exif), [&inserted(cut, 2, &exif), &thumbnail[..]].concat()] {
            assert!(matches!(refused(&bytes), Reason::Truncated | Reason::Corrupt), "progressive {progressive}");
        }
    }
}

#[test]
fn the_last_bytes_of_a_file_are_missed() {
    let file = jpeg(1, W, H);
    for lost in 1..=12 {
        let cut = &file[..file.len() - 2 - lost];
        for bytes in [cut, &[cut, b"\xFF\xD9"].concat()] {
            assert!(matches!(refused(bytes), Reason::Truncated | Reason::Corrupt), "{lost} bytes");
        }
    }
}

#[test]
fn progressive_files_without_all_their_scans_are_refused() {
    let file = encode(&pixels(1, W, H), W, H, ColorType::Rgb, |e| e.set_progressive(true));
    let at: Vec<usize> = (0..file.len() - 1).filter(|&at| file[at..at + 2] == [0xFF, 0xDA]).collect();
    assert!(at.len() > 4, "{} scans", at.len());
    for &scan in &at[1..] {
        assert_eq!(refused(&[&file[..scan], b"\xFF\xD9"].concat()), Reason::Truncated, "ends before that at {scan}");
    }
    for pair in at.windows(2) {
        let lacks = [&file[..pair[0]], &file[pair[1]..]].concat();
        assert!(matches!(refused(&lacks), Reason::Truncated | Reason::Corrupt), "lacks that at {}", pair[0]);
    }
    for pair in at.windows(2) {
        // All scans but the first: the decoder wants that to end with a marker at once.
        let emptied = [&file[..pair[1] - 6], &file[pair[1]..]].concat();
        if pair[0] != at[0] {
            assert!(matches!(refused(&emptied), Reason::Truncated | Reason::Corrupt), "cut off: that at {}", pair[0]);
        }
    }
    let tables = marker(&file, 0xDB);
    let length = usize::from(u16::from_be_bytes([file[tables + 2], file[tables + 3]]));
    let late = inserted(&file, at[1], &file[tables..tables + 2 + length]);
    assert_eq!(refused(&late), Reason::LateTables);
}

#[test]
fn restart_markers_must_count_on() {
    let file = encode(&pixels(1, W, H), W, H, ColorType::Rgb, |e| e.set_restart_interval(2));
    let whole = decode(&file, SAME).unwrap();
    assert!(distance(&whole, &pixels(1, W, H)).1 < 2.5);
    let at = marker(&file, 0xD3);
    let mut skipped = file.clone();
    skipped[at + 1] = 0xD4;
    assert_eq!(refused(&skipped), Reason::Corrupt);
    assert_eq!(refused(&without(&file, 0xDD)), Reason::Corrupt, "restarts without an interval");
    let plain = jpeg(1, W, H);
    assert_eq!(refused(&inserted(&plain, plain.len() / 2 + 200, &[0xFF, 0xD0])), Reason::Corrupt);
}

#[test]
fn files_without_huffman_tables_have_those_of_the_standard() {
    let rgb = pixels(1, W, H);
    let file = encode(&rgb, W, H, ColorType::Rgb, |e| e.set_optimized_huffman_tables(false));
    assert!(decode(&without(&file, 0xC4), SAME).unwrap() == decode(&file, SAME).unwrap());
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
    let rgb = pixels(5, W, H);
    let progressive = encode(&rgb, W, H, ColorType::Rgb, |e| e.set_progressive(true));
    let restarts = encode(&rgb, W, H, ColorType::Rgb, |e| e.set_restart_interval(2));
    let turned = inserted(&restarts, 2, &segment(0xE1, &[b"Exif\0\0", &exif(6)[..]].concat()));
    let mut decoder = Decoder::new();
    let mut out = vec![0; SAME.bytes()];
    for file in [jpeg(5, W, H), progressive, turned] {
        for at in 0..file.len() {
            for byte in [0, 0xFF, file[at] ^ 0x10] {
                let mut file = file.clone();
                file[at] = byte;
                if let Err(refusal) = decoder.decode_bytes(&file, SAME, &mut out) {
                    assert!(!refusal.to_string().contains('\n'));
                }
            }
            let _ = decoder.decode_bytes(&file[..at], SAME, &mut out);
        }
        decoder.decode_bytes(&file, SAME, &mut out).unwrap();
        assert_eq!(out, decode(&file, SAME).unwrap(), "buffers carry nothing over");
    }
}

#[test]
fn only_regular_files_are_opened() {
    let folder = tempfile::tempdir().unwrap();
    let mut out = vec![0; SAME.bytes()];
    let mut read = |path: &Path| Decoder::new().decode_poster(path, SAME, &mut out).unwrap();
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
