/** Captions among a row's fields, where data sets keep them under different names. */

import type { SampleMetadata } from './sample.ts';

/** Names of caption fields in search order: Hugging Face's, then LAION's. */
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

/** The captions of a row, and the rest of it. A field may contain several texts, of which one is drawn for each use; `field` names the field, else the first known one is used. */
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
