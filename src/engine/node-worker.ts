/** The worker thread that hosts ONNX Runtime in Node, because its `run` blocks the calling thread. */

import { setPriority } from 'node:os';
import { parentPort, workerData } from 'node:worker_threads';
import { env, InferenceSession, Tensor as OrtTensor } from 'onnxruntime-node';
import { CrossingBuffers } from './crossing.ts';
import type {
  BoundRequest,
  Request,
  RequestMessage,
  ResponseMessage,
  SessionSettings,
  WorkerOptions,
} from './node-protocol.ts';
import { fromOrt, toOrt } from './ort-tensor.ts';
import type { WeightBuffer } from './weights.ts';
import { enter, isEnding, leave } from './thread-guard.ts';
import { endMark, isEndMark } from '../onnx/end-mark.ts';
import { elementCount, type Tensor, zeros } from '../tensor/tensor.ts';
import type { StatePlace } from './feeds.ts';

const { background, guard } = workerData as WorkerOptions;

// What it logs it also throws, in words of ours.
env.logLevel = 'fatal';

// Linux has a priority for each thread, and the runtime's threads inherit this one's.
if (background && process.platform === 'linux') setPriority(0, 5);

interface Loaded {
  /** In order. Most programs have one. */
  readonly segments: InferenceSession[];
  readonly buffers: CrossingBuffers;
}

const programs = new Map<number, Loaded>();
/** Tensors that stay between runs. */
const states = new Map<number, Map<string, Tensor>>();
/** Weights that have arrived for a segment that is not compiled yet. */
const arrived = new Map<number, WeightBuffer[]>();

function sessionOptions(
  { provider, threads, optimisation, folder, segments }: SessionSettings,
  externalData: WeightBuffer[],
): InferenceSession.SessionOptions {
  return {
    executionProviders: provider === 'cpu' ? ['cpu'] : [provider, 'cpu'],
    intraOpNumThreads: threads,
    graphOptimizationLevel: optimisation,
    logSeverityLevel: 3,
    ...(externalData.length > 0 ? { externalData } : {}),
    // An arena keeps its largest working memory for the next run, and many segments would keep it many times.
    ...(segments === 'many' ? { enableCpuMemArena: false } : {}),
    // After the first run the runtime would plan its working memory again, and keep the first allocation as well.
    enableMemPattern: false,
    extra: {
      session: {
        // Threads would wait for work in a loop, some 50 ms, and take the processor from the next program's.
        force_spinning_stop: '1',
        // The binding refuses a key without a value.
        ...(folder === undefined ? {} : { model_external_initializers_file_folder_path: folder }),
        // Weights to the byte, where an arena would round them up.
        ...(segments === 'few' ? { use_device_allocator_for_initializers: '1' } : {}),
      },
    },
  };
}

async function compile(request: Extract<Request, { kind: 'compile' }>): Promise<void> {
  const buffers = arrived.get(request.program) ?? [];
  arrived.delete(request.program);
  const session = await InferenceSession.create(request.model, sessionOptions(request.settings, buffers));
  const known = programs.get(request.program);
  if (known) known.segments.push(session);
  else programs.set(request.program, { segments: [session], buffers: new CrossingBuffers() });
}

