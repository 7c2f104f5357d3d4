/** Token ids that a text encoder has no row for: its tokenizer's files may be anybody's. */

import type { NetworkConfig } from '../config/network-config.ts';
import { StableDiffusionError } from '../errors.ts';
import type { NetworkInputs } from '../tensor/batches.ts';

/** Rows of the table of tokens, of a network that has one. */
function rowsOf(config: NetworkConfig): number | undefined {
  if ('vocab_size' in config) return config.vocab_size;
  return config.kind === 'clip_text_embedder' ? config.model.vocab_size : undefined;
}

/** Throws `weights-mismatch` for the first token beyond the table; `label` names the model. */
export function checkTokens(label: string, network: string, config: NetworkConfig, inputs: NetworkInputs): void {
  const rows = rowsOf(config);
  if (rows === undefined) return;
  for (const name of ['input_ids', 'tokens']) {
    const ids = inputs[name];
    if (ids?.dtype !== 'int64') continue;
    const wrong = ids.data.find((id) => id < 0n || id >= BigInt(rows));
    if (wrong !== undefined)
      throw new StableDiffusionError(
        'weights-mismatch',
        `The tokenizer of ${label} gives the token ${wrong}, and its network ${network} has ${rows} rows. They belong to different models.`,
      );
  }
}
