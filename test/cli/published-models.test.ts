/** Published models: a tiny one in the layout of each makes a picture by the command of its row in docs/reference/models.md. */

import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { nodeImageCodec } from '../../src/image/codec/codec-node.ts';
import { publishedModels } from '../../tools/reference/published-models.ts';
import { writePublished } from '../published-files.ts';
import { sd } from './run-cli.ts';

let root: string;
before(() => {
  root = mkdtempSync(join(tmpdir(), 'sd-published-'));
});
after(() => rmSync(root, { recursive: true, force: true }));

/** The pictures below a folder. */
function picturesIn(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.png'))
    .map((name) => join(folder, name));
}

/** The words of a command, with the files of a folder in place of their names, and fewer steps. */
function wordsOf(command: string, folder: string): string[] {
  const words = command.split(' ').slice(1);
  return words.map((word, i) => {
    if (word === '"…"') return 'a red house';
    if (word === 'N') return '1';
    if (words[i - 1] === '--steps') return '1';
    return existsSync(join(folder, word)) || word === 'OUT' ? join(folder, word) : word;
  });
}

/** A model whose tiny one has the layout of another row; these take long together. */
const isAlike = (name: string): boolean =>
  /^(lsun_(cat|horse)|(128x128|256x256|512x512)_d.*n\.pt|128_512|(128|256)x\d+_c|ffhq|lsun_beds|text2img-|semantic.*512|IF-I-[LX])/.test(
    name,
  );

for (const { file, command } of publishedModels)
  for (const name of file.split(', '))
    test(`${name}: ${command}`, { skip: isAlike(name) && !process.env['SD_LONG'] }, async () => {
      const folder = mkdtempSync(join(root, 'row-'));
      const more = await writePublished(folder, name);
      const words = wordsOf(command, folder);
      const out = join(folder, 'made');
      const run = await sd([
        ...words,
        ...(words.includes('--steps') ? [] : ['--steps', '1']),
        ...(words.includes('--outdir') ? [] : ['--outdir', out]),
        ...['--threads', '1', '--quiet', ...more],
      ]);
      assert.equal(run.code, 0, run.err);
      const [picture = ''] = picturesIn(words.includes('--outdir') ? join(folder, 'OUT') : out);
      const { data } = await nodeImageCodec.decode(new Uint8Array(readFileSync(picture)));
      assert.ok(new Set(data).size > 8, `${name}: the picture is nearly uniform`);
    });
