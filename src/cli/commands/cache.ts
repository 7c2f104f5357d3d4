/** `sd cache`: the weights that are kept for `--precision int8`. */

import { defineCommand } from '../command.ts';
import { flag, UsageError } from '../options.ts';

const options = { json: flag(['--json'], 'print JSON') };

export const cache = defineCommand({
  description:
    'Lists the weights that are kept for --precision int8, so that a model loads faster the second time: size, time of the last use, and the file that they are from. With clear it removes them. SD_CACHE names another folder; SD_CACHE_LIMIT is how many gigabytes are kept (default: 16; 0 keeps nothing), and what was used longest ago goes first.',
  words: '[clear]',
  wordChoices: ['clear'],
  options,
  examples: ['sd cache', 'sd cache clear'],
  async run({ out, environment }, words, values) {
    const { clearPrepared, preparedEntries, preparedSettings } = await import('../../engine/prepared-folder-node.ts');
    const { sizeText } = await import('../download-progress.ts');
    const [word] = words;
    if (words.length > 1 || (word !== undefined && word !== 'clear'))
      throw new UsageError(`${words.join(' ')} is not understood. Write sd cache, or sd cache clear.`);
    const { folder, limit } = preparedSettings(environment);
    if (word === 'clear') {
      const bytes = await clearPrepared(folder);
      out.write(
        values.json ? `${JSON.stringify({ folder, removed: bytes })}\n` : `${sizeText(bytes)} are free again.\n`,
      );
      return 0;
    }
    const entries = await preparedEntries(folder);
    const bytes = entries.reduce((sum, entry) => sum + entry.bytes, 0);
    if (values.json) out.write(`${JSON.stringify({ folder, limit, bytes, entries })}\n`);
    else if (entries.length === 0) out.write(`Nothing is kept in ${folder}.\n`);
    else {
      for (const { label, bytes: size, used } of entries)
        out.write(`${sizeText(size).padStart(10)}  ${new Date(used).toISOString().slice(0, 16)}Z  ${label}\n`);
      out.write(`${sizeText(bytes)} of at most ${sizeText(limit)} in ${folder}\n`);
    }
    return 0;
  },
});
