/** The report of a run as one HTML file: curves, sample grids, warnings and configuration, all inside it, so that it opens from disk without a server or a network. During the run the page reloads itself. */

import { escapeXml, lineChart, type ChartPoint } from '../../plot/line-chart.ts';
import type { MetricsRow } from './metrics-log-node.ts';

export interface ReportSample {
  readonly step: number;
  /** A `data:` address of the picture. */
  readonly picture: string;
  readonly captions: readonly string[];
}

export interface RunReport {
  readonly title: string;
  readonly status: 'running' | 'finished' | 'stopped' | 'failed';
  /** A date and time to show. */
  readonly updated: string;
  /** `progressLine`. */
  readonly progress: string;
  readonly metrics: readonly MetricsRow[];
  readonly samples: readonly ReportSample[];
  /** Lines of `Problems.summary()`, or why the run failed. */
  readonly problems: string;
  /** The configuration's text. */
  readonly config: string;
}

/** Points of a curve in the page; more are averaged in groups. */
const maximumPoints = 600;

const style = `
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:84rem;padding:0 1rem;color:#222;background:#fff}
h1{font-size:1.4rem;margin:0}h2{font-size:1.1rem;margin:2rem 0 .5rem}
.status{color:#555}.progress{font-family:ui-monospace,monospace;white-space:pre-wrap}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(24rem,1fr));gap:1rem}.charts svg{width:100%;height:auto}
figure{margin:0 0 1.5rem}figure img{max-width:100%;image-rendering:auto}figcaption{color:#555;font-size:.85rem}
pre{background:#f6f6f6;padding:1rem;overflow:auto;font-size:.85rem}.problems{background:#fff4e5}`;

/** The page's text. */
export function runReport(report: RunReport): string {
  const { title, status, updated, progress, metrics, samples, problems, config } = report;
  const names = [...new Set(metrics.flatMap((row) => Object.keys(row.values)))].sort();
  const charts = names.map((name) => chartOf(name, metrics)).join('');
  const newest = [...samples].sort((a, b) => b.step - a.step);
  const figures = newest.map(({ step, picture, captions }) => {
    const list = captions.length > 0 ? `: ${captions.map(escapeXml).join(' · ')}` : '';
    return `<figure><img alt="Samples at step ${step}" src="${escapeXml(picture)}"><figcaption>Step ${step}${list}</figcaption></figure>`;
  });
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
${status === 'running' ? '<meta http-equiv="refresh" content="15">' : ''}<title>${escapeXml(title)}</title><style>${style}</style></head>
<body><h1>${escapeXml(title)}</h1>
<p class="status">${status}, ${escapeXml(updated)}</p>
<p class="progress">${escapeXml(progress)}</p>
${problems === '' ? '' : `<h2>Warnings</h2><pre class="problems">${escapeXml(problems)}</pre>`}
<h2>Curves</h2><div class="charts">${charts || '<p>No values yet.</p>'}</div>
<h2>Samples</h2>${figures.join('\n') || '<p>No samples yet.</p>'}
<h2>Configuration</h2><pre>${escapeXml(config)}</pre>
</body></html>
`;
}

function chartOf(name: string, metrics: readonly MetricsRow[]): string {
  const points = metrics.flatMap(({ step, values }): ChartPoint[] =>
    name in values ? [{ x: step, y: values[name] as number }] : [],
  );
  const thinned = thin(points);
  const series = [{ name, points: thinned }];
  if (thinned.length >= 20) series.push({ name: 'smoothed', points: smooth(thinned) });
  return lineChart(series, { title: name, xLabel: 'step', width: 560, height: 320 });
}

/** Means of groups of neighbours, so that at most `maximumPoints` are left; a group with NaN is NaN, which shows as a gap. */
function thin(points: readonly ChartPoint[]): readonly ChartPoint[] {
  const size = Math.ceil(points.length / maximumPoints);
  if (size <= 1) return points;
  const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
  return Array.from({ length: Math.ceil(points.length / size) }, (_, i) => {
    const group = points.slice(i * size, (i + 1) * size);
    return { x: mean(group.map((point) => point.x)), y: mean(group.map((point) => point.y)) };
  });
}

/** An exponential mean over some fiftieth of the curve, without the bias of its beginning. */
function smooth(points: readonly ChartPoint[]): ChartPoint[] {
  const keep = 1 - 50 / Math.max(250, points.length);
  let sum = 0;
  let weight = 0;
  return points.map(({ x, y }) => {
    if (Number.isFinite(y)) {
      sum = sum * keep + y;
      weight = weight * keep + 1;
    }
    return { x, y: weight > 0 ? sum / weight : Number.NaN };
  });
}
