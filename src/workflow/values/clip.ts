/** CLIP: the text encoders of a model with their tokenizers, and the layer whose output is taken. */

import type { ClipTextConfig } from '../../config/network-config.ts';
import type { NamedNetwork } from '../../model/network-set.ts';
import type { HooksValue } from './hooks.ts';
import type { ClipTokenizer } from '../../tokenizer/clip-tokenizer.ts';

/** Names of text encoders as embeddings' files have them: `l` is CLIP's, `g` and `h` are OpenCLIP's. */
export type EncoderName = 'l' | 'g' | 'h';

export interface TextEncoderValue {
  readonly name: EncoderName;
  readonly network: NamedNetwork & { readonly config: ClipTextConfig };
  readonly tokenizer: ClipTokenizer;
  /** The layer taken where nothing else is said: -1 the last. */
  readonly layer: number;
  /** Whether the states of earlier layers go through the final norm. */
  readonly normsEarlierLayers: boolean;
}

export interface ClipValue {
  readonly holdsNetworks: true;
  readonly label: string;
  /** In the order in which their contexts are joined. */
  readonly encoders: readonly TextEncoderValue[];
  /** Set by CLIPSetLastLayer: -1 the last, -2 the one before it. */
  readonly layer?: number | undefined;
  /** Given to what it encodes. */
  readonly hooks?: HooksValue | undefined;
}
