/**
 * `npm run attack`: hostile requests against a real `sd serve`, one scene after another. For each: the longest wait of another caller for
 * `/healthz`, beside that of an idle program on the same machine, the peak memory of the server, how many of another caller's jobs that were
 * accepted before are lost or failed, and whether the server still answers; at the end all of them in one table. A scene takes at most 30
 * seconds, so that all take less than ten minutes. Exits 1 beyond 250 ms more than the idle program, 2.5 GB, for a lost job, or when the
 * server has ended.
 * `npm run attack -- WORD` runs the scenes whose name contains the word.
 */

import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { deflateSync } from 'node:zlib';
import { encodePngChunk, encodePngFile } from '../src/image/metadata/png-chunks.ts';

const key = 'a-secret-of-alice';
const keyOfBob = 'a-secret-of-bob-too';
const limits = { wait: 250, bytes: 2.5e9, sceneMilliseconds: 30_000 };

const text = (value: string): Uint8Array => new TextEncoder().encode(value);
const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');

/** A black PNG with further chunks. */
function png(width: number, height: number, chunks: readonly Uint8Array[] = []): Uint8Array {
  const header = new Uint8Array(13);
  new DataView(header.buffer).setUint32(0, width);
  new DataView(header.buffer).setUint32(4, height);
  header.set([8, 2], 8);
  const pixels = deflateSync(Buffer.alloc((width * 3 + 1) * height), { level: 9 });
  return encodePngFile([
    encodePngChunk('IHDR', header),
    ...chunks,
    encodePngChunk('IDAT', new Uint8Array(pixels)),
    encodePngChunk('IEND', new Uint8Array(0)),
  ]);
}

/** A progressive JPEG of one real scan and many refinements that hold nothing. */
function emptyScans(side: number, scans: number): Uint8Array {
  const segment = (marker: number, data: readonly number[]): Buffer =>
    Buffer.from([0xff, marker, (data.length + 2) >> 8, (data.length + 2) & 255, ...data]);
  const table = (kind: number, symbol: number): Buffer =>
    segment(0xc4, [kind, 1, ...Array<number>(15).fill(0), symbol]);
  const refinement = Buffer.concat([segment(0xda, [1, 1, 0, 1, 63, 0]), Buffer.alloc(24, 0x7f)]);
  return Buffer.concat([
    Buffer.from([0xff, 0xd8]),
    segment(0xdb, [0, ...Array<number>(64).fill(1)]),
    segment(0xc2, [8, side >> 8, side & 255, side >> 8, side & 255, 1, 1, 0x11, 0]),
    table(0x00, 0),
    table(0x10, 0xe0),
    segment(0xda, [1, 1, 0, 0, 0, 0]),
    Buffer.alloc((side / 8) ** 2 / 8),
    ...Array<Buffer>(scans).fill(refinement),
    Buffer.from([0xff, 0xd9]),
  ]);
}

/** Without a body it is a GET. */
type Post = (path: string, body: unknown) => Promise<unknown>;

/** Sends one raw text on several connections and reads nothing. */
async function flood(port: number, message: string, connections: number): Promise<void> {
  const sockets = Array.from({ length: connections }, () => {
    const socket = connect(port, '127.0.0.1');
    socket.on('error', () => {});
    socket.pause();
    socket.write(message);
    return socket;
  });
  await wait(3000);
  for (const socket of sockets) socket.destroy();
}

const many = (count: number, work: () => Promise<unknown>): Promise<unknown> =>
  Promise.all(Array.from({ length: count }, work));

