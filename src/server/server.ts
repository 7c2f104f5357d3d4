/** `sd serve` and `sd worker`: the parts put together, started and stopped. */

import { randomInt } from 'node:crypto';
import { access, constants, mkdir } from 'node:fs/promises';
import { isIPv4 } from 'node:net';
import { join } from 'node:path';
import type { FastifyBaseLogger, FastifyInstance } from 'fastify';
import { pino } from 'pino';
import type { PrecisionName } from '../engine/precision.ts';
import { createNodeEngine } from '../engine/node.ts';
import { StableDiffusionError } from '../errors.ts';
import { programName } from '../generation/record.ts';
import type { ServerPolicy } from './context.ts';
import { createApp } from './http/app.ts';
import type { ApiKey } from './http/api-keys.ts';
import { createJobWatch } from './job-watch.ts';
import { defaultLimits, type Limits } from './limits.ts';
import { createMetrics, type Metrics } from './metrics.ts';
import { type AdapterCatalog, openAdapterCatalog } from './models/adapter-catalog.ts';
import { loadAdapted } from './models/load-adapted.ts';
import { type ModelCatalog, openModelCatalog } from './models/model-catalog.ts';
import { createModelPool, type ModelPool } from './models/model-pool.ts';
import { openOptionsStore } from './options-store.ts';
import type { JobQueue } from './queue/queue.ts';
import { openRedisQueue } from './queue/redis-queue.ts';
import { openSqliteQueue } from './queue/sqlite-queue.ts';
import { type Runner, startRunner } from './run/runner.ts';
import type { BlobStore } from './store/blob-store.ts';
import { openFileStore } from './store/file-store.ts';
import { openRedisStore } from './store/redis-store.ts';
import { createLinkSigner, readSecret, sharedSecret } from './store/signed-link.ts';
import { createTaskNames } from './task-names.ts';

/** What servers and workers have in common. */
export interface WorkOptions {
  /** The default model; a file or a diffusers folder. */
  readonly model: string;
  /** A folder of further models. */
  readonly modelsFolder?: string | undefined;
  /** Folders of LoRAs and of textual inversions. */
  readonly lorasFolder?: string | undefined;
  readonly embeddingsFolder?: string | undefined;
  /** Where jobs and pictures are kept. */
  readonly dataFolder: string;
  /** `redis://…`: jobs and pictures are kept there instead, for many servers and workers. */
  readonly redis?: string | undefined;
  /** Begins the keys in Redis. Default `sd`. */
  readonly redisPrefix?: string | undefined;
  /** A worker on Redis not heard of for so long is dead. Default 30000. */
  readonly lockMilliseconds?: number | undefined;
  readonly threads?: number | undefined;
  readonly provider?: 'cpu' | 'webgpu' | 'cuda' | undefined;
  /** Of all models. Default float32. */
  readonly precision?: PrecisionName | undefined;
  /** Most pictures in one run of the program. Default 8. */
  readonly maxBatch?: number | undefined;
  /** Runs at the same time. Default 1. */
  readonly concurrency?: number | undefined;
  readonly limits?: Partial<Limits>;
  readonly policy?: Partial<ServerPolicy>;
  /** Models kept in memory. Default 2. */
  readonly modelsInMemory?: number | undefined;
  /** How long finished jobs and their pictures are kept. Default a week. */
  readonly keepSeconds?: number | undefined;
  readonly logger?: FastifyBaseLogger | undefined;
  readonly logLevel?: string | undefined;
}

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

const week = 7 * 24 * 3600;

/** How long answers under way may take to be sent when the server stops, milliseconds. */
const answerGrace = 1000;

interface Parts {
  readonly queue: JobQueue;
  readonly store: BlobStore;
  readonly catalog: ModelCatalog;
  readonly adapters: AdapterCatalog;
  readonly models: ModelPool;
  readonly limits: Limits;
  readonly policy: ServerPolicy;
  readonly metrics: Metrics;
  readonly log: FastifyBaseLogger;
  readonly linkSecret: () => Promise<Uint8Array>;
  readonly close: () => Promise<void>;
}

