/**
 * Runs every workflow of a folder (JSON of ComfyUI's page or API, PNG that carries one) on tiny stand-in models: a fourth of its sizes, at most two
 * steps. Says of each whether it ran to its end, and where it stopped.
 *
 *     node --import ./tools/typescript.mjs tools/run-workflows.ts DIR [--set FOLDER]
 *
 * `--set`: recorded models of ComfyUI's cases (default ../shared/reference/comfyui). Names of models and pictures may be any.
 */

import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { createNodeEngine } from '../src/engine/node.ts';
import { readWorkflow } from '../src/cli/workflow-files.ts';
import { nodeImageCodec } from '../src/image/codec/codec-node.ts';
import { decodeFrames } from '../src/image/codec/frames-node.ts';
import type { ApiGraph, ApiNode } from '../src/workflow/graph.ts';
import type { FolderKind } from '../src/workflow/folder-kinds.ts';
import type { InputSpec } from '../src/workflow/input-spec.ts';
import { folderOf } from '../src/workflow/missing.ts';
import { NetworkPool } from '../src/workflow/network-pool.ts';
import { nodes } from '../src/workflow/nodes/index.ts';
import { runWorkflow } from '../src/workflow/run-workflow-node.ts';
import { familyOf, standInFiles } from './workflows/stand-ins.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { set: { type: 'string', default: join(import.meta.dirname, '../../shared/reference/comfyui') } },
});
const [folder] = positionals;
if (folder === undefined) throw new Error('A folder is required: tools/run-workflows.ts DIR');

const sizes = new Set([
  'width',
  'height',
  'x',
  'y',
  'target_width',
  'target_height',
  'crop_w',
  'crop_h',
  'left',
  'top',
  'right',
  'bottom',
  'feathering',
  'largest_size',
  'tile_size',
]);
const divisor = 4;

/** A number of pixels at a fourth, within the range and at the step that the node takes. */
function smaller(value: number, [, settings = {}]: InputSpec, isSide: boolean): number {
  const { min = 0 } = settings as { min?: number };
  // Control networks take whole units of their own.
  const step = isSide ? 32 : Number((settings as { step?: number }).step ?? 1);
  return Math.max(min, Math.round(value / divisor / step) * step);
}

function changed(node: ApiNode): ApiNode {
  const specs = { ...nodes.get(node.class_type ?? '')?.required, ...nodes.get(node.class_type ?? '')?.optional };
  const inputs = Object.entries(node.inputs).map(([name, value]) => {
    const spec = specs[name];
    if (typeof value !== 'number' || !spec) return [name, value];
    if (name === 'steps') return [name, Math.min(value, 2)];
    if (name === 'start_at_step') return [name, Math.min(value, 1)];
    if (name === 'end_at_step') return [name, value >= Number(node.inputs['steps']) ? value : 1];
    if (name === 'megapixels') return [name, Math.min(value, 0.02)];
    return [
      name,
      sizes.has(name) && spec[0] === 'INT' ? smaller(value, spec, name === 'width' || name === 'height') : value,
    ];
  });
  return { ...node, inputs: Object.fromEntries(inputs) };
}

/** The names that a graph gives to files, by kind. */
function namesIn(graph: ApiGraph): Map<FolderKind, Set<string>> {
  const names = new Map<FolderKind, Set<string>>();
  for (const { class_type = '', inputs } of graph.values())
    for (const [name, spec] of Object.entries({
      ...nodes.get(class_type)?.required,
      ...nodes.get(class_type)?.optional,
    })) {
      const [kind, value] = [folderOf(spec), inputs[name]];
      if (kind === undefined || typeof value !== 'string') continue;
      names.set(kind, (names.get(kind) ?? new Set()).add(value));
    }
  return names;
}

const engine = createNodeEngine({ threads: 1 });

async function run(file: string): Promise<string | undefined> {
  const networks = new NetworkPool(engine, 2 ** 26);
  try {
    const { graph } = await readWorkflow(join(folder as string, file));
    const names = namesIn(graph);
    const checkpoints = [...(names.get('checkpoints') ?? [])].map(familyOf);
    const family = checkpoints.find((one) => one !== 'refiner') ?? checkpoints[0] ?? 'sd1';
    const files = standInFiles(values.set, { names, family });
    const small: ApiGraph = new Map([...graph].map(([id, node]) => [id, changed(node)]));
    const context = { files, networks, codec: nodeImageCodec, decodeFrames, now: () => new Date() };
    await runWorkflow(small, { context });
    return undefined;
  } catch (error) {
    return (error as Error).message;
  } finally {
    await networks.dispose();
  }
}

let [ran, all] = [0, 0];
for (const file of (await readdir(folder)).sort()) {
  if (!/\.(json|png)$/i.test(file)) continue;
  const problem = await run(file);
  all += 1;
  if (problem === undefined) ran += 1;
  console.log(problem === undefined ? `ran      ${file}` : `stopped  ${file}: ${problem}`);
}
console.log(`\n${ran} of ${all} ran to their end`);
await engine.dispose();
