/** CLIP's tokenizer in a module of its own, so that a page loads CLIP's merges (163 kB after gzip) only with a model that needs them. */

import type { ClipTokenizer, ClipTokenizerOptions } from './clip-tokenizer.ts';
import type { ClipTokenizerFiles } from './clip-tokenizer-files.ts';

/** `createClipTokenizer`, loaded when it is first needed. */
export async function lazyClipTokenizer(options: ClipTokenizerOptions): Promise<ClipTokenizer> {
  const { createClipTokenizer } = await import('./clip-tokenizer.ts');
  return createClipTokenizer(options);
}

/** `createClipTokenizerFromFiles`, loaded when it is first needed. */
export async function lazyClipTokenizerFromFiles(files: ClipTokenizerFiles): Promise<ClipTokenizer> {
  const { createClipTokenizerFromFiles } = await import('./clip-tokenizer-files.ts');
  return createClipTokenizerFromFiles(files);
}
