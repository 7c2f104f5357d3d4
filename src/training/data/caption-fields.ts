/** Captions among a row's fields, where data sets keep them under different names. */

import type { SampleMetadata } from './sample.ts';

/** Names of caption fields in the order in which they are looked for: Hugging Face's habits, then LAION's. */
export const captionFields: readonly string[] = [
  'text',
  'caption',
  'captions',
  'prompt',
  'TEXT',
  'CAPTION',
  'sentence',
  'sentences',
];

/** The captions of a row, and the rest of it. A field may hold a text or several, of which one is drawn for each use; `field` names it, else the first known one that is there is taken. */
export function splitCaptions(
  row: SampleMetadata,
  field?: string,
): { readonly captions: readonly string[]; readonly metadata: SampleMetadata } {
  const name = field ?? captionFields.find((candidate) => candidate in row);
  if (name === undefined) return { captions: [], metadata: row };
  const { [name]: value, ...metadata } = row;
  const captions = (Array.isArray(value) ? value : [value]).filter((text): text is string => typeof text === 'string');
  return { captions, metadata };
}
