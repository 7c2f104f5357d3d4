/**
 * `npm run reference`: writes the generated blocks of the documentation from the tables in the code. A page marks a block with
 * `<!-- reference: NAME WORDS -->` and `<!-- /reference -->`; the text around blocks is written by hand.
 * With `--check` it changes nothing and fails if a block is out of date.
 */

import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Block } from './reference/block.ts';
import { cliBlocks } from './reference/cli.ts';
import { layerBlocks } from './reference/layers.ts';
import { modelBlocks } from './reference/models.ts';
import { publishedBlocks } from './reference/published-models.ts';
import { samplerBlocks } from './reference/samplers.ts';
import { serverBlocks } from './reference/server.ts';
import { trainingBlocks } from './reference/training.ts';
import { workflowBlocks } from './reference/workflow-nodes.ts';

const blocks: Readonly<Record<string, Block>> = {
  ...cliBlocks,
  ...samplerBlocks,
  ...serverBlocks,
  ...trainingBlocks,
  ...modelBlocks,
  ...publishedBlocks,
  ...layerBlocks,
  ...workflowBlocks,
};

const marked = /<!-- reference: ([^\n]*?) -->\n[\s\S]*?<!-- \/reference -->/g;
const folder = join(import.meta.dirname, '../docs');
const check = process.argv.includes('--check');

async function rewritten(page: string): Promise<string> {
  let text = page;
  for (const [whole, head = ''] of page.matchAll(marked)) {
    const [name = '', ...words] = head.split(' ');
    const block = Object.hasOwn(blocks, name) ? blocks[name] : undefined;
    if (!block) throw new Error(`There is no block ${name}. There are: ${Object.keys(blocks).join(', ')}.`);
    const made = await block(words);
    text = text.replace(whole, () => `<!-- reference: ${head} -->\n\n${made}\n\n<!-- /reference -->`);
  }
  return text;
}

let count = 0;
for (const file of readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.md'))) {
  const path = join(folder, file);
  const page = readFileSync(path, 'utf8');
  const text = await rewritten(page);
  count += page.match(marked)?.length ?? 0;
  if (text === page) continue;
  if (check) {
    console.error(`docs/${file} is out of date. Run: npm run reference`);
    process.exitCode = 1;
  } else writeFileSync(path, text);
}
if (check && count === 0) {
  console.error('No generated block was found in docs/.');
  process.exitCode = 1;
} else console.log(`reference: ${count} blocks`);
