/** SHA-256 of an image's pixels, and of other bytes: how a record identifies its inputs. */

import type { Image } from '../image/image.ts';

/** Lower-case hexadecimal, of width, height and channels as text and then the bytes. */
export async function digest(image: Image): Promise<string> {
  const head = new TextEncoder().encode(`${image.width}x${image.height}x${image.channels} `);
  const bytes = new Uint8Array(head.length + image.data.length);
  bytes.set(head);
  bytes.set(image.data, head.length);
  return digestBytes(bytes);
}

/** SHA-256 in lower-case hexadecimal. */
export async function digestBytes(bytes: Uint8Array): Promise<string> {
  // On http under a name that is not localhost browsers have no `crypto.subtle`, whatever its type says.
  const subtle = crypto.subtle as SubtleCrypto | undefined;
  const hash = subtle
    ? new Uint8Array(await subtle.digest('SHA-256', new Uint8Array(bytes)))
    : (await import('@noble/hashes/sha2.js')).sha256(bytes);
  return Array.from(hash, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
