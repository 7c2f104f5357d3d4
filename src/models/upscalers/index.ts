/** The architectures of upscalers, and how a file's is found. A new one is a file and a row here. */

import { notWanted } from '../../checkpoints/what-source-is.ts';
import { hasPrefix } from '../../checkpoints/infer/shapes.ts';
import { withoutPrefix } from '../../weights/view.ts';
import type { WeightSource } from '../../weights/weight-source.ts';
import type { ReadOptions, UpscalerArchitecture, UpscalerNetwork } from './architecture.ts';
import { compact } from './compact.ts';
import { datArchitecture } from './dat.ts';
import { esrgan } from './esrgan.ts';
import { scuNetArchitecture } from './scunet.ts';
import { swinIrArchitecture } from './swinir.ts';

export type { ImageSize, ReadOptions, UpscalerNetwork } from './architecture.ts';

/** In order: the first that matches. */
const architectures: readonly UpscalerArchitecture[] = [
  esrgan,
  swinIrArchitecture,
  datArchitecture,
  scuNetArchitecture,
  compact,
];

/** Keys under which training code stores the weights; averaged ones first. */
const wrappers = ['params_ema.', 'params-ema.', 'params.', 'state_dict.', 'model_state_dict.', 'module.'];

/** The weights without the wrappers of training code. */
export function withoutWrappers(source: WeightSource): WeightSource {
  const wrapper = wrappers.find((prefix) => hasPrefix(source.entries, prefix));
  return wrapper === undefined ? source : withoutWrappers(withoutPrefix(source, wrapper));
}

/** The upscaler in a file, or undefined if it has none. */
export function detectUpscaler(source: WeightSource, options?: ReadOptions): UpscalerNetwork | undefined {
  const bare = withoutWrappers(source);
  return architectures.find(({ matches }) => matches(bare.entries))?.read(bare, options);
}

/** Like `detectUpscaler`, but throws `model-unknown` if the file has no upscaler, or an unsupported variant. */
export function readUpscaler(source: WeightSource, options?: ReadOptions): UpscalerNetwork {
  const found = detectUpscaler(source, options);
  if (found) return found;
  const names = architectures.map(({ name }) => name).join(', ');
  throw notWanted(source, `an upscaler of a known architecture (${names})`);
}
