/** LDM's BERT encoder as diffusers has it (`LDMBertModel`, b) ⇄ x-transformers' names (`BERTEmbedder`, a). */

import type { BertEmbedderConfig } from '../../config/network-config.ts';
import { layer, type NameMap, type NameRow } from '../rename.ts';

export const ldmBertMark = 'model.embed_tokens.weight';

export function ldmBertMap({ n_layer: count }: Pick<BertEmbedderConfig, 'n_layer'>): NameMap {
  const layers = Array.from({ length: count }, (_, i): NameRow[] => {
    const [attention, forward] = [2 * i, 2 * i + 1].map((at) => `transformer.attn_layers.layers.${at}`) as [
      string,
      string,
    ];
    const own = `model.layers.${i}`;
    return [
      ...layer(`${attention}.0`, `${own}.self_attn_layer_norm`),
      ...(['q', 'k', 'v'] as const).map((name) => ({
        a: `${attention}.1.to_${name}.weight`,
        b: `${own}.self_attn.${name}_proj.weight`,
      })),
      ...layer(`${attention}.1.to_out`, `${own}.self_attn.out_proj`),
      ...layer(`${forward}.0`, `${own}.final_layer_norm`),
      ...layer(`${forward}.1.net.0.0`, `${own}.fc1`),
      ...layer(`${forward}.1.net.2`, `${own}.fc2`),
    ];
  });
  return {
    a: 'compvis',
    b: 'diffusers',
    rows: [
      { a: 'transformer.token_emb.weight', b: ldmBertMark },
      { a: 'transformer.pos_emb.emb.weight', b: 'model.embed_positions.weight' },
      ...layers.flat(),
      ...layer('transformer.norm', 'model.layer_norm'),
      ...layer('transformer.to_logits', 'to_logits'),
    ],
  };
}
