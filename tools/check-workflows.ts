/**
 * Says of every workflow in a folder (JSON of ComfyUI's page or API, PNG that carries one) whether all of its nodes are here, and which are
 * missing.
 *
 *     node --import ./tools/typescript.mjs tools/check-workflows.ts DIR           one line a workflow, then the missing nodes by frequency
 *     node --import ./tools/typescript.mjs tools/check-workflows.ts DIR --json    one JSON object a line
 *
 * Workflows of other families (Flux, SD 3, videos, audio, …) are counted apart and not judged: this project does not do them.
 */

import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { readWorkflow } from '../src/cli/workflow-files.ts';
import { nodes } from '../src/workflow/nodes/index.ts';
import type { ApiGraph } from '../src/workflow/graph.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { json: { type: 'boolean', default: false } },
});
const [folder] = positionals;
if (folder === undefined) throw new Error('A folder is required: tools/check-workflows.ts DIR');

/** What only other families have, in names of nodes and of model files. */
const otherFamilies =
  /flux|sd3|sd35|hunyuan|wan[ _]?2|wan[A-Z]|ltxv?|mochi|cosmos|hidream|qwen|lumina|chroma|omnigen|aura_?flow|cascade|stable_?audio|ace_?step|svd|img2vid|zero123|animatediff|ADE_|VHS_|t5xxl|pixart|Gemini|Trellis|Load3D|hunyuan3d/i;

interface Checked {
  readonly file: string;
  readonly state: 'whole' | 'lacks nodes' | 'other family' | 'unreadable';
  readonly nodes: readonly string[];
  readonly missing: readonly string[];
  /** Why it cannot be read. */
  readonly reason?: string;
}

/** What of a graph tells its family: classes, names of model files, and types of loaders; not the words of prompts. */
const toldBy = (graph: ApiGraph): string =>
  [...graph.values()]
    .flatMap(({ class_type = '', inputs }) => [
      class_type,
      ...Object.entries(inputs).flatMap(([name, value]) =>
        typeof value === 'string' && (name === 'type' || /\.(?:safetensors|sft|ckpt|pth?|bin|gguf)$/.test(value))
          ? [value]
          : [],
      ),
    ])
    .join('\n');

/** A node that is not here. Names of nodes that only a page knows are not nodes of a server. */
const missingIn = (classes: readonly string[]): string[] => classes.filter((name) => !nodes.has(name));

async function checked(file: string): Promise<Checked> {
  let graph: ApiGraph;
  try {
    ({ graph } = await readWorkflow(join(folder as string, file)));
  } catch (error) {
    return { file, state: 'unreadable', nodes: [], missing: [], reason: (error as Error).message };
  }
  const classes = [...new Set([...graph.values()].map(({ class_type }) => class_type ?? ''))].sort();
  const missing = missingIn(classes);
  if (graph.size === 0) return { file, state: 'unreadable', nodes: [], missing, reason: 'no node would run' };
  if (otherFamilies.test(toldBy(graph))) return { file, state: 'other family', nodes: classes, missing };
  return { file, state: missing.length > 0 ? 'lacks nodes' : 'whole', nodes: classes, missing };
}

const all: Checked[] = [];
for (const file of (await readdir(folder)).sort()) {
  if (!/\.(json|png)$/i.test(file)) continue;
  const one = await checked(file);
  all.push(one);
  if (values.json) console.log(JSON.stringify(one));
  else
    console.log(
      `${one.state.padEnd(12)} ${file}${one.missing.length > 0 ? `: ${one.missing.join(', ')}` : ''}${one.reason ? `: ${one.reason}` : ''}`,
    );
}

const count = (state: Checked['state']): number => all.filter((one) => one.state === state).length;
const frequency = new Map<string, number>();
for (const { state, missing } of all)
  if (state === 'lacks nodes') for (const name of missing) frequency.set(name, (frequency.get(name) ?? 0) + 1);
const judged = count('whole') + count('lacks nodes');
/** Workflows that use the same nodes count once. */
const kinds = (state?: Checked['state']): number =>
  new Set(
    all
      .filter((one) => (state ? one.state === state : one.state === 'whole' || one.state === 'lacks nodes'))
      .map((one) => one.nodes.join()),
  ).size;
if (!values.json) {
  console.log(
    `\n${all.length} files: ${judged} of Stable Diffusion v1, v2 or XL, ${count('other family')} of other families, ${count('unreadable')} unreadable`,
  );
  console.log(`${count('whole')} of ${judged} are understood whole; by sets of nodes ${kinds('whole')} of ${kinds()}`);
  console.log('\nmissing nodes, by the number of workflows:');
  for (const [name, times] of [...frequency].sort((a, b) => b[1] - a[1]).slice(0, 80))
    console.log(`${String(times).padStart(5)} ${name}`);
}
