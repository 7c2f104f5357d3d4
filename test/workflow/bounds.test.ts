/** What a workflow may take: memory is counted before a node runs, order and checks take time in proportion to the graph. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nodeImageCodec } from '../../src/image/codec/codec-node.ts';
import { RunMessages } from '../../src/server/comfyui/run-messages.ts';
import { float32, zeros } from '../../src/tensor/tensor.ts';
import { WorkflowCache } from '../../src/workflow/cache.ts';
import type { WorkflowContext, WorkflowFiles } from '../../src/workflow/context.ts';
import { executeWorkflow, type ExecuteOptions } from '../../src/workflow/execute.ts';
import { ExecutionOrder } from '../../src/workflow/execution-order.ts';
import { parseApiGraph } from '../../src/workflow/graph.ts';
import type { NameLists } from '../../src/workflow/input-spec.ts';
import { bytesToMake } from '../../src/workflow/memory-budget.ts';
import { nodes } from '../../src/workflow/nodes/index.ts';
import { runsAlone } from '../../src/workflow/runs-alone.ts';
import { bytesOfValue } from '../../src/workflow/values.ts';
import { validateWorkflow } from '../../src/workflow/validate.ts';
import { processorTime } from '../processor-time.ts';

type Link = readonly [string, number];
interface Node {
  readonly class_type: string;
  readonly inputs: Readonly<Record<string, unknown>>;
}
const node = (class_type: string, inputs: Node['inputs']): Node => ({ class_type, inputs });
const graphOf = (given: Readonly<Record<string, Node>>) => parseApiGraph(JSON.stringify(given));
const context = {
  files: {} as WorkflowFiles,
  codec: nodeImageCodec,
  now: () => new Date(0),
} as unknown as WorkflowContext;
const lists: NameLists = { names: () => [], exists: () => false };

const run = (given: Readonly<Record<string, Node>>, options: Partial<ExecuteOptions> = {}) =>
  executeWorkflow(graphOf(given), {
    nodes,
    context,
    cache: new WorkflowCache(),
    targets: ['out'],
    memory: 2 ** 27,
    ...options,
  });

/** A chain of nodes of one class, each over the one before. */
function chain(count: number, first: Node, next: (before: Link) => Node): Readonly<Record<string, Node>> {
  const made: Record<string, Node> = { n0: first };
  for (let i = 1; i <= count; i++) made[`n${i}`] = next([`n${i - 1}`, 0]);
  made['out'] = node('PreviewAny', { source: [`n${count}`, 0] });
  return made;
}

const picture = node('EmptyImage', { width: 64, height: 64, batch_size: 1, color: 0 });
const latent = node('EmptyLatentImage', { width: 512, height: 512, batch_size: 1 });
const growing: Readonly<Record<string, Readonly<Record<string, Node>>>> = {
  RepeatLatentBatch: chain(8, latent, (samples) => node('RepeatLatentBatch', { samples, amount: 64 })),
  RepeatImageBatch: chain(4, picture, (image) => node('RepeatImageBatch', { image, amount: 4096 })),
  ImageBatch: chain(30, picture, (image) => node('ImageBatch', { image1: image, image2: image })),
  LatentBatch: chain(30, latent, (samples) => node('LatentBatch', { samples1: samples, samples2: samples })),
  ImageScale: chain(1, picture, (image) =>
    node('ImageScale', { image, upscale_method: 'nearest-exact', width: 16384, height: 16384, crop: 'disabled' }),
  ),
  'ImageScale by one side': chain(2, picture, (image) =>
    node('ImageScale', { image, upscale_method: 'nearest-exact', width: 16384, height: 0, crop: 'disabled' }),
  ),
  ImageScaleBy: chain(6, picture, (image) => node('ImageScaleBy', { image, upscale_method: 'bicubic', scale_by: 8 })),
  LatentUpscale: chain(2, node('EmptyLatentImage', { width: 64, height: 64, batch_size: 32 }), (samples) =>
    node('LatentUpscale', { samples, upscale_method: 'bilinear', width: 16384, height: 16384, crop: 'disabled' }),
  ),
  LatentUpscaleBy: chain(6, latent, (samples) =>
    node('LatentUpscaleBy', { samples, upscale_method: 'bislerp', scale_by: 8 }),
  ),
  ImagePadForOutpaint: chain(3, picture, (image) =>
    node('ImagePadForOutpaint', { image, left: 16384, top: 16384, right: 16384, bottom: 16384, feathering: 0 }),
  ),
  SolidMask: chain(1, node('SolidMask', { value: 1, width: 16384, height: 16384 }), (mask) =>
    node('InvertMask', { mask }),
  ),
  EmptyImage: chain(0, node('EmptyImage', { width: 16384, height: 16384, batch_size: 4096, color: 0 }), () => picture),
  EmptyLatentImage: chain(0, node('EmptyLatentImage', { width: 16384, height: 16384, batch_size: 4096 }), () => latent),
  'a large batch over a large picture': {
    many: node('EmptyImage', { width: 1, height: 1, batch_size: 4096, color: 0 }),
    large: node('EmptyImage', { width: 1024, height: 1024, batch_size: 1, color: 0 }),
    both: node('ImageCompositeMasked', {
      destination: ['many', 0],
      source: ['large', 0],
      x: 0,
      y: 0,
      resize_source: false,
    }),
    out: node('PreviewAny', { source: ['both', 0] }),
  },
  'many values at the same time': {
    ...Object.fromEntries(
      Array.from({ length: 40 }, (_, i) => [
        `p${i}`,
        node('EmptyImage', { width: 1024, height: 512 - i, batch_size: 1, color: i }),
      ]),
    ),
    ...Object.fromEntries(
      Array.from({ length: 40 }, (_, i) => [
        `c${i}`,
        node('ImageBatch', { image1: [i === 0 ? 'p0' : `c${i - 1}`, 0], image2: [`p${i}`, 0] }),
      ]),
    ),
    out: node('PreviewAny', { source: ['c39', 0] }),
  },
};

