/**
 * The policy of segments: in how many parts a network is compiled, and on which way its weights reach the runtime. Large networks whose
 * weights must be converted, or pass through buffers, are packed a part at a time to save memory.
 */

import type { Graph } from '../graph/graph.ts';
import { partition } from '../graph/partition.ts';
import type { WeightSource } from '../weights/weight-source.ts';
import type { CompileOptions } from './engine.ts';
import { type MemoryFile, MemoryFolder } from './memory-folder-node.ts';
import { precisionOf } from './precision.ts';
import { readBuffers, wantedParameters, type WeightBuffer, type WeightPlan } from './weights.ts';

/**
 * Bytes of the next segment, where weights of `left` bytes are still to be packed.
 *
 * From files in memory the runtime takes each weight as it packs it: what is resident never exceeds the whole, once packed. Two segments:
 * each keeps working memory of its own, so that more of them would take more.
 */
const nextInMemory = (left: number, whole: number): number => Math.max(0.6 * left, 3 * whole);

/**
 * The same where weights pass through buffers or the runtime converts them: they are in memory two and a half times while their segment is
 * packed, so that a third of what is left stays below the whole, once packed. The last segments are small: they fill what copies before left free.
 */
const nextThroughBuffers = (left: number, whole: number): number => Math.max(left / 3, whole / 16);

export interface SegmentPolicy {
  /** Networks with more bytes of copied weights are packed in segments. */
  readonly packAtOnce: number;
  /** True if weights may go to the runtime in in-memory files. */
  readonly memoryFiles: boolean;
  /** True if the program must be one segment, because its outputs are written in place. */
  readonly whole: boolean;
}

export interface SegmentPlan {
  readonly segments: readonly Graph[];
  /** Folder in which weights are written for the runtime; the caller removes it. */
  readonly memory: MemoryFolder | undefined;
  /** True if the weights of the next segment may be read while the runtime packs those of the previous one. */
  readonly ahead: boolean;
}

export function planSegments(graph: Graph, plan: WeightPlan, policy: SegmentPolicy): SegmentPlan {
  const copied = [...plan.copied.values()].reduce((sum, bytes) => sum + bytes, 0);
  const whole = policy.whole || copied <= policy.packAtOnce;
  const memory = whole || !policy.memoryFiles ? undefined : MemoryFolder.make(copied);
  const next = memory ? nextInMemory : nextThroughBuffers;
  const segments = whole
    ? [graph]
    : partition(
        graph,
        (left) => next(left, policy.packAtOnce),
        ({ name }) => plan.copied.get(name) ?? 0,
      );
  // With in-memory files, only if the machine has memory to spare.
  return { segments, memory, ahead: !memory || process.availableMemory() > 2 * copied };
}

/** A segment with its weights: in a file in memory, or in buffers those that are not used in place. */
export interface ReadSegment {
  readonly segment: Graph;
  readonly buffers: readonly WeightBuffer[];
  readonly file?: MemoryFile;
}

/** The segments in order, each read when the caller is ready for it. */
export async function* readSegments(
  { segments, memory }: SegmentPlan,
  plan: WeightPlan,
  weights: WeightSource,
  options: CompileOptions,
): AsyncGenerator<ReadSegment> {
  const total = memory ? segments.length : plan.buffered.length;
  let done = 0;
  const progress = (): void => options.onProgress?.(Math.min(1, ++done / total));
  for (const segment of segments) {
    if (memory) {
      const wanted = wantedParameters(segment, precisionOf(options.precision));
      const file = await memory.write(wanted, weights, options.signal);
      progress();
      yield { segment, buffers: [], file };
      continue;
    }
    const names = new Set(segment.parameters.map(({ name }) => name));
    const wanted = plan.buffered.filter(({ name }) => names.has(name));
    const buffers: WeightBuffer[] = [];
    for await (const buffer of readBuffers(wanted, weights, options.signal)) {
      buffers.push(buffer);
      progress();
    }
    yield { segment, buffers };
  }
}
