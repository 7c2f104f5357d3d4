/** The parts of a server or worker: queue, store, models, engine, picture processes; opened and closed together. */

import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import type { FastifyBaseLogger } from 'fastify';
import type { PrecisionName } from '../engine/precision.ts';
import type { Device } from '../engine/device-names.ts';
import { chooseDevice } from '../engine/devices-node.ts';
import { createNodeEngine } from '../engine/node.ts';
import { StableDiffusionError } from '../errors.ts';
import { type Lock, takeLock } from '../files/lock-node.ts';
import type { ServerPolicy } from './context.ts';
import { type Limits, limitsOf } from './limits.ts';
import { createLogger, type LogFormat } from './log.ts';
import { createMetrics, type Metrics } from './metrics.ts';
import { type AdapterCatalog, openAdapterCatalog } from './models/adapter-catalog.ts';
import { loadAdapted } from './models/load-adapted.ts';
import { type ModelCatalog, openModelCatalog } from './models/model-catalog.ts';
import { createModelPool, type ModelPool } from './models/model-pool.ts';
import { createPicturePool, type PicturePool } from './pictures/picture-pool.ts';
import type { Job } from './job.ts';
import type { JobQueue } from './queue/queue.ts';
import { openRedisQueue } from './queue/redis-queue.ts';
import { openSqliteQueue } from './queue/sqlite-queue.ts';
import { viewOf } from './routes/jobs/job-body.ts';
import { type Runner, startRunner } from './run/runner.ts';
import type { BlobStore } from './store/blob-store.ts';
import { openFileStore } from './store/file-store.ts';
import { openPictureFolder, type PictureFolder } from './store/picture-folder.ts';
import { openRedisStore } from './store/redis-store.ts';
import type { S3Options } from './store/s3-store.ts';
import { readSecret, sharedSecret } from './store/signed-link.ts';
import { createWebhooks, type Webhooks } from './webhook.ts';

/** Options shared by servers and workers. */
export interface WorkOptions {
  /** The default model; a file or a diffusers folder. */
  readonly model: string;
  /** A folder of further models. */
  readonly modelsFolder?: string | undefined;
  /** Folders of LoRAs and of textual inversions. */
  readonly lorasFolder?: string | undefined;
  readonly embeddingsFolder?: string | undefined;
  /** Folder of jobs and pictures. */
  readonly dataFolder: string;
  /** `redis://…`: jobs and pictures are kept there instead, for many servers and workers. */
  readonly redis?: string | undefined;
  /** Begins the keys in Redis. Default `sd`. */
  readonly redisPrefix?: string | undefined;
  /** A worker on Redis not heard of for so long is dead. Default 30000. */
  readonly lockMilliseconds?: number | undefined;
  readonly threads?: number | undefined;
  /** Device to compute on; `auto` takes a GPU that works. Default: cpu. */
  readonly device?: Device | undefined;
  /** Precision of all models. Default float32. */
  readonly precision?: PrecisionName | undefined;
  /** Most pictures in one run of the program. Default 8. */
  readonly maxBatch?: number | undefined;
  /** Runs at the same time. Default 1. */
  readonly concurrency?: number | undefined;
  readonly limits?: Partial<Limits>;
  readonly policy?: Partial<ServerPolicy>;
  /** Models kept in memory. Default 2. */
  readonly modelsInMemory?: number | undefined;
  /** Retention of finished jobs and their pictures. Default: one week. */
  readonly keepSeconds?: number | undefined;
  readonly logger?: FastifyBaseLogger | undefined;
  readonly logLevel?: string | undefined;
  /** Lines of JSON (default), or short lines for people. */
  readonly logFormat?: LogFormat | undefined;
  /** Folder where people find their pictures, under readable names; undefined keeps them in the data folder alone. */
  readonly outputFolder?: string | undefined;
  /** Each caller has its own folder there. */
  readonly byOwner?: boolean | undefined;
  /** `s3://bucket/prefix`: pictures are kept there instead of in the data folder or Redis. */
  readonly s3?: S3Options | undefined;
  /** Key that signs webhooks. Default: the server's own secret. */
  readonly webhookSecret?: string | undefined;
  /** Prefix of the addresses in webhooks. */
  readonly linkBase?: string | undefined;
}

