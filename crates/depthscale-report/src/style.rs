//! The layout of the page, for wide and narrow screens, light and dark schemes, and paper.

/// The style sheet, but for the colours of series, see [`crate::plot::palette::css`].
pub(crate) const CSS: &str = r#"
:root {
  color-scheme: light dark;
  --page: #f6f7f8; --card: #ffffff; --ink: #1b1f24; --quiet: #59636e; --rule: #d5dae0; --axis: #7a838d; --grid: #e6e9ed;
}
@media screen and (prefers-color-scheme: dark) {
  :root {
    --page: #14171b; --card: #1c2026; --ink: #e4e7eb; --quiet: #9aa5b1; --rule: #363d46; --axis: #85909c; --grid: #2c323a;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; max-width: 88rem; padding: 1.5rem clamp(0.75rem, 3vw, 2.5rem) 3rem;
  background: var(--page); color: var(--ink);
  font: 1rem/1.5 system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
}
h1, h2, h3 { line-height: 1.25; overflow-wrap: anywhere; }
h1 { margin: 0 0 0.5rem; font-size: 1.75rem; }
h2 { margin: 2.25rem 0 0.75rem; padding-bottom: 0.3rem; border-bottom: 1px solid var(--rule); font-size: 1.3rem; }
h3 { margin: 0 0 0.5rem; font-size: 1rem; }
p { margin: 0 0 0.75rem; max-width: 48rem; overflow-wrap: anywhere; }
.lead { color: var(--quiet); font-size: 1.05rem; }

dl, figure, .scroll { border: 1px solid var(--rule); border-radius: 6px; background: var(--card); }
dl {
  display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 22rem), 1fr)); gap: 0.3rem 2rem;
  margin: 0 0 1rem; padding: 0.75rem 1rem; font-size: 0.9375rem;
}
dl div { display: flex; gap: 1rem; justify-content: space-between; }
dt { flex: none; max-width: 60%; color: var(--quiet); overflow-wrap: anywhere; }
dd { margin: 0; text-align: right; overflow-wrap: anywhere; font-variant-numeric: tabular-nums; }

.scroll { margin: 0 0 1rem; overflow-x: auto; }
table { min-width: 100%; border-collapse: collapse; font-size: 0.875rem; font-variant-numeric: tabular-nums; }
caption { padding: 0.6rem 0.75rem; text-align: left; color: var(--quiet); }
caption span { display: inline-block; position: sticky; left: 0.75rem; max-width: min(48rem, 84vw); }
th, td { padding: 0.35rem 0.75rem; border-top: 1px solid var(--rule); vertical-align: top; }
th { vertical-align: bottom; font-weight: 600; }
thead th { border-bottom: 2px solid var(--rule); }
tbody tr:first-child td { border-top: 0; }
.left { text-align: left; }
.right { text-align: right; }
td { white-space: nowrap; }

.figures {
  display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 34rem), 1fr)); gap: 1rem; margin: 0 0 1rem;
}
figure { display: flex; flex-direction: column; min-width: 0; margin: 0; padding: 0.9rem 1rem; }
.drawing { overflow-x: auto; }
.plot { display: block; width: 100%; min-width: 24rem; height: auto; }
.plot text { fill: var(--ink); font-family: inherit; font-variant-numeric: tabular-nums; }
.legend {
  display: flex; flex-wrap: wrap; gap: 0.15rem 1.25rem; margin: 0.5rem 0 0; padding: 0; list-style: none; font-size: 0.875rem;
}
.legend li { display: flex; align-items: center; gap: 0.5rem; min-width: 0; overflow-wrap: anywhere; }
.legend svg { flex: none; width: 2.5rem; height: auto; }
figcaption { margin-top: 0.5rem; color: var(--quiet); font-size: 0.875rem; overflow-wrap: anywhere; }
.empty { margin: auto; padding: 2.5rem 1rem; max-width: none; text-align: center; color: var(--quiet); font-style: italic; }

@media print {
  :root { --page: #ffffff; font-size: 9pt; }
  body { max-width: none; padding: 0; }
  h2, h3, caption, thead { break-after: avoid; }
  figure, dl, tr { break-inside: avoid; }
  .figures { grid-template-columns: 1fr 1fr; }
  .plot { min-width: 0; }
  .scroll, .drawing { overflow: visible; }
  table { font-size: 7.5pt; }
  th, td { padding: 0.2rem 0.3rem; white-space: normal; }
}
"#;
