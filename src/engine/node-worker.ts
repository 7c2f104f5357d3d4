/** The worker thread in which ONNX Runtime lives in Node, because its `run` blocks the thread that calls it. */

import { parentPort } from 'node:worker_threads';
import { InferenceSession, Tensor as OrtTensor } from 'onnxruntime-node';
import type { Request, RequestMessage, ResponseMessage, SessionSettings } from './node-protocol.ts';
import { fromOrt, toOrt } from './ort-tensor.ts';
import type { WeightBuffer } from './weights.ts';
import type { Tensor } from '../tensor/tensor.ts';

const sessions = new Map<number, InferenceSession>();
/** Weights that have arrived for a program that is not compiled yet. */
const arrived = new Map<number, WeightBuffer[]>();

function sessionOptions({ provider, threads, folder }: SessionSettings, externalData: WeightBuffer[]): InferenceSession.SessionOptions {
  return {
    executionProviders: provider === 'cpu' ? ['cpu'] : [provider, 'cpu'],
    intraOpNumThreads: threads,
    graphOptimizationLevel: 'all',
    logSeverityLevel: 3,
    ...(externalData.length > 0 ? { externalData } : {}),
    ...(folder === undefined ? {} : { extra: { session: { model_external_initializers_file_folder_path: folder } } }),
  };
}

function sessionOf(program: number): InferenceSession {
  const session = sessions.get(program);
  if (!session) throw new Error(`program ${program} is not loaded`);
  return session;
}

async function handle(request: Request): Promise<Record<string, Tensor> | undefined> {
  switch (request.kind) {
    case 'weights': {
      const list = arrived.get(request.program) ?? [];
      list.push(request.buffer);
      arrived.set(request.program, list);
      return undefined;
    }
    case 'compile': {
      const buffers = arrived.get(request.program) ?? [];
      arrived.delete(request.program);
      sessions.set(request.program, await InferenceSession.create(request.model, sessionOptions(request.settings, buffers)));
      return undefined;
    }
    case 'run': {
      const feeds = Object.fromEntries(Object.entries(request.feeds).map(([name, value]) => [name, toOrt(OrtTensor, value)]));
      const results = await sessionOf(request.program).run(feeds, request.outputs);
      return Object.fromEntries(request.outputs.map((name) => {
        const value = results[name];
        if (!value) throw new Error(`the runtime returned no ${name}`);
        return [name, fromOrt(value)];
      }));
    }
    case 'dispose': {
      arrived.delete(request.program);
      const session = sessions.get(request.program);
      sessions.delete(request.program);
      await session?.release();
      return undefined;
    }
  }
}

/** One request after the other: sessions share the processor anyway. */
let queue: Promise<void> = Promise.resolve();

parentPort?.on('message', ({ id, request }: RequestMessage) => {
  queue = queue.then(async () => {
    let response: ResponseMessage;
    const transfer: ArrayBuffer[] = [];
    try {
      const outputs = await handle(request);
      for (const value of Object.values(outputs ?? {})) transfer.push(value.data.buffer as ArrayBuffer);
      response = outputs ? { id, outputs } : { id };
    } catch (error) {
      response = { id, error: error instanceof Error ? error.message : `error ${String(error)}` };
    }
    parentPort?.postMessage(response, [...new Set(transfer)]);
  });
});
