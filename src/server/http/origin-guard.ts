/**
 * Keeps other web pages out: a page that a user of this machine happens to visit may send requests to servers on loopback. A request whose
 * Origin is another site is refused, and without API keys so is a Host that is not a name of this machine (DNS rebinding).
 */

import type { IncomingHttpHeaders } from 'node:http';
import { StableDiffusionError } from '../../errors.ts';

export interface OriginGuardOptions {
  /** Origins whose pages may call the server (CORS). */
  readonly origins: readonly string[];
  /** True if callers authenticate with a key, which other websites lack. */
  readonly hasKeys: boolean;
}

const localHost = /^(localhost|[\w-]+\.localhost|127(?:\.\d{1,3}){3}|\[::1\])(:\d+)?$/i;

/** Throws `forbidden`. */
export function checkOrigin(
  { origin, host = '' }: IncomingHttpHeaders,
  { origins, hasKeys }: OriginGuardOptions,
): void {
  if (!hasKeys && !localHost.test(host))
    throw new StableDiffusionError(
      'forbidden',
      `This server answers on this machine only, and was called as ${host.slice(0, 100)}. Start it with SD_API_KEYS=NAME:SECRET to let others use it.`,
    );
  if (origin === undefined || origins.includes(origin) || origins.includes('*')) return;
  let sameHost = false;
  try {
    sameHost = new URL(origin).host === host;
  } catch {
    // "null" and other values that are not URLs
  }
  if (!sameHost)
    throw new StableDiffusionError(
      'forbidden',
      `Pages of ${origin.slice(0, 100)} may not use this server. Its operator can allow them with --cors-origin.`,
    );
}
