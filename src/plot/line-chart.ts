/** A line chart as SVG, for the loss curves of run reports and the plots of model cards. Self-contained, without script or fonts. */

export interface ChartPoint {
  readonly x: number;
  readonly y: number;
  /** Label of the point. */
  readonly label?: string;
}

export interface ChartSeries {
  readonly name: string;
  readonly points: readonly ChartPoint[];
  /** Marks every point with a disc. Default false. */
  readonly markers?: boolean;
}

export interface ChartOptions {
  readonly title?: string;
  readonly xLabel?: string;
  readonly yLabel?: string;
  /** Pixels. Default 640 x 400. */
  readonly width?: number;
  readonly height?: number;
  /** Base-10 logarithm along y; points of 0 or less are left away. Default false. */
  readonly logarithmicY?: boolean;
}

/** Okabe and Ito's colours, which colour-blind readers can distinguish. */
const colours = ['#0072b2', '#d55e00', '#009e73', '#cc79a7', '#e69f00', '#56b4e9', '#000000', '#999933'];

/** An `<svg>` element. Values that are not finite break the line; a chart without finite values is an empty frame with a note. */
export function lineChart(series: readonly ChartSeries[], options: ChartOptions = {}): string {
  const { title, xLabel, yLabel, width = 640, height = 400, logarithmicY = false } = options;
  const y = (value: number): number => (logarithmicY ? (value > 0 ? Math.log10(value) : Number.NaN) : value);
  const usable = series
    .flatMap(({ points }) => points.map((point) => ({ x: point.x, y: y(point.y) })))
    .filter((point) => Number.isFinite(point.x) && Number.isFinite(point.y));
  const frame = { left: 64, right: width - 16, top: title ? 36 : 16, bottom: height - (xLabel ? 52 : 36) };
  const [xs, ys] = [
    axis(
      usable.map((point) => point.x),
      8,
      false,
    ),
    axis(
      usable.map((point) => point.y),
      6,
      logarithmicY,
    ),
  ];
  const px = (value: number): number =>
    frame.left + ((value - xs.low) / (xs.high - xs.low)) * (frame.right - frame.left);
  const py = (value: number): number =>
    frame.bottom - ((value - ys.low) / (ys.high - ys.low)) * (frame.bottom - frame.top);

  const parts: string[] = [`<rect width="${width}" height="${height}" fill="#fff"/>`];
  for (const tick of xs.ticks)
    parts.push(
      line(px(tick), frame.top, px(tick), frame.bottom, '#e5e5e5'),
      text(px(tick), frame.bottom + 16, numeral(tick, xs.step), 'middle'),
    );
  for (const tick of ys.ticks) {
    parts.push(
      line(frame.left, py(tick), frame.right, py(tick), '#e5e5e5'),
      text(frame.left - 6, py(tick) + 4, logarithmicY ? numeral(10 ** tick, 0) : numeral(tick, ys.step), 'end'),
    );
  }
  parts.push(`<path d="M${frame.left} ${frame.top}V${frame.bottom}H${frame.right}" fill="none" stroke="#444"/>`);
  if (usable.length === 0)
    parts.push(text((frame.left + frame.right) / 2, (frame.top + frame.bottom) / 2, 'no values yet', 'middle'));
  for (const [i, { points, markers }] of series.entries()) {
    const colour = colours[i % colours.length] as string;
    const placed = points.map((point) => ({ ...point, px: px(point.x), py: py(y(point.y)) }));
    parts.push(
      `<path d="${pathOf(placed)}" fill="none" stroke="${colour}" stroke-width="1.6" stroke-linejoin="round"/>`,
    );
    for (const point of placed) {
      if (!Number.isFinite(point.px) || !Number.isFinite(point.py)) continue;
      if (markers) parts.push(`<circle cx="${round(point.px)}" cy="${round(point.py)}" r="3" fill="${colour}"/>`);
      if (point.label !== undefined) parts.push(text(point.px + 5, point.py - 6, point.label, 'start'));
    }
  }
  if (series.length > 1) {
    for (const [i, { name }] of series.entries()) {
      const top = frame.top + 14 + 16 * i;
      parts.push(
        line(frame.right - 132, top - 4, frame.right - 116, top - 4, colours[i % colours.length] as string),
        text(frame.right - 110, top, name, 'start'),
      );
    }
  }
  if (title) parts.push(text(width / 2, 22, title, 'middle', 15));
  if (xLabel) parts.push(text((frame.left + frame.right) / 2, height - 12, xLabel, 'middle'));
  if (yLabel)
    parts.push(
      `<g transform="translate(14 ${round((frame.top + frame.bottom) / 2)}) rotate(-90)">${text(0, 0, yLabel, 'middle')}</g>`,
    );
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="12">${parts.join('')}</svg>`;
}

interface Axis {
  readonly low: number;
  readonly high: number;
  readonly step: number;
  readonly ticks: readonly number[];
}

/** An axis that ends at round numbers, with about `wanted` steps of 1, 2 or 5 times a power of ten. */
function axis(values: readonly number[], wanted: number, whole: boolean): Axis {
  let low = values.reduce((least, value) => Math.min(least, value), Number.POSITIVE_INFINITY);
  let high = values.reduce((most, value) => Math.max(most, value), Number.NEGATIVE_INFINITY);
  if (!(low <= high)) [low, high] = [0, 1];
  if (low === high)
    [low, high] = [low - Math.max(Math.abs(low) * 0.1, 1e-6), high + Math.max(Math.abs(high) * 0.1, 1e-6)];
  const raw = (high - low) / wanted;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = whole
    ? Math.max(1, Math.ceil(raw))
    : ([1, 2, 5, 10].find((factor) => factor * power >= raw) as number) * power;
  const [first, last] = [Math.floor(low / step), Math.ceil(high / step)];
  const ticks = Array.from({ length: last - first + 1 }, (_, i) => (first + i) * step);
  return { low: first * step, high: last * step, step, ticks };
}

function numeral(value: number, step: number): string {
  if (value === 0) return '0';
  if (Math.abs(value) >= 1e6 || Math.abs(value) < 1e-3)
    return value.toExponential(1).replace('.0e', 'e').replace('e+', 'e');
  return step === 0 ? String(value) : String(Number(value.toFixed(Math.max(0, -Math.floor(Math.log10(step))))));
}

function pathOf(points: readonly { readonly px: number; readonly py: number }[]): string {
  let drawing = false;
  return points
    .map(({ px, py }) => {
      if (!Number.isFinite(px) || !Number.isFinite(py)) {
        drawing = false;
        return '';
      }
      const command = drawing ? 'L' : 'M';
      drawing = true;
      return `${command}${round(px)} ${round(py)}`;
    })
    .join('');
}

const round = (value: number): string => String(Math.round(value * 100) / 100);
const line = (x1: number, y1: number, x2: number, y2: number, colour: string): string =>
  `<path d="M${round(x1)} ${round(y1)}L${round(x2)} ${round(y2)}" stroke="${colour}"/>`;
const text = (x: number, y: number, value: string, anchor: string, size = 12): string =>
  `<text x="${round(x)}" y="${round(y)}" text-anchor="${anchor}" font-size="${size}" fill="#222">${escapeXml(value)}</text>`;

/** Text for XML and HTML, in elements and attributes. What XML forbids becomes U+FFFD. */
export function escapeXml(value: string): string {
  const names: Readonly<Record<string, string>> = {
    '&': '&amp;',
    '<': '&lt;',
    '>': '&gt;',
    '"': '&quot;',
    "'": '&#39;',
  };
  return value
    .replace(/[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]|\p{Surrogate}/gu, '\ufffd')
    .replace(/[&<>"']/g, (character) => names[character] as string);
}
