/** Histogram matching: values change so that their distribution becomes that of a template (skimage 0.26's `exposure.match_histograms`). */

/** Distinct values in order, how often each occurs, and the place of each value among them. */
function distinct(values: ArrayLike<number>): {
  readonly sorted: Float64Array;
  readonly quantiles: Float64Array;
} {
  const all = Float64Array.from(values).sort();
  const [sorted, quantiles]: [number[], number[]] = [[], []];
  for (let i = 0; i < all.length; i++) {
    if (i + 1 < all.length && all[i + 1] === all[i]) continue;
    sorted.push(all[i] as number);
    quantiles.push((i + 1) / all.length);
  }
  return { sorted: Float64Array.from(sorted), quantiles: Float64Array.from(quantiles) };
}

/** numpy's `interp` at places that ascend. */
function interpolateAt(places: Float64Array, xs: Float64Array, ys: Float64Array): Float64Array {
  let j = 0;
  return places.map((x) => {
    while (j + 1 < xs.length && (xs[j + 1] as number) <= x) j++;
    const [x0, y0] = [xs[j] as number, ys[j] as number];
    if (x <= x0 || j + 1 === xs.length) return y0;
    return (((ys[j + 1] as number) - y0) / ((xs[j + 1] as number) - x0)) * (x - x0) + y0;
  });
}

/** The values of one channel with the distribution of `template`'s. Without a template they stay as they are. */
export function matchHistogram(values: ArrayLike<number>, template: ArrayLike<number>): Float64Array {
  if (template.length === 0 || values.length === 0) return Float64Array.from(values);
  const from = distinct(values);
  const to = distinct(template);
  const matched = interpolateAt(from.quantiles, to.quantiles, to.sorted);
  const byValue = new Map(Array.from(from.sorted, (value, i) => [value, matched[i] as number]));
  return Float64Array.from(values, (value) => byValue.get(value) as number);
}

/** Every third value of interleaved channels. */
export const channelOf = (data: ArrayLike<number>, channel: number): Float64Array =>
  Float64Array.from({ length: data.length / 3 }, (_, i) => data[3 * i + channel] as number);
