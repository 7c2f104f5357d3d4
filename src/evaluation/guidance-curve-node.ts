/** Writes the plot of FID against CLIP score as SVG, PNG and JSON. */

import { join } from 'node:path';
import sharp from 'sharp';
import { writeNewFile } from '../files/write-file-node.ts';
import { type GuidanceCurve, guidanceJson, guidancePlot, type GuidancePlotNotes } from './guidance-curve.ts';
import type { ChartOptions } from '../plot/line-chart.ts';

/** PNG of an SVG, `scale` pixels to its unit. */
export async function rasterise(svg: string, scale = 2): Promise<Uint8Array> {
  return new Uint8Array(
    await sharp(new TextEncoder().encode(svg), { density: 72 * scale })
      .png()
      .toBuffer(),
  );
}

/** `<name>.svg`, `<name>.png` and `<name>.json` in a folder, atomically; returns their paths. Throws `file-access`. */
export async function writeGuidanceCurve(
  folder: string,
  curves: readonly GuidanceCurve[],
  options: ChartOptions & GuidancePlotNotes & { readonly name?: string; readonly replace?: boolean } = {},
): Promise<readonly string[]> {
  const svg = guidancePlot(curves, options);
  const encode = (text: string): Uint8Array => new TextEncoder().encode(text);
  const files: readonly (readonly [string, Uint8Array])[] = [
    ['svg', encode(svg)],
    ['png', await rasterise(svg)],
    ['json', encode(guidanceJson(curves, options))],
  ];
  const paths: string[] = [];
  for (const [ending, bytes] of files) {
    const path = join(folder, `${options.name ?? 'fid-clip'}.${ending}`);
    await writeNewFile(path, [bytes], { replace: options.replace ?? false });
    paths.push(path);
  }
  return paths;
}
