/** Answers of JSON that was put together as text, and bodies that are read as JSON whatever their type says. */

import { StableDiffusionError } from '../../../errors.ts';
import type { Answer } from '../../http/route.ts';

/** The answer. */
export const rawJson = (text: string): Extract<Answer, { bytes: Uint8Array }> => ({
  bytes: new TextEncoder().encode(text),
  mediaType: 'application/json; charset=utf-8',
  headers: { 'cache-control': 'no-store' },
});

/** The body as an object; empty for none. Throws `invalid-argument`. */
export function objectOf(body: Uint8Array | undefined): Readonly<Record<string, unknown>> {
  if (!body || body.length === 0) return {};
  try {
    const value: unknown = JSON.parse(new TextDecoder().decode(body));
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return { ...value };
  } catch {
    // told below
  }
  throw new StableDiffusionError('invalid-argument', 'The body is not a JSON object.', { details: { status: 400 } });
}
