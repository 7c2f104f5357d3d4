/** Blocks of docs/reference/models.md: the networks by kind. */

import { networkConfigSchema } from '../../src/config/network-config.ts';
import { type Block, code, table } from './block.ts';
import { commentsBefore } from './doc-comments.ts';

/** Comment before `export const xConfigSchema`, by the `kind` literal in the schema. */
function descriptions(): ReadonlyMap<string, string> {
  return commentsBefore(
    'src/config/network-config.ts',
    /export const \w+ = z\s*\.strictObject\(\{\s*kind: z\.literal\('(\w+)'\)/,
  );
}

export const modelBlocks: Readonly<Record<string, Block>> = {
  networks: () => {
    const texts = descriptions();
    const kinds = networkConfigSchema.options.flatMap(({ shape }) => [...shape.kind.values]);
    return table(
      ['kind', 'network'],
      kinds.map((kind) => [code(kind), texts.get(kind) ?? '']),
    );
  },
};
