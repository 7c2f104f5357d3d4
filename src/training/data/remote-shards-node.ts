/**
 * Shards at `https://` and `s3://` addresses: each is fetched whole when its turn comes, goes on where a broken connection left it, and stays
 * in a folder of limited size. Processes of one machine share the folder and fetch a shard once.
 */

import { createHash } from 'node:crypto';
import { readdir, rm, stat, utimes } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { StableDiffusionError } from '../../errors.ts';
import type { ByteSource } from '../../files/byte-source.ts';
import { openFile } from '../../files/byte-source-node.ts';
import { download } from '../../hub/download-node.ts';
import { type S3Bucket, s3Client, s3Parts } from '../../hub/s3-node.ts';
import { expandBraces } from './shard-names-node.ts';
import { hubSettings } from '../../hub/hub-settings.ts';

export interface ShardCache {
  /** Default: `stable-diffusion-ts/shards` in the person's cache folder. */
  readonly folder?: string | undefined;
  /** Most bytes of the folder; one shard may be larger. Default 20 GB. */
  readonly bytes?: number | undefined;
  /** Milliseconds before the first of the further tries. */
  readonly pause?: number | undefined;
}

export interface RemoteShards {
  readonly shards: readonly string[];
  readonly open: (shard: string) => Promise<ByteSource>;
  readonly close: () => Promise<void>;
}

const isShard = (address: string): boolean => /\.(?:tar|tar\.gz|tgz)$/i.test(address);
const s3What = 'An address of shards must be s3://BUCKET/KEY';

/** Whether a data set is named by an address and not by a path. */
export const isRemote = (path: string): boolean => /^(?:https?|s3):\/\//i.test(path);

/** The shards below an address that ends with a slash. */
async function listed({ s3, client }: S3Bucket, address: string): Promise<string[]> {
  const { bucket, key } = s3Parts(address, s3What);
  const found: string[] = [];
  try {
    for await (const { Contents = [] } of s3.paginateListObjectsV2({ client }, { Bucket: bucket, Prefix: key }))
      for (const { Key } of Contents) if (Key !== undefined && isShard(Key)) found.push(`s3://${bucket}/${Key}`);
  } catch (cause) {
    throw new StableDiffusionError('network', `The bucket ${bucket} could not be listed: ${reasonOf(cause)}.`, {
      cause,
    });
  }
  return found.sort();
}

const reasonOf = (cause: unknown): string => (cause instanceof Error ? cause.message : String(cause));

/** An object of a bucket as the answer of a web server, so that one way of fetching serves both. */
function fetchOf({ s3, client }: S3Bucket): typeof fetch {
  return async (input, init) => {
    const { bucket, key } = s3Parts(String(input), s3What);
    const range = new Headers(init?.headers).get('range') ?? undefined;
    try {
      const answer = await client.send(new s3.GetObjectCommand({ Bucket: bucket, Key: key, Range: range }), {
        ...(init?.signal ? { abortSignal: init.signal } : {}),
      });
      const headers = new Headers();
      if (answer.ContentRange !== undefined) headers.set('content-range', answer.ContentRange);
      if (answer.ContentLength !== undefined) headers.set('content-length', String(answer.ContentLength));
      const body = answer.Body?.transformToWebStream() as ReadableStream<Uint8Array> | undefined;
      return new Response(body ?? null, { status: answer.ContentRange === undefined ? 200 : 206, headers });
    } catch (cause) {
      const status = (cause as { readonly $metadata?: { readonly httpStatusCode?: number } }).$metadata?.httpStatusCode;
      if (status === undefined || status < 300) throw cause;
      return new Response(null, { status });
    }
  };
}

/** Only names that `fetched` gives: other archives in the folder are somebody's own. */
const isCached = (name: string): boolean => /^[0-9a-f]{32}-/.test(name) && isShard(name);

/** The files of a cache with their sizes and last uses; those that vanish meanwhile are left away. */
async function cached(folder: string): Promise<{ path: string; size: number; used: number }[]> {
  const names = (await readdir(folder)).filter(isCached);
  const found = await Promise.all(
    names.map((name) =>
      stat(join(folder, name)).then(
        ({ size, mtimeMs }) => [{ path: join(folder, name), size, used: mtimeMs }],
        () => [],
      ),
    ),
  );
  return found.flat();
}

/** Removes what was not used for longest, but never `keep`, which was fetched just now. */
async function trim(folder: string, bytes: number, keep: string): Promise<void> {
  const files = (await cached(folder)).sort((a, b) => a.used - b.used);
  let total = files.reduce((sum, { size }) => sum + size, 0);
  for (const { path, size } of files) {
    if (total <= bytes) return;
    if (path === keep) continue;
    await rm(path, { force: true });
    total -= size;
  }
}

/** Others of this machine may remove a file between its download and its opening. */
const attempts = 3;

async function fetched(address: string, get: typeof fetch | undefined, cache: ShardCache): Promise<ByteSource> {
  const folder = cache.folder ?? join(hubSettings(process.env, homedir()).ownCache, 'shards');
  const digest = createHash('sha256').update(address).digest('hex').slice(0, 32);
  const path = join(folder, `${digest}-${address.slice(address.lastIndexOf('/') + 1)}`);
  for (let attempt = 1; ; attempt++) {
    await download(
      { url: address, path, lock: `${path}.lock`, label: address },
      { fetch: get, ...(cache.pause === undefined ? {} : { pause: cache.pause }) },
    );
    try {
      const now = new Date();
      await utimes(path, now, now);
      const source = await openFile(path);
      await trim(folder, cache.bytes ?? 20e9, path);
      return source;
    } catch (cause) {
      const gone = (cause as { readonly code?: string }).code;
      if (attempt === attempts || (gone !== 'ENOENT' && gone !== 'file-not-found')) throw cause;
    }
  }
}

/** Throws `invalid-argument` for addresses that are no shards, `network` where a bucket cannot be listed. */
export async function openRemoteShards(pattern: string, cache: ShardCache): Promise<RemoteShards> {
  const bucket = pattern.startsWith('s3://') ? await s3Client('Shards in S3') : undefined;
  const shards: string[] = [];
  for (const address of expandBraces(pattern)) {
    if (bucket) s3Parts(address, s3What);
    shards.push(...(bucket && address.endsWith('/') ? await listed(bucket, address) : [address]));
  }
  const wrong = shards.find((address) => !isShard(address));
  if (wrong !== undefined || shards.length === 0)
    throw new StableDiffusionError(
      'invalid-argument',
      `${wrong ?? pattern} is not an address of shards. Give .tar or .tar.gz files, such as s3://bucket/laion/{00000..00099}.tar; of a bucket s3://bucket/laion/ too.`,
    );
  const get = bucket ? fetchOf(bucket) : undefined;
  return {
    shards,
    open: (shard) => fetched(shard, get, cache),
    close: async () => bucket?.client.destroy(),
  };
}
