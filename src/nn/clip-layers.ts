/** The transformer of CLIP under Hugging Face's names (`transformers` CLIPEncoder): pre-norm blocks, for text and for images. */

import { add, attention } from '../graph/functions.ts';
import type { Params, Sym } from '../graph/trace.ts';
import { type Activation, activations } from './activation.ts';
import { fixedSize } from './fixed-size.ts';
import { linearLayer } from './linear.ts';
import { layerNormLayer } from './norm.ts';

export interface ClipLayersConfig {
  readonly num_hidden_layers: number;
  readonly num_attention_heads: number;
  readonly intermediate_size: number;
  readonly hidden_act: Activation;
  readonly layer_norm_eps: number;
}

function clipLayer(p: Params, x: Sym, config: ClipLayersConfig, causal: boolean): Sym {
  const width = fixedSize(x, -1);
  return p.module(() => {
    const self = p.at('self_attn');
    const normed = layerNormLayer(p.at('layer_norm1'), x, config.layer_norm_eps);
    const attended = self.module(() => {
      const [q, k, v] = ['q_proj', 'k_proj', 'v_proj'].map((name) => linearLayer(self.at(name), normed, width)) as [
        Sym,
        Sym,
        Sym,
      ];
      return linearLayer(self.at('out_proj'), attention(q, k, v, { heads: config.num_attention_heads, causal }), width);
    });
    const h = add(x, attended);
    const mlp = p.at('mlp');
    const second = layerNormLayer(p.at('layer_norm2'), h, config.layer_norm_eps);
    return add(
      h,
      mlp.module(() =>
        linearLayer(
          mlp.at('fc2'),
          activations[config.hidden_act](linearLayer(mlp.at('fc1'), second, config.intermediate_size)),
          width,
        ),
      ),
    );
  });
}

/** x [b, tokens, width] → every hidden state: the input, then the output of each layer. */
export function clipLayers(
  p: Params,
  x: Sym,
  config: ClipLayersConfig,
  options: { readonly causal: boolean },
): readonly [Sym, ...Sym[]] {
  const states: [Sym, ...Sym[]] = [x];
  let h = x;
  for (let i = 0; i < config.num_hidden_layers; i++) {
    h = clipLayer(p.at('layers').at(i), h, config, options.causal);
    states.push(h);
  }
  return states;
}
