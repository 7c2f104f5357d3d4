/** Where jobs and pictures are kept: a folder of this machine, Redis, a bucket; opened and closed together. */

import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import type { FastifyBaseLogger } from 'fastify';
import { StableDiffusionError } from '../errors.ts';
import { type Lock, takeLock } from '../files/lock-node.ts';
import type { Limits } from './limits.ts';
import { week, type WorkOptions } from './work-options.ts';
import type { JobQueue } from './queue/queue.ts';
import { openRedisQueue } from './queue/redis-queue.ts';
import { openSqliteQueue } from './queue/sqlite-queue.ts';
import type { BlobStore } from './store/blob-store.ts';
import { openFileStore } from './store/file-store.ts';
import { openRedisStore } from './store/redis-store.ts';
import { readSecret, sharedSecret } from './store/signed-link.ts';

/** The stores of jobs and pictures. */
export interface Keeping {
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

async function openStores(options: WorkOptions, limits: Limits, log: FastifyBaseLogger): Promise<Keeping> {
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

/** Opens the queue and the store. Throws `busy`, `file-access`, `network`, `invalid-argument`. */
export async function openKeeping(options: WorkOptions, limits: Limits, log: FastifyBaseLogger): Promise<Keeping> {
  const stores = await openStores(options, limits, log);
  try {
    return { ...stores, store: await pictureStore(options, stores.store) };
  } catch (error) {
    await stores.queue.close();
    await stores.store.close();
    await stores.release();
    throw error;
  }
}
