/** Gradients of whole networks against PyTorch's: loss, every parameter, and the inputs. */

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import {
  bertEmbedderConfigSchema,
  clipTextConfigSchema,
  klConfigSchema,
  unetConfigSchema,
  vqConfigSchema,
} from '../../src/config/network-config.ts';
import { createNodeEngine } from '../../src/engine/node.ts';
import { abs, add, cast, div, mean, mul, sub, sum } from '../../src/graph/functions.ts';
import { gradients } from '../../src/graph/gradients.ts';
import type { Graph } from '../../src/graph/graph.ts';
import type { Params, Sym } from '../../src/graph/trace.ts';
import { decodeKl, encodeKl, klDivergence, samplePosterior } from '../../src/models/autoencoder-kl.ts';
import { decodeVq, encodeVq, quantize } from '../../src/models/autoencoder-vq.ts';
import { bertEmbedder } from '../../src/models/bert-embedder.ts';
import { clipText } from '../../src/models/clip-text.ts';
import { unet } from '../../src/models/unet.ts';
import { blockOfModule } from '../../src/training/step/checkpoint-blocks.ts';
import type { Tensor } from '../../src/tensor/tensor.ts';
import { type Inputs, type Network, runGraph, traceLike } from '../graph/run-graph.ts';
import { skipUnless } from '../reference.ts';
import { compareCase, readCase, type RecordedCase, readWeights } from './recorded-case.ts';

const engine = createNodeEngine({ threads: 2 });
after(() => engine.dispose());

const mse = (a: Sym, b: Sym): Sym => mean(mul(sub(a, b), sub(a, b)));
type Named = Readonly<Record<string, Sym>>;
const of = (named: Named, name: string): Sym => named[name] ?? assert.fail(`no input ${name}`);

interface Net {
  readonly network: (p: Params, inputs: Named, settings: RecordedCase['settings']) => Record<string, Sym>;
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

const nets: Readonly<Record<string, Net>> = {
  unet_spatial_transformer: { network: unetLoss },
  unet_adm: { network: unetLoss },
  autoencoder_kl: {
    network: (p, inputs, { kl_weight, ...settings }) => {
      const config = klConfigSchema.parse({ kind: 'kl', ...settings });
      const x = of(inputs, 'x');
      const posterior = encodeKl(p, config, x);
      const rec = decodeKl(p, config, samplePosterior(posterior, of(inputs, 'noise')));
      const [l1, kl] = [mean(abs(sub(x, rec))), div(sum(klDivergence(posterior)), Number(x.shape[0]))];
      return { moments: posterior.moments, rec, l1, kl, loss: add(l1, mul(kl, Number(kl_weight))) };
    },
  },
  vq_model: {
    network: (p, inputs, settings) => {
      const config = vqConfigSchema.parse({ kind: 'vq', ...settings });
      const x = of(inputs, 'x');
      const { quant, loss: qloss, indices } = quantize(p, config, encodeVq(p, config, x));
      const rec = decodeVq(p, config, quant);
      const l2 = mse(x, rec);
      return { rec, indices, qloss, l2, loss: add(l2, qloss) };
    },
  },
  clip_text: {
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
  bert_x_transformer: {
    network: (p, inputs, { heads, dim_head, ...settings }) => {
      assert.deepEqual([heads, dim_head], [8, 64]);
      const y = bertEmbedder(p, bertEmbedderConfigSchema.parse({ kind: 'bert', ...settings }), of(inputs, 'ids'));
      return { y, loss: mse(y, of(inputs, 'target')) };
    },
  },
};

/** The gradient graph of a case, its inputs, and the names of the recorded gradients. */
function differentiate(
  { network, rename = (name) => name }: Net,
  recorded: RecordedCase,
  checkpoint: boolean,
): { graph: Graph; inputs: Inputs } {
  const inputs: Record<string, Tensor> = {};
  for (const [key, value] of recorded.tensors) if (key.startsWith('in.')) inputs[key.slice(3)] = value;
  const build: Network = (named, p) => network(p, named, recorded.settings);
  const graph = traceLike(inputs, build);
  const wanted = Object.keys(recorded.tolerance).flatMap((key) =>
    key.startsWith('out.grad.') ? [key.slice('out.grad.'.length).replace('[::4]', '')] : [],
  );
  const wrt = wanted.map((name) => (name.startsWith('in.') ? name.slice(3) : rename(name)));
  return { graph: gradients(graph, 'loss', wrt, checkpoint ? { checkpoint: blockOfModule } : {}), inputs };
}

for (const [own, net] of Object.entries(nets)) {
  for (const checkpoint of [false, true]) {
    test(`${own}${checkpoint ? ', activations of blocks calculated again' : ''}`, {
      skip: skipUnless(`training/nets/${own}.safetensors`),
    }, async () => {
      const recorded = readCase(`nets/${own}`);
      const { graph, inputs } = differentiate(net, recorded, checkpoint);
      assert.equal(
        graph.nodes.some((node) => node.op === 'barrier'),
        checkpoint,
      );
      const rename = net.rename ?? ((name: string) => name);
      const weights = new Map([...readWeights(`nets/${own}`)].map(([name, value]) => [rename(name), value]));
      const got = await runGraph(engine, graph, inputs, weights);
      const find = (name: string): Tensor | undefined =>
        got[
          name.startsWith('grad.in.')
            ? `grad.${name.slice(8)}`
            : name.startsWith('grad.')
              ? `grad.${rename(name.slice(5))}`
              : name
        ];
      // The margin between the two nearest codes only says how safe the choice of the indices is.
      compareCase(checkpoint ? { ...recorded, name: `${recorded.name} (checkpointed)` } : recorded, find, {
        skip: (name) => name === 'margin',
      });
    });
  }
}
