//! Takes everything out of an image that is not needed to show it: place, time, device, thumbnails, what follows the end.
//!
//! By lists of what stays, so that a kind of metadata nobody thought of goes too. The picture itself is copied as it is.

/// The image without its metadata; none if it is broken.
pub fn strip(media_type: &str, bytes: &[u8]) -> Option<Vec<u8>> {
    match media_type {
        "image/jpeg" => jpeg(bytes),
        "image/png" => png(bytes),
        "image/webp" => webp(bytes),
        _ => None,
    }
}

/// ITU T.81 annex B. Segments up to each start of scan, then its data up to the next marker that is neither stuffing nor restart.
fn jpeg(bytes: &[u8]) -> Option<Vec<u8>> {
    const EOI: u8 = 0xD9;
    const SOS: u8 = 0xDA;
    let mut out = Vec::with_capacity(bytes.len());
    out.extend_from_slice(bytes.get(..2).filter(|start| *start == [0xFF, 0xD8])?);
    let mut at = 2;
    loop {
        while *bytes.get(at + 1)? == 0xFF {
            at += 1;
        }
        let (flag, marker) = (*bytes.get(at)?, *bytes.get(at + 1)?);
        if flag != 0xFF {
            return None;
        }
        if marker == EOI {
            // What a phone puts behind the end: a film, a second picture with its own metadata.
            out.extend_from_slice(&[0xFF, EOI]);
            return Some(out);
        }
        let length = usize::from(u16::from_be_bytes([*bytes.get(at + 2)?, *bytes.get(at + 3)?]));
        let segment = bytes.get(at..at + 2 + length).filter(|_| length >= 2)?;
        let body = &segment[4..];
        let stays = match marker {
            0xE0 => body.starts_with(b"JFIF\0"),
            0xE2 => body.starts_with(b"ICC_PROFILE\0"),
            0xEE => body.starts_with(b"Adobe"),
            // Frames, tables, restart interval, scans.
            0xC0..=0xCF | SOS..=0xDF => true,
            _ => false,
        };
        if stays {
            out.extend_from_slice(segment);
        }
        at += 2 + length;
        if marker == SOS {
            let rest = bytes.get(at..)?;
            let data = rest.windows(2).position(|two| two[0] == 0xFF && !matches!(two[1], 0 | 0xD0..=0xD7 | 0xFF))?;
            out.extend_from_slice(&rest[..data]);
            at += data;
        }
    }
}

/// PNG 3rd edition, with animation.
fn png(bytes: &[u8]) -> Option<Vec<u8>> {
    const STAYS: &[&[u8; 4]] = &[
        b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"sBIT", b"bKGD", b"pHYs",
        b"cICP", b"acTL", b"fcTL", b"fdAT",
    ];
    let mut out = bytes.get(..8).filter(|start| *start == b"\x89PNG\r\n\x1a\n")?.to_vec();
    let mut at = 8;
    loop {
        let length = u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?) as usize;
        let chunk = bytes.get(at..at.checked_add(length)?.checked_add(12)?)?;
        let name: &[u8; 4] = chunk[4..].first_chunk()?;
        if STAYS.contains(&name) {
            out.extend_from_slice(chunk);
        }
        if name == b"IEND" {
            return Some(out);
        }
        at += length + 12;
    }
}

/// RFC 9649. The flags of the extended header say what stays.
fn webp(bytes: &[u8]) -> Option<Vec<u8>> {
    const STAYS: &[&[u8; 4]] = &[b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF", b"ICCP"];
    const EXIF_AND_XMP: u8 = 0b0000_1100;
    bytes.get(..12).filter(|start| start.starts_with(b"RIFF") && start.ends_with(b"WEBP"))?;
    let size = u32::from_le_bytes(*bytes[4..].first_chunk()?) as usize;
    let all = bytes.get(..size.checked_add(8)?)?;
    let (mut out, mut at) = (b"RIFF\0\0\0\0WEBP".to_vec(), 12);
    while at < all.len() {
        let length = u32::from_le_bytes(*all.get(at + 4..)?.first_chunk()?) as usize;
        let padded = length.checked_add(length % 2)?;
        let chunk = all.get(at..at.checked_add(8)?.checked_add(padded)?)?;
        let name: &[u8; 4] = chunk.first_chunk()?;
        if STAYS.contains(&name) {
            let start = out.len();
            out.extend_from_slice(chunk);
            if name == b"VP8X" && length > 0 {
                out[start + 8] &= !EXIF_AND_XMP;
            }
        }
        at += 8 + padded;
    }
    let size = u32::try_from(out.len() - 8).ok()?;
    out[4..8].copy_from_slice(&size.to_le_bytes());
    Some(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_follows_the_end_goes() {
        let jpeg = b"\xFF\xD8\xFF\xE1\x00\x06GPSx\xFF\xDA\x00\x02\x01\xFF\x00\xFF\xD0\x02\xFF\xD9\xFF\xD8\xFF\xE1again";
        assert_eq!(
            strip("image/jpeg", jpeg).as_deref(),
            Some(&b"\xFF\xD8\xFF\xDA\x00\x02\x01\xFF\x00\xFF\xD0\x02\xFF\xD9"[..])
        );
        let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
        for (name, body) in [(b"IHDR", &b"x"[..]), (b"eXIf", b"place"), (b"tEXt", b"who"), (b"IEND", b"")] {
            png.extend_from_slice(&(body.len() as u32).to_be_bytes());
            png.extend_from_slice(name);
            png.extend_from_slice(body);
            png.extend_from_slice(b"crc!");
        }
        png.extend_from_slice(b"more");
        let stripped = strip("image/png", &png).expect("whole");
        assert_eq!(stripped.len(), 8 + 13 + 12);
    }

    proptest! {
        /// Whatever comes, it ends, and never grows.
        #[test]
        fn anything_may_come(start in 0..3usize, rest in proptest::collection::vec(any::<u8>(), 0..200)) {
            let starts: [(&str, &[u8]); 3] =
                [("image/jpeg", b"\xFF\xD8"), ("image/png", b"\x89PNG\r\n\x1a\n"), ("image/webp", b"RIFF\x40\0\0\0WEBP")];
            let (media_type, start) = starts[start];
            let bytes = [start, &rest].concat();
            if let Some(stripped) = strip(media_type, &bytes) {
                prop_assert!(stripped.len() <= bytes.len());
            }
        }
    }
}
