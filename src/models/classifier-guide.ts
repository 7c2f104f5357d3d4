/**
 * The gradient of a classifier of noisy pictures with respect to the pictures, as a graph: Dhariwal and Nichol 2021 (arXiv 2105.05233), section
 * 4. As guided-diffusion's `cond_fn`, of the sum over the batch of the log-probability of each picture's class.
 */

import type { EncoderUNetConfig } from '../config/network-config.ts';
import { dim } from '../graph/dim.ts';
import { exp, log, max, mul, oneHot, sub, sum } from '../graph/functions.ts';
import { gradients } from '../graph/gradients.ts';
import type { Graph } from '../graph/graph.ts';
import { type Sym, trace } from '../graph/trace.ts';
import { encoderUNet } from './encoder-unet.ts';

/** log(softmax(x)) over the last axis. */
export function logSoftmax(x: Sym): Sym {
  const shifted = sub(x, max(x, [-1], { keepDims: true }));
  return sub(shifted, log(sum(exp(shifted), [-1], { keepDims: true })));
}

/** x [batch, c, side, side], timesteps float32 [batch], y int64 [batch] → logits, log_probs, and grad.x of the sum of the classes' log-probabilities. */
export function traceClassifierGuide(config: EncoderUNetConfig): Graph {
  const side = typeof config.image_size === 'number' ? config.image_size : (config.image_size[0] ?? 0);
  const batch = dim('batch');
  const graph = trace(
    {
      x: { dtype: 'float32', shape: [batch, config.in_channels, side, side] },
      timesteps: { dtype: 'float32', shape: [batch] },
      y: { dtype: 'int64', shape: [batch] },
    },
    ({ x, timesteps, y }, p) => {
      const logits = encoderUNet(p, config, { x, timesteps });
      const logProbs = logSoftmax(logits);
      return { logits, log_probs: logProbs, loss: sum(mul(logProbs, oneHot(y, config.out_channels))) };
    },
  );
  return gradients(graph, 'loss', ['x']);
}
