/**
 * The plot of Stable Diffusion's model cards: FID against CLIP score, one point a guidance scale, usually 1.5, 2, 3 … 8. As data, JSON and
 * SVG; `guidance-curve-node.ts` writes the files.
 */

import { StableDiffusionError } from '../errors.ts';
import { type ChartOptions, lineChart } from '../plot/line-chart.ts';

/** The scales of the CompVis model cards. */
export const guidanceScales: readonly number[] = [1.5, 2, 3, 4, 5, 6, 7, 8];

export interface GuidancePoint {
  readonly scale: number;
  readonly fid: number;
  /** 0 to 100. */
  readonly clipScore: number;
}

export interface GuidanceCurve {
  /** A model's name. */
  readonly name: string;
  readonly points: readonly GuidancePoint[];
}

export interface GuidancePlotNotes {
  /** How the numbers were measured: sampler, steps, number of pictures, features. Stored in the JSON, and shown below the title. */
  readonly notes?: string;
}

/** SVG of one or more models' curves, each point labelled with its scale. Throws `not-finite` for a number that is not finite. */
export function guidancePlot(curves: readonly GuidanceCurve[], options: ChartOptions & GuidancePlotNotes = {}): string {
  for (const { name, points } of curves) {
    for (const point of points) {
      if (!Number.isFinite(point.fid) || !Number.isFinite(point.clipScore)) {
        throw new StableDiffusionError(
          'not-finite',
          `${name} has FID ${point.fid} and CLIP score ${point.clipScore} at guidance ${point.scale}. Evaluate it again.`,
        );
      }
    }
  }
  const series = curves.map(({ name, points }) => ({
    name,
    markers: true,
    points: [...points]
      .sort((a, b) => a.scale - b.scale)
      .map(({ scale, fid, clipScore }) => ({ x: clipScore, y: fid, label: String(scale) })),
  }));
  const title = `FID against CLIP score${options.notes ? ` (${options.notes})` : ''}`;
  return lineChart(series, { title, xLabel: 'CLIP score', yLabel: 'FID', ...options });
}

/** JSON of the same, for programs. */
export function guidanceJson(curves: readonly GuidanceCurve[], options: GuidancePlotNotes = {}): string {
  return `${JSON.stringify({ measure: 'FID against CLIP score by guidance scale', ...(options.notes ? { notes: options.notes } : {}), curves }, undefined, 1)}\n`;
}