export function createLogger(level = 'info'): FastifyBaseLogger {
  return pino({ level, redact: ['req.headers.authorization', 'req.headers["x-api-key"]'] }, pino.destination(2));
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

async function openParts(options: WorkOptions): Promise<Parts> {
  const limits: Limits = { ...defaultLimits, ...options.limits };
  const policy: ServerPolicy = { safety: true, watermark: true, fetchUrls: false, ...options.policy };
  const keepSeconds = options.keepSeconds ?? week;
  const log = options.logger ?? createLogger(options.logLevel);
  const catalog = await openModelCatalog({ model: options.model, folder: options.modelsFolder });
  const adapters = await openAdapterCatalog({
    lorasFolder: options.lorasFolder,
    embeddingsFolder: options.embeddingsFolder,
    onUnusable: (file, err) => log.warn({ file, err }, 'a file in the folder of embeddings cannot be used'),
  });
  const { redis, redisPrefix = 'sd' } = options;
  let queue: JobQueue;
  let store: BlobStore;
  let linkSecret: () => Promise<Uint8Array>;
  if (redis === undefined) {
    queue = openSqliteQueue({
      path: join(options.dataFolder, 'jobs.sqlite'),
      attempts: limits.attempts,
      keptPerCaller: limits.keptPerCaller,
    });
    store = openFileStore(join(options.dataFolder, 'pictures'));
    linkSecret = () => readSecret(join(options.dataFolder, 'link-secret'));
  } else {
    const onError = (error: Error): void => log.warn({ err: error }, 'Redis');
    const opened = await openRedisQueue({
      url: redis,
      prefix: redisPrefix,
      attempts: limits.attempts,
      keepSeconds,
      keptPerCaller: limits.keptPerCaller,
      onError,
      lockMilliseconds: options.lockMilliseconds,
    });
    queue = opened;
    store = openRedisStore({ redis: opened.redis, prefix: redisPrefix, keepSeconds });
    linkSecret = () => sharedSecret(opened.redis, redisPrefix);
  }
  const engine = createNodeEngine({
    background: true,
    threads: options.threads,
    ...(options.provider ? { provider: options.provider } : {}),
  });
  const models = createModelPool({
    catalog,
    load: (path, loras) => loadAdapted(path, loras, adapters, { engine, precision: options.precision }),
    capacity: options.modelsInMemory ?? 2,
  });
  const metrics = createMetrics();
  metrics.onRead(async () => ({ ...(await queue.counts()), models: models.loaded().length }));
  const prune = async (): Promise<void> => {
    const before = Date.now() - keepSeconds * 1000;
    await queue.prune(before);
    // A job may begin with a picture that was sent long before it.
    await store.prune(before - 24 * 3600 * 1000);
  };
  const pruning = setInterval(
    () => prune().catch((error: unknown) => log.warn({ err: error }, 'old jobs could not be removed')),
    3600 * 1000,
  );
  pruning.unref();
  return {
    queue,
    store,
    catalog,
    adapters,
    models,
    limits,
    policy,
    metrics,
    log,
    linkSecret,
    async close() {
      clearInterval(pruning);
      await queue.close();
      await store.close();
      await models.close();
      await engine.dispose();
    },
  };
}

function startWork(parts: Parts, options: WorkOptions): Runner {
  const { queue, store, models, policy, limits, metrics, catalog, log } = parts;
  return startRunner({
    queue,
    store,
    models,
    policy,
    maxBatch: options.maxBatch ?? 8,
    concurrency: options.concurrency ?? 1,
    inputPixels: limits.inputPixels,
    jobSeconds: limits.jobSeconds,
    now: Date.now,
    // A large file is not read whole for its hash while somebody waits.
    hashOf: (name) =>
      Promise.race([
        catalog.hash(catalog.find(name)),
        new Promise<null>((resolve) => setTimeout(resolve, 2000, null).unref()),
      ]),
    onOutcome(job, outcome, seconds, batch) {
      const waited = ((job.startedAt ?? job.createdAt) - job.createdAt) / 1000;
      metrics.finished(outcome, job.request.prompts.length, waited, seconds, batch);
      log.info({ job: job.id, owner: job.owner, outcome, waited, seconds, batch, attempt: job.attempt }, 'job');
    },
    onSampling: metrics.sampled,
    onError: (job, error) => log.error({ job: job.id, attempt: job.attempt, err: error }, 'a job failed'),
    onTrouble: (error) => log.error({ err: error }, 'the queue could not be read'),
  });
}

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
