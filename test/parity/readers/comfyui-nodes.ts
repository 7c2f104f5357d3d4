/** ComfyUI's nodes: recorded graphs with their variants, run by our executor over our nodes; what wanted nodes gave, and the pictures written. */

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as z from 'zod';
import { type ExactJson, parseExactJson, type ExactObject } from '../../../src/formats/exact-json.ts';
import { nodeImageCodec } from '../../../src/image/codec/codec-node.ts';
import { decodeFrames } from '../../../src/image/codec/frames-node.ts';
import { toRgb } from '../../../src/image/image.ts';
import { float32, type Tensor } from '../../../src/tensor/tensor.ts';
import { WorkflowCache } from '../../../src/workflow/cache.ts';
import type { WorkflowContext } from '../../../src/workflow/context.ts';
import { executeWorkflow } from '../../../src/workflow/execute.ts';
import { type ApiGraph, apiGraph } from '../../../src/workflow/graph.ts';
import { NetworkPool } from '../../../src/workflow/network-pool.ts';
import { nodes } from '../../../src/workflow/nodes/index.ts';
import { promptTokens } from '../../../src/workflow/text/encode-text.ts';
import { validateWorkflow } from '../../../src/workflow/validate.ts';
import type { ClipValue } from '../../../src/workflow/values/clip.ts';
import { maxDifference } from '../../parity.ts';
import { readTensors } from '../../tensors.ts';
import { recordedFiles } from '../../workflow/recorded-files.ts';
import { collecting } from '../comparisons.ts';
import { parityEngine } from '../engine.ts';
import type { Comparisons } from '../comparisons.ts';
import type { Reader, RecordedCase } from '../reader.ts';

const outputSchema = z.looseObject({
  same_as: z.string().optional(),
  atol: z.number().optional(),
  exact: z.boolean().optional(),
  float64_differs_at: z.number().optional(),
});
const rowSchema = z.looseObject({
  settings: z.looseObject({
    variants: z.record(z.string(), z.record(z.string(), z.record(z.string(), z.unknown()))).optional(),
    wanted: z.record(z.string(), z.array(z.union([z.string(), z.number()]))),
    text_encoder_dtype: z.string().optional(),
  }),
  outputs: z.record(z.string(), outputSchema),
  values: z.string().optional(),
});
type Row = z.output<typeof rowSchema>;

interface Session {
  readonly context: WorkflowContext;
  readonly files: ReturnType<typeof recordedFiles>;
  readonly cache: WorkflowCache;
}

const sessions = new Map<string, Session>();

function sessionOf(folder: string, fullTextEncoder: boolean): Session {
  const key = `${folder} ${fullTextEncoder}`;
  const known = sessions.get(key);
  if (known) return known;
  const files = recordedFiles(folder);
  const context: WorkflowContext = {
    files,
    networks: new NetworkPool(parityEngine(), 2 ** 26),
    codec: nodeImageCodec,
    decodeFrames,
    fullTextEncoder,
    now: () => new Date(0),
  };
  const made = { context, files, cache: new WorkflowCache() };
  sessions.set(key, made);
  return made;
}

/** The graph with a variant's changes: inputs of a node, or a whole node. */
function changed(graph: ApiGraph, changes: Readonly<Record<string, ExactJson>>): ApiGraph {
  const nodesOf = new Map(graph);
  for (const [id, change] of Object.entries(changes)) {
    const given = change as ExactObject;
    const before = nodesOf.get(id);
    if ('class_type' in given) nodesOf.set(id, apiGraph({ [id]: given }).get(id) as never);
    else if (before) nodesOf.set(id, { ...before, inputs: { ...before.inputs, ...given } });
    else throw new Error(`the variant changes node ${id}, which is not there`);
  }
  return nodesOf;
}

const tensorOf = (value: unknown): Tensor => {
  if (typeof value === 'number') return { dtype: 'float64', shape: [], data: Float64Array.of(value) };
  if (value instanceof Float32Array) return float32([value.length], value);
  return value as Tensor;
};

