/**
 * Text encoders under the names that single files have them by: CLIP's as `transformer.text_model.*`, OpenCLIP's (Stable Diffusion 2, SDXL's
 * second) as `model.*` with q, k and v in one matrix.
 */

import type { ClipTextConfig, NetworkConfig } from '../config/network-config.ts';
import { withNames } from '../weights/view.ts';
import type { WeightSource } from '../weights/weight-source.ts';
import { clipTextMap } from './layouts/clip-text.ts';
import { openAiTextRows } from './layouts/openai-clip.ts';
import { prefixed, renamed } from './rename.ts';

/** OpenCLIP's towers have the exact GELU, OpenAI's the quick one. */
const isOpenClip = (config: NetworkConfig): config is ClipTextConfig =>
  config.kind === 'clip_text' && config.hidden_act === 'gelu';

/** A tower of canonical names under OpenCLIP's, with `model.` before them. */
export function openClipNames(tower: WeightSource, config: Pick<ClipTextConfig, 'num_hidden_layers'>): WeightSource {
  // A buffer of transformers that OpenCLIP does not have.
  const bare = withNames(tower, (name) => (name.endsWith('embeddings.position_ids') ? undefined : name));
  const rows = prefixed(openAiTextRows({ transformer_layers: config.num_hidden_layers }), 'model.', '');
  const named = renamed(bare, clipTextMap(config), 'a-to-b');
  return renamed(named, { a: 'open-clip', b: 'transformers', rows }, 'b-to-a');
}

/** A text encoder of canonical names as a single file has it. */
export function singleFileNames(source: WeightSource, config: NetworkConfig): WeightSource {
  return isOpenClip(config) && source.entries.size > 0 ? openClipNames(source, config) : source;
}