async function run({
  program,
  feeds,
  outputs,
  crossings,
  cancel,
}: Extract<Request, { kind: 'run' }>): Promise<Record<string, Tensor>> {
  const loaded = programs.get(program);
  if (!loaded) throw new Error(`program ${program} is not loaded`);
  const { segments, buffers } = loaded;
  buffers.begin(crossings);
  const values = new Map(Object.entries(feeds).map(([name, value]) => [name, toOrt(OrtTensor, value)]));
  const crossing = new Map(crossings.map((value) => [value.name, value]));
  const taken = new Map<string, Tensor>();
  const fetch = (name: string): OrtTensor | null => {
    const place = crossing.get(name);
    if (!place) return null;
    const value = buffers.take(place);
    taken.set(name, value);
    return toOrt(OrtTensor, value);
  };
  for (const [index, session] of segments.entries()) {
    if (Atomics.load(cancel, 0) === 1 || isEnding(guard)) throw new Error('cancelled');
    const inputs = Object.fromEntries(session.inputNames.map((name) => [name, found(values, name)]));
    const later = new Set(segments.slice(index + 1).flatMap((other) => other.inputNames));
    const wanted = session.outputNames.filter((name) => later.has(name) || outputs.includes(name));
    const results = await session.run(inputs, Object.fromEntries(wanted.map((name) => [name, fetch(name)])));
    for (const name of wanted) values.set(name, found(new Map(Object.entries(results)), name));
    // Drop values that no later segment reads.
    for (const name of values.keys()) {
      if (later.has(name) || outputs.includes(name)) continue;
      values.delete(name);
      const value = taken.get(name);
      if (value) buffers.giveBack(value);
    }
  }
  return Object.fromEntries(outputs.map((name) => [name, fromOrt(found(values, name))]));
}

function found(values: ReadonlyMap<string, OrtTensor>, name: string): OrtTensor {
  const value = values.get(name);
  if (!value) throw new Error(`the runtime has no value ${name}`);
  return value;
}

/** Elements of a tensor where it lies, in its own shape or flat. */
function viewOf(value: Tensor, { flat }: StatePlace): Tensor {
  if (!flat) return value;
  const { start, end } = flat;
  return { ...value, shape: [end - start], data: value.data.subarray(start, end) } as Tensor;
}

const overlaps = (a: StatePlace, b: StatePlace): boolean =>
  a.name === b.name && (!a.flat || !b.flat || (a.flat.start < b.flat.end && b.flat.start < a.flat.end));

/** One run on tensors of a state. An output is written directly to its place in the state, unless the program also reads that place; a returned output goes to new memory if its shape is known. */
async function runOnState(
  session: InferenceSession,
  state: Map<string, Tensor>,
  { feeds, inputs, outputs, wanted }: BoundRequest,
  inPlace: boolean,
): Promise<Record<string, Tensor>> {
  const view = (place: StatePlace): Tensor => {
    const value = state.get(place.name);
    if (!value) throw new Error(`the state has no tensor ${place.name}`);
    return viewOf(value, place);
  };
  const values: Record<string, OrtTensor> = Object.fromEntries(
    Object.entries(feeds).map(([name, value]) => [name, toOrt(OrtTensor, value)]),
  );
  for (const [input, place] of inputs) values[input] = toOrt(OrtTensor, view(place));
  const fresh = wanted.flatMap(({ name, dtype, shape }): [string, Tensor][] =>
    shape ? [[name, zeros(dtype, shape)]] : [],
  );
  const fetches: Record<string, OrtTensor | null> = Object.fromEntries(wanted.map(({ name }) => [name, null]));
  for (const [name, value] of fresh) fetches[name] = toOrt(OrtTensor, value);
  const read = new Map<string, StatePlace[]>();
  for (const [, place] of inputs) read.set(place.name, [...(read.get(place.name) ?? []), place]);
  for (const [output, place] of outputs) {
    const direct = inPlace || !read.get(place.name)?.some((other) => overlaps(place, other));
    fetches[output] = direct ? toOrt(OrtTensor, view(place)) : null;
  }
  if (session.outputNames.includes(endMark) && !Object.values(fetches).includes(null)) {
    await runToEndMark(session, values, fetches);
    return Object.fromEntries(fresh);
  }
  const results = await session.run(values, fetches);
  for (const [output, place] of outputs) {
    if (fetches[output] === null) view(place).data.set(results[output]?.data as never);
  }
  return Object.fromEntries(wanted.map(({ name }) => [name, fromOrt(found(new Map(Object.entries(results)), name))]));
}

async function runToEndMark(
  session: InferenceSession,
  values: Readonly<Record<string, OrtTensor>>,
  fetches: Readonly<Record<string, OrtTensor | null>>,
): Promise<void> {
  try {
    await session.run(values, { ...fetches, [endMark]: null });
  } catch (error) {
    if (!isEndMark(error)) throw error;
  }
}

