/** A1111 around its upscalers: positions of tiles, whole pictures in tiles, resize modes and `Upscaler.upscale`. */

import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import * as z from 'zod';
import { openWeightsAt } from '../../../src/formats/open-weights-node.ts';
import { fitImage, type ResizeMode, type Resizer } from '../../../src/image/fit-image.ts';
import { createImage, type Image } from '../../../src/image/image.ts';
import { type ResizeFilter, resize } from '../../../src/image/resize.ts';
import { readUpscaler } from '../../../src/models/upscalers/index.ts';
import type { Tensor } from '../../../src/tensor/tensor.ts';
import { tilePositions } from '../../../src/image/tile-grid.ts';
import { upscaleBy, upscaleOnce } from '../../../src/upscaling/upscale-image.ts';
import { createUpscaler } from '../../../src/upscaling/upscaler.ts';
import { pick, readTensors } from '../../tensors.ts';
import { parityEngine } from '../engine.ts';
import { type Comparison, compareExactly, compareTensors, type RecordedCase, type Reader } from '../reader.ts';

const functionsOf = (reference: unknown): string[] => String(reference).match(/\b[a-z_0-9]+(?=,|$)/g) ?? [];

function imageOf(tensor: Tensor): Image<3> {
  const [height = 1, width = 1] = tensor.shape;
  return createImage(width, height, 3, Uint8Array.from(tensor.data as Uint8Array));
}

const tensorOf = ({ width, height, data }: Image<3>): Tensor => ({ dtype: 'uint8', shape: [height, width, 3], data });

const positions = z.record(
  z.string(),
  z.object({ rows: z.array(z.int()), columns: z.array(z.int()), tile_count: z.int() }),
);

function* compareGrid({ folder }: RecordedCase): Generator<Comparison> {
  const values = positions.parse(JSON.parse(readFileSync(join(folder, 'values.json'), 'utf8')));
  for (const [name, wanted] of Object.entries(values)) {
    const [width = 0, height = 0, tile = 0, overlap = 0] = (name.match(/\d+/g) ?? []).map(Number);
    const [rows, columns] = [tilePositions(height, tile, overlap), tilePositions(width, tile, overlap)];
    yield compareExactly(name, { rows, columns, tile_count: rows.length * columns.length }, wanted);
  }
}

/** Pictures in 8 bits: a value may differ by 1 where the network's output lies at a rounding edge, in at most 0.2 % of them. */
function comparePictures(output: string, got: Tensor, want: Tensor): Comparison {
  const off = Array.from({ length: want.data.length }, (_, i) => Math.abs(Number(want.data[i]) - Number(got.data[i])));
  const worst = got.shape.join() === want.shape.join() ? Math.max(...off) : Number.POSITIVE_INFINITY;
  const share = off.filter((value) => value > 0).length / off.length;
  return { output, error: worst > 1 ? worst : share, tolerance: 0.002, note: 'share of values off by one level' };
}

async function* compareTiling({ row, root, folder }: RecordedCase): AsyncGenerator<Comparison> {
  const { settings } = z.looseObject({ settings: z.looseObject({ networks: z.array(z.string()) }) }).parse(row);
  const image = imageOf(pick(readTensors(join(folder, 'inputs.safetensors')), 'image'));
  const wanted = readTensors(join(folder, 'outputs.safetensors'));
  for (const path of settings.networks) {
    const weights = join(root, 'control', path);
    const file = readdirSync(weights).find((name) => name.endsWith('.pth')) ?? '';
    await using upscaler = createUpscaler(parityEngine(), readUpscaler(await openWeightsAt(join(weights, file))));
    for (const [output, picture] of wanted) {
      const [, name = '', tile = '0', overlap = '0'] = /^\w+\.(.*)\.tile(\d+)_overlap(\d+)$/.exec(output) ?? [];
      if (!basename(path).startsWith(name)) continue;
      const made = await upscaleOnce(image, upscaler, { tile: Number(tile), overlap: Number(overlap) });
      yield comparePictures(output, tensorOf(made), picture);
    }
  }
}

const modes: Readonly<Record<string, ResizeMode>> = { just: 'stretch', crop: 'crop', fill: 'fill' };
const filters: Readonly<Record<string, ResizeFilter>> = { Lanczos: 'lanczos', Nearest: 'nearest' };

async function* compareResize({ folder }: RecordedCase): AsyncGenerator<Comparison> {
  const image = imageOf(pick(readTensors(join(folder, 'inputs.safetensors')), 'image'));
  for (const [output, wanted] of readTensors(join(folder, 'outputs.safetensors'))) {
    const scaled = /^upscale\.(\w+)\.([\d.]+)$/.exec(output);
    if (scaled) {
      const scale = Number(scaled[2]);
      const filter = filters[scaled[1] ?? ''] ?? 'lanczos';
      const once = async (from: Image<3>): Promise<Image<3>> =>
        resize(from, Math.trunc(from.width * scale), Math.trunc(from.height * scale), filter);
      yield compareTensors(output, tensorOf(await upscaleBy(image, scale, once)), wanted, 0);
      continue;
    }
    const [, mode = '', width = '', height = '', name] = /^(\w+)\.(\d+)x(\d+)(?:\.(\w+))?$/.exec(output) ?? [];
    const made = await resizeWith(image, modes[mode] ?? 'stretch', Number(width), Number(height), name);
    yield compareTensors(output, tensorOf(made), wanted, 0);
  }
}

/** `resize_image` with the upscaler of a name: where the picture grows, first by it. */
async function resizeWith(
  image: Image<3>,
  mode: ResizeMode,
  width: number,
  height: number,
  name?: string,
): Promise<Image<3>> {
  const filter = name === undefined ? undefined : filters[name];
  const scale = Math.max(width / image.width, height / image.height);
  if (filter === undefined || mode !== 'stretch' || scale <= 1) return fitImage(image, width, height, mode);
  const once = async (from: Image<3>): Promise<Image<3>> =>
    resize(from, Math.trunc(from.width * scale), Math.trunc(from.height * scale), filter);
  const grown = await upscaleBy(image, scale, once);
  const rest: Resizer<3> = () =>
    grown.width === width && grown.height === height ? grown : resize(grown, width, height, 'lanczos');
  return fitImage(image, width, height, mode, rest);
}

const kinds: Readonly<Record<string, (recorded: RecordedCase) => Iterable<Comparison> | AsyncIterable<Comparison>>> = {
  split_grid: compareGrid,
  resize_image: compareResize,
  combine_grid: compareTiling,
};

/** The part of A1111 that a row names last decides. */
const kindOf = (reference: unknown): string | undefined => {
  if (!String(reference).startsWith('AUTOMATIC1111/')) return undefined;
  const named = functionsOf(reference);
  return ['combine_grid', 'resize_image', 'split_grid'].find((name) => named.includes(name));
};

export const reader: Reader = {
  set: 'control',
  reads: ({ reference }) => kindOf(reference) !== undefined,
  async *compare(recorded) {
    const compare = kinds[kindOf(recorded.row['reference']) ?? ''];
    if (compare) yield* compare(recorded);
  },
};