for (const [name, graph] of Object.entries(growing))
  test(`${name} beyond the memory is refused before it is made`, async () => {
    const before = process.memoryUsage().arrayBuffers;
    const { status, error } = await run(graph);
    assert.equal(status, 'error');
    assert.equal((error?.cause as { readonly code?: string } | undefined)?.code, 'too-large');
    assert.match(error?.message ?? '', /This node needs about \d+ MB/);
    assert.ok(process.memoryUsage().arrayBuffers - before < 2 ** 29);
  });

test('what fits is made, and values that no node needs any more are not counted', async () => {
  const long = chain(200, node('EmptyImage', { width: 512, height: 512, batch_size: 1, color: 0 }), (image) =>
    node('ImageInvert', { image }),
  );
  const { status, outputs } = await run(long, { memory: 2 ** 24 });
  assert.equal(status, 'success');
  assert.match(JSON.stringify(outputs), /float32 \[1, 512, 512, 3\]/);
});

test('no node makes more than it says', async () => {
  const image = float32([2, 12, 10, 3], new Float32Array(720).fill(0.5));
  const samples = { samples: zeros('float32', [2, 4, 9, 8]), noiseMask: zeros('float32', [2, 1, 72, 64]) };
  const mask = float32([1, 12, 10], new Float32Array(120).fill(1, 40, 80));
  const values: Readonly<Record<string, unknown>> = { IMAGE: image, LATENT: samples, MASK: mask };
  let tried = 0;
  for (const type of nodes.values()) {
    // This preprocessor has no network here, and always says so.
    if (!runsAlone(type) || type.takesLists || type.name === 'DepthAnythingV2Preprocessor') continue;
    const specs = Object.entries({ ...type.required, ...type.optional });
    if (!specs.some(([, [kind]]) => typeof kind === 'string' && kind in values)) continue;
    const inputs = Object.fromEntries(
      specs.map(([name, [kind, settings]]) => {
        if (Array.isArray(kind)) return [name, kind[0]];
        const options = settings?.['options'];
        if (kind === 'COMBO') return [name, (options as readonly string[])[0]];
        if (typeof kind === 'string' && kind in values) return [name, values[kind]];
        // A threshold must be above its offset; sharpening is refused.
        if (/offset$|^sharpening$/.test(name)) return [name, Number(settings?.['default'] ?? 0)];
        const largest = Number(settings?.['max'] ?? 1);
        // A radius must be smaller than the picture.
        return [name, kind === 'BOOLEAN' ? true : Math.min(largest, /radius|blur|falloff/.test(name) ? 9 : 24)];
      }),
    );
    const expected = bytesToMake(type, inputs);
    const result = await type.run(inputs, {} as never);
    const made = bytesOfValue(Array.isArray(result) ? result : (result as { outputs?: unknown }).outputs);
    tried++;
    assert.ok(made <= expected + 4096, `${type.name}: ${made} bytes, and ${expected} were expected`);
  }
  assert.ok(tried > 30, `${tried} nodes`);
});

test('the order of ten thousand nodes takes little time, whatever their form', () => {
  const wide = new Map<string, Node>([['a', picture]]);
  const deep = new Map<string, Node>([['n0', picture]]);
  const full = new Map<string, Node>();
  for (let i = 1; i < 10_000; i++) {
    wide.set(`p${i}`, node('PreviewImage', { images: ['a', 0] }));
    deep.set(`n${i}`, node('ImageInvert', { image: [`n${i - 1}`, 0] }));
  }
  wide.set('out', node('Join', Object.fromEntries([...wide.keys()].map((id, i) => [`x${i}`, [id, 0]]))));
  deep.set('out', node('PreviewImage', { images: ['n9999', 0] }));
  for (let i = 0; i < 1000; i++)
    full.set(
      `n${i}`,
      node(
        'Join',
        Object.fromEntries(Array.from({ length: Math.min(i, 100) }, (_, k) => [`x${k}`, [`n${i - 1 - k}`, 0]])),
      ),
    );
  full.set('out', node('Join', { x: ['n999', 0] }));
  for (const graph of [wide, deep, full]) {
    const milliseconds = processorTime(() => {
      const order = new ExecutionOrder(graph as never, ['out'], {
        isDone: () => false,
        isOutput: (id) => id.startsWith('p') || id === 'out',
      });
      let count = 0;
      for (let id = order.next(); id !== undefined; id = order.next()) {
        count++;
        order.done(id);
      }
      assert.equal(count, graph.size);
    });
    assert.ok(milliseconds < 1000, `${milliseconds} ms`);
  }
});

