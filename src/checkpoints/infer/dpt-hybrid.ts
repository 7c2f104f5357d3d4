/** The sizes of MiDaS's `dpt_hybrid` from names and shapes. Heads of 64 channels leave no trace and are assumed. */

import { type DptHybridConfig, dptHybridConfigSchema } from '../../config/network-config.ts';
import { axis, countOf, type Entries, type Inferred, inferred } from './shapes.ts';

const what = 'depth network (dpt_hybrid)';
const vit = 'pretrained.model.';

export function isDptHybrid(entries: Entries): boolean {
  return entries.has(`${vit}patch_embed.backbone.stem.conv.weight`) && entries.has('scratch.layer1_rn.weight');
}

/** Throws `model-unknown`. */
export function inferDptHybrid(entries: Entries): Inferred<DptHybridConfig> {
  const stages = [0, 1, 2].map((stage) => `${vit}patch_embed.backbone.stages.${stage}.blocks.`);
  const width = axis(entries, `${vit}blocks.0.norm1.weight`, 1, 0, what);
  const layers = countOf(entries, `${vit}blocks.`, what);
  const heads = Math.max(1, Math.floor(width / 64));
  const config = inferred(
    dptHybridConfigSchema,
    {
      kind: 'dpt_hybrid',
      stem: axis(entries, `${vit}patch_embed.backbone.stem.conv.weight`, 4, 0, what),
      stage_widths: stages.map((stage) => axis(entries, `${stage}0.conv3.weight`, 4, 0, what)),
      stage_blocks: stages.map((stage) => countOf(entries, stage, what)),
      hidden_size: width,
      num_hidden_layers: layers,
      num_attention_heads: heads,
      intermediate_size: axis(entries, `${vit}blocks.0.mlp.fc1.weight`, 2, 0, what),
      grid: Math.round(Math.sqrt(axis(entries, `${vit}pos_embed`, 3, 1, what) - 1)),
      // Three quarters and the whole of the depth, as the published one.
      hooks: [Math.floor((3 * layers) / 4) - 1, layers - 1],
      features: axis(entries, 'scratch.layer1_rn.weight', 4, 0, what),
    },
    what,
  );
  return { config, assumed: [`num_attention_heads ${heads}`] };
}
