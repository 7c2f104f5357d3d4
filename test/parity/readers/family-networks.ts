/** Networks of SD 2.x and SDXL alone: UNets and autoencoders by their configuration, text towers by names and shapes. */

import { join } from 'node:path';
import * as z from 'zod';
import { canonicalWeights } from '../../../src/checkpoints/canonical.ts';
import { ldmNetwork } from '../../../src/config/ldm-network.ts';
import { clipTextConfigSchema, klConfigSchema, type NetworkConfig } from '../../../src/config/network-config.ts';
import { forward } from '../../../src/model/forward.ts';
import { toFloat32 } from '../../../src/tensor/convert.ts';
import type { Tensor } from '../../../src/tensor/tensor.ts';
import { memoryWeights } from '../../../src/weights/memory-weights.ts';
import { layered, under } from '../../families/tiny-models.ts';
import { pick, readTensors } from '../../tensors.ts';
import { parityEngine } from '../engine.ts';
import { compareTensors, type Comparison, type RecordedCase, type Reader } from '../reader.ts';

const outputSchema = z.looseObject({ atol: z.number().optional(), same_as: z.string().optional() });
const rowSchema = z.looseObject({
  dir: z.string(),
  settings: z.looseObject({}),
  outputs: z.record(z.string(), outputSchema),
  weights: z.union([z.string(), z.array(z.string())]),
  weights_prefix: z.string(),
});
type Row = z.output<typeof rowSchema>;

/** The tensors of the case's files without their prefix. */
function weightsOf({ weights, weights_prefix }: Row, folder: string): ReadonlyMap<string, Tensor> {
  const files = (typeof weights === 'string' ? [weights] : weights).map((file) => file.split(' ')[0] ?? '');
  return under(layered(folder, files), weights_prefix);
}

async function run(
  config: NetworkConfig,
  weights: ReadonlyMap<string, Tensor>,
  inputs: ReadonlyMap<string, Tensor>,
  taps: readonly string[] = [],
) {
  const source = canonicalWeights(memoryWeights(weights), config).source;
  return forward({ engine: parityEngine(), config, weights: source, inputs, taps });
}

const withTimesteps = (
  inputs: ReadonlyMap<string, Tensor>,
  change: Readonly<Record<string, Tensor>> = {},
): Map<string, Tensor> => {
  const all = new Map([...inputs, ...Object.entries(change)]);
  const timesteps = all.get('timesteps');
  return timesteps ? all.set('timesteps', toFloat32(timesteps)) : all;
};

/** The batch in the opposite order. */
function swapped(value: Tensor): Tensor {
  const [items = 1] = value.shape;
  const size = value.data.length / items;
  const data = value.data.slice();
  for (let i = 0; i < items; i++)
    (data as Float32Array).set((value.data as Float32Array).subarray(i * size, (i + 1) * size), (items - 1 - i) * size);
  return { ...value, data } as Tensor;
}

async function unetOutputs(
  row: Row,
  folder: string,
  inputs: ReadonlyMap<string, Tensor>,
): Promise<Map<string, Tensor>> {
  const config = ldmNetwork(row.settings, 'settings');
  const weights = weightsOf(row, folder);
  const names = Object.keys(row.outputs);
  const taps = names.flatMap((name) => /^intermediate\.(.*)$/.exec(name)?.[1] ?? []);
  const got = await run(config, weights, withTimesteps(inputs), taps);
  const y = inputs.get('y');
  if (y && names.includes('out.y_swapped'))
    got.set('out.y_swapped', pick(await run(config, weights, withTimesteps(inputs, { y: swapped(y) })), 'out'));
  if (names.includes('out.timesteps_float')) {
    const timesteps = toFloat32(pick(inputs, 'timesteps'));
    const shifted = { ...timesteps, data: timesteps.data.map((value) => value + 0.625) };
    got.set(
      'out.timesteps_float',
      pick(await run(config, weights, withTimesteps(inputs, { timesteps: shifted })), 'out'),
    );
  }
  return got;
}

/** OpenCLIP's tower and CLIP's, under the names of the recordings. */
async function textOutputs(
  row: Row,
  folder: string,
  inputs: ReadonlyMap<string, Tensor>,
): Promise<Map<string, Tensor>> {
  const { settings } = row;
  const isOpen = settings['width'] !== undefined;
  const layers = Number(isOpen ? settings['layers'] : settings['num_hidden_layers']);
  const width = Number(isOpen ? settings['width'] : settings['hidden_size']);
  const known = Object.keys(clipTextConfigSchema.unwrap().shape);
  const config = clipTextConfigSchema.parse({
    kind: 'clip_text',
    ...(isOpen
      ? {
          vocab_size: settings['vocab'],
          hidden_size: width,
          intermediate_size: 4 * width,
          num_hidden_layers: layers,
          num_attention_heads: settings['heads'],
          hidden_act: 'gelu',
          projection_dim: settings['embed_dim'],
          with_projection: true,
          eos_token_id: 2,
        }
      : Object.fromEntries(Object.entries(settings).filter(([name]) => known.includes(name)))),
  });
  const weights = new Map([...weightsOf(row, folder)].map(([name, value]) => [isOpen ? `model.${name}` : name, value]));
  const made = await run(config, weights, inputs);
  const got = new Map(made);
  const last = pick(made, 'last_hidden_state');
  got.set('last.ln_final', last).set('penultimate.ln_final', pick(made, `final_norm.${layers - 1}`));
  got.set('penultimate.raw', pick(made, `hidden_states.${layers - 1}`));
  got.set('penultimate.final_norm', pick(made, `final_norm.${layers - 1}`));
  if (isOpen) got.set('pooled', pick(made, 'text_embeds'));
  for (let i = 0; i < layers; i++)
    got.set(`intermediate.model.transformer.resblocks.${i}`, pick(made, `hidden_states.${i + 1}`));
  return got;
}

async function autoencoderOutputs(
  row: Row,
  folder: string,
  inputs: ReadonlyMap<string, Tensor>,
): Promise<Map<string, Tensor>> {
  const config = klConfigSchema.parse({ kind: 'kl', embed_dim: row.settings['z_channels'], ddconfig: row.settings });
  const got = await run(config, weightsOf(row, folder), inputs);
  return got.set('image', pick(got, 'decoded.z'));
}

function kindOf({
  weights_prefix: prefix,
  settings,
}: Row | { weights_prefix?: unknown; settings?: unknown }): typeof unetOutputs | undefined {
  const given = settings as Record<string, unknown> | undefined;
  if (prefix === 'model.diffusion_model.') return unetOutputs;
  if (prefix === 'first_stage_model.' && given?.['z_channels'] !== undefined) return autoencoderOutputs;
  return given?.['vocab'] !== undefined || given?.['vocab_size'] !== undefined ? textOutputs : undefined;
}

export const reader: Reader = {
  set: 'families',
  reads: (row, part) => part === 'networks' && kindOf(row) !== undefined,
  async *compare(recorded: RecordedCase): AsyncIterable<Comparison> {
    const row = rowSchema.parse(recorded.row);
    const folder = recorded.setFolder;
    const make = kindOf(row);
    if (!make) return;
    const got = await make(row, folder, readTensors(join(folder, row.dir, 'inputs.safetensors')));
    const want = readTensors(join(folder, row.dir, 'outputs.safetensors'));
    for (const [output, { atol, same_as = output }] of Object.entries(row.outputs))
      yield compareTensors(output, got.get(output), pick(want, same_as), atol ?? row.outputs[same_as]?.atol ?? 0);
  },
};
