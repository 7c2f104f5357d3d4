/** BlobStore in Redis, for workers on machines that share no disk. Files live as long as their jobs are kept. */

import type { Redis } from 'ioredis';
import { StableDiffusionError } from '../../errors.ts';
import { type BlobStore, blobId, blobIdSchema } from './blob-store.ts';

export interface RedisStoreOptions {
  readonly redis: Redis;
  readonly prefix: string;
  /** How long files are kept, from when they were last stored. */
  readonly keepSeconds: number;
}

export function openRedisStore({ redis, prefix, keepSeconds }: RedisStoreOptions): BlobStore {
  const key = (id: string): string => `${prefix}:blob:${blobIdSchema.parse(id)}`;
  return {
    async put(bytes) {
      const id = blobId(bytes);
      try {
        await redis.set(key(id), Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength), 'EX', keepSeconds);
      } catch (cause) {
        throw new StableDiffusionError('file-access', 'Redis did not take the picture. It may be out of memory.', {
          cause,
        });
      }
      return id;
    },
    async get(id) {
      if (!blobIdSchema.safeParse(id).success) return undefined;
      const bytes = await redis.getBuffer(key(id));
      return bytes && blobId(bytes) === id ? new Uint8Array(bytes) : undefined;
    },
    async has(id) {
      return blobIdSchema.safeParse(id).success && (await redis.exists(key(id))) === 1;
    },
    async prune() {
      return 0; // keys expire
    },
    async close() {},
  };
}
