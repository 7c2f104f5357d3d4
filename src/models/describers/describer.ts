/** A network that puts a picture into words, as read from its published file. */

import type { Graph } from '../../graph/graph.ts';
import type { WeightSource } from '../../weights/weight-source.ts';

/** Writes a sentence, one token after the other. */
export interface CaptionNetwork {
  readonly kind: 'captioner';
  readonly title: string;
  readonly weights: WeightSource;
  /** Side of the square that it takes, pixels. */
  readonly side: number;
  /** Tokens that it knows: those of its vocabulary, then the one that starts a sentence, then another. */
  readonly tokens: number;
  /** Most tokens of a sentence. */
  readonly longest: number;
  /** `x` [1, 3, side, side], normalised → `keys.N` and `values.N` of each layer, [1, patches, width]. */
  readonly traceImage: () => Graph;
  /** `ids` int64 [batch, tokens] and what the picture gave → `logits` [batch, tokens that it knows] of the next token. */
  readonly traceText: () => Graph;
}

/** Says how likely each tag is. */
export interface TaggerNetwork {
  readonly kind: 'tagger';
  readonly title: string;
  readonly weights: WeightSource;
  readonly tags: readonly string[];
  /** Side of the square that it takes, pixels. */
  readonly side: number;
  /** `x` [1, 3, side, side] in [0, 1] → `scores` [1, tags] in [0, 1]. */
  readonly trace: () => Graph;
}

export type DescriberNetwork = CaptionNetwork | TaggerNetwork;
