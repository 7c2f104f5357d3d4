/** Large pictures in overlapping patches, against latent-diffusion's `split_input_params`. */

import type { DiffusionModel, Latent } from '../../../src/diffusion/denoiser.ts';
import { patchedNetwork } from '../../../src/diffusion/patched-network.ts';
import {
  cutPatch,
  inPatches,
  type PatchGrid,
  patchGrid,
  patchNormalization,
  type PatchOptions,
  patchWeights,
} from '../../../src/diffusion/patches.ts';
import type { Model } from '../../../src/model/model.ts';
import { runForOne } from '../../../src/model/network-set.ts';
import { patchedAutoencoder } from '../../../src/model/patched-autoencoder.ts';
import { concatenate } from '../../../src/tensor/arithmetic.ts';
import { float32, type Tensor } from '../../../src/tensor/tensor.ts';
import { type LineageCase, lineageCase, timestepsOf } from '../lineage-case.ts';
import type { Comparison, Reader } from '../reader.ts';
import { conditioned, zooDdim, zooModel } from '../zoo-model.ts';

/** Weights [1, size, patches] as the original lays them out. */
function spread({ weights, ties }: Pick<PatchGrid, 'weights' | 'ties'>, shape: (count: number) => number[]): Tensor {
  return float32(
    shape(ties.length),
    Float32Array.from({ length: weights.length * ties.length }, (_, i) => {
      const [at, patch] = [Math.floor(i / ties.length), i % ties.length];
      return Math.fround((weights[at] as number) * (ties[patch] as number));
    }),
  );
}

function optionsOf(settings: LineageCase['settings'], tieBreaker: boolean): PatchOptions {
  return {
    size: settings.ks[0],
    stride: settings.stride[0],
    tieBreaker,
    minWeight: settings.clip_min_weight,
    maxWeight: settings.clip_max_weight,
    minTieWeight: settings.clip_min_tie_weight,
    maxTieWeight: settings.clip_max_tie_weight,
  };
}

function* tables(recorded: LineageCase, prefix: string, options: PatchOptions): Iterable<Comparison> {
  const weighting = new RegExp(`^${prefix}\\.weighting\\.(\\d+)x(\\d+)\\.(\\d+)x(\\d+)$`);
  for (const name of recorded.outputs.keys()) {
    const [h, w, rows, columns] = weighting.exec(name)?.slice(1).map(Number) ?? [];
    if (h === undefined || w === undefined || rows === undefined || columns === undefined) continue;
    yield recorded.compare(
      name,
      spread(patchWeights([h, w], [rows, columns], options), (n) => [1, h * w, n]),
    );
  }
  const { side, vqf } = recorded.settings;
  const grids: Readonly<Record<string, PatchGrid>> = {
    x: patchGrid(side, side, options),
    up: patchGrid(side, side, options, vqf),
    down: patchGrid(side * vqf, side * vqf, options, 1 / vqf),
  };
  for (const [name, grid] of Object.entries(grids)) {
    const out = grid.height * grid.factor;
    const patch = Math.sqrt(grid.weights.length);
    yield recorded.compare(`${prefix}.normalization.${name}`, float32([1, 1, out, out], patchNormalization(grid)));
    yield recorded.compare(
      `${prefix}.patch_weights.${name}`,
      spread(grid, (n) => [1, 1, patch, patch, n]),
    );
  }
}

async function* runs(
  recorded: LineageCase,
  model: Model,
  prefix: string,
  options: PatchOptions,
): AsyncIterable<Comparison> {
  const has = (name: string): boolean => recorded.outputs.has(`${prefix}.${name}`);
  const { vqf, side } = recorded.settings;
  const [x, concat] = [recorded.input('x'), recorded.input('condition')];
  const network = patchedNetwork((inputs, signal) => model.predict(inputs, signal), { patches: options });
  const told = timestepsOf(Array.from(recorded.tensor('t').data, Number));
  yield recorded.compare(`${prefix}.eps`, await network({ x: concatenate([x, concat], 1), timesteps: told }));
  const own = patchedAutoencoder(model.autoencoder, options);
  yield recorded.compare(`${prefix}.decoded`, await own.decode(x));
  const choice = { network: 'first_stage', graph: 'decode.force_not_quantize', output: 'decoded' };
  const plain = patchedAutoencoder(
    { ...model.autoencoder, decode: (z) => runForOne(model.networks, choice, { z }) },
    options,
  );
  yield recorded.compare(`${prefix}.decoded_not_quantized`, await plain.decode(x));
  const picture = recorded.input('picture');
  const grid = patchGrid(side * vqf, side * vqf, options, 1 / vqf);
  const encoded = await inPatches(grid, (patch) => model.autoencoder.encode(cutPatch(picture, patch)));
  yield recorded.compare(`${prefix}.encoded`, encoded);
  if (has('decoded_small'))
    yield recorded.compare(`${prefix}.decoded_small`, await own.decode(recorded.input('small')));
  if (!has('ddim')) return;
  const base = conditioned(model, { concat });
  const guided: DiffusionModel = {
    ...base,
    predict: (latent, timestep) =>
      network({
        x: concatenate([latent, concat], 1),
        timesteps: timestepsOf(new Array<number>(latent.shape[0] ?? 1).fill(timestep)),
      }),
  };
  const made = await zooDdim(recorded, guided, recorded.tensor('noise').shape[0] ?? 0, { eta: 1 }, x);
  yield recorded.compare(`${prefix}.ddim`, made.latents.at(-1) as Latent);
}

export const reader: Reader = {
  set: 'lineage',
  reads: (row) => /^split_input_params/.test(String(row['exercises'])),
  async *compare(raw) {
    const recorded = lineageCase(raw);
    const model = await zooModel(recorded, recorded.weights());
    const [x, concat] = [recorded.input('x'), recorded.input('condition')];
    const t = Number(recorded.tensor('t').data[0]);
    yield recorded.compare('unpatched.eps', await conditioned(model, { concat }).predict(x, t));
    for (const [prefix, tieBreaker] of [
      ['plain', false],
      ['tie', true],
    ] as const) {
      const options = optionsOf(recorded.settings, tieBreaker);
      yield* tables(recorded, prefix, options);
      yield* runs(recorded, model, prefix, options);
    }
    await model.networks.dispose();
  },
};