/** Names and tensors of a value, under `name`. */
function* flat(name: string, value: unknown): Generator<readonly [name: string, value: Tensor]> {
  if (Array.isArray(value)) {
    for (const [i, entry] of value.entries())
      for (const [key, one] of Object.entries(entry as object))
        if (typeof one === 'object' && one !== null && 'dtype' in one) yield [`${name}.${i}.${key}`, one as Tensor];
  } else if (typeof value === 'object' && value !== null && 'samples' in value) {
    const latent = value as { samples: Tensor; noiseMask?: Tensor; batchIndex?: readonly number[] };
    yield [name, latent.samples];
    if (latent.noiseMask) yield [`${name}.noise_mask`, latent.noiseMask];
    if (latent.batchIndex)
      yield [
        `${name}.batch_index`,
        { dtype: 'int64', shape: [latent.batchIndex.length], data: BigInt64Array.from(latent.batchIndex, BigInt) },
      ];
  } else yield [name, tensorOf(value)];
}

/** Runs one variant and yields what it gave by name. */
async function outputsOfVariant(
  graph: ApiGraph,
  wanted: Row['settings']['wanted'],
  session: Session,
): Promise<Map<string, Tensor>> {
  const { context, cache, files } = session;
  files.written.length = 0;
  const checked = validateWorkflow(graph, nodes, await files.lists());
  if (!checked.valid)
    throw new Error(
      `${JSON.stringify(checked.error).slice(0, 300)} ${JSON.stringify(checked.nodeErrors).slice(0, 600)}`,
    );
  const result = await executeWorkflow(checked.graph, { nodes, context, cache, targets: checked.outputs });
  if (result.error)
    throw new Error(`node ${result.error.node} (${result.error.nodeType}): ${result.error.message}`, {
      cause: result.error.cause,
    });
  const made = new Map<string, Tensor>();
  for (const [name, [node, slot, all]] of Object.entries(wanted)) {
    const values = result.values(String(node))?.[Number(slot)];
    if (!values) continue;
    const named =
      all === 'all' ? values.map((value, i) => [`${name}.${i}`, value] as const) : [[name, values[0]] as const];
    for (const [own, value] of named) for (const [key, tensor] of flat(own, value)) made.set(key, tensor);
  }
  let png = 0;
  for (const { filename, bytes } of files.written) {
    if (!filename.endsWith('.png')) continue;
    const { width, height, data } = toRgb(await nodeImageCodec.decode(bytes));
    made.set(`png.${png++}`, { dtype: 'uint8', shape: [height, width, 3], data });
  }
  return made;
}

const differingCount = (a: Tensor, b: Tensor): number =>
  Array.from<number | bigint>(a.data as ArrayLike<number>).filter((value, i) => value !== b.data[i]).length;

/**
 * How many values of a network's pictures may differ by 1. They are cut to whole numbers, so one that lies on the edge falls to either side by the
 * last bits of a sum: the original differs from itself in float64 at up to this many. That a picture of the case shows none is chance.
 */
const looseValues = (outputs: Row['outputs']): number =>
  Object.values(outputs).reduce((most, { float64_differs_at = 0 }) => Math.max(most, float64_differs_at), 0);

function compareOne(
  compare: Comparisons,
  name: string,
  got: Tensor | undefined,
  want: Tensor,
  given: Row['outputs'][string],
  loose: number,
): void {
  const wrong = !got
    ? 'the run does not give it'
    : got.shape.join() === want.shape.join()
      ? undefined
      : `[${got.shape}] in place of [${want.shape}]`;
  if (!got || wrong) compare.error(name, Number.POSITIVE_INFINITY, 0, { note: wrong });
  else {
    const exact = got.dtype === 'uint8' && differingCount(got, want) <= loose ? 1 : 0;
    compare.error(name, maxDifference(got, want), given.exact ? exact : (given.atol ?? 0));
  }
}

