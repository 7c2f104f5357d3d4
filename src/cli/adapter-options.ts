/** How adapters are written on the command line: a file, then a colon and its strength or its word in prompts. */

import type { GenerationRecord } from '../generation/record.ts';
import type { Model } from '../model/model.ts';
import { UsageError } from './options.ts';

const number = /^[+-]?(?:\d+(?:\.\d*)?|\.\d+)$/;

export interface LoraWords {
  readonly path: string;
  readonly scale?: number;
  readonly textScale?: number;
  /** Factors of its blocks. */
  readonly blocks?: string;
}

/** `FILE`, `FILE:0.8`, `FILE:0.8:0.5`. Parts that are not numbers belong to the path. Throws `UsageError`. */
export function readLora(given: string): LoraWords {
  const parts = given.split(':');
  const numbers: number[] = [];
  while (numbers.length < 2 && parts.length > 1 && number.test(parts.at(-1) ?? ''))
    numbers.unshift(Number(parts.pop()));
  const path = parts.join(':');
  if (path === '')
    throw new UsageError('needs a file, optionally followed by its strength, such as style.safetensors:0.8.');
  const [scale, textScale] = numbers;
  return { path, scale, textScale };
}

export interface EmbeddingWords {
  readonly path: string;
  readonly token?: string;
}

/** `FILE`, `FILE:TOKEN`. A colon before a path separator belongs to the path (`C:\\…`). Throws `UsageError`. */
export function readEmbedding(given: string): EmbeddingWords {
  const [, path = '', token] = /^(.*?)(?::([^:/\\]+))?$/.exec(given) ?? [];
  if (path === '')
    throw new UsageError('needs a file, optionally followed by its word in prompts, such as style.pt:<my-style>.');
  return { path, token };
}

/** Throws where the picture was made with other LoRAs or embeddings than those given now. */
export function checkAdapters({ adapters = [] }: GenerationRecord, model: Model): void {
  if (adapters.join() === model.adapters.join()) return;
  const named = (list: readonly string[]): string => (list.length === 0 ? 'none' : list.join(', '));
  throw new UsageError(
    `The picture was made with these LoRAs and embeddings: ${named(adapters)}; given were ${named(model.adapters)}. Give them with --lora FILE:X and --embedding FILE.`,
  );
}
