/** Texts for several encoders, the shorter ones lengthened by sequences of the empty text. */

import type { WeightedTokens } from '../../prompt/comfy-prompt.ts';
import type { NodeContext } from '../context-in-run.ts';
import type { ClipValue, EncoderName } from '../values/clip.ts';
import type { ComfyToken } from './embeddings.ts';
import { promptTokens } from './encode-text.ts';

export async function evenTokens(
  clip: ClipValue,
  texts: Readonly<Record<EncoderName, string>>,
  context: NodeContext,
): Promise<readonly (readonly WeightedTokens<ComfyToken>[])[]> {
  const all: WeightedTokens<ComfyToken>[][] = [];
  for (const encoder of clip.encoders) all.push(await promptTokens(encoder, texts[encoder.name], context, clip));
  const longest = Math.max(...all.map(({ length }) => length));
  for (const [i, encoder] of clip.encoders.entries()) {
    const empty = await promptTokens(encoder, '', context);
    while ((all[i]?.length ?? longest) < longest) all[i]?.push(...empty);
  }
  return all;
}
