//! How things look: colours where they are welcome, aligned columns, numbers for people.

mod paint;
mod sparkline;
mod table;
mod units;

pub(crate) use paint::{Paint, depth_style};
pub(crate) use sparkline::{LogScale, sparkline};
pub(crate) use table::{Align, Cell, Table};
pub(crate) use units::{bytes, grouped, rate, significant};
