//! The backward pass.

use super::gradient_sums::add_gradient_sums;
use super::rows::Scatter;
use super::{BAND, ConvBlockShape, MOST_BAND_ROWS, Source, Workspace};
use crate::batch_norm::{Normalization, Others, of_all_parts, of_all_parts_len};
use crate::buffer::sized;
use crate::conv2d::{
    self, Algorithm, Conv2dShape, Conv2dSizes, Correlation, Rows, Staging, WeightGradient, Windows, add_parts,
};
use crate::scratch;
use crate::simd::{Ahead, Isa};
use crate::tasks::each_task;
use std::ops::Range;

/// All gradients of a block, given those of its normalised output.
///
/// # Shapes (f32, contiguous, NHWC / HWIO)
/// `x`, `w`, `a`, `p` as in [`Forward`](super::Forward); `dp`: as `p`; `dp_sums`: `[2, oc]`, f64;
/// `dw`: `[kh, kw, ic, oc]`, accumulated into; `db`, `dgamma`, `dbeta`: `[oc]`, accumulated into;
/// `dx`: `[n, h, w, ic]`, overwritten; `dx_sums`: `[2, ic]`, f64, overwritten
/// # Units
/// As `dp`; nothing is divided by `n`.
/// # Accuracy
/// Sums over the pixels of a part of an image in f32, then over the parts in order
/// ([`ConvBlockShape`] alone says how the batch is cut): the same bits for any number of threads.
/// # Panics
/// If a slice's length differs from its shape, or there is no `a` where it
/// [cannot](ConvBlockShape::can_recompute_a) be computed once more.
/// # Source
/// Ioffe and Szegedy 2015, <https://arxiv.org/abs/1502.03167>, section 3, simplified; see the
/// [module](super).
pub struct Backward<'a> {
    /// Sizes.
    pub shape: &'a ConvBlockShape,
    /// Input.
    pub x: Source<'a>,
    /// Weights.
    pub w: &'a [f32],
    /// One value per filter.
    pub bias: &'a [f32],
    /// What the forward pass computed; none where it is to be
    /// [computed once more](ConvBlockShape::keeps_a).
    pub a: Option<&'a [f32]>,
    /// What the forward pass computed.
    pub p: &'a [f32],
    /// The normalisation of `p`.
    pub norm: Normalization<'a>,
    /// Gradient of the normalised output.
    pub dp: &'a [f32],
    /// The sums of `dp` and of `dp * (p - mean)` per channel.
    pub dp_sums: &'a [f64],
    /// The other parts of the batch that the statistics are of. All gradients but `dx`, which depends
    /// on them, are of this part alone.
    pub others: Others<'a>,
    /// Gradient of the weights.
    pub dw: &'a mut [f32],
    /// Gradient of the bias.
    pub db: &'a mut [f32],
    /// Gradient of batch norm's factor.
    pub dgamma: &'a mut [f32],
    /// Gradient of batch norm's offset.
    pub dbeta: &'a mut [f32],
    /// Gradient of the input; where it is a [`Source::Normalised`], of the normalised values.
    pub dx: Option<&'a mut [f32]>,
    /// The sums of `dx` and of `dx * (x - mean)` per channel, with `x` and `mean` of a
    /// [`Source::Normalised`]: the `dp_sums` of the block below. Empty for other sources.
    pub dx_sums: &'a mut [f64],
    /// Workspace.
    pub workspace: &'a mut Workspace,
}

/// Rows of `dz` before a band that its rows of `dx` need: those of a 3x3 window, two.
pub(super) const BEFORE: usize = 2;

/// The rows of `dz` that exist at a time: those before a band, those in it, and rows of zeros
/// behind it.
const DZ_ROWS: usize = MOST_BAND_ROWS + 2 * BEFORE;

/// The most values of `dz` that exist at a time.
pub(super) fn most_dz_len(conv: &Conv2dShape) -> usize {
    DZ_ROWS * padded_width(conv) * conv.oc
}

