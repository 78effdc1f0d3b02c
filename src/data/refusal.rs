//! The reason why a poster is left out: a value that is counted, stored in the cache and shown, not
//! an error that ends a run.

use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::data::ledger::Ledger;
use crate::error::Error;

/// The reason why a poster is left out. Refusals are counted under the reasons' names
/// ([`fmt::Display`]), which do not change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The system does not allow the file to be read: no fact about the poster, which is tried
    /// again the next time.
    Unreadable,
    /// A folder, pipe, socket or device, or a link to one.
    NotAFile,
    /// A file without any bytes.
    Empty,
    /// A file of more than 64 MiB.
    FileTooLarge,
    /// A PNG file, whatever its name.
    Png,
    /// A GIF file, whatever its name.
    Gif,
    /// A WebP file, whatever its name.
    WebP,
    /// A web page, usually an error page that was saved as a poster.
    Html,
    /// A file of any other kind that does not begin as a JPEG file does.
    OtherFormat,
    /// A JPEG file with arithmetic coding.
    Arithmetic,
    /// A lossless JPEG file.
    Lossless,
    /// A JPEG file with 12 or 16 bits per sample.
    Precision,
    /// A JPEG file whose number of colours is not 1, 3 or 4.
    Colours,
    /// A hierarchical JPEG file, which holds an image in several sizes.
    Hierarchical,
    /// A sequential JPEG file whose colours are spread over several scans.
    SeveralScans,
    /// A JPEG file with quantisation tables between its scans.
    LateTables,
    /// A JPEG file whose components have resolutions that the decoder does not bring together.
    Sampling,
    /// An image of more than 8192 pixels per side, or of more than can be decoded in 80 MiB.
    TooManyPixels,
    /// A file that claims more blocks than its bytes could hold.
    TooFewBytes,
    /// A file that ends before its image does.
    Truncated,
    /// A file with any other damage.
    Corrupt,
    /// A file on which the decoder panicked, which is a bug of the decoder.
    DecoderPanic,
}

impl Reason {
    /// What to do about such a file, as an imperative.
    pub fn remedy(self) -> &'static str {
        match self {
            Self::Unreadable => "see to its permissions and its disk",
            Self::NotAFile | Self::Empty | Self::Html => "put the poster's JPEG file in its place",
            Self::FileTooLarge => "save the poster in at most 64 MiB",
            Self::TooManyPixels => {
                "scale it down to 8192 pixels a side and 27 million in all (progressive: 9 million, stored in full colour)"
            }
            Self::Png | Self::Gif | Self::WebP | Self::OtherFormat => "save the poster as JPEG",
            Self::SeveralScans => "write it in one scan, as `jpegtran -copy all` does without loss",
            Self::Arithmetic | Self::Lossless | Self::Hierarchical | Self::Precision | Self::Colours => {
                "save it as baseline or progressive JPEG with 8 bits a sample"
            }
            Self::Sampling | Self::LateTables => "save it anew as JPEG",
            Self::TooFewBytes | Self::Truncated | Self::Corrupt | Self::DecoderPanic => "replace or remove the poster",
        }
    }
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
            Self::Hierarchical => "hierarchical JPEG",
            Self::SeveralScans => "several scans",
            Self::LateTables => "quantisation tables between scans",
            Self::Sampling => "unusual sampling",
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
    /// The run goes on without the poster, and counts it.
    #[default]
    Skip,
    /// The run ends with an error that names the poster.
    Fail,
}

/// Why a particular poster is left out: the reason, and what else there is to say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// The reason, which refusals are counted by.
    pub reason: Reason,
    /// More about this file, such as the decoder's own words; may be empty.
    pub detail: String,
}

impl Refusal {
    pub(super) fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into() }
    }

    /// The error that ends a run in which every poster must decode.
    pub fn into_error(self, poster: &Path) -> Error {
        let remedy = format!("{}, or let bad posters be skipped", self.reason.remedy());
        Error::data(poster, self.to_string(), remedy)
    }

    /// Counts refused posters, given with their names, by reason: "posters refused (truncated):
    /// 17.jpg, ...".
    pub fn ledger<'a>(refused: impl IntoIterator<Item = (String, &'a Self)>) -> Ledger {
        let mut refused: Vec<_> = refused.into_iter().collect();
        refused.sort_by_key(|(_, refusal)| refusal.reason);
        let mut ledger = Ledger::default();
        for (name, refusal) in refused {
            ledger.add(&format!("posters refused ({})", refusal.reason), name);
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