const week = 7 * 24 * 3600;

export interface Parts {
  readonly queue: JobQueue;
  readonly store: BlobStore;
  readonly catalog: ModelCatalog;
  readonly adapters: AdapterCatalog;
  readonly models: ModelPool;
  readonly pictures: PicturePool;
  readonly limits: Limits;
  readonly policy: ServerPolicy;
  readonly metrics: Metrics;
  readonly log: FastifyBaseLogger;
  /** Where people find their pictures. */
  readonly outputs: PictureFolder | undefined;
  readonly webhooks: Webhooks | undefined;
  readonly linkSecret: () => Promise<Uint8Array>;
  readonly close: () => Promise<void>;
}

/** The stores of jobs and pictures. */
interface Keeping {
  readonly queue: JobQueue;
  readonly store: BlobStore;
  readonly linkSecret: () => Promise<Uint8Array>;
  /** Gives the data folder back. */
  readonly release: () => Promise<void>;
}

/** Milliseconds to wait for a server that is shutting down. */
const patience = 1500;

/** Takes the data folder. Throws `busy` with who has it. */
async function lockFolder(folder: string, log: FastifyBaseLogger): Promise<Lock> {
  const take = (): Promise<Lock> => takeLock(join(folder, 'server.lock'), { what: `The data folder ${folder}` });
  let lock: Lock | undefined;
  for (let waited = 0; !lock; waited += 100) {
    lock = await take().catch(async (error: unknown) => {
      const isHeld = error instanceof StableDiffusionError && error.code === 'busy';
      if (!isHeld || waited >= patience) throw error;
      await wait(100);
      return undefined;
    });
  }
  lock.lost.addEventListener('abort', () => log.fatal({ folder }, 'another process took the data folder away'));
  return lock;
}

async function openKeeping(options: WorkOptions, limits: Limits, log: FastifyBaseLogger): Promise<Keeping> {
  const { redis, redisPrefix = 'sd', dataFolder, keepSeconds = week, lockMilliseconds } = options;
  const { attempts, keptPerCaller } = limits;
  if (redis !== undefined) {
    const onError = (error: Error): void => log.warn({ err: error }, 'Redis');
    const queue = await openRedisQueue({
      url: redis,
      prefix: redisPrefix,
      attempts,
      keepSeconds,
      keptPerCaller,
      onError,
      lockMilliseconds,
    });
    return {
      queue,
      store: openRedisStore({ redis: queue.redis, prefix: redisPrefix, keepSeconds }),
      linkSecret: () => sharedSecret(queue.redis, redisPrefix),
      release: async () => {},
    };
  }
  const lock = await lockFolder(dataFolder, log);
  try {
    return {
      queue: openSqliteQueue({ path: join(dataFolder, 'jobs.sqlite'), attempts, keptPerCaller, lost: lock.lost }),
      store: openFileStore(join(dataFolder, 'pictures')),
      linkSecret: () => readSecret(join(dataFolder, 'link-secret')),
      release: () => lock.release(),
    };
  } catch (error) {
    await lock.release();
    throw error;
  }
}

/** The store of pictures: a bucket, else that of the queue. */
async function pictureStore({ s3 }: WorkOptions, kept: BlobStore): Promise<BlobStore> {
  if (s3 === undefined) return kept;
  const { openS3Store } = await import('./store/s3-store.ts');
  const store = await openS3Store(s3);
  await kept.close();
  return store;
}

