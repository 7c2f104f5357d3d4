/** UPSCALE_MODEL: a network that enlarges pictures, run in tiles of 512 that overlap by 32, feathered. */

import { takeBatch, joinBatches } from '../tensor/batches.ts';
import { clamped, type Float32, mapped, withChannels } from './grids.ts';
import { createUpscaler } from '../upscaling/upscaler.ts';
import { readUpscaler } from '../models/upscalers/index.ts';
import type { NodeContext } from './context-in-run.ts';
import { tiled } from './first-stage-tiles.ts';
import { channelsFirst, channelsLast } from './pictures.ts';

export interface UpscaleModelValue {
  readonly holdsNetworks: true;
  readonly name: string;
}

const tile = { size: 512, overlap: 32 } as const;

/** A model by its name; its file is read when it is used. Throws `model-unknown`. */
export async function upscaleModel(name: string, { files }: NodeContext): Promise<UpscaleModelValue> {
  const source = await files.weights('upscale_models', name);
  try {
    readUpscaler(source);
  } finally {
    await source.close();
  }
  return { holdsNetworks: true, name };
}

/** IMAGE enlarged. */
export async function enlargedBy({ name }: UpscaleModelValue, image: Float32, context: NodeContext): Promise<Float32> {
  const { files, networks, signal } = context;
  await using upscaler = createUpscaler(networks.engine, readUpscaler(await files.weights('upscale_models', name)));
  const pictures = channelsFirst(withChannels(image, upscaler.channels));
  const made: Float32[] = [];
  const tiling = {
    height: tile.size,
    width: tile.size,
    overlap: tile.overlap,
    scale: upscaler.scale,
    channels: upscaler.channels,
  };
  for (let i = 0; i < (pictures.shape[0] ?? 0); i++)
    made.push(await tiled(takeBatch(pictures, i, i + 1), tiling, (one) => upscaler.run(one, signal), context));
  return mapped(channelsLast(joinBatches(made)), clamped);
}
