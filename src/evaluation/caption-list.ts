/** Lists of captions to measure a model with: a text of one per line, or COCO's annotations (`captions_val2017.json`); and a random part of one. */

import { isMapping } from '../config/validate.ts';
import { StableDiffusionError } from '../errors.ts';
import { parseObject } from '../training/data/sample-text.ts';
import { TorchGenerator } from '../random/torch-generator.ts';

/** The captions of COCO's annotations, in their order. */
function annotated(text: string, label: string): string[] {
  const document = parseObject(text);
  if (typeof document === 'string') throw new StableDiffusionError('file-corrupt', `${label} ${document}.`);
  const { annotations: rows } = document;
  const captions = Array.isArray(rows)
    ? rows.flatMap((row: unknown) => (isMapping(row) && typeof row['caption'] === 'string' ? [row['caption']] : []))
    : [];
  if (captions.length > 0) return captions;
  throw new StableDiffusionError(
    'file-corrupt',
    `${label} has no annotations with a caption. Give COCO's captions (captions_val2017.json), or a text file of one prompt per line.`,
  );
}

/** Without empty ones, and without spaces around. Throws `file-corrupt`. */
export function captionList(text: string, label: string): readonly string[] {
  const all = /\.json$/i.test(label) ? annotated(text, label) : text.split(/\r?\n/);
  const captions = all.map((caption) => caption.trim()).filter((caption) => caption !== '');
  if (captions.length > 0) return captions;
  throw new StableDiffusionError('file-corrupt', `${label} has no prompts.`);
}

/** So many of them at random, none twice; all in random order without a number. Throws `invalid-argument` for more than there are. */
export function drawnCaptions(captions: readonly string[], count = captions.length, seed = 42): readonly string[] {
  if (count > captions.length)
    throw new StableDiffusionError(
      'invalid-argument',
      `${count} prompts were asked for, and there are ${captions.length}.`,
    );
  return Array.from(
    new TorchGenerator(seed).randperm(captions.length).subarray(0, count),
    (i) => captions[i] as string,
  );
}
