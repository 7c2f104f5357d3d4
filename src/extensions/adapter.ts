/** Adds a T2I-Adapter's features to the UNet after each level (Mou et al. 2023, arXiv 2302.08453). */

import type { T2IAdapterConfig, UNetConfig } from '../config/network-config.ts';
import { dim } from '../graph/dim.ts';
import { add } from '../graph/functions.ts';
import type { InputSpec, Sym } from '../graph/trace.ts';
import type { Extension } from './extension.ts';

const input = (
  channels: number,
  sides: readonly [InputSpec['shape'][number], InputSpec['shape'][number]],
): InputSpec => ({
  dtype: 'float32',
  shape: [dim('batch'), channels, ...sides],
});
const widthsOf = ({ channel_mult, model_channels }: UNetConfig): number[] =>
  channel_mult.map((mult) => mult * model_channels);

/** Inputs `adapter.0` …: float32 [batch, channels, h, w] of each level. */
const adapter: Extension = {
  name: 'adapter',
  inputs: (config, sides) =>
    Object.fromEntries(widthsOf(config).map((width, level) => [`adapter.${level}`, input(width, sides(level))])),
  hooks: (_, given) => ({ afterLevel: (h, level) => add(h, given[`adapter.${level}`] as Sym) }),
};

/** The input block that halves after the first level. */
function firstHalving({ num_res_blocks: count }: UNetConfig): string {
  return `input_blocks.${(typeof count === 'number' ? count : (count[0] ?? 0)) + 1}`;
}

/**
 * SDXL's: the first features are added where the first level has been halved, those of the other levels after them, and one more after the
 * middle block (diffusers `UNet2DConditionModel` with `full_adapter_xl`; ComfyUI's `Adapter` with `xl`).
 */
const adapterXl: Extension = {
  name: 'adapter-xl',
  inputs(config, sides) {
    const widths = widthsOf(config);
    const last = widths.length - 1;
    return Object.fromEntries(
      [...widths, widths[last] ?? 1].map((width, i) => [
        `adapter.${i}`,
        input(width, sides(Math.min(Math.max(i, 1), last))),
      ]),
    );
  },
  hooks(config, given) {
    const features = (i: number): Sym => given[`adapter.${i}`] as Sym;
    const first = firstHalving(config);
    return {
      block: (path, run) => (path === first ? add(run(), features(0)) : run()),
      afterLevel: (h, level) => (level === 0 ? h : add(h, features(level))),
      middle: (h) => add(h, features(config.channel_mult.length)),
    };
  },
};

/** Where an adapter's features enter the UNet. */
export function adapterExtension({ adapter_type }: Pick<T2IAdapterConfig, 'adapter_type'>): Extension {
  return adapter_type === 'full_xl' ? adapterXl : adapter;
}

/** Pixels of an adapter's picture along one element of the latent: SDXL's begins at half of the latent's sides. */
export function pixelsPerLatent({ adapter_type, downscale_factor: factor }: T2IAdapterConfig): number {
  return adapter_type === 'full_xl' ? factor / 2 : factor;
}
