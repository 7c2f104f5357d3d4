/**
 * Parquet files are decoded in one thread, with limits of time and memory: a damaged page can make a decoder run without end, and the
 * thread can be ended. Ctrl-C is heard meanwhile, and the run is saved.
 */

import { Worker } from 'node:worker_threads';
import { StableDiffusionError, throwIfAborted } from '../../errors.ts';
import type { ByteSource } from '../../files/byte-source.ts';
import type { ParquetLayout, ParquetRow } from './parquet-decoder.ts';
import type { FromDecoder, ParquetFile, ToDecoder } from './parquet-worker-node.ts';

export interface ParquetThread {
  /** Throws `file-corrupt`. */
  layout(signal?: AbortSignal): Promise<ParquetLayout>;
  /**
   * The rows of a row group from one row on. Throws a plain Error where the group is damaged, which is the same each time; `too-large`
   * beyond the limits of time or memory, which depend on the machine, so that it must end the work.
   */
  rows(group: number, from: number, signal?: AbortSignal): Promise<readonly ParquetRow[]>;
}

export interface ParquetThreadLimits {
  /** Milliseconds to decode in any case. Default 3000. */
  readonly milliseconds?: number;
  /** Bytes a millisecond that are allowed on top. Default 8192: decoders make more than ten times as many. */
  readonly bytesPerMillisecond?: number;
}

/** Megabytes of rows and numbers. Bytes of pictures lie outside, and are bounded by parquet-limits.ts. */
export const heapMegabytes = 512;

/** Bytes of the metadata at the end of a file: some hundred for each column of each row group. */
const longestFooter = 2 ** 26;
/** Bytes of a column of a row group. */
const longestRead = 2 ** 30;

type Question = Extract<ToDecoder, { kind: 'open' | 'rows' }>;
type Answer = Extract<FromDecoder, { kind: 'layout' | 'rows' }>;

/** Next to this file, with the same extension: source or compiled. */
const workerFile = new URL(
  import.meta.url.endsWith('.ts') ? './parquet-worker-node.ts' : './parquet-worker-node.js',
  import.meta.url,
);

/**
 * Calls back when work took longer than allowed, by the clock and by the processor: on a busy machine a thread waits for its turn, and that
 * is not the file's fault.
 */
function createWorkClock(allowed: number, onEnd: () => void) {
  let [wall, processor] = [allowed, allowed];
  let timer: NodeJS.Timeout | undefined;
  let since = performance.now();
  let usage = process.cpuUsage();
  const charge = (): void => {
    wall -= performance.now() - since;
    const { user, system } = process.cpuUsage(usage);
    processor -= (user + system) / 1000;
    since = performance.now();
    usage = process.cpuUsage();
  };
  const look = (): void => {
    charge();
    if (wall <= 0 && processor <= 0) onEnd();
    else timer = setTimeout(look, Math.max(1, wall, processor));
  };
  return {
    add(milliseconds: number): void {
      wall += milliseconds;
      processor += milliseconds;
    },
    run(): void {
      since = performance.now();
      usage = process.cpuUsage();
      timer = setTimeout(look, Math.max(1, wall));
    },
    pause(): void {
      if (timer === undefined) return;
      clearTimeout(timer);
      timer = undefined;
      charge();
    },
  };
}

/** The thread of all files. It has one at a time, and keeps no process alive. */
let worker: Worker | undefined;
let before: Promise<unknown> = Promise.resolve();
let files = 0;

function startedWorker(): Worker {
  worker ??= new Worker(workerFile, { resourceLimits: { maxOldGenerationSizeMb: heapMegabytes } });
  return worker;
}

async function endWorker(): Promise<void> {
  const ended = worker;
  worker = undefined;
  await ended?.terminate();
}

/** The file as the thread sees it. */
export function parquetThread(
  file: ByteSource,
  { milliseconds = 3000, bytesPerMillisecond = 8192 }: ParquetThreadLimits = {},
): ParquetThread {
  const asFile: ParquetFile = { id: files++, label: file.label, size: file.size };

  const exchange = (question: Question, signal: AbortSignal | undefined): Promise<Answer> =>
    new Promise((resolve, reject) => {
      const thread = startedWorker();
      thread.ref();
      const send = (message: ToDecoder): void => thread.postMessage(message);
      const clock = createWorkClock(milliseconds, () => fail(tooLong(file.label)));
      const settle = (): void => {
        clock.pause();
        for (const event of ['message', 'error', 'exit']) thread.removeAllListeners(event);
        signal?.removeEventListener('abort', aborted);
        thread.unref();
      };
      const fail = (error: unknown): void => {
        settle();
        void endWorker().then(() => reject(error));
      };
      const aborted = (): void => fail(new StableDiffusionError('aborted', 'The work was cancelled.'));
      const read = async (offset: number, length: number): Promise<void> => {
        clock.pause();
        clock.add(length / bytesPerMillisecond);
        try {
          if (length > (question.kind === 'open' ? longestFooter : longestRead))
            throw new StableDiffusionError('file-corrupt', `its metadata ask for ${length} bytes at once`);
          const bytes = await file.read(offset, length);
          send({ kind: 'bytes', bytes });
        } catch (error) {
          const { code, message } =
            error instanceof StableDiffusionError ? error : new StableDiffusionError('file-access', String(error));
          send({ kind: 'no-bytes', code, message });
        }
        // It always asks for bytes first: the time until the thread is there does not count.
        if (worker === thread) clock.run();
      };
      thread.on('message', (message: FromDecoder) => {
        if (message.kind === 'read') void read(message.offset, message.length);
        else {
          settle();
          if (message.kind !== 'failed') resolve(message);
          else
            reject(message.code ? new StableDiffusionError(message.code, message.message) : new Error(message.message));
        }
      });
      thread.once('error', (error: Error & { readonly code?: string }) =>
        fail(error.code === 'ERR_WORKER_OUT_OF_MEMORY' ? tooMuch(file.label) : error),
      );
      thread.once('exit', () => fail(tooMuch(file.label)));
      signal?.addEventListener('abort', aborted, { once: true });
      send(question);
    });

  /** One question at a time. */
  const ask = (question: Question, signal: AbortSignal | undefined): Promise<Answer> => {
    const turn = before.then(() => {
      throwIfAborted(signal);
      return exchange(question, signal);
    });
    before = turn.catch(() => undefined);
    return turn;
  };
  return {
    async layout(signal) {
      const answer = await ask({ kind: 'open', file: asFile }, signal);
      if (answer.kind !== 'layout') throw new Error('the decoder answered another question');
      return answer.layout;
    },
    async rows(group, from, signal) {
      const answer = await ask({ kind: 'rows', file: asFile, group, from }, signal);
      if (answer.kind !== 'rows') throw new Error('the decoder answered another question');
      return answer.rows;
    },
  };
}

function tooLong(label: string): StableDiffusionError {
  return new StableDiffusionError(
    'too-large',
    `${label} takes far longer to decode than its size explains. It is damaged, or made to keep the program busy. Take it out of the data.`,
  );
}

function tooMuch(label: string): StableDiffusionError {
  return new StableDiffusionError(
    'too-large',
    `${label} needs more than the ${heapMegabytes} MB of memory that decoding a row group may take. It is damaged, or its row groups are too large. Write it with smaller row groups.`,
  );
}
