/** WorkflowMaker: what a worker needs to run workflows: nodes, and for each caller its files and the values kept from its last run. */

import { AsyncLocalStorage } from 'node:async_hooks';
import type { Engine } from '../../engine/engine.ts';
import { nodeImageCodec } from '../../image/codec/codec-node.ts';
import type { NamedNetwork } from '../../model/network-set.ts';
import type { NetworkInputs } from '../../tensor/batches.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import { WorkflowCache } from '../../workflow/cache.ts';
import type { WorkflowContext, WorkflowFiles } from '../../workflow/context.ts';
import { type NetworkCall, NetworkPool } from '../../workflow/network-pool.ts';
import type { NodeTable, RunApart } from '../../workflow/definition.ts';
import { nodes as ownNodes } from '../../workflow/nodes/index.ts';
import type { PicturePool } from '../pictures/picture-pool.ts';
import { createNodeThreads } from './node-thread.ts';

/** Waits until the engine is free for the caller; the result gives it back. */
export type EngineTurn = (signal: AbortSignal | undefined) => Promise<() => void>;

export interface WorkflowMaker {
  readonly nodes: NodeTable;
  /** Bytes that the values of one run may hold at the same time. */
  readonly memory: number;
  /** Large nodes run in threads. */
  readonly apart: RunApart;
  contextOf(owner: string): WorkflowContext;
  /** The values kept from the caller's last run. Another run of the caller at the same time begins without any. */
  takeCache(owner: string): { readonly cache: WorkflowCache; release(): void };
  /** Does the work; every network that it runs waits for its turn. */
  inTurns<T>(turn: EngineTurn, work: () => Promise<T>): Promise<T>;
  /** Forgets the values kept for a caller, and frees networks that are not running. */
  free(owner: string): Promise<void>;
  close(): Promise<void>;
}

export interface WorkflowMakerOptions {
  readonly engine: Engine;
  readonly nodes: NodeTable;
  readonly filesOf: (owner: string) => WorkflowFiles;
  /** Pictures of callers. */
  readonly pictures: PicturePool;
  /** Bytes that the values of one run may hold at the same time. */
  readonly memory: number;
  /** Seconds for one node that computes in a thread. */
  readonly nodeSeconds: number;
}

/** Callers whose values are kept, and bytes of each. */
const kept = { callers: 4, bytes: 2 ** 27 };
/** Threads for nodes that compute. */
const nodeThreads = 2;

/** Networks whose runs take turns with the jobs of other callers. */
class TurnedNetworks extends NetworkPool {
  readonly #turns: AsyncLocalStorage<EngineTurn>;

  constructor(engine: Engine, turns: AsyncLocalStorage<EngineTurn>) {
    super(engine);
    this.#turns = turns;
  }

  override async run(
    network: NamedNetwork,
    call: NetworkCall,
    inputs: NetworkInputs,
    signal?: AbortSignal,
  ): Promise<Readonly<Record<string, Tensor>>> {
    const end = await this.#turns.getStore()?.(signal);
    try {
      return await super.run(network, call, inputs, signal);
    } finally {
      end?.();
    }
  }
}

export function createWorkflowMaker(options: WorkflowMakerOptions): WorkflowMaker {
  const { engine, nodes, filesOf, pictures, memory, nodeSeconds } = options;
  const threads = createNodeThreads({ together: nodeThreads, seconds: nodeSeconds });
  const neverAborted = new AbortController().signal;
  const turns = new AsyncLocalStorage<EngineTurn>();
  const networks = new TurnedNetworks(engine, turns);
  const caches = new Map<string, WorkflowCache>();
  const inUse = new Set<string>();
  return {
    nodes,
    memory,
    apart: (type, inputs, signal) =>
      ownNodes.get(type.name) === type ? threads.run(type.name, inputs, signal) : undefined,
    contextOf: (owner) => ({
      files: filesOf(owner),
      networks,
      codec: nodeImageCodec,
      decodeFrames: (bytes) => pictures.run('frames', { bytes }, { owner, signal: neverAborted }),
      now: () => new Date(),
    }),
    takeCache(owner) {
      if (inUse.has(owner)) return { cache: new WorkflowCache(kept.bytes), release: () => {} };
      const cache = caches.get(owner) ?? new WorkflowCache(kept.bytes);
      // Moves to the end: the map is in the order of use.
      caches.delete(owner);
      caches.set(owner, cache);
      inUse.add(owner);
      for (const other of caches.keys()) if (caches.size > kept.callers && !inUse.has(other)) caches.delete(other);
      return { cache, release: () => void inUse.delete(owner) };
    },
    inTurns: (turn, work) => turns.run(turn, work),
    async free(owner) {
      caches.delete(owner);
      await networks.free();
    },
    async close() {
      caches.clear();
      await threads.close();
      await networks.dispose();
    },
  };
}