const scenes: Readonly<Record<string, (post: Post, port: number) => Promise<unknown>>> = {
  'pipelined documents': (_post, port) =>
    flood(port, 'GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n'.repeat(5000), 20),
  'digits in a number': (post) => post('/sdapi/v1/txt2img', { cfg_scale: `${'1'.repeat(1_000_000)}x` }),
  'zero bytes in EXIF': (post) => {
    const block = new Uint8Array(26 + 1_000_000);
    block.set([0x4d, 0x4d, 0, 42, 0, 0, 0, 8, 0, 1, 0x01, 0x0e, 0, 2]);
    new DataView(block.buffer).setUint32(14, 1_000_000);
    new DataView(block.buffer).setUint32(18, 26);
    block[block.length - 1] = 0x41;
    return post('/sdapi/v1/png-info', { image: base64(png(8, 8, [encodePngChunk('eXIf', block)])) });
  },
  'settings of white space': (post) =>
    post('/sdapi/v1/txt2img', { infotext: `x${' '.repeat(500_000)}x\nSteps: 1, Sampler: Euler, Seed: 1, Size: 64x64` }),
  'a list of wrong elements': (post) => post('/sdapi/v1/img2img', { init_images: Array(10_000_000).fill(1) }),
  'bodies that wait': (post) => many(30, () => post('/sdapi/v1/png-info', { image: 'A'.repeat(29_000_000) })),
  'priority for all': (post) =>
    many(300, () => post('/api/v1/jobs', { steps: 20, width: 128, height: 128, priority: 'high' })),
  'the largest job': (post) => post('/api/v1/jobs', { steps: 150, width: 2048, height: 2048, iterations: 32 }),
  'compressed texts': (post) => {
    const bomb = new Uint8Array([...text('k\0\0'), ...deflateSync(Buffer.alloc(2 ** 20 + 2), { level: 9 })]);
    const chunk = encodePngChunk('zTXt', bomb);
    return post('/sdapi/v1/png-info', { image: base64(png(8, 8, Array(20_000).fill(chunk) as Uint8Array[])) });
  },
  'long prompts, cancelled': (post) =>
    many(100, () =>
      post('/api/v1/jobs', { batchSize: 32, steps: 1, width: 64, height: 64, prompt: '\u0001'.repeat(10_000) }),
    ),
  'empty scans in a JPEG': (post) => {
    const image = base64(emptyScans(4096, 4000));
    return many(4, () => post('/api/v1/pictures', { image }));
  },
  'a mask of one column': (post) => {
    const [picture, mask] = [base64(png(64, 64)), base64(png(1, 16_777_216))];
    return post('/sdapi/v1/img2img', { init_images: [picture], mask, mask_blur: 256, steps: 1, width: 64, height: 64 });
  },
  'empty chunks, read again and again': async (post) => {
    const chunks = Array(1_800_000).fill(encodePngChunk('aaAa', new Uint8Array(0))) as Uint8Array[];
    const stored = (await post('/api/v1/pictures', { image: base64(png(8, 8, chunks)) })) as ArrayBuffer | undefined;
    const id = /"id":"([0-9a-f]+)"/.exec(Buffer.from(stored ?? new ArrayBuffer(0)).toString())?.[1];
    return id === undefined ? undefined : many(10, () => post(`/api/v1/results/${id}.png`, undefined));
  },
  'event streams of a long prompt': async (post) => {
    const body = { batchSize: 32, steps: 150, width: 128, height: 128, prompt: '\u0001'.repeat(10_000) };
    const job = (await post('/api/v1/jobs', body)) as ArrayBuffer | undefined;
    const id = /"id":"([^"]+)"/.exec(Buffer.from(job ?? new ArrayBuffer(0)).toString())?.[1];
    return Promise.race([many(400, () => post(`/api/v1/jobs/${id}/events`, undefined)), wait(6000)]);
  },
  'large pictures to enlarge': (post) => {
    const image = base64(png(4096, 4096));
    return many(200, () =>
      post('/sdapi/v1/extra-single-image', { image, upscaler_1: 'Lanczos', upscaling_resize: 0.999 }),
    );
  },
};

/** Another caller, in a thread of its own: sending large bodies keeps this one busy. It asks an idle program too, for what the machine takes. */
const watcher = `
const { parentPort, workerData } = require('node:worker_threads');
const { spawn } = require('node:child_process');
const code = "require('http').createServer((_, r) => r.end()).listen(0, '127.0.0.1', function () { console.log(this.address().port) })";
const idle = spawn(process.execPath, ['-e', code], { stdio: ['ignore', 'pipe', 'inherit'] });
const longest = { server: 0, idle: 0 };
let stopped = false;
parentPort.once('message', () => { stopped = true; });
const watch = async (name, url) => {
  while (!stopped) {
    const begun = performance.now();
    await fetch(url).then((response) => response.text(), () => {});
    longest[name] = Math.max(longest[name], performance.now() - begun);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
};
idle.stdout.once('data', async (port) => {
  const beside = 'http://127.0.0.1:' + String(port).trim();
  await fetch(beside).then((response) => response.text());
  parentPort.postMessage('begun');
  await Promise.all([watch('server', workerData + '/healthz'), watch('idle', beside)]);
  idle.kill();
  parentPort.postMessage(longest);
});`;