/// Pixels of a row of `dz` with the zeros around it that the correlation to `dx` wants.
fn padded_width(conv: &Conv2dShape) -> usize {
    conv.w + conv.kw - 1
}

/// What all tasks read.
struct Pass<'a> {
    isa: Isa,
    shape: &'a ConvBlockShape,
    x: Source<'a>,
    /// How the rows of `x` lie.
    staging: Staging,
    /// `a`, or the correlation that computes it.
    a: Activations<'a>,
    p: &'a [f32],
    dp: &'a [f32],
    scale: &'a [f32],
    slope: &'a [f32],
    offset: &'a [f32],
    /// The correlation from `dz` to `dx`; none where `dx` is not asked for.
    to_dx: Option<Correlation<'a>>,
    /// How the weight gradient is computed.
    to_dw: Algorithm,
    /// The tasks that share all bands of all images.
    tasks: usize,
}

/// Where the output of the forward pass's ReLU comes from.
#[derive(Clone, Copy)]
enum Activations<'a> {
    Kept(&'a [f32]),
    Computed(Correlation<'a>),
}

impl Backward<'_> {
    /// Computes `dx` and `dx_sums` and adds to the other gradients.
    pub fn run(self, isa: Isa) {
        let Self { shape, x, w, bias, a, p, norm, dp, dp_sums, others, .. } = self;
        let Self { dw, db, dgamma, dbeta, dx, dx_sums, workspace, .. } = self;
        let conv = &shape.conv;
        let Conv2dSizes { n, ic, oc, .. } = **conv;
        x.check(conv);
        assert!(w.len() == conv.w_len() && dw.len() == conv.w_len(), "w and dw are [kh, kw, ic, oc]: {shape:?}");
        assert_eq!(bias.len(), oc, "bias is [oc]: {shape:?}");
        assert!(a.is_none_or(|a| a.len() == conv.y_len()), "a is [n, oh, ow, oc]: {shape:?}");
        assert!(p.len() == shape.p_len() && dp.len() == shape.p_len(), "p and dp are [n, oh/2, ow/2, oc]: {shape:?}");
        norm.check(oc);
        assert_eq!(dp_sums.len(), 2 * oc, "dp_sums is [2, oc]: {shape:?}");
        assert!([db.len(), dgamma.len(), dbeta.len()] == [oc; 3], "db, dgamma and dbeta are [oc]: {shape:?}");
        assert!(dx.as_ref().is_none_or(|dx| dx.len() == conv.x_len()), "dx is [n, h, w, ic]: {shape:?}");
        let summed = matches!(x, Source::Normalised(..)) && dx.is_some();
        assert_eq!(
            dx_sums.len(),
            if summed { 2 * ic } else { 0 },
            "dx_sums is [2, ic] for a normalised source: {shape:?}"
        );
        let Workspace { arranged, arranged_forward, sums, gradients, coefficients } = workspace;

        let (scale, rest) = coefficients.sized(3 * oc).split_at_mut(oc);
        let (slope, offset) = rest.split_at_mut(oc);
        let tasks = shape.gradient_tasks();
        let of_all = of_all_parts_len(oc);
        let (of_all, sums) = sized(sums, of_all + tasks * dx_sums.len()).split_at_mut(of_all);
        for o in 0..oc {
            dbeta[o] += dp_sums[o] as f32;
            dgamma[o] += (dp_sums[oc + o] * norm.inv_std(o)) as f32;
        }
        of_all[1..].copy_from_slice(dp_sums);
        let (m, dp_sums) = of_all_parts(others, n * conv.oh() * conv.ow(), of_all);
        for o in 0..oc {
            let (sum_dp, sum_dp_xhat) = (dp_sums[o], dp_sums[oc + o] * norm.inv_std(o));
            let factor = f64::from(norm.gamma[o]) * norm.inv_std(o);
            let along = -factor * norm.inv_std(o) * sum_dp_xhat / m;
            scale[o] = factor as f32;
            slope[o] = along as f32;
            offset[o] = (-factor * sum_dp / m - along * f64::from(norm.mean[o])) as f32;
        }

        let to_dx = dx.is_some().then(|| {
            let algorithm = Algorithm::choose(isa, conv, conv2d::Pass::BackwardX);
            Correlation::backward_x(isa, algorithm, conv, w, arranged)
        });
        assert!(a.is_some() || shape.can_recompute_a(isa), "a is kept where it cannot be computed again: {shape:?}");
        let a = a.map_or_else(
            || {
                let algorithm = Algorithm::choose(isa, conv, conv2d::Pass::Forward);
                Activations::Computed(Correlation::forward(isa, algorithm, conv, w, bias, true, arranged_forward))
            },
            Activations::Kept,
        );
        let to_dw = Algorithm::choose(isa, conv, conv2d::Pass::BackwardW);
        let staging = Staging::forward(conv);
        let pass = Pass { isa, shape, x, staging, a, p, dp, scale, slope, offset, to_dx, to_dw, tasks };
        let gradient = conv.w_len() + oc;
        let gradients = gradients.sized(tasks * gradient);
        let (dx, sums_len) = (dx.unwrap_or_default(), dx_sums.len());
        let starts = |task: usize| {
            let (image, band) = shape.place(pass.bands(task).start);
            let dx = if pass.to_dx.is_some() { (image * conv.h + pass.dx_rows(band).start) * conv.w * ic } else { 0 };
            ([dx, task * gradient], task * sums_len)
        };
        each_task(0..tasks, [dx, gradients], sums, &starts, &|task, [dx, gradient], sums| {
            let stage_len = staging.len(MOST_BAND_ROWS + BEFORE).next_multiple_of(16);
            let a_len = pass.a_len();
            let dz_len = pass.bands_at_once(task) * pass.dz_len();
            let workspace_len = WeightGradient::workspace_len(conv, to_dw).next_multiple_of(16);
            scratch::with(stage_len + a_len + dz_len + workspace_len + (2 * ic).max(oc), |scratch| {
                let (stage, rest) = scratch.split_at_mut(stage_len);
                let (a, rest) = rest.split_at_mut(a_len);
                let (dz, rest) = rest.split_at_mut(dz_len);
                let (workspace, row_sums) = rest.split_at_mut(workspace_len);
                pass.task(task, dx, gradient, sums, [stage, a, dz, workspace, row_sums]);
            });
        });
        add_parts(gradients, gradient, 0, dw);
        add_parts(gradients, gradient, conv.w_len(), db);
        for (i, sum) in dx_sums.iter_mut().enumerate() {
            *sum = sums.chunks_exact(sums_len).map(|sums| sums[i]).sum();
        }
    }
}

