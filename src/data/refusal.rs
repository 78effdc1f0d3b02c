//! Why a poster is left out: a value that is counted, stored in the cache and shown, not an error that ends a run.

use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::data::ledger::Ledger;
use crate::error::Error;

/// Why a poster is left out. The names ([`fmt::Display`]) are counted by and do not change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The system does not let it be read.
    Unreadable,
    /// A folder, pipe, socket or device, or a link to one.
    NotAFile,
    /// No bytes at all.
    Empty,
    /// More than 64 MiB.
    FileTooLarge,
    /// A PNG file with another name.
    Png,
    /// A GIF file with another name.
    Gif,
    /// A WebP file with another name.
    WebP,
    /// A web page with another name: mostly an error page that was saved as a poster.
    Html,
    /// Something else that does not start as a JPEG file does.
    OtherFormat,
    /// A JPEG file with arithmetic coding.
    Arithmetic,
    /// A lossless JPEG file.
    Lossless,
    /// A JPEG file with 12 or 16 bits a sample.
    Precision,
    /// A JPEG file with other than 1, 3 or 4 colours.
    Colours,
    /// More than 8192 pixels a side or 32 million in all.
    TooManyPixels,
    /// Claims more blocks than its bytes could hold.
    TooFewBytes,
    /// The file ends before the image does.
    Truncated,
    /// Any other damage.
    Corrupt,
    /// The decoder panicked: a bug of its own.
    DecoderPanic,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.pad(match self {
            Self::Unreadable => "cannot be read",
            Self::NotAFile => "not a regular file",
            Self::Empty => "empty file",
            Self::FileTooLarge => "file larger than 64 MiB",
            Self::Png => "PNG file, not JPEG",
            Self::Gif => "GIF file, not JPEG",
            Self::WebP => "WebP file, not JPEG",
            Self::Html => "HTML page, not JPEG",
            Self::OtherFormat => "not a JPEG file",
            Self::Arithmetic => "arithmetic coding",
            Self::Lossless => "lossless JPEG",
            Self::Precision => "more than 8 bits a sample",
            Self::Colours => "neither 1, 3 nor 4 colours",
            Self::TooManyPixels => "too many pixels",
            Self::TooFewBytes => "too few bytes for its size",
            Self::Truncated => "truncated",
            Self::Corrupt => "corrupt",
            Self::DecoderPanic => "the decoder panicked",
        })
    }
}

/// What a run does about a poster that does not decode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum OnBadImage {
    /// Goes on without it, and counts it.
    #[default]
    Skip,
    /// Ends, naming it.
    Fail,
}

/// A poster that is left out: the reason, and what there is to say beyond it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// What refusals are counted by.
    pub reason: Reason,
    /// About this file, such as the decoder's own words; may be empty.
    pub detail: String,
}

impl Refusal {
    pub(super) fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into() }
    }

    /// As the error of a run that does without no poster.
    pub fn into_error(self, poster: &Path) -> Error {
        Error::data(poster, self.to_string(), "replace or remove the poster, or add --on-bad-image skip")
    }

    /// Counts posters that were refused, by reason: "posters refused (truncated): 17.jpg, ...".
    pub fn ledger<'a>(refused: impl IntoIterator<Item = (String, &'a Self)>) -> Ledger {
        let mut refused: Vec<_> = refused.into_iter().collect();
        refused.sort_by_key(|(_, refusal)| refusal.reason);
        let mut ledger = Ledger::default();
        for (name, refusal) in refused {
            ledger.add(&format!("posters refused ({})", refusal.reason), || name);
        }
        ledger
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self.detail.as_str() {
            "" => write!(f, "{}", self.reason),
            detail => write!(f, "{}: {detail}", self.reason),
        }
    }
}
