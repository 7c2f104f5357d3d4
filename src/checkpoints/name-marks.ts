/** Looks for marks in the names of a file: all names are one text, so that a file of many names costs a search for each mark. */

import type { Mark } from './kinds/file-kind.ts';

/** What may stand in front of a network's names, in files of whole models and of training programs. */
const prefixes = [
  'model.diffusion_model.',
  'model.model.',
  'model.',
  'diffusion_model.',
  'net.',
  'module.',
  'transformer.',
  'vae.',
  'first_stage_model.',
  'params_ema.',
  'params_ema/',
  'params.',
  'params/',
  'state_dict/',
  'state_dict.',
  'unet.',
  'base_model.',
];

export interface NameMarks {
  has(mark: Mark): boolean;
}

export function nameMarks(names: Iterable<string>): NameMarks {
  const all = ['', ...names, ''].join('\n');
  const begins = (start: string): boolean =>
    all.includes(`\n${start}`) || prefixes.some((prefix) => all.includes(`\n${prefix}${start}`));
  const one = (mark: string): boolean => (mark.startsWith('^') ? begins(mark.slice(1)) : all.includes(mark));
  return { has: (mark) => (typeof mark === 'string' ? one(mark) : mark.every(one)) };
}
