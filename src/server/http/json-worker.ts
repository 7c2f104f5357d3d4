/** The worker thread of json-thread.ts. */

import { parentPort } from 'node:worker_threads';
import type { JsonAnswer, JsonTask } from './json-thread.ts';
import { parseJson } from './parse-json.ts';

parentPort?.on('message', ({ id, bytes, limits }: JsonTask) => {
  let answer: JsonAnswer;
  try {
    answer = { id, value: parseJson(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength), limits) };
  } catch (error) {
    const { message, statusCode = 400 } = error as Error & { readonly statusCode?: number };
    answer = { id, refused: { message, statusCode } };
  }
  parentPort?.postMessage(answer);
});
