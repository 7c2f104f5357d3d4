/** Faults from outside the engine in Node: files that change, odd names, a thread or process that ends in the middle of native code. */

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { createNodeEngine } from '../../src/engine/node.ts';
import { openWeightsAt } from '../../src/formats/open-weights-node.ts';
import { mul } from '../../src/graph/functions.ts';
import { trace } from '../../src/graph/trace.ts';
import { float32 } from '../../src/tensor/tensor.ts';

const engine = createNodeEngine({ threads: 1 });
const folder = mkdtempSync(join(tmpdir(), 'node-faults-'));
after(async () => {
  await engine.dispose();
  rmSync(folder, { recursive: true });
});

/** A .safetensors file with one tensor, w [4]. */
function write(name: string, values: readonly number[]): string {
  const header = JSON.stringify({ w: { dtype: 'F32', shape: [4], data_offsets: [0, 16] } });
  const bytes = Buffer.alloc(8 + header.length + 16);
  bytes.writeBigUInt64LE(BigInt(header.length));
  bytes.write(header, 8);
  bytes.set(new Uint8Array(Float32Array.from(values).buffer), 8 + header.length);
  const path = join(folder, name);
  writeFileSync(path, bytes);
  return path;
}

const graph = trace({ x: { dtype: 'float32', shape: [4] } }, ({ x }, p) => ({ y: mul(x, p.get('w', [4])) }));
const x = float32([4], [1, 1, 1, 1]);

async function product(path: string): Promise<number[]> {
  const weights = await openWeightsAt(path);
  await using program = await engine.compile(graph, weights);
  const { y } = await program.run({ x });
  await weights.close();
  return [...(y?.data ?? [])].map(Number);
}

test('a weight file behind a link, and one with a backslash in its name, are used', async () => {
  const path = write(process.platform === 'win32' ? 'plain.safetensors' : 'back\\slash.safetensors', [1, 2, 3, 4]);
  assert.deepEqual(await product(path), [1, 2, 3, 4]);
  const blobs = mkdtempSync(join(folder, 'snapshot-'));
  symlinkSync(path, join(blobs, 'm.safetensors'));
  assert.deepEqual(await product(join(blobs, 'm.safetensors')), [1, 2, 3, 4]);
});

test('a weight file that was changed or replaced after it was opened is refused', async () => {
  const path = write('changed.safetensors', [1, 2, 3, 4]);
  const weights = await openWeightsAt(path);
  write('changed.safetensors', [5, 6, 7, 8]);
  await assert.rejects(engine.compile(graph, weights), { code: 'file-access', message: /changed or replaced/ });
  await weights.close();
});

const source = pathToFileURL(join(import.meta.dirname, '../../src/')).href;

/** A program of long products, and what happens in the middle of its run. */
const script = (then: string): string => `
const { createNodeEngine } = await import('${source}engine/node.ts');
const { matmul } = await import('${source}graph/functions.ts');
const { trace } = await import('${source}graph/trace.ts');
const { float32 } = await import('${source}tensor/tensor.ts');
const { memoryWeights } = await import('${source}weights/memory-weights.ts');
let thread;
process.on('worker', (worker) => { thread = worker; });
const engine = createNodeEngine({ threads: 1 });
const size = 1024;
const graph = trace({ x: { dtype: 'float32', shape: [size, size] } }, ({ x }) => {
  let y = x;
  for (let i = 0; i < 10; i++) y = matmul(y, x);
  return { y };
});
const program = await engine.compile(graph, memoryWeights(new Map()));
const run = program.run({ x: float32([size, size], new Float32Array(size * size)) });
run.catch(() => {});
await new Promise((resolve) => setTimeout(resolve, 100));
${then}
`;

function inChild(then: string) {
  const path = join(mkdtempSync(join(folder, 'child-')), 'script.mjs');
  writeFileSync(path, script(then));
  return promisify(execFile)(process.execPath, ['--import', './tools/typescript.mjs', path]);
}

test('a worker thread that is ended in the middle of a run fails the run, not the process', async () => {
  const { stdout } = await inChild(`
    await thread.terminate();
    await run.then(() => console.log('done'), ({ code }) => console.log(code));
    await program.run({ x: float32([size, size], new Float32Array(size * size)) }).catch(({ code }) => console.log(code));`);
  assert.match(stdout, /^(done|engine-failed)\nengine-failed\n$/);
});

test('the process may end in the middle of a run', async () => {
  await assert.rejects(inChild('process.exit(7);'), { code: 7, signal: null });
});

test('the worker is named in the form that bundlers follow', () => {
  const source = readFileSync('src/engine/runtime-thread-node.ts', 'utf8');
  assert.match(source, /new Worker\(new URL\('\.\/node-worker\.js', import\.meta\.url\)/);
});
