/** Reads a multipart form, within limits: its files in memory, its fields as text. */

import type { FastifyRequest } from 'fastify';
import { StableDiffusionError } from '../../errors.ts';
import type { Limits } from '../limits.ts';
import { createBlock } from './read-body.ts';
import type { FormPart } from './route.ts';

/** What each boundary between two parts begins with, however the boundary is written. */
const opening = Buffer.from('\r\n--');

/**
 * Ends a form with too many boundaries, before the parser: it makes a stream of each, and a read has room for thousands. Listens first, and
 * leaves the parser a chunk without any.
 */
function countBoundaries({ raw }: FastifyRequest, most: number): void {
  let found = 0;
  raw.on('data', (chunk: Buffer) => {
    for (let at = chunk.indexOf(opening); at >= 0 && found <= most; at = chunk.indexOf(opening, at + 1)) found++;
    if (found <= most) return;
    chunk.fill(0);
    const message = `The form has more than ${most} lines that begin with --, as boundaries between its parts do.`;
    if (raw.listenerCount('error') > 0) raw.emit('error', Object.assign(new Error(message), { statusCode: 413 }));
  });
}

/** Throws `too-large`, `invalid-argument`. */
export async function readForm(
  request: FastifyRequest,
  maxBytes: number,
  {
    formBoundaries,
    formFields: fields,
    formFiles: files,
    formFieldBytes: fieldSize,
  }: Pick<Limits, 'formBoundaries' | 'formFields' | 'formFiles' | 'formFieldBytes'>,
): Promise<readonly FormPart[]> {
  const parts: FormPart[] = [];
  let size = 0;
  const add = (bytes: number): void => {
    size += bytes;
    if (size > maxBytes)
      throw new StableDiffusionError('too-large', `The form has more than the ${maxBytes} bytes allowed.`);
  };
  countBoundaries(request, formBoundaries);
  try {
    // Longer fields arrive cut.
    for await (const part of request.parts({
      // A folder in a file's name is refused where it leads out, not cut off.
      preservePath: true,
      limits: { fileSize: maxBytes, fieldSize, fields, files, parts: fields + files, headerPairs: 50 },
    })) {
      // The library's type omits that a part may lack a name.
      if (typeof (part.fieldname as unknown) !== 'string')
        throw new StableDiffusionError('invalid-argument', 'A part of the form has no name.', {
          details: { status: 400 },
        });
      if (part.type === 'file') {
        const block = createBlock();
        for await (const chunk of part.file) {
          add((chunk as Buffer).length);
          block.add(chunk as Buffer);
        }
        const { buffer, byteOffset, length } = block.bytes();
        parts.push({
          name: part.fieldname,
          bytes: new Uint8Array(buffer, byteOffset, length),
          fileName: part.filename,
        });
      } else {
        if (part.valueTruncated || part.fieldnameTruncated)
          throw new StableDiffusionError(
            'too-large',
            `A field of the form is longer than ${fieldSize} bytes, or its name than 100.`,
          );
        const text = String(part.value ?? '');
        add(text.length);
        parts.push({ name: part.fieldname, text });
      }
    }
  } catch (error) {
    // What is left is let go unread: a form of nothing but boundaries is slow to read.
    request.raw.unpipe();
    request.raw.resume();
    if (error instanceof StableDiffusionError || typeof (error as { statusCode?: unknown }).statusCode === 'number')
      throw error;
    throw new StableDiffusionError('invalid-argument', 'The form is malformed.', {
      cause: error,
      details: { status: 400 },
    });
  }
  return parts;
}