impl Pass<'_> {
    /// The bands of a task, counted through all images.
    fn bands(&self, task: usize) -> Range<usize> {
        let bands = self.shape.conv.n * self.shape.bands();
        task * bands / self.tasks..(task + 1) * bands / self.tasks
    }

    /// The rows of `dx` that belong to a band: those whose last gradient row is the band's; the
    /// last band's go to the end.
    fn dx_rows(&self, band: usize) -> Range<usize> {
        let conv = &self.shape.conv;
        let rows = self.shape.band_rows(band);
        let end = if band + 1 == self.shape.bands() { conv.h } else { rows.end - conv.pad_top() };
        rows.start.saturating_sub(conv.pad_top())..end
    }

    /// Pixels of a row of `dz` with the zeros that the correlation to `dx` wants around it.
    fn dz_width(&self) -> usize {
        let conv = &self.shape.conv;
        if self.to_dx.is_some() { padded_width(conv) } else { conv.ow() }
    }

    /// The zeros left of a row of `dz`, in pixels.
    fn dz_left(&self) -> usize {
        if self.to_dx.is_some() { self.shape.conv.kw - 1 - self.shape.conv.pad_left() } else { 0 }
    }

    /// Values of `dz` that exist at a time for each image.
    fn dz_len(&self) -> usize {
        DZ_ROWS * self.dz_width() * self.shape.conv.oc
    }

    /// The bands of a task whose `dx` is computed at a time: one, or those of several images, of which
    /// each is a band.
    fn bands_at_once(&self, task: usize) -> usize {
        let most = if self.to_dx.is_some() { self.shape.images_at_once(self.isa, conv2d::Pass::BackwardX) } else { 1 };
        let bands = self.bands(task).len();
        bands.div_ceil(bands.div_ceil(most))
    }

    /// A task: its bands, one after the other.
    fn task(
        &self,
        task: usize,
        mut dx: &mut [f32],
        gradient: &mut [f32],
        sums: &mut [f64],
        [stage, own_a, dz, workspace, row_sums]: [&mut [f32]; 5],
    ) {
        let conv = &self.shape.conv;
        let (dw, db) = gradient.split_at_mut(conv.w_len());
        dw.fill(0.0);
        db.fill(0.0);
        sums.fill(0.0);
        let workspace = &mut workspace[..WeightGradient::workspace_len(conv, self.to_dw)];
        let mut gradient = WeightGradient::new(self.isa, conv, self.to_dw, workspace);
        // The correlation to dx looks back over two rows, and at the image's end forward over rows of
        // zeros.
        let before = if self.to_dx.is_some() { BEFORE } else { 0 };
        let dz_row = self.dz_width() * conv.oc;
        let (bands, at_once) = (self.bands(task), self.bands_at_once(task));
        for first_band in bands.clone().step_by(at_once) {
            let together = first_band..(first_band + at_once).min(bands.end);
            for (of_all, dz) in together.clone().zip(dz.chunks_exact_mut(self.dz_len())) {
                let (image, band) = self.shape.place(of_all);
                let rows = self.shape.band_rows(band);
                // Those of the band above are there still, unless another task had it.
                let mut first = rows.start;
                match band {
                    0 => dz[..before * dz_row].fill(0.0),
                    _ if of_all > bands.start => dz.copy_within(2 * BAND * dz_row..(2 * BAND + before) * dz_row, 0),
                    _ => first -= before,
                }
                let x = self.x.rows(self.isa, &self.staging, image..image + 1, first..rows.end, stage);
                let (halo, of_band) = dz.split_at_mut(before * dz_row);
                let (of_band, behind) = of_band.split_at_mut(rows.len() * dz_row);
                if first < rows.start {
                    self.scatter(image, first..rows.start, x, own_a, halo, &mut row_sums[..conv.oc]);
                }
                let x = x.skip_rows(rows.start - first);
                self.scatter(image, rows.clone(), x, own_a, of_band, db);
                let dy = &of_band[self.dz_left() * conv.oc..];
                let of_band =
                    Rows { x: x.values, x_row: x.row, dy, dy_row: dz_row, rows: rows.len(), width: conv.ow() };
                gradient.add(of_band, dw, self.after(image, band));
                if self.to_dx.is_some() {
                    let beyond = (self.dx_rows(band).end + conv.pad_top()).saturating_sub(rows.end);
                    behind[..beyond * dz_row].fill(0.0);
                }
            }
            if let Some(to_dx) = self.to_dx {
                let (image, band) = self.shape.place(first_band);
                let dx_rows = self.dx_rows(band);
                let (of_bands, others) = dx.split_at_mut(together.len() * dx_rows.len() * conv.w * conv.ic);
                dx = others;
                // Row r of dx begins at row r + pad_top - 2 of dz.
                let first = dx_rows.start + conv.pad_top() - self.shape.band_rows(band).start;
                let dz = Windows { values: dz, row: dz_row, image: self.dz_len(), images: together.len() };
                let mut ahead = self.x.after(self.shape, image + together.len() - 1, band);
                // A few rows at a time, which are summed while they are in a cache; all rows of several images.
                let at_once = to_dx.at_once();
                for (step, dx) in of_bands.chunks_mut(together.len() * at_once * conv.w * conv.ic).enumerate() {
                    to_dx.run(dz.skip_rows(first + step * at_once), dx, &mut ahead);
                    for (image, dx) in (image..).zip(dx.chunks_exact(dx.len() / together.len())) {
                        self.sum_dx(image, dx_rows.start + step * at_once, dx, sums, row_sums);
                    }
                }
            }
        }
        gradient.finish(dw);
    }

    /// What the next band will read first: its part of `a`, of `p` and of `dp`.
    fn after(&self, image: usize, band: usize) -> Ahead<'_> {
        let Some((image, band)) = self.shape.next_band(image, band) else { return Ahead::default() };
        let conv = &self.shape.conv;
        let part = |of: &[f32], rows_of_image: usize, rows: Range<usize>| {
            let row = of.len() / (conv.n * rows_of_image);
            (image * rows_of_image + rows.start) * row..(image * rows_of_image + rows.end) * row
        };
        let a = match self.a {
            Activations::Kept(a) => &a[part(a, conv.oh(), self.shape.band_rows(band))],
            Activations::Computed(_) => &[],
        };
        let p = part(self.p, self.shape.ph(), self.shape.band_pooled_rows(band));
        Ahead([a, &self.p[p.clone()], &self.dp[p]])
    }

    /// Values of `a` that exist at a time where it is computed once more.
    fn a_len(&self) -> usize {
        match self.a {
            Activations::Kept(_) => 0,
            Activations::Computed(by) => by.at_once() * self.shape.conv.ow() * self.shape.conv.oc,
        }
    }

    /// Rows of `dz` with zeros left and right of them; their sum is added to `db`. The first of the
    /// rows is even; `x` has those under their windows.
    fn scatter(&self, image: usize, rows: Range<usize>, x: Windows, own_a: &mut [f32], dz: &mut [f32], db: &mut [f32]) {
        let conv = &self.shape.conv;
        let (a_row, dz_row) = (conv.ow() * conv.oc, self.dz_width() * conv.oc);
        match self.a {
            Activations::Kept(a) => {
                let a = &a[(image * conv.oh() + rows.start) * a_row..][..rows.len() * a_row];
                self.scatter_from(image, rows.start, a, dz, db);
            }
            Activations::Computed(by) => {
                for (step, dz) in dz.chunks_mut(by.at_once() * dz_row).enumerate() {
                    let first = step * by.at_once();
                    let a = &mut own_a[..dz.len() / dz_row * a_row];
                    by.run(x.skip_rows(first), a, &mut Ahead::default());
                    self.scatter_from(image, rows.start + first, a, dz, db);
                }
            }
        }
    }

    /// The same from the rows of `a`, from row `first` of the image on.
    fn scatter_from(&self, image: usize, first: usize, a: &[f32], dz: &mut [f32], db: &mut [f32]) {
        let c = self.shape.conv.oc;
        let (a_row, p_row, dz_row, left) =
            (self.shape.conv.ow() * c, self.shape.pw() * c, self.dz_width() * c, self.dz_left() * c);
        for (pair, (a, dz)) in a.chunks(2 * a_row).zip(dz.chunks_mut(2 * dz_row)).enumerate() {
            let pooled_r = first / 2 + pair;
            let pooled = (pooled_r < self.shape.ph()).then(|| {
                let at = (image * self.shape.ph() + pooled_r) * p_row;
                [&self.p[at..][..p_row], &self.dp[at..][..p_row]]
            });
            for dz in dz.chunks_exact_mut(dz_row) {
                dz[..left].fill(0.0);
                dz[left + a_row..].fill(0.0);
            }
            let (scale, slope, offset, dz) = (self.scale, self.slope, self.offset, &mut dz[left..]);
            self.isa.run(Scatter { c, a, a_row, pooled, scale, slope, offset, dz, dz_row, db });
        }
    }

    /// Adds to the sums of `dx` and of `dx * (x - mean)`.
    fn sum_dx(&self, image: usize, first: usize, dx: &[f32], sums: &mut [f64], row_sums: &mut [f32]) {
        let Source::Normalised(x, by) = self.x else { return };
        let Conv2dSizes { h, w, ic, .. } = *self.shape.conv;
        let x = &x[(image * h + first) * w * ic..][..dx.len()];
        add_gradient_sums(self.isa, by.mean, w, x, dx, sums, row_sums);
    }
}
