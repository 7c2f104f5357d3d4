/** UNets over pixels: DDPM's own with its variants, and that of denoising-diffusion-pytorch. */

import { detectNetwork } from '../../../src/checkpoints/detect.ts';
import { ldmNetwork } from '../../../src/config/ldm-network.ts';
import type { DdpmUNetConfig, LucidUNetConfig } from '../../../src/config/network-config.ts';
import { dim } from '../../../src/graph/dim.ts';
import { slice } from '../../../src/graph/functions.ts';
import type { Graph } from '../../../src/graph/graph.ts';
import { trace } from '../../../src/graph/trace.ts';
import { ddpmUNet, traceDdpmUNet } from '../../../src/models/ddpm-unet.ts';
import { traceLucidUNet } from '../../../src/models/lucid-unet.ts';
import { sinesFirstEmbedding } from '../../../src/nn/timestep-embedding.ts';
import type { Tensor } from '../../../src/tensor/tensor.ts';
import { withNames } from '../../../src/weights/view.ts';
import type { WeightSource } from '../../../src/weights/weight-source.ts';
import { compileGraph, type LineageCase, type Loose, timestepsOf } from '../lineage-case.ts';
import { compareExactly, type Comparison } from '../reader.ts';
import { firstOf } from '../zoo-model.ts';
import { lineageReader } from '../lineage-reader.ts';

type Outputs = Readonly<Record<string, Tensor>>;

async function outputsOf(
  graph: Graph,
  weights: WeightSource,
  inputs: Readonly<Record<string, Tensor>>,
): Promise<Outputs> {
  const program = await compileGraph(graph, weights);
  const made = await program.run(inputs);
  await program.dispose();
  return made;
}

const times = (value: Tensor): Tensor => timestepsOf(Array.from(value.data as ArrayLike<number>, Number));

const tapsOf = (recorded: LineageCase): string[] =>
  [...recorded.outputs.keys()].flatMap((name) => /^intermediate\.(.*)$/.exec(name)?.[1] ?? []);

async function* ddpm(recorded: LineageCase): AsyncIterable<Comparison> {
  const { settings } = recorded;
  const config = (params: Loose): DdpmUNetConfig =>
    ldmNetwork({ target: 'ldm.modules.diffusionmodules.model.Model', params }, 'settings') as DdpmUNetConfig;
  const weights = recorded.weights();
  const inputs = { x: recorded.input('x'), timesteps: times(recorded.tensor('timesteps')) };
  const own = config(settings.model);
  const made = await outputsOf(traceDdpmUNet(own, { taps: tapsOf(recorded) }), weights, inputs);
  for (const [name, value] of Object.entries(made)) yield recorded.compare(name, value);
  const linear = firstOf([
    recorded.weights('linear_attention', undefined),
    withNames(weights, (name) => (/\.attn(_1|\.\d+)\./.test(name) ? undefined : name)),
  ]);
  const attended = await outputsOf(traceDdpmUNet(config(settings.linear)), linear, inputs);
  yield recorded.compare('linear_attention.out', attended['out']);
  const pooled = await outputsOf(traceDdpmUNet(config(settings.pooled)), weights, inputs);
  yield recorded.compare('pooled.out', pooled['out']);
  const image = { dtype: 'float32', shape: [dim('batch'), own.in_channels, ...inputs.x.shape.slice(2)] } as const;
  const stamps = { dtype: 'float32', shape: [dim('batch')] } as const;
  // The first channel is x, the others are the context.
  const joint = trace({ x: image, timesteps: stamps }, ({ x, timesteps }, p) => ({
    out: ddpmUNet(p, own, { x: slice(x, 1, 0, 1), timesteps, context: slice(x, 1, 1, own.in_channels) }),
  }));
  yield recorded.compare('context.out', (await outputsOf(joint, weights, inputs))['out']);
  const embedding = trace({ timesteps: stamps }, ({ timesteps }) => ({ out: sinesFirstEmbedding(timesteps, own.ch) }));
  yield recorded.compare(
    'timestep_embedding',
    (await outputsOf(embedding, weights, { timesteps: inputs.timesteps }))['out'],
  );
  const found = detectNetwork(weights).config as DdpmUNetConfig;
  yield compareExactly('levels with attention', attentionLevels(found), attentionLevels(own));
}

const attentionLevels = ({ ch_mult, resolution, attn_resolutions }: DdpmUNetConfig): boolean[] =>
  ch_mult.map((_, level) => attn_resolutions.includes(Math.floor(resolution / 2 ** level)));

/** Settings that a constructor does not take. */
const described = ['time'];

async function* lucid(recorded: LineageCase): AsyncIterable<Comparison> {
  const params = Object.fromEntries(Object.entries(recorded.settings).filter(([name]) => !described.includes(name)));
  const config = ldmNetwork({ target: 'denoising_diffusion_pytorch.Unet', params }, 'settings') as LucidUNetConfig;
  const weights = recorded.weights();
  const inputs = { x: recorded.input('x'), timesteps: times(recorded.tensor('time')) };
  const made = await outputsOf(traceLucidUNet(config, { taps: tapsOf(recorded) }), weights, inputs);
  for (const [name, value] of Object.entries(made)) yield recorded.compare(name, value);
  if (recorded.outputs.has('self_cond.out')) {
    const guess = { ...inputs, x_self_cond: recorded.input('x_self_cond') };
    yield recorded.compare('self_cond.out', (await outputsOf(traceLucidUNet(config, {}, true), weights, guess))['out']);
  }
  const found = detectNetwork(weights).config as LucidUNetConfig;
  const shape = ({ dim: width, dim_mults, channels, self_condition, learned_variance }: LucidUNetConfig): unknown => ({
    width,
    dim_mults,
    channels,
    self_condition,
    learned_variance,
  });
  yield compareExactly('found by names and shapes', shape(found), shape(config));
}

export const reader = lineageReader([
  [/^DDPM's own UNet/, ddpm],
  [/^Unet: 7x7 stem/, lucid],
]);
