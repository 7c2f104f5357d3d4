/** Class labels as one context token (`ldm.modules.encoders.modules.ClassEmbedder`). */

import type { ClassEmbedderConfig } from '../config/network-config.ts';
import { dim } from '../graph/dim.ts';
import { reshape } from '../graph/functions.ts';
import type { Graph } from '../graph/graph.ts';
import type { Params, Sym } from '../graph/trace.ts';
import { embedding } from '../nn/embedding.ts';
import { need, type NetworkTraceOptions, traceNetwork } from './trace-network.ts';

/** labels int64 [b] → [b, 1, embed_dim]. */
export function classEmbedder(p: Params, config: ClassEmbedderConfig, labels: Sym): Sym {
  const [b = 1] = labels.shape;
  return embedding(p.at('embedding'), reshape(labels, [b, 1]), config.n_classes, config.embed_dim);
}

/** class int64 [batch] → out [batch, 1, embed_dim]. */
export function traceClassEmbedder(config: ClassEmbedderConfig, options?: NetworkTraceOptions): Graph {
  return traceNetwork(
    { class: { dtype: 'int64', shape: [dim('batch')] } },
    (p, given) => ({ out: classEmbedder(p, config, need(given, 'class')) }),
    options,
  );
}
