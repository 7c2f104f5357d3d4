/** Control models of random weights for a model's UNet. */

import {
  clipVisionConfigSchema,
  type ControlNetConfig,
  gligenConfigSchema,
  type IpAdapterConfig,
  ipAdapterConfigSchema,
  type T2IAdapterConfig,
} from '../src/config/network-config.ts';
import { ipAdapterMap } from '../src/checkpoints/layouts/ip-adapter.ts';
import { grounding } from '../src/extensions/grounding.ts';
import type { Image } from '../src/image/image.ts';
import { type ControlModel, openControlModel } from '../src/model/control-model.ts';
import { type DenoisingModel, unetOf } from '../src/model/extended-denoiser.ts';
import { networkParameters } from '../src/models/index.ts';
import { TorchGenerator } from '../src/random/torch-generator.ts';
import type { Tensor } from '../src/tensor/tensor.ts';
import { memoryWeights } from '../src/weights/memory-weights.ts';
import { joined } from '../src/weights/view.ts';
import type { WeightSource } from '../src/weights/weight-source.ts';
import { randomWeights } from './model/random-model.ts';

export function controlNetConfig(model: DenoisingModel): ControlNetConfig {
  const { config: unet } = unetOf(model);
  return { kind: 'controlnet', unet, hint_channels: 3, hint_widths: [4, 4, 8, 8, 12, 12, 16] };
}

function randomControlNet(model: DenoisingModel, seed = 7): ControlModel {
  return openControlModel(model, randomWeights(controlNetConfig(model), seed));
}

function randomT2IAdapter(model: DenoisingModel): ControlModel {
  const { config: unet } = unetOf(model);
  const channels = unet.channel_mult.map((mult) => mult * unet.model_channels);
  const config: T2IAdapterConfig = {
    kind: 't2i_adapter',
    adapter_type: 'full',
    in_channels: 3,
    channels,
    num_res_blocks: 2,
    downscale_factor: 8,
  };
  return openControlModel(model, randomWeights(config));
}

/** The file of an IP-Adapter for image embeddings of 20 values. */
export function randomImagePromptWeights(model: DenoisingModel): WeightSource {
  const { config: unet } = unetOf(model);
  const config: IpAdapterConfig = ipAdapterConfigSchema.parse({
    kind: 'ip_adapter',
    clip_embeddings_dim: 20,
    cross_attention_dim: unet.context_dim,
  });
  const generator = new TorchGenerator(11);
  const shapes = unetOf(model).weights.entries;
  const keys = ipAdapterMap(unet).rows.map((row): [string, Tensor] => {
    const own = shapes.get(row.a.replace(/\.to_([kv])_ip\.0\./, '.to_$1.'))?.shape ?? [1, 1];
    return [String(row.b), generator.randn(own)];
  });
  return joined([randomWeights(config), memoryWeights(new Map(keys), 'keys')], 'image-prompt.safetensors');
}

/** GLIGEN's position network and gates, the gates open. */
export function randomGligenWeights(model: DenoisingModel): WeightSource {
  const { config: unet } = unetOf(model);
  const generator = new TorchGenerator(12);
  const gates = networkParameters(unet, [grounding]).flatMap(({ name, shape }): [string, Tensor][] => {
    if (!name.includes('.fuser.')) return [];
    const values = generator.randn(shape);
    const fan = shape.slice(1).reduce((product, size) => product * size, 1);
    return [[name, { ...values, data: values.data.map((value) => value / Math.sqrt(fan)) }]];
  });
  const position = randomWeights(gligenConfigSchema.parse({ kind: 'gligen', context_dim: unet.context_dim }));
  return joined([position, memoryWeights(new Map(gates), 'gates')], 'gligen.safetensors');
}

function randomImagePrompt(model: DenoisingModel): ControlModel {
  return openControlModel(model, randomImagePromptWeights(model));
}

export interface SampleControls {
  /** A control, or an image prompt, as the library takes it. */
  readonly option: (name: string) => object;
  readonly dispose: () => Promise<void>;
}

/** Controls by name: `net`, `late` (the same for the first steps), `adapter`, `reference`, and the image prompt `prompt`. */
export function sampleControls(model: DenoisingModel, picture: Image): SampleControls {
  const [net, adapter, prompt] = [randomControlNet(model), randomT2IAdapter(model), randomImagePrompt(model)];
  const options: Readonly<Record<string, object>> = {
    net: { model: net, picture, mode: 'control', weight: 2 },
    adapter: { model: adapter, picture, resize: 'fill' },
    reference: { picture, preprocessor: 'reference_adain+attn', thresholdA: 0.3 },
    late: { model: net, picture, weight: 2, end: 0.34 },
    prompt: { model: prompt, embeddings: new TorchGenerator(4).randn([1, 20]) },
  };
  return {
    option: (name) => options[name] ?? {},
    async dispose() {
      for (const one of [net, adapter, prompt]) await one.dispose();
    },
  };
}

/** CLIP's image encoder with one head, whose vector has `width` numbers. */
export function tinyImageEncoder(width: number) {
  return clipVisionConfigSchema.parse({
    kind: 'clip_vision',
    hidden_size: 64,
    intermediate_size: 64,
    num_hidden_layers: 2,
    num_attention_heads: 1,
    image_size: 32,
    patch_size: 16,
    projection_dim: width,
    with_projection: true,
  });
}
