//! How things look: colours where they are welcome, aligned columns, numbers for people.

mod paint;
mod report_table;
mod sparkline;
mod table;
mod units;

pub(crate) use paint::{Paint, depth_style};
pub(crate) use report_table::print_tables;
pub(crate) use sparkline::{LogScale, sparkline};
pub(crate) use table::{Align, Cell, Table};
pub(crate) use units::{bytes, grouped, rate, significant};
