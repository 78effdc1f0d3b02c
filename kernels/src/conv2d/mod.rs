//! 2-D convolution (cross-correlation, as in every deep-learning library).

/// How an image's border is treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Padding {
    /// The window stays inside the image: `oh = (h - kh) / stride + 1`.
    Valid,
    /// `oh = ceil(h / stride)`; zeros are added, the odd row or column at the bottom or right, as TensorFlow does.
    Same,
}

/// The sizes of a convolution, all that its kernels need to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv2dShape {
    /// Images in the batch.
    pub n: usize,
    /// Input height.
    pub h: usize,
    /// Input width.
    pub w: usize,
    /// Input channels.
    pub ic: usize,
    /// Output channels (filters).
    pub oc: usize,
    /// Kernel height.
    pub kh: usize,
    /// Kernel width.
    pub kw: usize,
    /// Step of the window, the same in both directions.
    pub stride: usize,
    /// Border treatment.
    pub padding: Padding,
}

impl Conv2dShape {
    /// Output height; 0 where the window does not fit.
    pub fn oh(&self) -> usize {
        output_size(self.h, self.kh, self.stride, self.padding)
    }

    /// Output width; 0 where the window does not fit.
    pub fn ow(&self) -> usize {
        output_size(self.w, self.kw, self.stride, self.padding)
    }

    /// Rows of zeros above the image.
    pub fn pad_top(&self) -> usize {
        pad_before(self.h, self.kh, self.stride, self.padding)
    }

    /// Columns of zeros left of the image.
    pub fn pad_left(&self) -> usize {
        pad_before(self.w, self.kw, self.stride, self.padding)
    }

    /// Values in `x`.
    pub fn x_len(&self) -> usize {
        self.n * self.h * self.w * self.ic
    }

    /// Values in `y`.
    pub fn y_len(&self) -> usize {
        self.n * self.oh() * self.ow() * self.oc
    }

    /// Values in the weights `[kh][kw][ic][oc]`.
    pub fn w_len(&self) -> usize {
        self.kh * self.kw * self.ic * self.oc
    }
}

fn output_size(size: usize, kernel: usize, stride: usize, padding: Padding) -> usize {
    match padding {
        Padding::Valid => (size + stride).saturating_sub(kernel) / stride,
        Padding::Same => size.div_ceil(stride),
    }
}

fn pad_before(size: usize, kernel: usize, stride: usize, padding: Padding) -> usize {
    match padding {
        Padding::Valid => 0,
        Padding::Same => {
            let covered = (size.div_ceil(stride).saturating_sub(1)) * stride + kernel;
            covered.saturating_sub(size) / 2
        }
    }
}
