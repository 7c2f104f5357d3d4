/** LPIPS' network from its file: VGG16's features at five levels and the weights of their channels. */

import type { Engine } from '../engine/engine.ts';
import { StableDiffusionError } from '../errors.ts';
import { dim } from '../graph/dim.ts';
import { lpipsFeatures } from '../models/lpips.ts';
import { need, traceNetwork } from '../models/trace-network.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { canonicalWeights } from '../checkpoints/canonical.ts';
import { inferLpips, isLpips } from '../checkpoints/infer/losses.ts';
import type { WeightSource } from '../weights/weight-source.ts';
import type { PerceptualFeatures } from './perceptual-distance.ts';

export interface PerceptualNetwork extends AsyncDisposable {
  readonly features: PerceptualFeatures;
  /** Weights of each level's channels. */
  readonly linear: readonly Tensor[];
}

/** LPIPS from taming's `vgg.pth` with its VGG16, or from torchvision's VGG16 joined with `vgg.pth`. Throws `weights-mismatch`. */
export async function perceptualNetwork(engine: Engine, source: WeightSource): Promise<PerceptualNetwork> {
  const weights = canonicalWeights(source, { kind: 'lpips', chns: [1, 1, 1, 1, 1] }).source;
  if (!isLpips(weights.entries))
    throw new StableDiffusionError(
      'weights-mismatch',
      `${source.label} is not LPIPS on VGG16: it should hold lin0.model.1.weight and net.slice1.0.weight, or features.0.weight of VGG16.`,
    );
  const { config } = inferLpips(weights.entries);
  const graph = traceNetwork(
    { image: { dtype: 'float32', shape: [dim('batch'), 3, dim('height'), dim('width')] } },
    (p, given) =>
      Object.fromEntries(
        lpipsFeatures(p, config, need(given, 'image')).map((value, level) => [`level${level}`, value]),
      ),
  );
  const program = await engine.compile(graph, weights);
  const levels = config.chns.map((_, level) => level);
  return {
    linear: await Promise.all(levels.map((level) => weights.read(`lin${level}.model.1.weight`))),
    async features(image) {
      const made = await program.run({ image });
      return levels.map((level) => made[`level${level}`] as Tensor);
    },
    [Symbol.asyncDispose]: () => program.dispose(),
  };
}
