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
    const block = createBlock(stated ?? Math.min(firstBlock, most));
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
      if (block.size() + chunk.length > most || (payload.receivedEncodedLength ?? 0) > most) {
        stop();
        reject(new errorCodes.FST_ERR_CTP_BODY_TOO_LARGE());
        return;
      }
      block.add(chunk);
    };
    const end = (): void => {
      stop();
      if (stated !== undefined && (payload.receivedEncodedLength || block.size()) !== stated)
        reject(new errorCodes.FST_ERR_CTP_INVALID_CONTENT_LENGTH());
      else resolve(block.bytes());
    };
    payload.on('data', add).on('end', end).on('error', fail);
    payload.resume();
  });
}

export interface Block {
  add(chunk: Buffer): void;
  size(): number;
  /** What was added, in memory of its own. */
  bytes(): Buffer<ArrayBuffer>;
}

/** Memory that grows as pieces arrive. */
export function createBlock(capacity = firstBlock): Block {
  let memory = Buffer.allocUnsafeSlow(capacity) as Buffer<ArrayBuffer>;
  let size = 0;
  return {
    add(chunk) {
      if (size + chunk.length > memory.length) {
        const larger = Buffer.allocUnsafeSlow(2 * (size + chunk.length)) as Buffer<ArrayBuffer>;
        memory.copy(larger, 0, 0, size);
        memory = larger;
      }
      size += chunk.copy(memory, size);
    },
    size: () => size,
    bytes: () => memory.subarray(0, size),
  };
}