async function runBound({
  program,
  state,
  runs,
  inPlace,
  cancel,
}: Extract<Request, { kind: 'run-bound' }>): Promise<Record<string, Tensor>[]> {
  const [session, ...more] = programs.get(program)?.segments ?? [];
  if (!session || more.length > 0) throw new Error(`program ${program} is not loaded, or has several segments`);
  const tensors = states.get(state) ?? new Map<string, Tensor>();
  const results: Record<string, Tensor>[] = [];
  for (const request of runs) {
    if (Atomics.load(cancel, 0) === 1 || isEnding(guard)) throw new Error('cancelled');
    results.push(await runOnState(session, tensors, request, inPlace));
  }
  return results;
}

function writeState({ state, tensors }: Extract<Request, { kind: 'write-state' }>): void {
  const entries = states.get(state) ?? new Map<string, Tensor>();
  states.set(state, entries);
  for (const [name, value] of Object.entries(tensors)) {
    const known = entries.get(name);
    if (known) known.data.set(value.data as never);
    else entries.set(name, value);
  }
}

function packState({ state, pack, length, members }: Extract<Request, { kind: 'pack-state' }>): void {
  const entries = states.get(state) ?? new Map<string, Tensor>();
  states.set(state, entries);
  const whole = new Float32Array(length);
  entries.set(pack, { dtype: 'float32', shape: [length], data: whole });
  for (const { name, shape, start } of members) {
    const data = whole.subarray(start, start + elementCount(shape));
    const known = entries.get(name);
    if (known) data.set(known.data as Float32Array);
    entries.set(name, { dtype: 'float32', shape, data });
  }
}

function readState({ state, names }: Extract<Request, { kind: 'read-state' }>): Record<string, Tensor> {
  const entries = states.get(state) ?? new Map<string, Tensor>();
  return Object.fromEntries(
    names.map((name) => {
      const value = entries.get(name);
      if (!value) throw new Error(`the state has no tensor ${name}`);
      return [name, { ...value, data: value.data.slice() } as Tensor];
    }),
  );
}

async function handle(request: Request): Promise<readonly Record<string, Tensor>[]> {
  switch (request.kind) {
    case 'weights': {
      arrived.set(request.program, [...(arrived.get(request.program) ?? []), request.buffer]);
      return [];
    }
    case 'compile': {
      await compile(request);
      return [];
    }
    case 'run':
      return [await run(request)];
    case 'run-bound':
      return runBound(request);
    case 'write-state': {
      writeState(request);
      return [];
    }
    case 'pack-state': {
      packState(request);
      return [];
    }
    case 'read-state':
      return [readState(request)];
    case 'remove-state': {
      for (const name of request.names) states.get(request.state)?.delete(name);
      return [];
    }
    case 'dispose-state': {
      states.delete(request.state);
      return [];
    }
    case 'dispose': {
      arrived.delete(request.program);
      const sessions = programs.get(request.program)?.segments ?? [];
      programs.delete(request.program);
      for (const session of sessions) await session.release();
      return [];
    }
    case 'end':
      return [];
  }
}

/** One request after the other: sessions share the processor anyway. */
let queue: Promise<void> = Promise.resolve();

parentPort?.on('message', ({ id, request }: RequestMessage) => {
  queue = queue.then(async () => {
    let response: ResponseMessage;
    const transfer: ArrayBuffer[] = [];
    try {
      if (!enter(guard)) throw new Error('the engine is stopping');
      const results = await handle(request).finally(() => leave(guard));
      for (const outputs of results)
        for (const value of Object.values(outputs)) transfer.push(value.data.buffer as ArrayBuffer);
      response = { id, results };
    } catch (error) {
      response = { id, error: error instanceof Error ? error.message : `error ${String(error)}` };
    }
    parentPort?.postMessage(response, [...new Set(transfer)]);
  });
});
