//! What a file is: told by its content, never by its name; images without their metadata, photos turned upright.

use std::io::Cursor;

use bytes::Bytes;
use image::{
    DynamicImage, ImageDecoder, ImageEncoder, ImageFormat, ImageReader, Limits,
    codecs::{jpeg::JpegEncoder, png::PngEncoder, webp::WebPEncoder},
    metadata::Orientation,
};

use super::{model::Refusal, strip, zip};
use crate::crypto;

/// Pixels of an image: those of today's phones and some more.
const PIXELS: u64 = 50_000_000;
/// Memory that decoding may take: such an image in colour, with transparency, and what the decoder needs.
const MEMORY: u64 = PIXELS * 4 + 64 * 1024 * 1024;
/// Of photos that had to be turned.
const QUALITY: u8 = 90;

/// A file that may be attached, as it is stored.
#[derive(Debug)]
pub struct Content {
    pub bytes: Bytes,
    pub media_type: &'static str,
    pub size: Option<(u32, u32)>,
    pub sha256: [u8; 32],
}

/// What may be attached: by content, how it is called, its extensions (the first is given to files without a fitting one).
const TYPES: &[(&str, &str, &[&str])] = &[
    ("image/jpeg", "image/jpeg", &["jpg", "jpeg"]),
    ("image/png", "image/png", &["png"]),
    ("image/webp", "image/webp", &["webp"]),
    ("application/pdf", "application/pdf", &["pdf"]),
    ("audio/mpeg", "audio/mpeg", &["mp3"]),
    ("audio/m4a", "audio/mp4", &["m4a", "mp4"]),
    ("video/mp4", "audio/mp4", &["m4a", "mp4"]),
    ("audio/aac", "audio/aac", &["aac"]),
    ("audio/amr", "audio/amr", &["amr"]),
];

/// The extension that a file name of this type lacks.
pub fn extension(media_type: &str, name: &str) -> Option<&'static str> {
    let (_, known) = name.rsplit_once('.').unwrap_or_default();
    let fitting: &[&str] = match TYPES.iter().find(|(_, called, _)| *called == media_type) {
        Some((.., extensions)) => extensions,
        None if media_type.ends_with("sheet") => &["xlsx"],
        None => &["docx"],
    };
    if fitting.iter().any(|fitting| fitting.eq_ignore_ascii_case(known)) { None } else { fitting.first().copied() }
}

/// `image`, `audio` or `document`; declared types agree in this, because phones are vague in the rest.
fn kind(media_type: &str) -> &'static str {
    match media_type.split('/').next() {
        Some("image") => "image",
        Some("audio" | "video") => "audio",
        _ => "document",
    }
}

fn media_type(bytes: &[u8]) -> Result<&'static str, Refusal> {
    if bytes.starts_with(b"PK\x03\x04") {
        return zip::document(bytes);
    }
    // Layer III at low rates, as recordings have it, which `infer` does not know.
    if matches!(bytes, [0xFF, 0xE2 | 0xE3 | 0xF2 | 0xF3 | 0xFA, ..]) {
        return Ok("audio/mpeg");
    }
    let found = infer::get(bytes).ok_or(Refusal::TypeNotAllowed)?.mime_type();
    let (_, called, _) = TYPES.iter().find(|(by_content, ..)| *by_content == found).ok_or(Refusal::TypeNotAllowed)?;
    // The container of recordings is that of films, too.
    let film =
        *called == "audio/mp4" && bytes.windows(16).any(|box_| box_.starts_with(b"hdlr") && box_.ends_with(b"vide"));
    if film { Err(Refusal::TypeNotAllowed) } else { Ok(called) }
}

/// Looks at a file. Takes a second and hundreds of megabytes for the largest photos: in turn, on a thread of its own.
pub fn look(bytes: Vec<u8>, declared: Option<&str>) -> Result<Content, Refusal> {
    if bytes.is_empty() {
        return Err(Refusal::Empty);
    }
    let media_type = media_type(&bytes)?;
    let vague = |declared: &&str| !matches!(*declared, "application/octet-stream" | "multipart/form-data" | "");
    if declared.filter(vague).is_some_and(|declared| kind(declared) != kind(media_type)) {
        return Err(Refusal::TypeMismatch);
    }
    let (bytes, size) = match kind(media_type) {
        "image" => upright(media_type, bytes).map(|(bytes, size)| (bytes, Some(size)))?,
        _ => (bytes, None),
    };
    let sha256 = crypto::digest(&bytes);
    Ok(Content { bytes: bytes.into(), media_type, size, sha256 })
}

fn format(media_type: &str) -> ImageFormat {
    match media_type {
        "image/png" => ImageFormat::Png,
        "image/webp" => ImageFormat::WebP,
        _ => ImageFormat::Jpeg,
    }
}

/// The image without metadata. Its pixels are only touched when they lie on their side, which the metadata said.
fn upright(media_type: &str, bytes: Vec<u8>) -> Result<(Vec<u8>, (u32, u32)), Refusal> {
    let format = format(media_type);
    let mut reader = ImageReader::with_format(Cursor::new(&bytes), format);
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(MEMORY);
    reader.limits(limits.clone());
    let mut decoder = reader.into_decoder().map_err(|_| Refusal::Broken)?;
    let (width, height) = decoder.dimensions();
    if u64::from(width) * u64::from(height) > PIXELS {
        return Err(Refusal::TooManyPixels);
    }
    if width == 0 || height == 0 {
        return Err(Refusal::Broken);
    }
    let turned = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    if turned == Orientation::NoTransforms {
        return Ok((strip::strip(media_type, &bytes).ok_or(Refusal::Broken)?, (width, height)));
    }
    decoder.set_limits(limits).map_err(|_| Refusal::Broken)?;
    let profile = decoder.icc_profile().unwrap_or_default();
    let mut image = DynamicImage::from_decoder(decoder).map_err(|_| Refusal::Broken)?;
    drop(bytes);
    image.apply_orientation(turned);
    let size = (image.width(), image.height());
    Ok((encode(format, &image, profile).ok_or(Refusal::Broken)?, size))
}

