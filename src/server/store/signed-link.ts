/** Links to stored pictures that work without a key until they expire, as OpenAI's `url`s do: the path is signed with the server's secret. */

import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { dirname } from 'node:path';
import { StableDiffusionError } from '../../errors.ts';
import { makeFolder } from '../../files/make-folder-node.ts';
import { readFileIfThere } from '../../files/open-node.ts';
import { writeFileAtomic } from '../../files/write-file-node.ts';

export interface LinkSigner {
  /** The path and query of a picture, good for an hour. */
  sign(id: string, ending: string): string;
  isValid(id: string, expires: string | undefined, signature: string | undefined): boolean;
}

const lifetime = 3600;

export function createLinkSigner(secret: Uint8Array, now: () => number): LinkSigner {
  const signatureOf = (id: string, expires: string): Buffer =>
    createHmac('sha256', secret).update(`${id} ${expires}`).digest();
  return {
    sign(id, ending) {
      const expires = String(Math.floor(now() / 1000) + lifetime);
      return `/api/v1/results/${id}.${ending}?expires=${expires}&signature=${signatureOf(id, expires).toString('base64url')}`;
    },
    isValid(id, expires, signature) {
      if (
        expires === undefined ||
        signature === undefined ||
        !/^\d{1,12}$/.test(expires) ||
        Number(expires) * 1000 < now()
      )
        return false;
      const given = Buffer.from(signature, 'base64url');
      const right = signatureOf(id, expires);
      return given.length === right.length && timingSafeEqual(given, right);
    },
  };
}

/** What is used of ioredis, which is an optional peer: public types must not need it. */
export interface KeyStore {
  get(key: string): Promise<string | null>;
  set(key: string, value: string, condition: 'NX'): Promise<unknown>;
}

const secretBytes = 32;

/** The secret of servers that share a Redis, so that each honours the others' links; the first makes it. Throws `file-corrupt` where it is none. */
export async function sharedSecret(redis: KeyStore, prefix: string): Promise<Uint8Array> {
  const key = `${prefix}:link-secret`;
  await redis.set(key, randomBytes(secretBytes).toString('hex'), 'NX');
  const secret = Buffer.from((await redis.get(key)) ?? '', 'hex');
  // Anybody could sign with a secret that is empty.
  if (secret.length !== secretBytes)
    throw new StableDiffusionError('file-corrupt', `The key ${key} in Redis is not a secret of ours. Remove it.`);
  return secret;
}

/** The server's secret, made at its first start; a damaged one is replaced. Throws `file-access`. */
export async function readSecret(path: string): Promise<Uint8Array> {
  const known = await readFileIfThere('note', path);
  if (known?.length === secretBytes) return known;
  const secret = randomBytes(secretBytes);
  await makeFolder(dirname(path));
  await writeFileAtomic(path, [secret], { mode: 0o600 });
  return secret;
}
