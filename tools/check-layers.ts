/**
 * The layer rule of docs/architecture.md. An import (types included) points to the same folder or to a folder below it, and files never
 * import each other in a circle. Browser-safe code imports no `node:` module and no Node-only package; only engine/ imports ONNX Runtime.
 *
 * Exceptions: the entry files src/index*.ts and src/core.ts re-export from every layer. `within` lists the imports between folders of one
 * row. There are no others.
 */

import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, sep } from 'node:path';

/** From the top to the bottom. Folders of one row may not import each other unless `within` allows it. */
const layers: readonly (readonly string[])[] = [
  ['cli', 'server'],
  ['workflow', 'worker'],
  ['pipelines', 'training', 'evaluation', 'upscaling', 'preprocessors', 'describing'],
  ['generation'],
  ['model'],
  ['conditioning'],
  ['diffusion'],
  ['models'],
  ['extensions'],
  ['nn'],
  ['engine'],
  ['onnx'],
  ['graph', 'prompt'],
  ['merging'],
  ['adapters'],
  ['checkpoints'],
  ['formats'],
  ['weights'],
  ['hub'],
  ['config', 'tokenizer', 'image', 'random', 'plot'],
  ['files'],
  ['tensor'],
  ['distributed'],
  ['arguments'],
  ['errors'],
  ['visible'],
];

/** Imports between folders of one row. */
const within: Readonly<Record<string, readonly string[]>> = {
  // `sd serve` starts the server.
  cli: ['server'],
  // Sample grids and measures during training are made by the pipelines; evaluation measures what they and training make.
  // A control's picture becomes its map as a part of the run.
  pipelines: ['preprocessors'],
  // Maps of a control network's pictures are drawn while it is trained.
  training: ['pipelines', 'preprocessors'],
  evaluation: ['pipelines', 'training'],
  // A network that finds faces runs as the networks of preprocessors do.
  upscaling: ['preprocessors'],
  // Words are compared with pictures by the CLIP of the CLIP score.
  describing: ['evaluation', 'preprocessors'],
};

/** Packages that only exist in Node; importing one makes a file platform-specific. */
const nodePackages = /^(node:|sharp$|onnxruntime-node$|commander$|fastify|@fastify|bullmq|ioredis|koffi)/;
/** Folders whose files are all for Node. */
/** The base of everything: files that stand alone in src/. */
const baseFiles = new Set(['arguments.ts', 'errors.ts', 'visible.ts']);
const nodeFolders = new Set(['cli', 'server']);

const source = join(import.meta.dirname, '../src');
const files = readdirSync(source, { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.ts'))
  .map((file) => file.split(sep).join('/'));
const importPattern = /^\s*(?:import|export)\s[^'"]*?from\s+['"]([^'"]+)['"]|import\(\s*['"]([^'"]+)['"]\s*\)/gm;
const problems: string[] = [];
const imports = new Map<string, string[]>();

const folderOf = (file: string): string =>
  file.includes('/') ? (file.split('/')[0] as string) : file.replace(/\.ts$/, '');
const level = (folder: string): number => layers.findIndex((row) => row.includes(folder));
const isNodeOnly = (file: string): boolean =>
  /-node(-worker)?\.ts$|\/node(-[a-z]+)?\.ts$/.test(file) ||
  nodeFolders.has(folderOf(file)) ||
  /^index(-node)?\.ts$/.test(file);

/** What is wrong with an import of a package. */
function checkPackage(file: string, target: string): void {
  if (target.startsWith('onnxruntime') && folderOf(file) !== 'engine')
    problems.push(`${file}: imports ${target}; only engine/ may`);
  if (nodePackages.test(target) && !isNodeOnly(file))
    problems.push(`${file}: imports ${target}; a file that runs in browsers may not (name it *-node.ts)`);
}

/** What is wrong with an import of a file. */
function checkFile(file: string, path: string, typeOnly: boolean): void {
  const [folder, other] = [folderOf(file), folderOf(path)];
  const isEntry = !file.includes('/') && !baseFiles.has(file);
  if (!isEntry && other !== folder && level(other) <= level(folder) && !within[folder]?.includes(other))
    problems.push(`${file}: imports ${path}, which is not below it`);
  if (isNodeOnly(path) && !isNodeOnly(file) && !typeOnly)
    problems.push(`${file}: imports ${path}, which is for Node only`);
}

/** Circles of imports: the strongly connected components of more than one file (Tarjan 1972). */
function circles(): string[][] {
  const order = new Map<string, number>();
  const low = new Map<string, number>();
  const stack: string[] = [];
  const open = new Set<string>();
  const found: string[][] = [];
  const visit = (file: string): void => {
    const number = order.size;
    order.set(file, number);
    low.set(file, number);
    stack.push(file);
    open.add(file);
    for (const next of imports.get(file) ?? []) {
      if (!order.has(next)) visit(next);
      if (open.has(next)) low.set(file, Math.min(low.get(file) ?? 0, low.get(next) ?? 0));
    }
    if (low.get(file) !== number) return;
    const circle = stack.splice(stack.indexOf(file));
    for (const member of circle) open.delete(member);
    if (circle.length > 1) found.push(circle);
  };
  for (const file of files) if (!order.has(file)) visit(file);
  return found;
}

for (const file of files) {
  const isEntry = !file.includes('/') && !baseFiles.has(file);
  if (!isEntry && level(folderOf(file)) < 0) problems.push(`${file}: the folder ${folderOf(file)} is in no layer`);
  for (const match of readFileSync(join(source, file), 'utf8').matchAll(importPattern)) {
    const target = match[1] ?? match[2] ?? '';
    if (!target.startsWith('.')) {
      checkPackage(file, target);
      continue;
    }
    const path = relative(source, join(source, dirname(file), target))
      .split(sep)
      .join('/');
    imports.set(file, [...(imports.get(file) ?? []), path]);
    checkFile(file, path, match[0].includes('import type'));
  }
}
for (const circle of circles()) problems.push(`circle of imports: ${circle.sort().join(', ')}`);

if (problems.length > 0) {
  console.error(problems.join('\n'));
  process.exitCode = 1;
} else console.log(`layers: ${files.length} files keep the rule`);
