/** The programs of a load test: a Redis of its own, a server, and workers that are killed and replaced. Without Redis, one server that works itself. */

import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const program = join(import.meta.dirname, '../../dist/cli/main.js');

export interface Stack {
  readonly url: string;
  readonly workers: number;
  /** Kills one worker and starts another. False without workers. */
  killWorker(): Promise<boolean>;
  /** Peak memory of the server, in bytes. */
  memory(): number;
  stop(): void;
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address ? address.port : 0));
    });
  });
}

/** Resolves with what `ready` matches in the output. */
function started(child: ChildProcess, ready: RegExp): Promise<RegExpExecArray> {
  let out = '';
  return new Promise((resolve, reject) => {
    child.stdout?.on('data', (text: Buffer) => {
      out += text.toString();
      const found = ready.exec(out);
      if (found) resolve(found);
    });
    child.once('error', reject);
    child.once('exit', (code) => reject(new Error(`${child.spawnargs.slice(1, 4).join(' ')} ended with ${code}`)));
  });
}

const launch = (words: readonly string[]): ChildProcess =>
  spawn(process.execPath, [program, ...words, '--log-level', 'error', '--threads', '1'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });

/** Starts everything. `keys` are `name:secret`; `options` are of `sd serve`. */
export async function startStack(keys: readonly string[], workers: number, options: readonly string[]): Promise<Stack> {
  const folder = mkdtempSync(join(tmpdir(), 'sd-load-'));
  const children = new Set<ChildProcess>();
  const kept = (child: ChildProcess): ChildProcess => {
    children.add(child);
    child.once('exit', () => children.delete(child));
    return child;
  };
  const hasRedis = workers > 0 && spawnSync('redis-server', ['--version']).status === 0;
  const shared: string[] = [];
  if (hasRedis) {
    const port = await freePort();
    const where = ['--port', String(port), '--bind', '127.0.0.1', '--dir', folder, '--appendonly', 'yes', '--save', ''];
    await started(kept(spawn('redis-server', where, { stdio: ['ignore', 'pipe', 'inherit'] })), /Ready to accept/);
    shared.push('--redis', `redis://127.0.0.1:${port}`, '--lock-seconds', '3');
  }
  const serve = ['serve', '--port', '0', '--data', join(folder, 'server'), ...shared, ...options];
  const server = kept(
    launch([...serve, ...(hasRedis ? ['--no-work'] : []), ...keys.flatMap((key) => ['--api-key', key])]),
  );
  const [, url = ''] = await started(server, /Serving at (\S+)/);
  let number = 0;
  const working: ChildProcess[] = [];
  const startWorker = async (): Promise<void> => {
    const worker = kept(launch(['worker', '--data', join(folder, `worker${number++}`), ...shared]));
    await started(worker, /Working for/);
    working.push(worker);
  };
  if (hasRedis) for (let i = 0; i < workers; i++) await startWorker();
  return {
    url,
    workers: working.length,
    async killWorker() {
      const [worker] = working.splice(Math.floor(Math.random() * working.length), 1);
      if (!worker) return false;
      worker.removeAllListeners('exit');
      children.delete(worker);
      worker.kill('SIGKILL');
      await startWorker();
      return true;
    },
    memory: () => 1024 * Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${server.pid}/status`, 'utf8'))?.[1] ?? 0),
    stop() {
      for (const child of children) child.removeAllListeners('exit').kill('SIGKILL');
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
