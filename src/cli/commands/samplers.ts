/** `sd samplers`: the samplers and the spacings of steps, with the names that other programs give them. */

import { a1111Samplers } from '../../diffusion/sampler-names.ts';
import { schedulerRows } from '../../diffusion/sampler-labels.ts';
import { samplers as table } from '../../diffusion/samplers/index.ts';
import { sigmaSchedules } from '../../diffusion/sigma-schedules/index.ts';
import { defineCommand } from '../command.ts';
import { flag } from '../options.ts';

const options = { json: flag(['--json'], 'print JSON') };

const labelsOf = (name: string): readonly string[] =>
  a1111Samplers.flatMap(({ sampler, names: [label = ''] }) => (sampler === name ? [label] : []));

export const samplers = defineCommand({
  description:
    'Lists the names for --sampler and --schedule. Schedules of sigmas are for samplers in sigma space; the others have spacings of their own.',
  options,
  examples: ['sd samplers', 'sd samplers --json'],
  async run({ out }, _words, values) {
    const rows = table.map(({ name, title, space }) => ({ name, title, space, a1111: labelsOf(name) }));
    const schedules = Object.keys(sigmaSchedules);
    if (values.json) {
      out.write(`${JSON.stringify({ samplers: rows, schedules })}\n`);
      return 0;
    }
    out.write('Samplers (--sampler):\n');
    for (const { name, title, space, a1111 } of rows)
      out.write(
        `  ${name.padEnd(28)} ${title}${a1111.length > 0 ? `; A1111: ${a1111.join(', ')}` : ''}${space === 'sigma' ? '' : '; own spacings'}\n`,
      );
    out.write(`Schedules of sigmas (--schedule): ${schedules.join(', ')}\n`);
    out.write(`A1111's names of them: ${schedulerRows.map(([, label]) => label).join(', ')}\n`);
    return 0;
  },
});
