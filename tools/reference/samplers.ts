/** Blocks of docs/reference/samplers.md: samplers, sigma schedules and noise conventions. */

import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { samplerNames } from '../../src/diffusion/sampler-names.ts';
import { samplers } from '../../src/diffusion/samplers/index.ts';
import { sigmaSchedules } from '../../src/diffusion/sigma-schedules/index.ts';
import { type Block, code, table } from './block.ts';
import { headComment, sourceOf } from './doc-comments.ts';

const samplerFolder = 'src/diffusion/samplers';
const scheduleFolder = 'src/diffusion/sigma-schedules';

/** The file of a folder whose source matches. */
function fileWith(folder: string, pattern: RegExp): string {
  const files = readdirSync(join(import.meta.dirname, '../..', folder)).map((file) => `${folder}/${file}`);
  const found = files.find((file) => !file.endsWith('/index.ts') && pattern.test(sourceOf(file)));
  if (found === undefined) throw new Error(`No file of ${folder} matches ${pattern}.`);
  return found;
}

const fileOf = (name: string): string => fileWith(samplerFolder, new RegExp(`name: '${name}'`));

const linked = (file: string): string => `[source](../../${file})`;

const sentences = (text: string): string =>
  text.replace(/^`[^`]*`(?:, [^:]*)?: /, '').replace(/^\w/, (letter) => letter.toUpperCase());

export const samplerBlocks: Readonly<Record<string, Block>> = {
  samplers: () =>
    table(
      ['name', 'other names', 'draws noise', 'what it is'],
      samplers.map(({ name, title, aliases, usesStepNoise }) => {
        const others = [...new Set([title, ...aliases])].filter((other) => other.toLowerCase() !== name);
        const file = fileOf(name);
        return [
          code(name),
          others.map(code).join(', '),
          usesStepNoise ? 'yes' : '',
          `${headComment(file)} ${linked(file)}`,
        ];
      }),
    ),
  'sampler-names': () => samplerNames().map(code).join(', '),
  schedules: () =>
    table(
      ['name', 'what it is'],
      Object.entries(sigmaSchedules).map(([name]) => {
        const identifier = name.replaceAll(/_(\w)/g, (_, letter: string) => letter.toUpperCase());
        const file = fileWith(scheduleFolder, new RegExp(`export (?:const|function) ${identifier}\\b`));
        return [code(name), `${sentences(headComment(file))} ${linked(file)}`];
      }),
    ),
};
