/** Gradients of whole networks against PyTorch's: loss, every parameter, and the inputs; also with activations of blocks calculated again. */

import {
  bertEmbedderConfigSchema,
  clipTextConfigSchema,
  klConfigSchema,
  unetConfigSchema,
  vqConfigSchema,
} from '../../../src/config/network-config.ts';
import { abs, add, cast, div, mean, mul, sub, sum } from '../../../src/graph/functions.ts';
import { gradients } from '../../../src/graph/gradients.ts';
import type { Params, Sym } from '../../../src/graph/trace.ts';
import { decodeKl, encodeKl, klDivergence, samplePosterior } from '../../../src/models/autoencoder-kl.ts';
import { decodeVq, encodeVq, quantize } from '../../../src/models/autoencoder-vq.ts';
import { bertEmbedder } from '../../../src/models/bert-embedder.ts';
import { clipText } from '../../../src/models/clip-text.ts';
import { unet } from '../../../src/models/unet.ts';
import type { Tensor } from '../../../src/tensor/tensor.ts';
import { blockOfModule } from '../../../src/training/step/checkpoint-blocks.ts';
import { runGraph, traceLike } from '../../graph/run-graph.ts';
import { collecting, type Comparisons } from '../comparisons.ts';
import { parityEngine } from '../engine.ts';
import type { IndexRow, Reader } from '../reader.ts';
import { compareOutputs, gradientNames, named, type TrainingCase, trainingCase } from '../training-case.ts';

const mse = (a: Sym, b: Sym): Sym => mean(mul(sub(a, b), sub(a, b)));
type Named = Readonly<Record<string, Sym>>;
const of = (symbols: Named, name: string): Sym => named(symbols, name);

interface Net {
  readonly network: (p: Params, inputs: Named, settings: Readonly<Record<string, unknown>>) => Record<string, Sym>;
  /** Name of a parameter in the network for its name in the recorded file. */
  readonly rename?: (name: string) => string;
}

const unetLoss: Net['network'] = (p, inputs, settings) => {
  const config = unetConfigSchema.parse({ kind: 'unet', ...settings });
  const y = unet(p, config, {
    x: of(inputs, 'x'),
    timesteps: cast(of(inputs, 't'), 'float32'),
    context: inputs['context'],
    y: inputs['label'],
  });
  return { y, loss: mse(y, of(inputs, 'target')) };
};

/** Networks by what the row exercises. */
const nets: readonly (readonly [RegExp, Net])[] = [
  [/^UNetModel/, { network: unetLoss }],
  [
    /^AutoencoderKL/,
    {
      network: (p, inputs, { kl_weight, ...settings }) => {
        const config = klConfigSchema.parse({ kind: 'kl', ...settings });
        const x = of(inputs, 'x');
        const posterior = encodeKl(p, config, x);
        const rec = decodeKl(p, config, samplePosterior(posterior, of(inputs, 'noise')));
        const [l1, kl] = [mean(abs(sub(x, rec))), div(sum(klDivergence(posterior)), Number(x.shape[0]))];
        return { moments: posterior.moments, rec, l1, kl, loss: add(l1, mul(kl, Number(kl_weight))) };
      },
    },
  ],
  [
    /^VQModel/,
    {
      network: (p, inputs, settings) => {
        const config = vqConfigSchema.parse({ kind: 'vq', ...settings });
        const x = of(inputs, 'x');
        const { quant, loss: qloss, indices } = quantize(p, config, encodeVq(p, config, x));
        const rec = decodeVq(p, config, quant);
        const l2 = mse(x, rec);
        return { rec, indices, qloss, l2, loss: add(l2, qloss) };
      },
    },
  ],
  [
    /^CLIP text/,
    {
      rename: (name) => `transformer.text_model.${name}`,
      network: (p, inputs, settings) => {
        const config = clipTextConfigSchema.parse({
          kind: 'clip_text',
          ...Object.fromEntries(Object.entries(settings).filter(([key]) => !/^(bos|pad)_token_id$/.test(key))),
        });
        const { lastHiddenState, pooled } = clipText(p, config, of(inputs, 'ids'));
        return {
          last_hidden_state: lastHiddenState,
          pooled,
          loss: add(mse(lastHiddenState, of(inputs, 'target')), mul(mse(pooled, of(inputs, 'target_pooled')), 0.5)),
        };
      },
    },
  ],
  [
    /BERTEmbedder/,
    {
      network: (p, inputs, { heads, dim_head, ...settings }) => {
        if (heads !== 8 || dim_head !== 64) throw new Error('the body has 8 heads of 64');
        const y = bertEmbedder(p, bertEmbedderConfigSchema.parse({ kind: 'bert', ...settings }), of(inputs, 'ids'));
        return { y, loss: mse(y, of(inputs, 'target')) };
      },
    },
  ],
];

const netOf = ({ exercises }: IndexRow): Net | undefined =>
  nets.find(([pattern]) => pattern.test(String(exercises)))?.[1];

export const reader: Reader = {
  set: 'training',
  reads: (row, part) => part === 'nets' && row['skipped'] === undefined && netOf(row) !== undefined,
  compare: collecting(async (recorded, compare) => {
    const one = trainingCase(recorded);
    const net = netOf(recorded.row);
    if (!net) throw new Error('an unknown network');
    for (const checkpointed of [false, true]) await compareGradients(one, net, checkpointed, compare);
  }),
};

async function compareGradients(
  one: TrainingCase,
  { network, rename = (name) => name }: Net,
  checkpointed: boolean,
  compare: Comparisons,
): Promise<void> {
  const inputs: Record<string, Tensor> = {};
  for (const [key, value] of one.tensors) if (key.startsWith('in.')) inputs[key.slice(3)] = value;
  const wrt = gradientNames(one).map((name) => (name.startsWith('in.') ? name.slice(3) : rename(name)));
  const forward = traceLike(inputs, (symbols, p) => network(p, symbols, one.settings));
  const graph = gradients(forward, 'loss', wrt, checkpointed ? { checkpoint: blockOfModule } : {});
  compare.exact(
    `blocks are ${checkpointed ? '' : 'not '}calculated again`,
    graph.nodes.some((node) => node.op === 'barrier'),
    checkpointed,
  );
  const weights = one.weights(one.weightsNames[0] ?? '');
  const renamed = new Map([...weights].map(([name, value]) => [rename(name), value]));
  const got = await runGraph(parityEngine(), graph, inputs, renamed);
  const find = (name: string): Tensor | undefined => {
    if (name.startsWith('grad.in.')) return got[`grad.${name.slice(8)}`];
    return got[name.startsWith('grad.') ? `grad.${rename(name.slice(5))}` : name];
  };
  // The margin between the two nearest codes only says how safe the choice of the indices is.
  compareOutputs(one, compare, find, { only: (name) => name !== 'margin' });
}
