/** SHA-256 of an image's pixels: how a record names the pictures that it was made from. */

import type { Image } from '../image/image.ts';

/** Lower-case hexadecimal, of width, height and channels as text and then the bytes. */
export async function digest(image: Image): Promise<string> {
  const head = new TextEncoder().encode(`${image.width}x${image.height}x${image.channels} `);
  const bytes = new Uint8Array(head.length + image.data.length);
  bytes.set(head);
  bytes.set(image.data, head.length);
  const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
  return Array.from(hash, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
