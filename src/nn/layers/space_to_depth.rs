//! Squares of pixels as pixels with more channels: how the input of a model is laid out, and no operation.

use super::Description;

pub fn describe(input: &[usize], block: usize, is_first: bool) -> Result<Description, &'static str> {
    match *input {
        _ if !is_first => Err("it comes before all other layers"),
        [h, w, c] if block > 0 && h.is_multiple_of(block) && w.is_multiple_of(block) => {
            let channels = c.saturating_mul(block).saturating_mul(block);
            Ok(Description::of_output(vec![h / block, w / block, channels]))
        }
        [_, _, _] => Err("its squares do not fill the image"),
        _ => Err("it takes images"),
    }
}
