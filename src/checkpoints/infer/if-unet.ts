/** The architecture of DeepFloyd IF's UNets under the original's names, from names and shapes. */

import { type IfUNetConfig, ifUNetConfigSchema } from '../../config/network-config.ts';
import {
  axis,
  countOf,
  type Entries,
  hasPrefix,
  type Inferred,
  inferred,
  multiple,
  shapeOf,
  unknown,
} from './shapes.ts';

const what = "DeepFloyd IF's UNet";

export const isIfUNetFile = (entries: Entries): boolean =>
  entries.has('encoder_pooling.1.positional_embedding') && entries.has('input_blocks.0.0.weight');

/** The levels of the first half: their width, residual blocks and whether they attend. */
function levelsOf(entries: Entries): { widths: number[]; counts: number[]; attends: boolean[] } {
  const count = countOf(entries, 'input_blocks.', what);
  const outputs = countOf(entries, 'output_blocks.', what);
  // A level ends with an upsampling block in the second half, which is the last module of its last block.
  const ends = Array.from({ length: outputs }, (_, i) => {
    const attends = entries.has(`output_blocks.${i}.1.encoder_kv.weight`);
    return entries.has(`output_blocks.${i}.${attends ? 2 : 1}.in_layers.0.weight`) ? i : -1;
  }).filter((i) => i >= 0);
  const sizes = [...ends, outputs - 1].map((end, i) => end - (ends[i - 1] ?? -1) - 1).toReversed();
  const [widths, counts, attends]: [number[], number[], boolean[]] = [[], [], []];
  let index = 1;
  for (const blocks of sizes) {
    if (blocks < 1 || index + blocks > count) throw unknown(what, 'its two halves do not mirror each other');
    widths.push(axis(entries, `input_blocks.${index}.0.in_layers.2.weight`, 4, 0, what));
    counts.push(blocks);
    attends.push(entries.has(`input_blocks.${index}.1.encoder_kv.weight`));
    index += blocks + 1;
  }
  return { widths, counts, attends };
}

/** Width of heads, heads of the pooling and the activation leave no trace: those of the published stages. */
export function inferIfUNet(entries: Entries): Inferred<IfUNetConfig> {
  const { widths, counts, attends } = levelsOf(entries);
  const [first = 0] = widths;
  const isLater = hasPrefix(entries, 'aug_proj.');
  const [queries = 0, channels = 1] = shapeOf(entries, 'middle_block.1.qkv.weight', 3, what);
  const [out, encoder = 1] = shapeOf(entries, 'encoder_proj.weight', 2, what);
  const headWidth = widths.every((width) => width % 64 === 0) ? 64 : first;
  const poolHeads = encoder % 64 === 0 ? 64 : 1;
  const config = inferred(
    ifUNetConfigSchema,
    {
      kind: 'if_unet',
      image_size: isLater ? 256 : 64,
      in_channels: axis(entries, 'input_blocks.0.0.weight', 4, 1, what),
      out_channels: axis(entries, 'out.2.weight', 4, 0, what),
      model_channels: first,
      channel_mult: widths.map((width) => multiple(width, first, what)),
      num_res_blocks: counts,
      attention_resolutions: attends.flatMap((value, level) => (value ? [2 ** level] : [])),
      num_head_channels: headWidth,
      encoder_dim: encoder,
      encoder_channels: out,
      att_pool_heads: poolHeads,
      time_embed_dim: axis(entries, 'time_embed.2.weight', 2, 0, what),
      use_scale_shift_norm:
        axis(entries, 'input_blocks.1.0.emb_layers.1.weight', 2, 0, what) ===
        2 * axis(entries, 'input_blocks.1.0.in_layers.2.weight', 4, 0, what),
      disable_self_attentions: queries === channels,
      output_scale: isLater ? 10_000 / 7071 : 1,
      noise_level: isLater,
    },
    what,
  );
  return {
    config,
    assumed: [
      `num_head_channels ${headWidth}`,
      `att_pool_heads ${poolHeads}`,
      'activation gelu',
      `output_scale ${isLater ? '10_000 / 7071' : 1}`,
    ],
  };
}
