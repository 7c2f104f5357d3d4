/** `sd serve` and `sd worker`: the parts put together, started and stopped. */

import { randomInt } from 'node:crypto';
import { access, constants, mkdir } from 'node:fs/promises';
import { isIPv4 } from 'node:net';
import { join } from 'node:path';
import type { FastifyInstance } from 'fastify';
import { StableDiffusionError } from '../errors.ts';
import { programName } from '../generation/record.ts';
import { createStorageQuota } from './admission/storage-quota.ts';
import { createApp } from './http/app.ts';
import type { ApiKey } from './http/api-keys.ts';
import { createJobWatch } from './job-watch.ts';
import { openOptionsStore } from './options-store.ts';
import { createLogger, openParts, startWork, type WorkOptions } from './parts.ts';
import { createLinkSigner } from './store/signed-link.ts';
import { createTaskNames } from './task-names.ts';

export { createLogger, type WorkOptions };

export interface ServeOptions extends WorkOptions {
  /** Default 127.0.0.1; another wants API keys. */
  readonly host?: string | undefined;
  /** Default 7860, as A1111. 0 takes a free one. */
  readonly port?: number | undefined;
  readonly keys?: readonly ApiKey[] | undefined;
  readonly corsOrigins?: readonly string[] | undefined;
  /** The built web page. */
  readonly webFolder?: string | undefined;
  /** Make jobs in this process too; false leaves them to workers on Redis. Default true. */
  readonly work?: boolean | undefined;
}

/** Throws `file-access`. */
async function makeFolder(folder: string): Promise<void> {
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    await access(folder, constants.W_OK);
  } catch (cause) {
    throw new StableDiffusionError(
      'file-access',
      `Jobs and pictures cannot be kept in ${folder}: it cannot be made or written. Give another folder with --data.`,
      { cause },
    );
  }
}

/** How long answers under way may take to be sent when the server stops, milliseconds. */
const answerGrace = 1000;

export interface RunningServer {
  readonly app: FastifyInstance;
  /** `http://host:port` */
  readonly url: string;
  /** Takes no more jobs, finishes those under way for at most `patience` milliseconds, keeps the rest, and ends. */
  stop(patience?: number): Promise<void>;
}

const isLoopback = (host: string): boolean =>
  host === 'localhost' || host === '::1' || (isIPv4(host) && host.startsWith('127.'));

/** Starts a server. Throws `invalid-argument` where others could reach it without a key, `file-not-found`, `file-access`. */
export async function startServer(options: ServeOptions): Promise<RunningServer> {
  const { host = '127.0.0.1', port = 7860, keys = [], corsOrigins = [], work = true } = options;
  if (!isLoopback(host) && keys.length === 0) {
    throw new StableDiffusionError(
      'invalid-argument',
      `The server would answer everybody who reaches ${host}. Give it API keys with --api-key, or leave it at 127.0.0.1.`,
    );
  }
  if (!work && options.redis === undefined)
    throw new StableDiffusionError(
      'invalid-argument',
      'A server that makes no pictures itself needs --redis, for workers to take its jobs.',
    );
  await makeFolder(options.dataFolder);
  const parts = await openParts(options);
  const { queue, catalog, log } = parts;
  let stopping = false;
  const watch = createJobWatch(queue);
  const context = {
    ...parts,
    watch,
    quota: createStorageQuota(parts.limits.storedBytesPerCaller, Date.now),
    options: await openOptionsStore(join(options.dataFolder, 'options.json')),
    tasks: createTaskNames(),
    links: createLinkSigner(await parts.linkSecret(), Date.now),
    version: programName.split(' ')[1] ?? '',
    isStopping: () => stopping,
    now: Date.now,
    random: (limit: number) => randomInt(limit),
  };
  const app = await createApp({ context, keys, corsOrigins, webFolder: options.webFolder, logger: log });
  const url = await app.listen({ host, port }).catch(async (cause: unknown) => {
    await parts.close();
    const code = (cause as NodeJS.ErrnoException).code;
    throw new StableDiffusionError(
      'invalid-argument',
      code === 'EADDRINUSE'
        ? `Port ${port} is in use. Give another with --port.`
        : `The server cannot listen on ${host}:${port}.`,
      { cause },
    );
  });
  // A1111 tells hashes; the default model's is soon known.
  catalog.hash(catalog.find(undefined)).catch(() => {});
  const runner = work ? startWork(parts, options) : undefined;
  return {
    app,
    url,
    async stop(patience = 30_000) {
      if (stopping) return;
      stopping = true;
      await runner?.stop(patience);
      watch.stop();
      // Browsers open connections ahead, which count as busy until their first request: they would hold up the end.
      const cut = setTimeout(() => app.server.closeAllConnections(), answerGrace);
      await app.close();
      clearTimeout(cut);
      await parts.close();
    },
  };
}

export interface RunningWorker {
  stop(patience?: number): Promise<void>;
}

/** Starts a worker that takes jobs from Redis. */
export async function startWorker(options: WorkOptions & { readonly redis: string }): Promise<RunningWorker> {
  const parts = await openParts(options);
  const runner = startWork(parts, options);
  let stopping = false;
  return {
    async stop(patience = 30_000) {
      if (stopping) return;
      stopping = true;
      await runner.stop(patience);
      await parts.close();
    },
  };
}
