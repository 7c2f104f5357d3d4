/** Runs a recorded network that acts on a UNet, and the UNet with it: every output of the case by name. */

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { canonicalWeights } from '../../src/checkpoints/canonical.ts';
import { ipAdapterMap } from '../../src/checkpoints/layouts/ip-adapter.ts';
import { openNetwork } from '../../src/checkpoints/network-weights.ts';
import { renamed } from '../../src/checkpoints/rename.ts';
import { parseModelConfig } from '../../src/config/model-config.ts';
import { networkConfigSchema, type UNetConfig } from '../../src/config/network-config.ts';
import { parseYaml } from '../../src/config/yaml.ts';
import type { Engine } from '../../src/engine/engine.ts';
import { controlNetUnit } from '../../src/diffusion/control/control-net-unit.ts';
import type { ControlMode } from '../../src/diffusion/control/layer-weights.ts';
import { adapterExtension } from '../../src/extensions/adapter.ts';
import { control } from '../../src/extensions/control.ts';
import type { Extension } from '../../src/extensions/extension.ts';
import { imagePrompts } from '../../src/extensions/image-prompt.ts';
import { assertNetworksMatch, type NamedNetwork, NetworkSet } from '../../src/model/network-set.ts';
import { scale } from '../../src/tensor/arithmetic.ts';
import type { NetworkInputs } from '../../src/tensor/batches.ts';
import { toFloat32 } from '../../src/tensor/convert.ts';
import { elementCount, expectDType, float32, type Tensor } from '../../src/tensor/tensor.ts';
import { memoryWeights } from '../../src/weights/memory-weights.ts';
import { joined, withNames } from '../../src/weights/view.ts';
import type { WeightSource } from '../../src/weights/weight-source.ts';
import { pick, readTensors } from '../tensors.ts';

type Outputs = Map<string, Tensor>;

interface Case {
  readonly inputs: ReadonlyMap<string, Tensor>;
  readonly outputs: readonly string[];
  readonly unetConfig: UNetConfig;
  readonly unetWeights: WeightSource;
  /** As in the file. */
  readonly file: WeightSource;
  readonly network: NamedNetwork;
  readonly engine: Engine;
}

/** Runs the network of the case alone. */
async function alone(
  { engine, network, inputs }: Case,
  names: readonly string[],
  outputs?: readonly string[],
): Promise<NetworkInputs> {
  await using set = new NetworkSet({ label: 'case', engine, networks: new Map([['it', network]]) });
  const given = Object.fromEntries(names.map((name) => [name, toFloat32(pick(inputs, name))]));
  return set.run({ network: 'it', outputs: outputs ?? set.outputs({ network: 'it' }) }, given);
}

/** Runs the UNet with an extension on each of the further inputs. */
async function withExtension(
  { engine, unetConfig, unetWeights, inputs }: Case,
  extension: Extension,
  further: Readonly<Record<string, NetworkInputs>>,
  parameters?: WeightSource,
): Promise<Outputs> {
  const unet: NamedNetwork = {
    config: unetConfig,
    weights: parameters ? joined([unetWeights, parameters], 'UNet with an extension') : unetWeights,
    extensions: [extension],
  };
  assertNetworksMatch([unet]);
  await using set = new NetworkSet({ label: 'case', engine, networks: new Map([['unet', unet]]) });
  const own = Object.fromEntries(['x', 'timesteps', 'context'].map((name) => [name, toFloat32(pick(inputs, name))]));
  const found: Outputs = new Map();
  for (const [output, more] of Object.entries(further)) {
    const { out } = await set.run({ network: 'unet', outputs: ['out'] }, { ...own, ...more });
    found.set(output, out as Tensor);
  }
  return found;
}

