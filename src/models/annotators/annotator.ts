/** A network that finds structure in a picture (edges, lines, depth, poses), as read from its published file. */

import type { Graph } from '../../graph/graph.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import type { WeightEntry, WeightSource } from '../../weights/weight-source.ts';

export interface AnnotatorNetwork {
  readonly kind: string;
  /** What people call it. */
  readonly title: string;
  /** Under the names of its published file. */
  readonly weights: WeightSource;
  /** The graph for pictures of a size; its input is `x` [1, channels, h, w]. */
  readonly trace: (size: readonly [height: number, width: number]) => Graph;
}

/** One kind of annotator. */
export interface AnnotatorArchitecture {
  readonly kind: string;
  readonly title: string;
  /** File name under which it is published. */
  readonly file: string;
  /** Whether the tensors of a file are this network's. Of two networks with the same tensors the file's name decides. */
  readonly matches: (entries: ReadonlyMap<string, WeightEntry>, label: string) => boolean;
  readonly read: (source: WeightSource) => AnnotatorNetwork;
}

/** An annotator on an engine. */
export interface Annotator {
  readonly kind: string;
  /** Runs the graph on x [1, channels, h, w]: its outputs by name. */
  run(x: Tensor<'float32'>, signal?: AbortSignal): Promise<Readonly<Record<string, Tensor<'float32'>>>>;
}
