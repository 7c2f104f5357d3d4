/** Control networks in the layouts in which people have them: what they make from each file, and names and shapes of the published ones. */

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { canonicalWeights } from '../../../src/checkpoints/canonical.ts';
import { detectNetwork } from '../../../src/checkpoints/detect.ts';
import { ipAdapterMap } from '../../../src/checkpoints/layouts/ip-adapter.ts';
import { renamed } from '../../../src/checkpoints/rename.ts';
import { compareParameters } from '../../../src/checkpoints/report.ts';
import { huggingFaceNetwork } from '../../../src/config/hugging-face-network.ts';
import type { NetworkConfig } from '../../../src/config/network-config.ts';
import { v1UNet } from '../../networks.ts';
import { imagePrompts } from '../../../src/extensions/image-prompt.ts';
import { openWeightsAt } from '../../../src/formats/open-weights-node.ts';
import { type ControlModel, embeddedTokens, openControlModel } from '../../../src/model/control-model.ts';
import type { DenoisingModel } from '../../../src/model/extended-denoiser.ts';
import { networkParameters } from '../../../src/models/index.ts';
import { takeBatch } from '../../../src/tensor/batches.ts';
import { zeros, type Tensor } from '../../../src/tensor/tensor.ts';
import { weightView } from '../../../src/weights/view.ts';
import type { WeightSource } from '../../../src/weights/weight-source.ts';
import { readTensors, type Tensors } from '../../tensors.ts';
import { collecting, type Comparisons } from '../comparisons.ts';
import { floats, unetModel } from '../control-case.ts';
import type { Reader, Recorded, RecordedCase } from '../reader.ts';

const weightFile = /\.(pth|bin|safetensors)$/;
const notWeights = new Set(['inputs.safetensors', 'outputs.safetensors']);

/** The weight files and diffusers folders of a case. */
function filesOf({ folder }: RecordedCase): string[] {
  const files = readdirSync(folder).filter((name) => weightFile.test(name) && !notWeights.has(name));
  return [...files, ...(existsSync(join(folder, 'diffusers')) ? ['diffusers'] : [])].map((name) => join(folder, name));
}

/** Outputs of one opened file, under the case's names. */
async function outputsOf(control: ControlModel, inputs: Tensors): Promise<Map<string, Tensor>> {
  if (control.config.kind === 'ip_adapter') {
    const { projection } = control.config;
    const kind = { linear: 'base', resampler: 'plus', mlp: 'full', face: 'face' }[projection];
    const given = floats(inputs, projection === 'linear' ? 'embeds' : 'hidden');
    const made: Tensor[] = [];
    for (let i = 0; i < (given.shape[0] ?? 1); i++)
      made.push((await embeddedTokens(control, takeBatch(given, i, i + 1))).conditional);
    return new Map([[`tokens.${kind}`, made[0] as Tensor]]);
  }
  const names = control.config.kind === 'controlnet' ? ['x', 'timesteps', 'context', 'hint'] : ['image'];
  const outputs = await control.run(Object.fromEntries(names.map((name) => [name, floats(inputs, name)])));
  return new Map(
    Object.entries(outputs).map(([name, value]) => [
      name.replace('control.middle', 'mid').replace('control.', 'down.').replace('adapter.', 'feature.'),
      value,
    ]),
  );
}

async function compareFiles(recorded: RecordedCase, model: DenoisingModel, compare: Comparisons): Promise<void> {
  const { folder, setFolder, row } = recorded;
  const from = (row['settings'] as Recorded)?.inputs_from?.split(' ')[0];
  const inputs = readTensors(from ? join(setFolder, from) : join(folder, 'inputs.safetensors'));
  const wanted = readTensors(join(folder, 'outputs.safetensors'));
  for (const path of filesOf(recorded)) {
    const source = await openWeightsAt(path);
    const prefix = [...wanted.keys()].some((name) => name.startsWith('fp16.'))
      ? source.entries.has('difference')
        ? 'difference.'
        : 'fp16.'
      : '';
    await using control = openControlModel(model, source);
    for (const [name, value] of await outputsOf(control, inputs)) {
      const output = `${prefix}${name}`;
      compare.tensor(output, value, floats(wanted, output), (row['outputs'] as Recorded)[output].atol, {
        note: path.slice(folder.length + 1),
      });
    }
  }
}

