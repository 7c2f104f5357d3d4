/** The thread that decodes Parquet. Messages to and from `parquet-thread-node.ts`; the bytes of the file come by message too. */

import { parentPort } from 'node:worker_threads';
import { StableDiffusionError } from '../../errors.ts';
import type { ByteSource } from '../../files/byte-source.ts';
import { type DecodedParquet, decodeParquet, type ParquetLayout, type ParquetRow } from './parquet-decoder.ts';

export interface ParquetFile {
  /** Unique in the process. */
  readonly id: number;
  readonly label: string;
  readonly size: number;
}

export type ToDecoder =
  | { readonly kind: 'open'; readonly file: ParquetFile }
  | { readonly kind: 'rows'; readonly file: ParquetFile; readonly group: number; readonly from: number }
  | { readonly kind: 'bytes'; readonly bytes: Uint8Array }
  | { readonly kind: 'no-bytes'; readonly code: StableDiffusionError['code']; readonly message: string };

export type FromDecoder =
  | { readonly kind: 'read'; readonly offset: number; readonly length: number }
  | { readonly kind: 'layout'; readonly layout: ParquetLayout }
  | { readonly kind: 'rows'; readonly rows: readonly ParquetRow[] }
  | { readonly kind: 'failed'; readonly message: string; readonly code?: StableDiffusionError['code'] };

interface Waiting {
  readonly resolve: (bytes: Uint8Array) => void;
  readonly reject: (error: Error) => void;
}

/** The buffers that rows lie in: they are handed over, not copied. */
function buffersOf(rows: readonly ParquetRow[]): ArrayBuffer[] {
  const found = new Set<ArrayBuffer>();
  const look = (value: unknown): void => {
    if (value instanceof Uint8Array) {
      if (value.buffer instanceof ArrayBuffer) found.add(value.buffer);
    } else if (typeof value === 'object' && value !== null)
      for (const inner of Object.values(value)) if (typeof inner === 'object') look(inner);
  };
  for (const row of rows) for (const value of Object.values(row)) look(value);
  return [...found];
}

function main(port: NonNullable<typeof parentPort>): void {
  const waiting: Waiting[] = [];
  const send = (message: FromDecoder, transfer: ArrayBuffer[] = []): void => port.postMessage(message, transfer);
  const read = (offset: number, length: number): Promise<Uint8Array> =>
    new Promise((resolve, reject) => {
      waiting.push({ resolve, reject });
      send({ kind: 'read', offset, length });
    });
  let opened: { readonly id: number; readonly parquet: DecodedParquet } | undefined;
  const answer = async (message: Extract<ToDecoder, { kind: 'open' | 'rows' }>): Promise<void> => {
    const { id, label, size } = message.file;
    if (opened?.id !== id) {
      const source: ByteSource = { label, size, read, async close() {} };
      opened = { id, parquet: await decodeParquet(source) };
    }
    const { parquet } = opened;
    if (message.kind === 'open') send({ kind: 'layout', layout: parquet.layout });
    else {
      const rows = await parquet.rows(message.group, message.from);
      send({ kind: 'rows', rows }, buffersOf(rows));
    }
  };
  port.on('message', (message: ToDecoder) => {
    if (message.kind === 'bytes') waiting.shift()?.resolve(message.bytes);
    else if (message.kind === 'no-bytes')
      waiting.shift()?.reject(new StableDiffusionError(message.code, message.message));
    else
      answer(message).catch((error: unknown) =>
        send({
          kind: 'failed',
          message: error instanceof Error ? error.message : String(error),
          ...(error instanceof StableDiffusionError ? { code: error.code } : {}),
        }),
      );
  });
}

if (parentPort) main(parentPort);
