//! Where long work tells how far it is.

/// A listener to long work: it shows notes as lines, and how far the work is as a bar that counts
/// films.
pub trait Progress: Sync {
    /// Shows a line of its own.
    fn note(&self, line: &str);
    /// Begins a bar of `total` films; see [`bar`](trait.Progress.html#method.bar).
    fn start(&self, what: &str, total: usize);
    /// Moves the bar to `done`; `loss` is the mean so far, where there is one.
    fn at(&self, done: usize, loss: Option<f64>);
    /// Ends the bar, which goes away.
    fn finish(&self);
}

impl dyn Progress + '_ {
    /// A bar of `total` films, which ends when it is dropped: also where the work fails.
    pub fn bar<'a>(&'a self, what: &str, total: usize) -> Bar<'a> {
        self.start(what, total);
        Bar { progress: self }
    }
}

/// A bar that ends when it is dropped.
pub struct Bar<'a> {
    progress: &'a (dyn Progress + 'a),
}

impl Bar<'_> {
    /// Moves the bar to `done`; `loss` is the mean so far, where there is one.
    pub fn at(&self, done: usize, loss: Option<f64>) {
        self.progress.at(done, loss);
    }
}

impl Drop for Bar<'_> {
    fn drop(&mut self) {
        self.progress.finish();
    }
}
