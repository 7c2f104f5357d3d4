/** Bytes of a file in sequence, decompressed if they are gzip: how archives are read, of any size in little memory. */

import { StableDiffusionError, throwIfAborted } from '../../errors.ts';
import { createBudget } from '../../files/budget.ts';
import type { ByteSource } from '../../files/byte-source.ts';

const pieceSize = 2 ** 18;

/** Bytes that gzip may unpack: texts shrink some ten times, pictures not at all. Zeros shrink a thousand times. */
const mostUnpacked = (packed: number): number => 32 * packed + 2 ** 26;

/** The bytes from `start` of the file (of what it decompresses to, if it is gzip). Throws `file-truncated` or `file-corrupt` after the available bytes, `too-large` for gzip that unpacks to far more than its size. */
export async function* streamBytes(
  source: ByteSource,
  start = 0,
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array, void, void> {
  const head = await source.read(0, Math.min(2, source.size));
  if (head[0] === 0x1f && head[1] === 0x8b) yield* from(start, inflate(source, pieces(source, 0, signal)));
  else yield* pieces(source, start, signal);
}

async function* pieces(
  source: ByteSource,
  start: number,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array<ArrayBuffer>, void, void> {
  for (let at = start; at < source.size; at += pieceSize) {
    throwIfAborted(signal);
    yield (await source.read(at, Math.min(pieceSize, source.size - at))) as Uint8Array<ArrayBuffer>;
  }
}

async function* inflate(
  source: ByteSource,
  compressed: AsyncGenerator<Uint8Array<ArrayBuffer>, void, void>,
): AsyncGenerator<Uint8Array, void, void> {
  const input = new ReadableStream<Uint8Array<ArrayBuffer>>({
    async pull(controller) {
      const next = await compressed.next();
      if (next.done) controller.close();
      else controller.enqueue(next.value);
    },
    async cancel() {
      await compressed.return();
    },
  });
  const reader = input.pipeThrough(new DecompressionStream('gzip')).getReader();
  const budget = createBudget(source.label, { bytes: mostUnpacked(source.size) });
  try {
    for (;;) {
      const next = await reader.read().catch((cause: unknown) => {
        if (cause instanceof StableDiffusionError) throw cause;
        throw new StableDiffusionError(
          'file-truncated',
          `${source.label} is truncated or damaged: its gzip data ends wrongly. Get it again.`,
          { cause },
        );
      });
      if (next.done) return;
      budget.bytes(next.value.length, 'its gzip data');
      yield next.value;
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}

/** Without the first `skip` bytes. */
async function* from(skip: number, chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, void> {
  let left = skip;
  for await (const chunk of chunks) {
    if (left < chunk.length) yield left > 0 ? chunk.subarray(left) : chunk;
    left = Math.max(0, left - chunk.length);
  }
}
