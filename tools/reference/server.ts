/** Blocks of docs/reference/server-api.md: the routes of each API, and the fields of their bodies. */

import type { Flavour } from '../../src/server/http/problem-shapes.ts';
import { type LimitRow, limitTable } from '../../src/server/limits.ts';
import { routes } from '../../src/server/routes/index.ts';
import { type Block, code, table } from './block.ts';
import { schemaTable } from './schema-table.ts';

const operations = new Set(['/healthz', '/readyz', '/metrics']);

/** The table of limits. */
const limits: Block = () =>
  [
    '| limit | default | option | reason |',
    '|---|---|---|---|',
    ...Object.values(limitTable).map(
      ({ help, value, flag, reason }: LimitRow) => `| ${help} | ${value} | ${flag ? `\`${flag}\`` : ''} | ${reason} |`,
    ),
  ].join('\n');

export const serverBlocks: Readonly<Record<string, Block>> = {
  limits,
  routes([which = '']) {
    const chosen = routes.filter(
      ({ path, flavour, alias }) =>
        !alias &&
        (which === 'operations' ? operations.has(path) : flavour === (which as Flavour) && !operations.has(path)),
    );
    if (chosen.length === 0) throw new Error(`There are no routes ${which}.`);
    return table(
      ['route', ''],
      chosen.map(({ method, path, summary }) => [code(`${method} ${path}`), summary]),
    );
  },
  body([method = '', path = '']) {
    const body = routes.find((route) => route.method === method && route.path === path)?.body;
    if (!body) throw new Error(`${method} ${path} takes no body.`);
    return schemaTable(body);
  },
};
