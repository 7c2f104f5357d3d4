/** Answers of JSON that was put together as text, and bodies that are read as JSON whatever their type says. */

import { StableDiffusionError } from '../../../errors.ts';
import { hasMoreValues } from '../../admission/count-values.ts';
import type { Answer } from '../../http/route.ts';
import { decodeText } from '../../../files/text-encoding.ts';

/** The answer, from a text or its bytes in UTF-8. */
export const rawJson = (json: string | Uint8Array): Extract<Answer, { bytes: Uint8Array }> => ({
  bytes: typeof json === 'string' ? new TextEncoder().encode(json) : json,
  mediaType: 'application/json; charset=utf-8',
  headers: { 'cache-control': 'no-store' },
});

/** Values of a body: lists of ids are worked through one by one. */
const mostValues = 10_000;

/** The body as an object; empty for none. Throws `invalid-argument`, `too-large`. */
export function objectOf(body: Uint8Array | undefined): Readonly<Record<string, unknown>> {
  if (!body || body.length === 0) return {};
  if (hasMoreValues(Buffer.from(body.buffer, body.byteOffset, body.byteLength), mostValues))
    throw new StableDiffusionError('too-large', `The body has more than ${mostValues} values.`);
  try {
    const value: unknown = JSON.parse(decodeText(body) ?? '');
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return { ...value };
  } catch {
    // told below
  }
  throw new StableDiffusionError('invalid-argument', 'The body is not a JSON object.', { details: { status: 400 } });
}
