/** API keys: who a caller is. Sent as `Authorization: Bearer KEY`, as the password of HTTP Basic (what A1111's clients can do) or as `X-API-Key`. */

import { createHash, timingSafeEqual } from 'node:crypto';
import { StableDiffusionError } from '../../errors.ts';

export interface ApiKey {
  /** The caller's name: jobs, shares and limits are counted by it. */
  readonly name: string;
  readonly secret: string;
}

type Headers = Readonly<Record<string, string | string[] | undefined>>;

const digest = (text: string): Buffer => createHash('sha256').update(text).digest();

/** The key that a request carries. */
function secretOf(headers: Headers): string | undefined {
  // Google's clients name theirs.
  const own = headers['x-api-key'] ?? headers['x-goog-api-key'];
  if (typeof own === 'string') return own;
  const { authorization } = headers;
  if (typeof authorization !== 'string') return undefined;
  const [scheme = '', value = ''] = authorization.split(/ +/, 2);
  if (scheme.toLowerCase() === 'bearer') return value;
  if (scheme.toLowerCase() !== 'basic') return undefined;
  const text = Buffer.from(value, 'base64').toString('utf8');
  return text.slice(text.indexOf(':') + 1);
}

/** `name:secret`, or a secret alone whose name is then `key1`, `key2`, … Throws `invalid-argument` for keys that are short or double. */
export function parseApiKeys(texts: readonly string[]): readonly ApiKey[] {
  const keys = texts.map((text, i): ApiKey => {
    const colon = text.indexOf(':');
    return colon > 0
      ? { name: text.slice(0, colon), secret: text.slice(colon + 1) }
      : { name: `key${i + 1}`, secret: text };
  });
  for (const { name, secret } of keys) {
    if (secret.length < 8)
      throw new StableDiffusionError(
        'invalid-argument',
        `The API key of ${name} has ${secret.length} characters; give it at least 8.`,
      );
  }
  if (new Set(keys.map(({ name }) => name)).size !== keys.length)
    throw new StableDiffusionError('invalid-argument', 'Two API keys have the same name.');
  return keys;
}

/** The caller's name. Throws `forbidden` (401) if the server has keys and the request has none of them. */
export function createAuthenticator(keys: readonly ApiKey[]): (headers: Headers) => string {
  const known = keys.map(({ name, secret }) => ({ name, hash: digest(secret) }));
  return (headers) => {
    if (known.length === 0) return 'local';
    const hash = digest(secretOf(headers) ?? '');
    // Compare all keys, so that timing reveals nothing.
    const found = known.filter((key) => timingSafeEqual(key.hash, hash));
    if (found[0]) return found[0].name;
    throw new StableDiffusionError(
      'forbidden',
      'This server requires an API key. Send it as "Authorization: Bearer KEY".',
      { details: { status: 401 } },
    );
  };
}
