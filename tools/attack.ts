/**
 * `npm run attack`: hostile requests against a real `sd serve`, one scene after another. For each: the longest wait of another caller for
 * `/healthz`, beside that of an idle program on the same machine, the peak memory of the server, how many of another caller's jobs that were
 * accepted before are lost or failed, and whether the server still answers; at the end all of them in one table. A scene takes at most 30
 * seconds, so that all take less than ten minutes. Exits 1 beyond 250 ms more than the idle program, 2.5 GB, for a lost job, or when the
 * server has ended.
 * A scene that fails is not the last: all run.
 * `npm run attack -- WORD` runs the scenes whose name contains the word.
 */

import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { setTimeout as wait } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { key, ownNode, type Post, scenes } from './attack/scenes.ts';

const keyOfBob = 'a-secret-of-bob-too';
const limits = { wait: 250, bytes: 2.5e9, sceneMilliseconds: 30_000 };

/** Another caller, in a thread of its own: sending large bodies keeps this one busy. It asks an idle program too, for what the machine takes. */
const watcher = `
const { parentPort, workerData } = require('node:worker_threads');
const { spawn } = require('node:child_process');
const code = "require('http').createServer((_, r) => r.end()).listen(0, '127.0.0.1', function () { console.log(this.address().port) }); process.stdin.on('end', () => process.exit()).resume()";
// It ends when its standard input does, at the latest with this thread.
const idle = spawn(process.execPath, ['-e', code], { stdio: ['pipe', 'pipe', 'inherit'] });
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
  // Long, because the machine may be busy with other work.
  const signal = (): AbortSignal => AbortSignal.timeout(60_000);
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

interface Longest {
  readonly server: number;
  readonly idle: number;
}

/** Another caller, until `stop`, which gives the longest waits in milliseconds. */
async function watchOthers(url: string) {
  const worker = new Worker(watcher, { eval: true, workerData: url });
  await new Promise((resolve) => worker.once('message', resolve));
  return {
    async stop(): Promise<Longest> {
      const told = new Promise<Longest>((resolve, reject) => {
        worker.once('message', resolve);
        setTimeout(() => reject(new Error('another caller had no answer within a minute')), 60_000).unref();
      });
      worker.postMessage('stop');
      return told.finally(() => worker.terminate());
    },
    end: () => worker.terminate(),
  };
}

/** The address of a server that starts. */
function addressOf(server: ChildProcessByStdio<null, Readable, null>): Promise<string> {
  return new Promise<string>((resolve, reject) => {
    server.once('exit', (code) => reject(new Error(`the server ended with ${code}`)));
    server.stdout.on('data', (bytes: Buffer) => {
      const found = /Serving at (\S+)/.exec(bytes.toString())?.[1];
      if (found) resolve(found);
    });
  });
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
  const nodes = join(data, 'nodes');
  mkdirSync(nodes);
  writeFileSync(join(nodes, 'own.mjs'), ownNode);
  words.push('--nodes', nodes);
  const server = spawn(process.execPath, words, { stdio: ['ignore', 'pipe', 'inherit'] });
  let ended = false;
  let watch: Awaited<ReturnType<typeof watchOthers>> | undefined;
  server.on('exit', () => {
    ended = true;
  });
  try {
    const url = await addressOf(server);
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
    watch = await watchOthers(url);
    await Promise.race([scene(post, Number(new URL(url).port)), wait(limits.sceneMilliseconds)]);
    await wait(500);
    const longest = await watch.stop();
    return {
      wait: Math.round(longest.server),
      idle: Math.round(longest.idle),
      bytes: ended ? 0 : peakOf(server.pid ?? 0),
      lost: await lostOfBob(),
      alive: !ended,
    };
  } finally {
    await watch?.end();
    server.kill('SIGKILL');
    await wait(200);
    rmSync(data, { recursive: true, force: true });
  }
}

const wanted = process.argv[2] ?? '';
const rows: Record<string, Readonly<Record<string, string | number>>> = {};
for (const [name, scene] of Object.entries(scenes)) {
  if (!name.includes(wanted)) continue;
  const measured = await measure(scene).catch((error: unknown) => String(error));
  if (typeof measured === 'string') {
    process.exitCode = 1;
    rows[name] = { result: measured };
    console.log(`FAILS  ${name.padEnd(35)} ${measured}`);
    continue;
  }
  const { wait: longest, idle, bytes, lost, alive } = measured;
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