interface Measured {
  readonly wait: number;
  /** The same of an idle program. */
  readonly idle: number;
  readonly bytes: number;
  /** Jobs of another caller, accepted before, that are not there or failed. */
  readonly lost: number;
  readonly alive: boolean;
}

const peakOf = (pid: number): number =>
  1024 * Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0);

/** Small jobs of another caller: how many are accepted, and afterwards how many of them are lost or failed. */
async function bystander(url: string) {
  const headers = { 'x-api-key': keyOfBob, 'content-type': 'application/json' };
  const body = JSON.stringify({ prompt: 'x', width: 64, height: 64, steps: 2 });
  const signal = (): AbortSignal => AbortSignal.timeout(10_000);
  const ids: string[] = [];
  for (let i = 0; i < 3; i++) {
    const response = await fetch(`${url}/api/v1/jobs`, { method: 'POST', headers, body, signal: signal() });
    if (response.status === 202) ids.push(((await response.json()) as { readonly id: string }).id);
  }
  const isKept = async (id: string): Promise<boolean> => {
    const response = await fetch(`${url}/api/v1/jobs/${id}`, { headers, signal: signal() });
    return response.ok && ((await response.json()) as { readonly state: string }).state !== 'failed';
  };
  return async (): Promise<number> => {
    const kept = await Promise.all(ids.map((id) => isKept(id).catch(() => false)));
    return 3 - kept.filter(Boolean).length;
  };
}

async function measure(scene: (post: Post, port: number) => Promise<unknown>): Promise<Measured> {
  const data = mkdtempSync(join(tmpdir(), 'sd-attack-'));
  const words = [
    'dist/cli/main.js',
    'serve',
    '--port',
    '0',
    '--data',
    data,
    '--api-key',
    `alice:${key}`,
    '--api-key',
    `bob:${keyOfBob}`,
    '--log-level',
    'error',
  ];
  const server = spawn(process.execPath, words, { stdio: ['ignore', 'pipe', 'inherit'] });
  let ended = false;
  server.on('exit', () => {
    ended = true;
  });
  try {
    const url = await new Promise<string>((resolve) => {
      server.stdout.on('data', (bytes: Buffer) => {
        const found = /Serving at (\S+)/.exec(bytes.toString())?.[1];
        if (found) resolve(found);
      });
    });
    const post: Post = (path, body) =>
      fetch(url + path, {
        method: body === undefined ? 'GET' : 'POST',
        headers: { 'x-api-key': key, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        signal: AbortSignal.timeout(60_000),
      })
        .then((response) => response.arrayBuffer())
        .catch(() => undefined);
    const lostOfBob = await bystander(url);
    const watch = new Worker(watcher, { eval: true, workerData: url });
    await new Promise((resolve) => watch.once('message', resolve));
    await Promise.race([scene(post, Number(new URL(url).port)), wait(limits.sceneMilliseconds)]);
    await wait(500);
    const told = new Promise<{ readonly server: number; readonly idle: number }>((resolve) => {
      watch.once('message', resolve);
    });
    watch.postMessage('stop');
    const longest = await told;
    await watch.terminate();
    return {
      wait: Math.round(longest.server),
      idle: Math.round(longest.idle),
      bytes: ended ? 0 : peakOf(server.pid ?? 0),
      lost: await lostOfBob(),
      alive: !ended,
    };
  } finally {
    server.kill('SIGKILL');
    await wait(200);
    rmSync(data, { recursive: true, force: true });
  }
}

const wanted = process.argv[2] ?? '';
const rows: Record<string, Readonly<Record<string, string | number>>> = {};
for (const [name, scene] of Object.entries(scenes)) {
  if (!name.includes(wanted)) continue;
  const { wait: longest, idle, bytes, lost, alive } = await measure(scene);
  const held = alive && lost === 0 && longest - idle <= limits.wait && bytes <= limits.bytes;
  if (!held) process.exitCode = 1;
  const megabytes = Math.round(bytes / 1e6);
  rows[name] = {
    'others waited, ms': longest,
    'idle program, ms': idle,
    'peak, MB': megabytes,
    lost,
    result: alive ? (held ? 'held' : 'FAILS') : 'ended',
  };
  console.log(
    `${held ? 'held ' : 'FAILS'}  ${name.padEnd(35)} others waited ${longest} ms (an idle program ${idle} ms), peak ${megabytes} MB, ${lost} lost, ${alive ? 'alive' : 'ended'}`,
  );
}
console.table(rows);
process.exit();
