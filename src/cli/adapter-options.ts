/** How adapters are written on the command line: a file, and behind a colon its strength or its name in prompts. */

import { UsageError } from './options.ts';

const number = /^[+-]?(?:\d+\.?\d*|\.\d+)$/;

export interface LoraWords {
  readonly path: string;
  readonly scale?: number;
  readonly textScale?: number;
}

/** `FILE`, `FILE:0.8`, `FILE:0.8:0.5`. What is no number belongs to the path. Throws `UsageError`. */
export function readLora(given: string): LoraWords {
  const parts = given.split(':');
  const numbers: number[] = [];
  while (numbers.length < 2 && parts.length > 1 && number.test(parts.at(-1) ?? ''))
    numbers.unshift(Number(parts.pop()));
  const path = parts.join(':');
  if (path === '') throw new UsageError('It is a file, and behind a colon its strength: style.safetensors:0.8.');
  const [scale, textScale] = numbers;
  return { path, scale, textScale };
}

export interface EmbeddingWords {
  readonly path: string;
  readonly token?: string;
}

/** `FILE`, `FILE:TOKEN`. A colon before a separator of folders belongs to the path (`C:\\…`). Throws `UsageError`. */
export function readEmbedding(given: string): EmbeddingWords {
  const [, path = '', token] = /^(.*?)(?::([^:/\\]+))?$/.exec(given) ?? [];
  if (path === '') throw new UsageError('It is a file, and behind a colon the word for it: style.pt:<my-style>.');
  return { path, token };
}
