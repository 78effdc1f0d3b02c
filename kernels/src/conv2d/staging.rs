//! The rows of an image that a stride-1 correlation reads, with the zeros around them.

use super::Conv2dShape;
use crate::scratch;
use std::ops::Range;

/// The rows under the windows of a correlation, of one image or of several; with all the zeros they need.
#[derive(Clone, Copy)]
pub(crate) struct Windows<'a> {
    pub values: &'a [f32],
    /// Values from one row to the next.
    pub row: usize,
    /// Values from one image's first row to the next one's.
    pub image: usize,
    pub images: usize,
}

impl Windows<'_> {
    /// The rows under the windows of all output rows but so many first ones.
    pub fn skip_rows(self, rows: usize) -> Self {
        Self { values: &self.values[rows * self.row..], ..self }
    }
}

/// Where the rows under the windows of a correlation lie: in the image itself, or staged with zeros
/// around them.
#[derive(Clone, Copy)]
pub(crate) struct Staging {
    /// Height, width and channels of the image.
    h: usize,
    w: usize,
    c: usize,
    /// Rows and columns of zeros before the image; those after it follow from the sizes.
    top: usize,
    left: usize,
    /// Pixels of a row: those under the windows of a row of output.
    width: usize,
    /// Rows under a window.
    kh: usize,
    /// Whether no window reaches beyond the image, and all of the image is under windows.
    borderless: bool,
}

impl Staging {
    /// The rows of `x` that the output is computed from.
    pub fn forward(shape: &Conv2dShape) -> Self {
        let image = [shape.h, shape.w, shape.ic];
        Self::new(shape, image, [shape.oh(), shape.ow()], [shape.pad_top(), shape.pad_left()])
    }

    /// The rows of `dy` that the input gradient is computed from.
    pub fn backward_x(shape: &Conv2dShape) -> Self {
        let before = [shape.kh - 1 - shape.pad_top(), shape.kw - 1 - shape.pad_left()];
        Self::new(shape, [shape.oh(), shape.ow(), shape.oc], [shape.h, shape.w], before)
    }

    fn new(
        shape: &Conv2dShape,
        [h, w, c]: [usize; 3],
        [output_h, output_w]: [usize; 2],
        [top, left]: [usize; 2],
    ) -> Self {
        let (kh, kw) = (shape.kh, shape.kw);
        let width = output_w + kw - 1;
        let borderless = top == 0 && left == 0 && width == w && output_h + kh - 1 == h;
        Self { h, w, c, top, left, width, kh, borderless }
    }

    /// Values of an image.
    pub fn image_len(&self) -> usize {
        self.h * self.w * self.c
    }

    /// Values from one row to the next.
    pub fn row(&self) -> usize {
        self.width * self.c
    }

    /// Values of the rows under this many output rows.
    pub fn len(&self, rows: usize) -> usize {
        (rows + self.kh - 1) * self.row()
    }

    /// The rows of images under these output rows as they lie, where they need no zeros around
    /// them.
    pub fn in_place<'x>(&self, x: &'x [f32], rows: &Range<usize>) -> Option<Windows<'x>> {
        let (image, images) = (self.image_len(), x.len() / self.image_len());
        self.borderless.then(|| Windows { values: &x[rows.start * self.row()..], row: self.row(), image, images })
    }

    /// The rows of so many images under this many output rows as [`stage`](Self::stage) leaves them, one
    /// image after the other.
    pub fn staged<'x>(&self, x: &'x [f32], rows: usize, images: usize) -> Windows<'x> {
        Windows { values: x, row: self.row(), image: self.len(rows), images }
    }

    /// Writes the rows of an image under these output rows to `to`: zeros outside the image, inside it
    /// `fill(values of the image, where they belong)`.
    pub fn stage(&self, rows: &Range<usize>, to: &mut [f32], mut fill: impl FnMut(Range<usize>, &mut [f32])) {
        let x_row = self.w * self.c;
        for (r, to) in (rows.start..).zip(to[..self.len(rows.len())].chunks_exact_mut(self.row())) {
            let Some(r) = r.checked_sub(self.top).filter(|&r| r < self.h) else {
                to.fill(0.0);
                continue;
            };
            let (before, rest) = to.split_at_mut(self.left * self.c);
            let (inside, after) = rest.split_at_mut(x_row);
            before.fill(0.0);
            fill(r * x_row..(r + 1) * x_row, inside);
            after.fill(0.0);
        }
    }

    /// Lends `work` the rows of images under these output rows: as they lie, or staged.
    pub fn with_rows(&self, x: &[f32], rows: &Range<usize>, work: impl FnOnce(Windows)) {
        if let Some(x) = self.in_place(x, rows) {
            return work(x);
        }
        let (len, images) = (self.len(rows.len()), x.len() / self.image_len());
        scratch::with(images * len, |staged| {
            for (x, staged) in x.chunks_exact(self.image_len()).zip(staged.chunks_exact_mut(len)) {
                self.stage(rows, staged, |from, to| to.copy_from_slice(&x[from]));
            }
            work(self.staged(staged, rows.len(), images));
        });
    }
}
