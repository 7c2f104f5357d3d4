/** Blocks of docs/reference/training-config.md: the keys of each section, and the recipes. */

import { recipes } from '../../src/training/recipes.ts';
import { filterSchema } from '../../src/training/filter-config.ts';
import { logImagesSchema } from '../../src/training/image-log.ts';
import { loopSchema } from '../../src/training/loop-config.ts';
import { splitSchema, trainingSchema } from '../../src/training/training-config.ts';
import { type Block, code, table } from './block.ts';
import { schemaTable } from './schema-table.ts';

export const trainingBlocks: Readonly<Record<string, Block>> = {
  'training-section': () => schemaTable(trainingSchema),
  'training-split': () => schemaTable(splitSchema),
  'training-filter': () => schemaTable(filterSchema),
  'training-loop': () => schemaTable(loopSchema),
  'training-images': () => schemaTable(logImagesSchema),
  recipes: () =>
    table(
      ['recipe', 'trains'],
      Object.entries(recipes).map(([name, { description }]) => [code(name), description]),
    ),
};
