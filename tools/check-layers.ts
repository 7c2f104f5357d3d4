/**
 * The layer rule: an import only ever points to the same folder or down the list, browser-safe code imports no `node:` module or Node-only
 * package, and ONNX Runtime is imported in engine/ alone. See docs/architecture.md. No exceptions list.
 */

import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, sep } from 'node:path';

/** From the top to the bottom; folders of one row may not import each other unless `within` allows it. */
const layers: readonly (readonly string[])[] = [
  ['cli', 'server'],
  ['pipelines', 'training', 'evaluation'],
  ['diffusion'],
  ['models'],
  ['nn'],
  ['engine'],
  ['onnx'],
  ['graph', 'prompt'],
  ['hub', 'config', 'weights', 'tokenizer', 'image', 'random'],
  ['tensor'],
  ['errors'],
];

/** Imports within one row that the design has: the application serves what it also runs, checkpoints are described by configs. */
const within: Readonly<Record<string, readonly string[]>> = {
  cli: ['server'],
  training: ['pipelines'],
  evaluation: ['pipelines', 'training'],
  weights: ['config'],
  hub: ['weights', 'config'],
  config: [],
};

/** Packages that only exist in Node; importing one makes a file platform-specific. */
const nodePackages = /^(node:|sharp$|onnxruntime-node$|commander$|fastify|@fastify|bullmq|ioredis)/;
/** Folders whose files are all for Node. */
const nodeFolders = new Set(['cli', 'server']);

const source = join(import.meta.dirname, '../src');
const files = readdirSync(source, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts'));
const importPattern = /^\s*(?:import|export)\s[^'"]*?from\s+['"]([^'"]+)['"]|import\(\s*['"]([^'"]+)['"]\s*\)/gm;
const problems: string[] = [];

const folderOf = (file: string): string =>
  file.includes('/') ? (file.split('/')[0] as string) : file.replace(/\.ts$/, '');
const level = (folder: string): number => layers.findIndex((row) => row.includes(folder));
const platform = (file: string): string =>
  /-node(-worker)?\.ts$|\/node(-[a-z]+)?\.ts$/.test(file) ||
  nodeFolders.has(folderOf(file)) ||
  /^index(-node)?\.ts$/.test(file)
    ? 'node'
    : 'any';

for (const entry of files) {
  const file = entry.split(sep).join('/');
  const folder = folderOf(file);
  const isEntry = !file.includes('/') && file !== 'errors.ts';
  if (!isEntry && level(folder) < 0) problems.push(`${file}: the folder ${folder} is in no layer`);
  for (const match of readFileSync(join(source, entry), 'utf8').matchAll(importPattern)) {
    const target = match[1] ?? match[2] ?? '';
    if (!target.startsWith('.')) {
      if (target.startsWith('onnxruntime') && folder !== 'engine')
        problems.push(`${file}: imports ${target}; only engine/ may`);
      if (nodePackages.test(target) && platform(file) !== 'node')
        problems.push(`${file}: imports ${target}; a file that runs in browsers may not (name it *-node.ts)`);
      continue;
    }
    const path = relative(source, join(source, dirname(file), target))
      .split(sep)
      .join('/');
    const other = folderOf(path);
    if (!isEntry && other !== folder && level(other) <= level(folder) && !within[folder]?.includes(other))
      problems.push(`${file}: imports ${path}, which is not below it`);
    if (platform(path) === 'node' && platform(file) !== 'node' && !match[0].includes('import type'))
      problems.push(`${file}: imports ${path}, which is for Node only`);
  }
}

if (problems.length > 0) {
  console.error(problems.join('\n'));
  process.exitCode = 1;
} else console.log(`layers: ${files.length} files keep the rule`);
