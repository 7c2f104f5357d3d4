/** The worker thread in which ONNX Runtime lives in Node, because its `run` blocks the thread that calls it. */

import { parentPort } from 'node:worker_threads';
import { InferenceSession, Tensor as OrtTensor } from 'onnxruntime-node';
import type { Request, RequestMessage, ResponseMessage, SessionSettings } from './node-protocol.ts';
import { fromOrt, toOrt } from './ort-tensor.ts';
import type { WeightBuffer } from './weights.ts';
import type { Tensor } from '../tensor/tensor.ts';

/** The segments of each program, in order. Most programs have one. */
const programs = new Map<number, InferenceSession[]>();
/** Weights that have arrived for a segment that is not compiled yet. */
const arrived = new Map<number, WeightBuffer[]>();

function sessionOptions({ provider, threads, folder, oneOfMany }: SessionSettings, externalData: WeightBuffer[]): InferenceSession.SessionOptions {
  return {
    executionProviders: provider === 'cpu' ? ['cpu'] : [provider, 'cpu'],
    intraOpNumThreads: threads,
    graphOptimizationLevel: 'all',
    logSeverityLevel: 3,
    ...(externalData.length > 0 ? { externalData } : {}),
    // An arena keeps its largest working memory for the next run; many segments would keep it many times.
    ...(oneOfMany ? { enableCpuMemArena: false, enableMemPattern: false } : {}),
    ...(folder === undefined ? {} : { extra: { session: { model_external_initializers_file_folder_path: folder } } }),
  };
}

async function compile(request: Extract<Request, { kind: 'compile' }>): Promise<void> {
  const buffers = arrived.get(request.program) ?? [];
  arrived.delete(request.program);
  const session = await InferenceSession.create(request.model, sessionOptions(request.settings, buffers));
  programs.set(request.program, [...(programs.get(request.program) ?? []), session]);
}

async function run({ program, feeds, outputs, cancel }: Extract<Request, { kind: 'run' }>): Promise<Record<string, Tensor>> {
  const sessions = programs.get(program);
  if (!sessions) throw new Error(`program ${program} is not loaded`);
  const values = new Map(Object.entries(feeds).map(([name, value]) => [name, toOrt(OrtTensor, value)]));
  for (const [index, session] of sessions.entries()) {
    if (Atomics.load(cancel, 0) === 1) throw new Error('cancelled');
    const inputs = Object.fromEntries(session.inputNames.map((name) => [name, found(values, name)]));
    // What no later segment reads is forgotten.
    const later = new Set(sessions.slice(index + 1).flatMap((other) => other.inputNames));
    for (const name of values.keys()) if (!later.has(name) && !outputs.includes(name)) values.delete(name);
    const wanted = session.outputNames.filter((name) => later.has(name) || outputs.includes(name));
    const results = await session.run(inputs, wanted);
    for (const name of wanted) values.set(name, found(new Map(Object.entries(results)), name));
  }
  return Object.fromEntries(outputs.map((name) => [name, fromOrt(found(values, name))]));
}

function found(values: ReadonlyMap<string, OrtTensor>, name: string): OrtTensor {
  const value = values.get(name);
  if (!value) throw new Error(`the runtime has no value ${name}`);
  return value;
}

async function handle(request: Request): Promise<Record<string, Tensor> | undefined> {
  switch (request.kind) {
    case 'weights': {
      arrived.set(request.program, [...(arrived.get(request.program) ?? []), request.buffer]);
      return undefined;
    }
    case 'compile': {
      await compile(request);
      return undefined;
    }
    case 'run':
      return run(request);
    case 'dispose': {
      arrived.delete(request.program);
      const sessions = programs.get(request.program) ?? [];
      programs.delete(request.program);
      for (const session of sessions) await session.release();
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
