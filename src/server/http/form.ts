/** Reads a multipart form, within limits: its files in memory, its fields as text. */

import type { FastifyRequest } from 'fastify';
import { StableDiffusionError } from '../../errors.ts';
import type { FormPart } from './route.ts';

/** Throws `too-large`, `invalid-argument`. */
export async function readForm(request: FastifyRequest, maxBytes: number): Promise<readonly FormPart[]> {
  const parts: FormPart[] = [];
  let size = 0;
  const add = (bytes: number): void => {
    size += bytes;
    if (size > maxBytes)
      throw new StableDiffusionError('too-large', `The form has more than the ${maxBytes} bytes allowed.`);
  };
  try {
    // Longer fields arrive cut.
    for await (const part of request.parts({
      limits: { fileSize: maxBytes, fieldSize: 2 ** 20, fields: 64, files: 16, parts: 80, headerPairs: 50 },
    })) {
      // The library's type omits that a part may lack a name.
      if (typeof (part.fieldname as unknown) !== 'string')
        throw new StableDiffusionError('invalid-argument', 'A part of the form has no name.', {
          details: { status: 400 },
        });
      if (part.type === 'file') {
        const chunks: Buffer[] = [];
        for await (const chunk of part.file) {
          add((chunk as Buffer).length);
          chunks.push(chunk as Buffer);
        }
        parts.push({ name: part.fieldname, bytes: new Uint8Array(Buffer.concat(chunks)), fileName: part.filename });
      } else {
        if (part.valueTruncated || part.fieldnameTruncated)
          throw new StableDiffusionError(
            'too-large',
            'A field of the form is longer than a megabyte, or its name than 100 bytes.',
          );
        const text = String(part.value ?? '');
        add(text.length);
        parts.push({ name: part.fieldname, text });
      }
    }
  } catch (error) {
    if (error instanceof StableDiffusionError || typeof (error as { statusCode?: unknown }).statusCode === 'number')
      throw error;
    throw new StableDiffusionError('invalid-argument', 'The form is malformed.', {
      cause: error,
      details: { status: 400 },
    });
  }
  return parts;
}