async function controlOutputs(recorded: Case): Promise<Outputs> {
  const { hint_features, ...made } = await alone(recorded, ['x', 'timesteps', 'context', 'hint']);
  const strength = Number(pick(recorded.inputs, 'conditioning_scale').data[0]);
  const x = expectDType(toFloat32(pick(recorded.inputs, 'x')), 'float32');
  const timesteps = expectDType(toFloat32(pick(recorded.inputs, 'timesteps')), 'float32');
  const hint = expectDType(toFloat32(pick(recorded.inputs, 'hint')), 'float32');
  const weighted = async (weight: number, mode: ControlMode = 'balanced'): Promise<NetworkInputs> => {
    const window = { start: 0, end: 1 };
    const unit = controlNetUnit({ run: async () => made, channels: x.shape[1] ?? 4, hint, weight, mode, window });
    const isConditional = new Array<boolean>(x.shape[0] ?? 1).fill(true);
    return (await unit.before?.({ inputs: { x, timesteps }, isConditional, isActive: true })) ?? {};
  };
  const guessed = await weighted(1, 'guess');
  const found = await withExtension(recorded, control, {
    unet_out: await weighted(1),
    'unet_out.scaled': await weighted(strength),
  });
  for (const [prefix, all] of [
    ['', made],
    ['guess_mode.', guessed],
  ] as const)
    for (const [name, value] of Object.entries(all))
      found.set(prefix + name.replace('control.middle', 'mid').replace('control.', 'down.'), value as Tensor);
  return found.set('intermediate.hint', hint_features as Tensor);
}

async function adapterOutputs(recorded: Case): Promise<Outputs> {
  const features = await alone(recorded, ['image']);
  const weaker = Object.fromEntries(
    Object.entries(features).map(([name, value]) => [name, scale(expectDType(value, 'float32'), Math.fround(0.6))]),
  );
  const found = await withExtension(recorded, adapterExtension({ adapter_type: 'full' } as const), {
    unet_out: features,
    'unet_out.scaled': weaker,
  });
  for (const [name, value] of Object.entries(features)) found.set(name.replace('adapter.', 'feature.'), value);
  return found;
}

async function imagePromptOutputs(recorded: Case): Promise<Outputs> {
  const { image_tokens } = await alone(recorded, ['image_embeds']);
  const tokens = image_tokens as Tensor;
  const batch = tokens.shape[0] ?? 1;
  const [, , height = 1, width = 1] = pick(recorded.inputs, 'x').shape;
  const further = Object.fromEntries(
    recorded.outputs.flatMap((output) => {
      const found = /^unet_out(?:\.scale_(.*))?$/.exec(output);
      const scales = recorded.unetConfig.channel_mult.map((_, level) => {
        const shape = [batch, height / 2 ** level, width / 2 ** level];
        const values = new Float32Array(elementCount(shape)).fill(Number(found?.[1] ?? 1));
        return [`image_scale.0.${level}`, float32(shape, values)] as const;
      });
      return found ? [[output, { 'image_tokens.0': tokens, ...Object.fromEntries(scales) }] as const] : [];
    }),
  );
  const keys = withNames(recorded.file, (name) => (name.startsWith('ip_adapter.') ? name : undefined));
  const parameters = renamed(keys, ipAdapterMap(recorded.unetConfig), 'b-to-a');
  const found = await withExtension(recorded, imagePrompts(1), further, parameters);
  return found.set('image_tokens', tokens);
}

const kinds: Readonly<Record<string, (recorded: Case) => Promise<Outputs>>> = {
  controlnet: controlOutputs,
  t2i_adapter: adapterOutputs,
  ip_adapter: imagePromptOutputs,
};

/** All outputs of the case in `folder`. `unetFolder` holds the UNet it acts on. */
export async function extensionOutputs(
  folder: string,
  unetFolder: string,
  outputs: readonly string[],
  engine: Engine,
): Promise<Outputs> {
  const file = memoryWeights(readTensors(join(folder, 'weights.safetensors')), folder);
  const yaml = join(folder, 'config.cldm.yaml');
  const config = existsSync(yaml) ? parseYaml(readFileSync(yaml, 'utf8'), yaml) : undefined;
  const opened = await openNetwork(file, { config });
  const unetYaml = join(unetFolder, 'config.yaml');
  const unetConfig = networkConfigSchema.parse(
    parseModelConfig(readFileSync(unetYaml, 'utf8'), unetYaml),
  ) as UNetConfig;
  const run = kinds[opened.config.kind];
  if (!run) throw new Error(`${folder} holds a ${opened.config.kind}, which acts on no UNet.`);
  assertNetworksMatch([{ config: opened.config, weights: opened.source }]);
  return run({
    inputs: readTensors(join(folder, 'inputs.safetensors')),
    outputs,
    unetConfig,
    unetWeights: canonicalWeights(
      memoryWeights(readTensors(join(unetFolder, 'weights.safetensors')), unetFolder),
      unetConfig,
    ).source,
    file,
    network: { config: opened.config, weights: opened.source },
    engine,
  });
}
