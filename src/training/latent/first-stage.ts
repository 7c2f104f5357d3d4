/** The frozen autoencoder of a latent diffusion model in training: pictures to what a cache keeps, draws of latents from it, and latents back to pictures. */

import type { FirstStageConfig } from '../../config/network-config.ts';
import type { Engine, Program } from '../../engine/engine.ts';
import { StableDiffusionError } from '../../errors.ts';
import { traceKlDecode, traceKlEncode } from '../../models/autoencoder-kl.ts';
import { traceVqDecode, traceVqEncode } from '../../models/autoencoder-vq.ts';
import type { TorchGenerator } from '../../random/torch-generator.ts';
import { expectDType, type Tensor, tensor } from '../../tensor/tensor.ts';
import type { WeightSource } from '../../weights/weight-source.ts';

/** Where its parameters lie in a checkpoint. */
const prefix = 'first_stage_model';

export interface FirstStage extends AsyncDisposable {
  readonly config: FirstStageConfig;
  /** Pixels along each axis of one latent element. */
  readonly downsampling: number;
  /** Pictures [b, 3, H, W] in [-1, 1] → what latents are drawn from: the moments [b, 2c, h, w] of a KL autoencoder, else the latents. */
  encode(images: Tensor<'float32'>): Promise<Tensor<'float32'>>;
  /** A draw from the posterior, not scaled, [b, c, h, w]. Draws from the generator only where there is one. */
  sample(encoded: Tensor<'float32'>, generator: TorchGenerator): Tensor<'float32'>;
  /** Latents, not scaled → pictures, about [-1, 1]. */
  decode(latents: Tensor<'float32'>): Promise<Tensor<'float32'>>;
}

/** Networks are compiled when first used. `weights`: of the whole model. */
export function firstStage(config: FirstStageConfig, engine: Engine, weights: WeightSource): FirstStage {
  const programs = new Map<string, Promise<Program>>();
  const run = async (graph: 'encode' | 'decode', inputs: Record<string, Tensor>): Promise<Tensor<'float32'>> => {
    const output = graph === 'decode' ? 'decoded' : config.kind === 'vq' ? 'prequant' : 'moments';
    const options = { prefix, outputs: [output] };
    const known = programs.get(graph);
    const trace = () => {
      if (config.kind === 'kl')
        return graph === 'encode' ? traceKlEncode(config, options) : traceKlDecode(config, options);
      if (config.kind === 'vq')
        return graph === 'encode' ? traceVqEncode(config, options) : traceVqDecode(config, options);
      throw new StableDiffusionError('invalid-argument', 'A model without an autoencoder has nothing to run.');
    };
    const program = known ?? engine.compile(trace(), weights);
    programs.set(graph, program);
    const result = (await (await program).run(inputs))[output];
    if (!result) throw new StableDiffusionError('engine-failed', `The autoencoder returned no ${output}.`);
    return expectDType(result, 'float32');
  };
  return {
    config,
    downsampling: config.kind === 'identity' ? 1 : 2 ** (config.ddconfig.ch_mult.length - 1),
    encode: async (images) => (config.kind === 'identity' ? images : run('encode', { image: images })),
    sample: (encoded, generator) => (config.kind === 'kl' ? samplePosterior(encoded, generator) : encoded),
    decode: async (latents) => (config.kind === 'identity' ? latents : run('decode', { z: latents })),
    async [Symbol.asyncDispose]() {
      for (const program of programs.values())
        await program.then(
          (compiled) => compiled.dispose(),
          () => {},
        );
    },
  };
}

/** mean + exp(logvar / 2) · noise, logvar clamped to [-30, 20] (`DiagonalGaussianDistribution.sample`). */
function samplePosterior(moments: Tensor<'float32'>, generator: TorchGenerator): Tensor<'float32'> {
  const [b = 0, doubled = 0, h = 0, w = 0] = moments.shape;
  const size = (doubled / 2) * h * w;
  const noise = generator.randn([b, doubled / 2, h, w]).data;
  const out = new Float32Array(b * size);
  for (let n = 0; n < b; n++) {
    for (let i = 0; i < size; i++) {
      const at = 2 * n * size + i;
      const logvar = Math.min(20, Math.max(-30, moments.data[at + size] as number));
      out[n * size + i] = (moments.data[at] as number) + Math.exp(0.5 * logvar) * (noise[n * size + i] as number);
    }
  }
  return tensor('float32', [b, doubled / 2, h, w], out);
}
