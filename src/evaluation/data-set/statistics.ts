/** Counts and distributions of a data set, and their charts. Memory does not grow with the data: distributions are kept in steps. */

import { lineChart } from '../../plot/line-chart.ts';
import type { SampleMetadata } from '../../training/data/sample.ts';
import { fieldNumber } from '../../training/data/sample-filter.ts';
import type { Verdict } from './judge.ts';

/** A distribution in steps; what lies beyond its ends counts in the first or last step. */
class Distribution {
  readonly #counts = new Map<number, number>();
  readonly #step: number;
  readonly #low: number;
  readonly #high: number;
  #count = 0;
  #sum = 0;
  #least = Number.POSITIVE_INFINITY;
  #most = Number.NEGATIVE_INFINITY;

  constructor(step: number, low: number, high: number) {
    this.#step = step;
    this.#low = low;
    this.#high = high;
  }

  add(value: number): void {
    const bin = Math.floor(Math.min(Math.max(value, this.#low), this.#high) / this.#step + 1e-9);
    this.#counts.set(bin, (this.#counts.get(bin) ?? 0) + 1);
    this.#count++;
    this.#sum += value;
    this.#least = Math.min(this.#least, value);
    this.#most = Math.max(this.#most, value);
  }

  get isEmpty(): boolean {
    return this.#count === 0;
  }

  /** Samples by the lower end of their step, with steps between that have none. */
  points(): { readonly x: number; readonly y: number }[] {
    const bins = [...this.#counts.keys()].sort((a, b) => a - b);
    const [first = 0, last = -1] = [bins[0], bins.at(-1)];
    return Array.from({ length: last - first + 1 }, (_, i) => ({
      x: Number(((first + i) * this.#step).toFixed(6)),
      y: this.#counts.get(first + i) ?? 0,
    }));
  }

  /** `median` as if the values of a step were spread evenly over it. */
  summary() {
    let before = 0;
    let median = this.#least;
    for (const { x, y } of this.points()) {
      if (before + y >= this.#count / 2) {
        median = x + (this.#step * (this.#count / 2 - before)) / y;
        break;
      }
      before += y;
    }
    return {
      count: this.#count,
      minimum: this.#least,
      median: Math.min(Math.max(median, this.#least), this.#most),
      mean: this.#sum / this.#count,
      maximum: this.#most,
      step: this.#step,
      counts: this.points().map(({ x, y }) => [x, y] as const),
    };
  }
}

export type DistributionSummary = ReturnType<Distribution['summary']>;

interface Row {
  readonly title: string;
  readonly x: string;
  readonly of: (verdict: Verdict, metadata: SampleMetadata) => number | undefined;
  readonly make: () => Distribution;
}

/** What is counted in steps, by the name of its plot. */
const rows: Readonly<Record<string, Row>> = {
  sizes: {
    title: 'Sizes',
    x: 'shorter side, pixels (steps of 32)',
    of: ({ width, height }) => (width === undefined || height === undefined ? undefined : Math.min(width, height)),
    make: () => new Distribution(32, 0, 8192),
  },
  aspects: {
    title: 'Aspect ratios',
    x: 'longer side over shorter side (steps of 0.1)',
    of: ({ width, height }) =>
      width === undefined || height === undefined ? undefined : Math.max(width, height) / Math.min(width, height),
    make: () => new Distribution(0.1, 1, 20),
  },
  captions: {
    title: 'Lengths of captions',
    x: 'characters (steps of 10)',
    of: ({ caption }) => caption,
    make: () => new Distribution(10, 0, 2000),
  },
  aesthetics: {
    title: 'Aesthetic scores',
    x: 'predicted rating (steps of 0.1)',
    of: ({ aesthetic }, metadata) => aesthetic ?? fieldNumber('aesthetics', metadata),
    make: () => new Distribution(0.1, -10, 20),
  },
  similarities: {
    title: 'Similarity of picture and caption',
    x: "CLIP's cosine (steps of 0.01)",
    of: ({ similarity }, metadata) => similarity ?? fieldNumber('similarity', metadata),
    make: () => new Distribution(0.01, -1, 1),
  },
  watermarks: {
    title: 'Watermarks',
    x: 'predicted probability (steps of 0.02)',
    of: (_, metadata) => fieldNumber('watermark', metadata),
    make: () => new Distribution(0.02, 0, 1),
  },
};

/** Languages that are counted by name. */
const mostLanguages = 200;

export interface DataSetStatistics {
  /** `read`, `kept` (what the filters let pass), `captioned`, and how many were left out for each reason. */
  readonly counts: Readonly<Record<string, number>>;
  readonly formats: Readonly<Record<string, number>>;
  readonly languages: Readonly<Record<string, number>>;
  readonly distributions: Readonly<Record<string, DistributionSummary>>;
}

export class RunningDataSetStatistics {
  readonly #counts = new Map<string, number>();
  readonly #formats = new Map<string, number>();
  readonly #languages = new Map<string, number>();
  readonly #distributions = new Map(Object.entries(rows).map(([name, { make }]) => [name, make()]));

  add(verdict: Verdict, metadata: SampleMetadata): void {
    const count = (map: Map<string, number>, name: string): void => void map.set(name, (map.get(name) ?? 0) + 1);
    const { format, language } = verdict;
    count(this.#counts, 'read');
    count(this.#counts, verdict.reason ?? 'kept');
    if (verdict.caption !== undefined) count(this.#counts, 'captioned');
    if (format) count(this.#formats, format);
    if (language !== undefined)
      count(
        this.#languages,
        this.#languages.size < mostLanguages || this.#languages.has(language) ? language : 'other',
      );
    for (const [name, distribution] of this.#distributions) {
      const value = rows[name]?.of(verdict, metadata);
      if (value !== undefined && Number.isFinite(value)) distribution.add(value);
    }
  }

  result(): DataSetStatistics {
    const some = [...this.#distributions].filter(([, distribution]) => !distribution.isEmpty);
    return {
      counts: { read: 0, kept: 0, ...Object.fromEntries(this.#counts) },
      formats: Object.fromEntries(this.#formats),
      languages: Object.fromEntries([...this.#languages].sort(([, a], [, b]) => b - a)),
      distributions: Object.fromEntries(some.map(([name, distribution]) => [name, distribution.summary()])),
    };
  }

  /** An SVG for each distribution that has values, by its name. */
  charts(): ReadonlyMap<string, string> {
    const charts = new Map<string, string>();
    for (const [name, distribution] of this.#distributions) {
      const row = rows[name];
      if (distribution.isEmpty || !row) continue;
      const series = { name: row.title, points: distribution.points(), markers: distribution.points().length < 30 };
      charts.set(name, lineChart([series], { title: row.title, xLabel: row.x, yLabel: 'samples' }));
    }
    return charts;
  }
}