/** The recorded chunks of [token, weight] of each text. */
async function compareTokens(
  recorded: RecordedCase,
  session: Session,
  variants: Readonly<Record<string, ApiGraph>>,
  compare: Comparisons,
): Promise<void> {
  const values = JSON.parse(readFileSync(join(recorded.folder, 'values.json'), 'utf8')) as Readonly<
    Record<string, { readonly text: string; readonly l: readonly (readonly [unknown, number])[][] }>
  >;
  const loader = [...(Object.values(variants)[0] ?? new Map())].find(
    ([, { class_type }]) => class_type === 'CheckpointLoaderSimple',
  );
  const [id = '', node] = loader ?? [];
  const type = nodes.get('CheckpointLoaderSimple');
  const context = {
    ...session.context,
    nodeId: id,
    prompt: new Map(),
    extraPngInfo: undefined,
    signal: undefined,
    progress: () => {},
    memory: new Map(),
    isFloatInput: () => false,
  };
  const given = (await type?.run(node?.inputs ?? {}, context)) as readonly unknown[];
  const [encoder] = (given[1] as ClipValue).encoders;
  if (!encoder) throw new Error('the checkpoint has no text encoder');
  for (const [name, { text, l }] of Object.entries(values)) {
    const chunks = await promptTokens(encoder, text, context);
    const got = chunks.map(({ tokens, weights }) =>
      tokens.map((token, i) => [typeof token === 'number' ? token : 'embedding', weights[i]]),
    );
    const want = l.map((chunk) =>
      chunk.map(([token, weight]) => [typeof token === 'number' ? token : 'embedding', weight]),
    );
    compare.exact('tokens', got, want, { item: name });
  }
}

export const reader: Reader = {
  set: 'comfyui',
  reads: (row) => rowSchema.safeParse(row).success,
  dispose: async () => {
    for (const { context } of sessions.values()) await context.networks.dispose();
    sessions.clear();
  },
  compare: collecting(async (recorded, compare) => {
    const { settings, outputs, values } = rowSchema.parse(recorded.row);
    const session = sessionOf(recorded.setFolder, settings.text_encoder_dtype === 'float32');
    const graph = apiGraph(
      parseExactJson(readFileSync(join(recorded.folder, 'workflow.json'), 'utf8'), 'workflow.json'),
    );
    const exact = exactSettings(recorded);
    const want = existsSync(join(recorded.folder, 'outputs.safetensors'))
      ? readTensors(join(recorded.folder, 'outputs.safetensors'))
      : new Map<string, Tensor>();
    const names = settings.variants ? Object.keys(settings.variants) : [undefined];
    const variants: Record<string, ApiGraph> = {};
    for (const variant of names) {
      const own = variant === undefined ? graph : changed(graph, exact[variant] as never);
      variants[variant ?? ''] = own;
      let made = new Map<string, Tensor>();
      let failure: string | undefined;
      try {
        made = await outputsOfVariant(own, settings.wanted, session);
      } catch (error) {
        failure =
          error instanceof Error ? (process.env['COMFY_TRACE'] ? (error.stack ?? '') : error.message) : String(error);
      }
      const ending = variant === undefined ? '' : `.${variant}`;
      const recordedNames = Object.keys(outputs).filter((name) => variantOf(name, names as string[]) === variant);
      for (const name of recordedNames) {
        const given = outputs[name] as Row['outputs'][string];
        const source = given.same_as ?? name;
        const expected = want.get(source);
        if (!expected) compare.error(name, Number.POSITIVE_INFINITY, 0, { note: 'not in outputs.safetensors' });
        else if (failure !== undefined) compare.error(name, Number.POSITIVE_INFINITY, 0, { note: failure });
        else
          compareOne(
            compare,
            name,
            made.get(name.slice(0, name.length - ending.length)),
            expected,
            outputs[source] ?? given,
            looseValues(outputs),
          );
      }
    }
    if (values) await compareTokens(recorded, session, variants, compare);
  }),
};

/** The variant a recorded name belongs to: the longest that it ends in. */
function variantOf(name: string, variants: readonly (string | undefined)[]): string | undefined {
  let found: string | undefined;
  for (const variant of variants)
    if (variant !== undefined && name.endsWith(`.${variant}`) && variant.length > (found?.length ?? -1))
      found = variant;
  return found;
}

/** `settings.variants` with whole numbers beyond 2^53 as they stand in the index. */
function exactSettings({ setFolder, row }: RecordedCase): Readonly<Record<string, ExactJson>> {
  const index = parseExactJson(readFileSync(join(setFolder, 'index.json'), 'utf8'), 'index.json') as ExactObject;
  const all = index['cases'] as readonly ExactObject[];
  const own = all.find((one) => one['name'] === row['name']);
  const settings = own?.['settings'] as ExactObject;
  return (settings['variants'] ?? {}) as Readonly<Record<string, ExactJson>>;
}
