//! Dots in black and white, as a thermal head burns them.

/// The widest picture, in dots: a four-inch label printer has 832.
pub const WIDTH_MAX: usize = 1_024;
/// The tallest picture, in dots: two and a half metres of paper at 8 dots to the millimetre.
pub const HEIGHT_MAX: usize = 20_000;

/// A picture in black and white. Dots outside of it read as white and cannot be set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bitmap {
    width: usize,
    height: usize,
    stride: usize,
    bytes: Vec<u8>,
}

impl Bitmap {
    /// A white picture; both sides are cut to [`WIDTH_MAX`] and [`HEIGHT_MAX`] dots.
    pub fn new(width: usize, height: usize) -> Self {
        let (width, height) = (width.min(WIDTH_MAX), height.min(HEIGHT_MAX));
        let stride = width.div_ceil(8);
        Self { width, height, stride, bytes: vec![0; stride * height] }
    }

    /// Dots across.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Dots down.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Whether the dot is black.
    pub fn get(&self, x: usize, y: usize) -> bool {
        if x >= self.width || y >= self.height {
            return false;
        }
        self.bytes.get(y * self.stride + x / 8).is_some_and(|byte| byte & (0x80 >> (x % 8)) != 0)
    }

    /// Makes the dot black.
    pub fn set(&mut self, x: usize, y: usize) {
        if x >= self.width || y >= self.height {
            return;
        }
        if let Some(byte) = self.bytes.get_mut(y * self.stride + x / 8) {
            *byte |= 0x80 >> (x % 8);
        }
    }

    /// One row, eight dots a byte from the left; dots past the width are white. Empty below the picture.
    pub fn row(&self, y: usize) -> &[u8] {
        self.bytes.get(y * self.stride..(y + 1) * self.stride).unwrap_or_default()
    }

    /// Makes the picture at least `height` dots tall, as far as [`HEIGHT_MAX`] lets it. Answers whether it did.
    pub fn grow(&mut self, height: usize) -> bool {
        let fits = height <= HEIGHT_MAX;
        let height = height.min(HEIGHT_MAX);
        if height > self.height {
            self.height = height;
            self.bytes.resize(self.stride * height, 0);
        }
        fits
    }

    /// Cuts the picture to `height` dots if it is taller.
    pub fn shrink(&mut self, height: usize) {
        if height < self.height {
            self.height = height;
            self.bytes.truncate(self.stride * height);
        }
    }

    /// How many columns from the left hold something black.
    pub fn used_width(&self) -> usize {
        (0..self.width).rev().find(|&x| (0..self.height).any(|y| self.get(x, y))).map_or(0, |x| x + 1)
    }

    /// Draws another picture over this one.
    pub fn draw(&mut self, left: usize, top: usize, other: &Self) {
        for y in 0..other.height {
            for x in 0..other.width {
                if other.get(x, y) {
                    self.set(left + x, top + y);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dot_is_where_it_was_set_and_nowhere_else() {
        let mut bitmap = Bitmap::new(10, 2);
        bitmap.set(9, 1);
        bitmap.set(10, 0);
        bitmap.set(0, 2);
        assert_eq!(bitmap.row(0), [0, 0]);
        assert_eq!(bitmap.row(1), [0, 0x40]);
        assert_eq!(bitmap.used_width(), 10);
        assert!(bitmap.grow(3) && !bitmap.grow(HEIGHT_MAX + 1));
        assert_eq!(bitmap.height(), HEIGHT_MAX);
        assert!(bitmap.get(9, 1) && !bitmap.get(9, 2));
    }
}
