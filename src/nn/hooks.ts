/**
 * Where something from outside can enter a UNet (`extensions/`). Each hook takes a value of the network and returns what goes on in its
 * place; a network without hooks is the original.
 */

import type { Pads } from '../graph/operations.ts';
import type { Params, Sym } from '../graph/trace.ts';

/** One cross-attention of the network. */
export interface CrossAttentionSite {
  /** The attention's own parameters, `….attn2`: further parameters of an extension are declared here. */
  readonly p: Params;
  /** Queries [b, n, heads · width]. */
  readonly query: Sym;
  readonly heads: number;
  /** Level of the network, from 0; the middle block is of the last one. */
  readonly level: number;
}

export interface UNetHooks {
  /** The output of the input convolution, [b, c, h, w]; also the first skip connection. */
  readonly afterInput?: ((h: Sym) => Sym) | undefined;
  /** The output of the last residual block, with its attention, of a level, before downsampling; also a skip connection. */
  readonly afterLevel?: ((h: Sym, level: number) => Sym) | undefined;
  /** The output of the middle block. */
  readonly middle?: ((h: Sym) => Sym) | undefined;
  /** The skip connection of input block `index`, before it is joined in the second half. */
  readonly skip?: ((h: Sym, index: number) => Sym) | undefined;
  /** What cross-attention gathered, [b, n, heads · width], before the output projection. */
  readonly crossAttention?: ((attended: Sym, site: CrossAttentionSite) => Sym) | undefined;
  /** The padding of a convolution: x and pads → x padded. By default with zeros. */
  readonly padding?: ((x: Sym, pads: Pads) => Sym) | undefined;
  /** Around a whole block, `input_blocks.N`, `middle_block` or `output_blocks.N`: `run` makes its output. */
  readonly block?: ((path: string, run: () => Sym) => Sym) | undefined;
}

/** Several hooks as one: each acts on what the one before it returned; the first wraps a block outermost. */
export function joinHooks(all: readonly UNetHooks[]): UNetHooks {
  const through = <H>(
    pick: (hooks: UNetHooks) => ((h: Sym, more: H) => Sym) | undefined,
  ): ((h: Sym, more: H) => Sym) | undefined => {
    const some = all.flatMap((hooks) => pick(hooks) ?? []);
    return some.length === 0 ? undefined : (h, more) => some.reduce((value, hook) => hook(value, more), h);
  };
  const blocks = all.flatMap(({ block }) => block ?? []);
  const paddings = all.flatMap(({ padding }) => padding ?? []);
  return {
    afterInput: through<void>(({ afterInput }) => afterInput),
    afterLevel: through<number>(({ afterLevel }) => afterLevel),
    middle: through<void>(({ middle }) => middle),
    skip: through<number>(({ skip }) => skip),
    crossAttention: through<CrossAttentionSite>(({ crossAttention }) => crossAttention),
    padding: paddings[0],
    block:
      blocks.length === 0
        ? undefined
        : (path, run) => blocks.reduceRight<() => Sym>((inner, block) => () => block(path, inner), run)(),
  };
}
