/** Reads the body of a request into one block of memory as it arrives: joining its pieces at the end would hold up everybody. */

import type { IncomingMessage } from 'node:http';
import type { Readable } from 'node:stream';
import { errorCodes } from 'fastify';

/** A stream that unpacks a body counts what came over the wire. */
type Payload = Readable & { readonly receivedEncodedLength?: number };

/** The first block of a body without a stated length. */
const firstBlock = 65_536;

/**
 * The body, in memory of its own that can be handed to another thread. Throws Fastify's errors for one beyond `most` bytes and for one that is
 * not as long as it says.
 */
export function readBody(
  { headers }: Pick<IncomingMessage, 'headers'>,
  payload: Payload,
  most: number,
): Promise<Buffer> {
  const length = Number(headers['content-length']);
  const stated = Number.isNaN(length) ? undefined : length;
  return new Promise((resolve, reject) => {
    if (stated !== undefined && stated > most) {
      reject(new errorCodes.FST_ERR_CTP_BODY_TOO_LARGE());
      return;
    }
    let block: Buffer = Buffer.allocUnsafeSlow(stated ?? Math.min(firstBlock, most));
    let size = 0;
    const stop = (): void => {
      payload.off('data', add).off('end', end).off('error', fail);
    };
    const fail = (error: Error & { statusCode?: number }): void => {
      stop();
      if (!(error.statusCode !== undefined && error.statusCode >= 400)) error.statusCode = 400;
      reject(error);
    };
    const add = (given: Buffer | string): void => {
      const chunk = typeof given === 'string' ? Buffer.from(given) : given;
      if (size + chunk.length > most || (payload.receivedEncodedLength ?? 0) > most) {
        stop();
        reject(new errorCodes.FST_ERR_CTP_BODY_TOO_LARGE());
        return;
      }
      if (size + chunk.length > block.length) block = enlarged(block, size, Math.min(most, 2 * (size + chunk.length)));
      size += chunk.copy(block, size);
    };
    const end = (): void => {
      stop();
      if (stated !== undefined && (payload.receivedEncodedLength || size) !== stated)
        reject(new errorCodes.FST_ERR_CTP_INVALID_CONTENT_LENGTH());
      else resolve(block.subarray(0, size));
    };
    payload.on('data', add).on('end', end).on('error', fail);
    payload.resume();
  });
}

function enlarged(block: Buffer, size: number, capacity: number): Buffer {
  const larger = Buffer.allocUnsafeSlow(capacity);
  block.copy(larger, 0, 0, size);
  return larger;
}
