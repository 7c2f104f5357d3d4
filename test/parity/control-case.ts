/** Models of recorded control cases: the UNet of another set's case, and control networks opened on it. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { canonicalWeights } from '../../src/checkpoints/canonical.ts';
import { parseModelConfig } from '../../src/config/model-config.ts';
import { networkConfigSchema, type UNetConfig } from '../../src/config/network-config.ts';
import type { ControlInput } from '../../src/model/control-units.ts';
import { type ControlModel, openControlModel, type ControlModelOptions } from '../../src/model/control-model.ts';
import { denoiserNetwork } from '../../src/model/denoiser-network.ts';
import type { DenoisingModel } from '../../src/model/extended-denoiser.ts';
import { KeptForm } from '../../src/model/kept-form.ts';
import { NetworkSet } from '../../src/model/network-set.ts';
import { toFloat32 } from '../../src/tensor/convert.ts';
import type { Tensor } from '../../src/tensor/tensor.ts';
import { memoryWeights } from '../../src/weights/memory-weights.ts';
import type { WeightSource } from '../../src/weights/weight-source.ts';
import { pick, readTensors, type Tensors } from '../tensors.ts';
import { parityEngine } from './engine.ts';

/** The UNet in a case's folder of the set `networks`, from its weights or from those given. */
export function unetModel(folder: string, given?: WeightSource): DenoisingModel & AsyncDisposable {
  const yaml = join(folder, 'config.yaml');
  const config = networkConfigSchema.parse(parseModelConfig(readFileSync(yaml, 'utf8'), yaml)) as UNetConfig;
  const source = given ?? memoryWeights(readTensors(join(folder, 'weights.safetensors')), folder);
  const weights = canonicalWeights(source, config).source;
  const keptForm = new KeptForm();
  const networks = new NetworkSet({
    label: folder,
    engine: parityEngine(),
    networks: new Map([['unet', { config, weights }]]),
  });
  return {
    label: folder,
    networks,
    precision: 'float32',
    predict: denoiserNetwork(config, networks).predict,
    keptForm,
    async [Symbol.asyncDispose]() {
      await keptForm[Symbol.asyncDispose]();
      await networks.dispose();
    },
  };
}

/** Opens the control network of a safetensors file. */
export function controlFrom(model: DenoisingModel, path: string, options?: ControlModelOptions): ControlModel {
  return openControlModel(model, memoryWeights(readTensors(path), path), options);
}

/** A tensor of the case in float32. */
export const floats = (tensors: Tensors, name: string): Tensor<'float32'> => toFloat32(pick(tensors, name));

/** A control for the whole run at full strength. */
export function wholeRun(control: ControlModel, more: Partial<ControlInput> = {}): ControlInput {
  return { control, weight: 1, mode: 'balanced', window: { start: 0, end: 1 }, ...more };
}