test('the errors of a large graph are told in bounded number', () => {
  const wrong: Record<string, Node> = { a: node('EmptyImage', { width: 'x', height: 'y', batch_size: 1, color: 0 }) };
  let before = 'a';
  for (let i = 0; i < 900; i++) {
    wrong[`b${i}`] = node('ImageInvert', { image: [before, 0], extra: 1 });
    before = `b${i}`;
  }
  for (let i = 0; i < 4000; i++) wrong[`s${i}`] = node('PreviewImage', {});
  for (let i = 0; i < 4000; i++) wrong[`p${i}`] = node('PreviewImage', { images: [before, 0] });
  const graph = graphOf(wrong);
  const targets = Array.from({ length: 400_000 }, (_, i) => `p${i}`);
  let told = 0;
  const milliseconds = processorTime(() => {
    for (const only of [undefined, targets]) {
      const { valid, nodeErrors } = validateWorkflow(graph, nodes, lists, only);
      assert.equal(valid, false);
      told += JSON.stringify(nodeErrors).length;
    }
  });
  assert.ok(told < 20_000_000, `${told} characters`);
  assert.ok(milliseconds < 5000, `${milliseconds} ms`);
});

test('nodes may have any name', async () => {
  for (const id of ['__proto__', 'constructor', 'toString']) {
    const wrong = parseApiGraph(`{${JSON.stringify(id)}:{"class_type":"PreviewImage","inputs":{}}}`);
    const { valid, nodeErrors } = validateWorkflow(wrong, nodes, lists);
    assert.equal(valid, false);
    assert.deepEqual(Object.keys(nodeErrors), [id]);
    const right = parseApiGraph(`{${JSON.stringify(id)}:{"class_type":"PreviewAny","inputs":{"source":"x"}}}`);
    const { status, outputs } = await executeWorkflow(right, {
      nodes,
      context,
      cache: new WorkflowCache(),
      targets: [id],
    });
    assert.equal(status, 'success');
    assert.deepEqual(Object.entries(outputs), [[id, { text: ['x'] }]]);
  }
});

test('others have a turn among thousands of nodes whose values are kept', async () => {
  const many: Record<string, Node> = { a: node('EmptyLatentImage', { width: 16, height: 16, batch_size: 1 }) };
  for (let i = 0; i < 9000; i++) many[`p${i}`] = node('PreviewAny', { source: ['a', 0] });
  let turns = 0;
  const timer = setInterval(() => turns++, 1);
  const targets = Object.keys(many).slice(1);
  const { status } = await run(many, { targets });
  clearInterval(timer);
  assert.equal(status, 'success');
  // How many depends on the machine; without a pause between nodes there is none.
  assert.ok(turns > 0, `${turns} turns`);
});

test('the state of a large workflow is told in part, and to nobody where nobody listens', () => {
  const messages = new RunMessages('x');
  for (let i = 0; i < 5000; i++) messages.of({ kind: 'executing', node: `n${i}` });
  const [state] = messages.of({ kind: 'finished', node: 'n4999' });
  const { nodes: told = {} } =
    (state?.message as { readonly data: { readonly nodes: object } } | undefined)?.data ?? {};
  assert.equal(Object.keys(told).length, 1000);
  assert.ok('n4999' in told);
  assert.deepEqual(messages.of({ kind: 'finished', node: 'n4999' }, false), []);
});

for (const [name, inputs] of [
  ['ImageBlur', { blur_radius: 31, sigma: 1 }],
  ['ImageSharpen', { sharpen_radius: 31, sigma: 1, alpha: 1 }],
] as const)
  test(`${name}: a radius that is not smaller than the picture is refused, as PyTorch refuses it`, async () => {
    const small = node('EmptyImage', { width: 64, height: 31, batch_size: 1, color: 0 });
    const graph = {
      a: small,
      b: node(name, { image: ['a', 0], ...inputs }),
      out: node('PreviewAny', { source: ['b', 0] }),
    };
    const { status, error } = await run(graph);
    assert.equal(status, 'error');
    assert.match(
      String(error?.cause),
      /radius of 31 needs a picture of at least 32 x 32 pixels, and this one has 64 x 31/,
    );
  });
