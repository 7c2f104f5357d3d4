/** Workflows: exact numbers and order of a graph's text, ComfyUI's checks, order of nodes, what is kept from run to run. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseExactJson, printExactJson } from '../../src/formats/exact-json.ts';
import { nodeImageCodec } from '../../src/image/codec/codec-node.ts';
import { WorkflowCache } from '../../src/workflow/cache.ts';
import type { WorkflowContext, WorkflowFiles } from '../../src/workflow/context.ts';
import { defineNode, nodeTable } from '../../src/workflow/definition.ts';
import type { WorkflowEvent } from '../../src/workflow/events.ts';
import { executeWorkflow } from '../../src/workflow/execute.ts';
import { parseApiGraph } from '../../src/workflow/graph.ts';
import type { NameLists } from '../../src/workflow/input-spec.ts';
import { nodes } from '../../src/workflow/nodes/index.ts';
import { validateWorkflow } from '../../src/workflow/validate.ts';

const lists: NameLists = { names: (kind) => (kind === 'checkpoints' ? ['a.safetensors'] : []), exists: () => false };

const number = defineNode({
  name: 'Number',
  displayName: null,
  category: 'test',
  module: 'test',
  required: { value: ['INT', { default: 0, min: 0, max: 10 }] },
  outputs: ['INT'],
  run: ({ value }) => [value],
});
const sum = defineNode({
  name: 'Sum',
  displayName: null,
  category: 'test',
  module: 'test',
  required: { a: ['INT'], b: ['INT'] },
  outputs: ['INT'],
  run: ({ a, b }) => [a + b],
});
const show = defineNode({
  name: 'Show',
  displayName: null,
  category: 'test',
  module: 'test',
  required: { value: ['INT'] },
  outputs: [],
  outputNode: true,
  run: ({ value }) => ({ ui: { numbers: [value] } }),
});
const small = nodeTable([number, sum, show]);
const context = {
  files: {} as WorkflowFiles,
  codec: nodeImageCodec,
  now: () => new Date(0),
} as unknown as WorkflowContext;

const graphOf = (nodesById: unknown) => parseApiGraph(JSON.stringify(nodesById));
const two = (a: number, b: number) => ({
  1: { class_type: 'Number', inputs: { value: a } },
  2: { class_type: 'Number', inputs: { value: b } },
  3: { class_type: 'Sum', inputs: { a: ['1', 0], b: ['2', 0] } },
  4: { class_type: 'Show', inputs: { value: ['3', 0] } },
});

async function run(nodesById: unknown, cache = new WorkflowCache()) {
  const { graph, outputs } = validateWorkflow(graphOf(nodesById), small, lists);
  const events: WorkflowEvent[] = [];
  const result = await executeWorkflow(graph, {
    nodes: small,
    context,
    cache,
    targets: outputs,
    onEvent: (event) => void events.push(event),
  });
  return { result, ran: events.flatMap((event) => (event.kind === 'executing' ? [event.node] : [])), events };
}

test('whole numbers beyond 2^53 and the order of ids stay as in the text', () => {
  const text = '{"10":{"class_type":"A","inputs":{"seed":18446744073709551615}},"2":{"class_type":"B","inputs":{}}}';
  assert.equal(printExactJson(parseExactJson(text, 'text')), text);
  assert.deepEqual([...parseApiGraph(text).keys()], ['10', '2']);
  assert.equal(printExactJson({ a: 'é' }, { like: 'python' }), '{"a": "\\u00e9"}');
});

test('nodes run inputs last to first, and only what changed runs again', async () => {
  const cache = new WorkflowCache();
  const first = await run(two(1, 2), cache);
  assert.deepEqual(first.ran, ['2', '1', '3', '4']);
  assert.deepEqual(first.result.outputs, { 4: { numbers: [3] } });
  const again = await run(two(1, 2), cache);
  assert.deepEqual(again.ran, []);
  assert.deepEqual(
    again.events.map(({ kind }) => kind),
    ['start', 'cached', 'executed', 'finished', 'success'],
  );
  assert.deepEqual((await run(two(1, 5), cache)).ran, ['2', '3', '4']);
  // Only what the last run contained is kept.
  assert.deepEqual((await run(two(1, 2), cache)).ran, ['2', '3', '4']);
});

test('ids of nodes do not count for what is kept', async () => {
  const cache = new WorkflowCache();
  await run(two(1, 2), cache);
  const renamed = {
    a: { class_type: 'Number', inputs: { value: 1 } },
    b: { class_type: 'Number', inputs: { value: 2 } },
    c: { class_type: 'Sum', inputs: { a: ['a', 0], b: ['b', 0] } },
    d: { class_type: 'Show', inputs: { value: ['c', 0] } },
  };
  assert.deepEqual((await run(renamed, cache)).ran, []);
});

test('an error names its node and ends the run', async () => {
  const failing = nodeTable([
    defineNode({ ...(sum as object), run: () => assert.fail('no sum today') } as unknown as Parameters<
      typeof defineNode
    >[0]),
    number,
    show,
  ]);
  const { graph, outputs } = validateWorkflow(graphOf(two(1, 2)), failing, lists);
  const { status, error } = await executeWorkflow(graph, {
    nodes: failing,
    context,
    cache: new WorkflowCache(),
    targets: outputs,
  });
  assert.equal(status, 'error');
  assert.equal(error?.node, '3');
  assert.equal(error?.message, 'no sum today');
  assert.deepEqual(error?.currentInputs, { a: [1], b: [2] });
});

test('a signal interrupts between nodes', async () => {
  const stop = new AbortController();
  stop.abort();
  const { graph, outputs } = validateWorkflow(graphOf(two(1, 2)), small, lists);
  const options = { nodes: small, context, cache: new WorkflowCache(), targets: outputs, signal: stop.signal };
  assert.equal((await executeWorkflow(graph, options)).status, 'interrupted');
});

test('a circle, a long chain and too many nodes are refused without running', () => {
  const circle = {
    1: { class_type: 'Sum', inputs: { a: ['1', 0], b: ['1', 0] } },
    4: { class_type: 'Show', inputs: { value: ['1', 0] } },
  };
  const { valid, nodeErrors } = validateWorkflow(graphOf(circle), small, lists);
  assert.equal(valid, false);
  assert.match(JSON.stringify(nodeErrors), /exception_during_inner_validation.*depends on itself/);
  const chain: Record<string, unknown> = { 0: { class_type: 'Number', inputs: { value: 1 } } };
  for (let i = 1; i < 5000; i++) chain[i] = { class_type: 'Sum', inputs: { a: [String(i - 1), 0], b: 1 } };
  chain['end'] = { class_type: 'Show', inputs: { value: ['4999', 0] } };
  assert.equal(validateWorkflow(graphOf(chain), small, lists).valid, false);
  const many = Object.fromEntries(Array.from({ length: 100_000 }, (_, i) => [i, { class_type: 'Number', inputs: {} }]));
  assert.throws(() => graphOf(many), { code: 'too-large' });
});

test('a graph with one right output runs, and tells what is wrong with the other', () => {
  const { valid, outputs, nodeErrors } = validateWorkflow(
    graphOf({
      ...two(1, 2),
      5: { class_type: 'Show', inputs: { value: ['6', 0] } },
      6: { class_type: 'Number', inputs: { value: 11 } },
    }),
    small,
    lists,
  );
  assert.equal(valid, true);
  assert.deepEqual(outputs, ['4']);
  assert.equal(nodeErrors['6']?.errors[0]?.message, 'Value 11 bigger than max of 10');
  assert.deepEqual(nodeErrors['6']?.dependent_outputs, ['5']);
});

test('an unknown model is told with the list of those that are there', () => {
  const graph = graphOf({
    4: { class_type: 'CheckpointLoaderSimple', inputs: { ckpt_name: 'b.safetensors' } },
    8: { class_type: 'VAEDecode', inputs: { samples: ['5', 0], vae: ['4', 2] } },
    5: { class_type: 'EmptyLatentImage', inputs: { width: 64, height: '64', batch_size: 1 } },
    9: { class_type: 'SaveImage', inputs: { images: ['8', 0], filename_prefix: 'x' } },
  });
  const { valid, nodeErrors } = validateWorkflow(graph, nodes, lists);
  assert.equal(valid, false);
  assert.deepEqual(Object.keys(nodeErrors), ['4']);
  assert.equal(nodeErrors['4']?.errors[0]?.details, "ckpt_name: 'b.safetensors' not in ['a.safetensors']");
});