fn encode(format: ImageFormat, image: &DynamicImage, profile: Option<Vec<u8>>) -> Option<Vec<u8>> {
    fn with(mut encoder: impl ImageEncoder, image: &DynamicImage, profile: Option<Vec<u8>>) -> Option<()> {
        if let Some(profile) = profile {
            // Without it colours are a little off, which is no reason to refuse the photo.
            let _ = encoder.set_icc_profile(profile);
        }
        image.write_with_encoder(encoder).ok()
    }
    let mut out = Vec::new();
    match format {
        ImageFormat::Png => with(PngEncoder::new(&mut out), image, profile)?,
        ImageFormat::WebP => {
            let image = DynamicImage::from(image.to_rgba8());
            with(WebPEncoder::new_lossless(&mut out), &image, profile)?;
        }
        _ => with(JpegEncoder::new_with_quality(&mut out, QUALITY), image, profile)?,
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use image::{Rgb, RgbImage};

    use super::*;

    fn refused(bytes: &[u8], declared: Option<&str>) -> Refusal {
        look(bytes.to_vec(), declared).expect_err("refused")
    }

    fn image(format: ImageFormat) -> Vec<u8> {
        let mut out = Cursor::new(Vec::new());
        let image = RgbImage::from_fn(8, 4, |x, _| if x < 4 { Rgb([250, 0, 0]) } else { Rgb([0, 0, 250]) });
        DynamicImage::from(image).write_to(&mut out, format).expect("encodes");
        out.into_inner()
    }

    #[test]
    fn what_it_is_not_what_it_is_called() {
        for (bytes, declared, expected) in [
            (&b""[..], None, Refusal::Empty),
            (b"#!/bin/sh", Some("image/jpeg"), Refusal::TypeNotAllowed),
            (b"<html><script>", Some("application/pdf"), Refusal::TypeNotAllowed),
            (b"MZ\x90\x00", None, Refusal::TypeNotAllowed),
            (b"GIF89a\x01\x00\x01\x00", Some("image/gif"), Refusal::TypeNotAllowed),
            (b"%PDF-1.7 x", Some("image/jpeg"), Refusal::TypeMismatch),
            (b"\xFF\xD8\xFF\xE0 and nothing", Some("image/jpeg"), Refusal::Broken),
            (b"\0\0\0\x18ftypmp42\0\0\0\0hdlr\0\0\0\0\0\0\0\0vide", Some("video/mp4"), Refusal::TypeNotAllowed),
        ] {
            assert_eq!(refused(bytes, declared), expected, "{}", String::from_utf8_lossy(bytes));
        }
        for (bytes, declared, expected) in [
            (&b"%PDF-1.7 x"[..], Some("application/octet-stream"), "application/pdf"),
            (b"#!AMR\n and sound", None, "audio/amr"),
            (b"\xFF\xF3\x44\x00", Some("audio/mp3"), "audio/mpeg"),
            (b"\0\0\0\x18ftypmp42\0\0\0\0hdlr\0\0\0\0\0\0\0\0soun", Some("video/mp4"), "audio/mp4"),
        ] {
            let found = look(bytes.to_vec(), declared).expect(expected);
            assert_eq!((found.media_type, found.size, &found.bytes[..]), (expected, None, bytes));
        }
    }

    #[test]
    fn images_keep_their_pixels() {
        for (format, called) in
            [(ImageFormat::Jpeg, "image/jpeg"), (ImageFormat::Png, "image/png"), (ImageFormat::WebP, "image/webp")]
        {
            let bytes = image(format);
            let found = look(bytes.clone(), Some("image/jpeg")).expect(called);
            assert_eq!((found.media_type, found.size), (called, Some((8, 4))));
            let (before, after) = (image::load_from_memory(&bytes), image::load_from_memory(&found.bytes));
            assert_eq!(before.expect("an image"), after.expect("an image"));
        }
    }

    #[test]
    fn a_bomb_of_pixels_is_known_by_its_header() {
        let mut png = image(ImageFormat::Png);
        png[16..24].copy_from_slice(&[0, 0, 0xFF, 0xFF, 0, 0, 0xFF, 0xFF]);
        // The decoder checks the header's sum before it believes it.
        let mut crc = u32::MAX;
        for byte in &png[12..29] {
            crc ^= u32::from(*byte);
            for _ in 0..8 {
                crc = if crc & 1 == 1 { (crc >> 1) ^ 0xEDB8_8320 } else { crc >> 1 };
            }
        }
        png[29..33].copy_from_slice(&(!crc).to_be_bytes());
        assert_eq!(refused(&png, None), Refusal::TooManyPixels);
    }

    #[test]
    fn names_get_the_extension_that_they_lack() {
        assert_eq!(extension("image/jpeg", "照片.JPG"), None);
        assert_eq!(extension("image/jpeg", "photo.exe"), Some("jpg"));
        assert_eq!(extension("audio/mp4", "voice"), Some("m4a"));
    }
}