/** Names and shapes without values. */
function shapesOnly(label: string, shapes: ReadonlyMap<string, readonly number[]>): WeightSource {
  const tensors = Array.from(shapes, ([name, shape]) => ({
    entry: { name, shape, dtype: 'float32' as const },
    read: async () => zeros('float32', shape),
  }));
  return weightView(label, tensors, []);
}

const sizeOf = (shapes: Iterable<readonly number[]>): number =>
  Array.from(shapes, (shape) => shape.reduce((a, b) => a * b, 1)).reduce((a, b) => a + b, 0);

const differencesOf = (source: WeightSource, config: NetworkConfig): unknown => {
  const { missing, unexpected, misshapen } = compareParameters(networkParameters(config), source);
  return { missing, unexpected, misshapen };
};
const none = { missing: [], unexpected: [], misshapen: [] };

/** One list of names and shapes of a published file. */
function compareKeys(name: string, list: Recorded, counts: readonly number[] | undefined, compare: Comparisons): void {
  const entries = Object.entries<Recorded>(list.keys).map(
    ([key, value]) => [key, Array.isArray(value) ? value : value.shape] as const,
  );
  const source = shapesOnly(name, new Map(entries));
  const found = detectNetwork(source);
  compare.exact(
    `${name} [tensors, parameters]`,
    [entries.length, sizeOf(entries.map(([, shape]) => shape))],
    counts ?? [list.count, list.parameters],
  );
  compare.exact(name, differencesOf(found.source, found.config), none);
  const diffusers = Object.entries<Recorded>(list.keys).flatMap(([, value]) =>
    value.diffusers ? [[value.diffusers, value.shape] as const] : [],
  );
  if (diffusers.length > 0) {
    const json = list['config.json of the diffusers folder'];
    const className = name.includes('controlnet') ? 'ControlNetModel' : 'T2IAdapter';
    const config = huggingFaceNetwork({ ...json, _class_name: className }, name);
    const other = shapesOnly(`${name} of diffusers`, new Map(diffusers));
    compare.exact(`${name} of diffusers`, differencesOf(canonicalWeights(other, config).source, config), none);
    compare.exact(
      `${name} of diffusers, detected`,
      differencesOf(detectNetwork(other).source, detectNetwork(other).config),
      none,
    );
  }
  if (found.config.kind !== 'ip_adapter') return;
  const keys = shapesOnly(name, new Map(entries.filter(([key]) => key.startsWith('ip_adapter.'))));
  const own = renamed(keys, ipAdapterMap(v1UNet), 'b-to-a');
  const declared = networkParameters(v1UNet, [imagePrompts(1)]).filter(({ name: key }) => /to_[kv]_ip/.test(key));
  const { missing, unexpected, misshapen } = compareParameters(declared, own);
  compare.exact(`${name} attentions`, { missing, unexpected, misshapen }, none);
}

export const reader: Reader = {
  set: 'control',
  reads: (_, part) => part === 'layouts',
  compare: collecting(async (recorded, compare) => {
    const lists = readdirSync(recorded.folder).filter((name) => name.endsWith('.keys.json'));
    const counts = (recorded.row['values'] as Recorded)?.['[tensors, parameters]'] ?? {};
    for (const file of lists) {
      const name = file.replace(/^full-|\.keys\.json$/g, '');
      compareKeys(name, JSON.parse(readFileSync(join(recorded.folder, file), 'utf8')), counts[name], compare);
    }
    if (lists.length > 0) return;
    await using model = unetModel(join(recorded.setFolder, '../networks/unet_sd'));
    await compareFiles(recorded, model, compare);
  }),
};