/** Tells the end of a job to its caller's webhook. */
async function callWebhook({ queue, webhooks }: Parts, { id, request }: Job, base: string): Promise<void> {
  if (!webhooks || request.webhook === undefined) return;
  const job = await queue.get(id);
  if (job)
    webhooks.send({
      url: request.webhook,
      id: `job-${id}`,
      body: { type: `job.${job.state}`, job: viewOf({ base }, job) },
    });
}

export async function openParts(options: WorkOptions): Promise<Parts> {
  const limits = limitsOf(options.limits);
  const policy: ServerPolicy = { safety: true, watermark: true, fetchUrls: false, webhooks: 'off', ...options.policy };
  const keepSeconds = options.keepSeconds ?? week;
  const log = options.logger ?? createLogger(options.logLevel, options.logFormat);
  const catalog = await openModelCatalog({ model: options.model, folder: options.modelsFolder });
  const adapters = await openAdapterCatalog({
    lorasFolder: options.lorasFolder,
    embeddingsFolder: options.embeddingsFolder,
    onUnusable: (file, err) => log.warn({ file, err }, 'a file in the folder of embeddings cannot be used'),
  });
  const { queue, store: kept, linkSecret, release } = await openKeeping(options, limits, log);
  const store = await pictureStore(options, kept).catch(async (error: unknown) => {
    await queue.close();
    await release();
    throw error;
  });
  const webhooks =
    policy.webhooks === 'off'
      ? undefined
      : createWebhooks({
          secret: options.webhookSecret ?? (await linkSecret()),
          allowsPrivate: policy.webhooks === 'private',
          onFailure: ({ url, id }, err) => log.warn({ url, id, err }, 'a webhook could not be delivered'),
        });
  const outputs =
    options.outputFolder === undefined
      ? undefined
      : openPictureFolder({ folder: options.outputFolder, byOwner: options.byOwner ?? false, now: Date.now });
  const { provider, note } = await chooseDevice(options.device);
  if (note !== undefined) log.info(note);
  const engine = createNodeEngine({
    background: true,
    provider,
    ...(options.threads === undefined ? {} : { threads: options.threads }),
  });
  const models = createModelPool({
    catalog,
    load: (path, loras) => loadAdapted(path, loras, adapters, { engine, precision: options.precision }),
    capacity: options.modelsInMemory ?? 2,
  });
  const pictures = createPicturePool({
    together: limits.picturesAtOnce,
    seconds: limits.pictureSeconds,
    maxPixels: limits.inputPixels,
    infotextLength: limits.infotextLength,
  });
  const metrics = createMetrics();
  metrics.onRead(async () => ({ ...(await queue.counts()), models: models.loaded().length }));
  const prune = async (): Promise<void> => {
    const before = Date.now() - keepSeconds * 1000;
    await queue.prune(before);
    // A job may use a picture that was uploaded long before.
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
    pictures,
    limits,
    policy,
    metrics,
    log,
    outputs,
    webhooks,
    linkSecret,
    async close() {
      clearInterval(pruning);
      await webhooks?.stop();
      await queue.close();
      await store.close();
      await release();
      await pictures.close();
      await models.close();
      await engine.dispose();
    },
  };
}

export function startWork(parts: Parts, options: WorkOptions): Runner {
  const { queue, store, models, pictures, policy, limits, metrics, catalog, log, outputs } = parts;
  return startRunner({
    queue,
    store,
    models,
    pictures,
    policy,
    maxBatch: options.maxBatch ?? 8,
    concurrency: options.concurrency ?? 1,
    outputs,
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
      callWebhook(parts, job, options.linkBase ?? '').catch((err: unknown) =>
        log.warn({ err }, 'a webhook could not be sent'),
      );
    },
    onTroubleSaving: (error) => log.warn({ err: error }, 'a picture could not be written to the output folder'),
    onSampling: metrics.sampled,
    onError: (job, error) => log.error({ job: job.id, attempt: job.attempt, err: error }, 'a job failed'),
    onTrouble: (error) => log.error({ err: error }, 'the queue could not be read'),
  });
}
