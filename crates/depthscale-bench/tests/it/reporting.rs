//! The page.

use depthscale_bench::{Phase, Record, compare, report};
use depthscale_report::{Item, Line, LinePlot, Report};
use depthscale_types::KvRetention;

use crate::{at_depth, record};

fn figures(report: &Report) -> Vec<&LinePlot> {
    let items = report.sections.iter().flat_map(|section| &section.items);
    items.filter_map(|item| if let Item::Figure(figure) = item { Some(figure) } else { None }).collect()
}

#[test]
fn one_case_is_a_table_without_plots_of_single_points() {
    let report = report(&[record()], None);
    assert!(figures(&report).is_empty());
    let html = report.to_html().expect("drawn");
    for part in ["small-20m", "a processor", "an &lt;os&gt;", "20,460,289 parameters", ">10.0<", "2026-11-25T12:00:00Z"]
    {
        assert!(html.contains(part), "{part} is not in the page");
    }
}

#[test]
fn depths_are_plotted_with_their_spread_and_memory_with_every_policy() {
    let records: Vec<Record> = [1, 2, 4].map(|depth| at_depth(depth, 1.0 / depth as f64)).into();
    let report = report(&records, None);
    let figures = figures(&report);
    let titles: Vec<&str> = figures.iter().map(|figure| figure.title.as_str()).collect();
    assert_eq!(
        titles,
        [
            "Decode: tokens per second by depth",
            "Decode: memory by depth",
            "Decode: % of the device's bandwidth by depth"
        ]
    );
    let [speed] = figures[0].series.as_slice() else { panic!("one backend") };
    let points: Vec<(f64, f64)> = speed.points.iter().map(|point| (point.x, point.y)).collect();
    assert_eq!(points, [(1.0, 10.0), (2.0, 5.0), (4.0, 2.5)]);
    assert!(speed.points.iter().all(|point| point.spread.is_some()));
    let memory = figures[1];
    let predicted = memory.series.iter().filter(|series| series.line == Line::Dashed);
    let ends = |points: &[depthscale_report::Point]| (points[0].y, points[points.len() - 1].y);
    let grows: Vec<bool> = predicted.map(|series| ends(&series.points)).map(|(first, last)| last > first).collect();
    // Per step and first-then-shared have more slots at four steps than at one, the other two have one.
    assert_eq!(grows, [true, false, true, false]);
}

#[test]
fn backends_and_phases_have_lines_and_plots_of_their_own() {
    let mut records: Vec<Record> = [1, 2].map(|depth| at_depth(depth, 1.0)).into();
    for mut record in records.clone() {
        record.device.backend = "wgpu:0".into();
        records.push(record);
    }
    for mut record in records.clone() {
        record.case.phase = Phase::Prefill;
        records.push(record);
    }
    let report = report(&records, None);
    let figures = figures(&report);
    assert_eq!(figures.len(), 5);
    let names: Vec<&str> = figures[0].series.iter().map(|series| series.name.as_str()).collect();
    assert_eq!(names, ["flex", "wgpu:0"]);
    report.to_html().expect("drawn");
}

#[test]
fn each_plot_takes_the_group_that_shows_most() {
    // Depths at one context, policies at another: no context has both.
    let mut records: Vec<Record> = [1, 2, 4, 8].map(|depth| at_depth(depth, 1.0)).into();
    for retention in KvRetention::ALL {
        for mut record in [1, 16].map(|depth| at_depth(depth, 1.0)) {
            (record.case.context, record.case.retention) = (1024, retention);
            records.push(record);
        }
    }
    let report = report(&records, None);
    let figures = figures(&report);
    let captions: Vec<&str> = figures.iter().filter_map(|figure| figure.caption.as_deref()).collect();
    assert!(captions[0].starts_with("Context 128, one sequence"), "{captions:?}");
    let memory = figures.iter().find(|figure| figure.title == "Decode: memory by depth").expect("it is drawn");
    assert!(memory.caption.as_deref().is_some_and(|caption| caption.starts_with("Context 1024")), "{captions:?}");
    assert_eq!(memory.series.iter().filter(|series| series.line == Line::MarkersOnly).count(), 4);
}

#[test]
fn a_comparison_is_part_of_the_page() {
    let (old, new) = ([at_depth(4, 1.0)], [at_depth(4, 2.0)]);
    let compared = compare(&old, &new);
    let html = report(&new, Some(&compared)).to_html().expect("drawn");
    assert!(html.contains("Compared with earlier results") && html.contains("faster") && html.contains(">2.00<"));
}
