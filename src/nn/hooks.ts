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

/** One attention of a transformer block. */
export interface AttentionSite {
  readonly kind: 'self' | 'cross';
  /** The attention's own parameters, `….attn1` or `….attn2`. */
  readonly p: Params;
  readonly heads: number;
  /** Where the block lies: level of the network from 0 (the largest image), and which half. The middle is of the last level. */
  readonly level: number;
  readonly part: 'down' | 'middle' | 'up';
}

/** One of the three parts of a transformer block: self-attention, cross-attention, feed-forward. */
export interface TokensSite {
  readonly kind: 'self' | 'cross' | 'feed-forward';
  /** The input of the block [b, h·w, c], before its norm. */
  readonly block: Sym;
  /** The block's own parameters, `….transformer_blocks.N`: further parameters of an extension are declared here. */
  readonly p: Params;
  readonly heads: number;
  /** The image that the tokens are, [b, c, h, w]. */
  readonly image: Sym;
  readonly level: number;
}

/** Queries, keys and values of an attention to what it gathers. */
export type Attend = (q: Sym, k: Sym, v: Sym) => Sym;

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
  /** The context that an attention makes its keys or its values from, [b, m, width]. */
  readonly attentionContext?: ((context: Sym, role: 'key' | 'value', site: AttentionSite) => Sym) | undefined;
  /** Around an attention: `attend` gathers. */
  readonly attend?: ((attend: Attend, site: AttentionSite) => Attend) | undefined;
  /** Around a part of a transformer block: normed tokens [b, n, c] to what is added to them; `run` makes it. */
  readonly tokens?: ((normed: Sym, run: (tokens: Sym) => Sym, site: TokensSite) => Sym) | undefined;
  /** Around the queries of a self-attention: normed tokens [b, n, c] to what it gives them; `run` takes other tokens in place of the queries alone. */
  readonly queries?: ((normed: Sym, run: (queries: Sym) => Sym, site: TokensSite) => Sym) | undefined;
  /** What goes on from input block `index`, while its output stays the skip connection. */
  readonly afterSkip?: ((h: Sym, index: number) => Sym) | undefined;
  /** The two values that an output block joins, from level `level`. */
  readonly join?: ((h: Sym, skip: Sym, level: number) => readonly [h: Sym, skip: Sym]) | undefined;
  /** Further outputs of the graph, asked for once the network has been traced. */
  readonly outputs?: (() => Readonly<Record<string, Sym>>) | undefined;
  /** The padding of a convolution: x and pads → x padded. By default with zeros. */
  readonly padding?: ((x: Sym, pads: Pads) => Sym) | undefined;
  /** Around a whole block, `input_blocks.N`, `middle_block` or `output_blocks.N`: `run` makes its output. */
  readonly block?: ((path: string, run: () => Sym) => Sym) | undefined;
}

type AroundTokens = NonNullable<UNetHooks['tokens']>;

/** Hooks around a part, the first outermost. */
function wrapped(all: readonly AroundTokens[]): AroundTokens | undefined {
  if (all.length === 0) return undefined;
  return (normed, run, site) =>
    all.reduceRight<(tokens: Sym) => Sym>((inner, hook) => (tokens) => hook(tokens, inner, site), run)(normed);
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
  const attends = all.flatMap(({ attend }) => attend ?? []);
  const around = all.flatMap(({ tokens }) => tokens ?? []);
  const asking = all.flatMap(({ queries }) => queries ?? []);
  const joins = all.flatMap(({ join }) => join ?? []);
  const contexts = all.flatMap(({ attentionContext }) => attentionContext ?? []);
  const outputs = all.flatMap(({ outputs: further }) => further ?? []);
  const paddings = all.flatMap(({ padding }) => padding ?? []);
  return {
    afterInput: through<void>(({ afterInput }) => afterInput),
    afterLevel: through<number>(({ afterLevel }) => afterLevel),
    middle: through<void>(({ middle }) => middle),
    skip: through<number>(({ skip }) => skip),
    crossAttention: through<CrossAttentionSite>(({ crossAttention }) => crossAttention),
    attentionContext:
      contexts.length === 0
        ? undefined
        : (context, role, site) => contexts.reduce((value, hook) => hook(value, role, site), context),
    attend:
      attends.length === 0
        ? undefined
        : (attend, site) => attends.reduceRight((inner, hook) => hook(inner, site), attend),
    tokens: wrapped(around),
    queries: wrapped(asking),
    afterSkip: through<number>(({ afterSkip }) => afterSkip),
    join:
      joins.length === 0
        ? undefined
        : (h, skip, level) =>
            joins.reduce<readonly [Sym, Sym]>(([value, side], hook) => hook(value, side, level), [h, skip]),
    outputs: outputs.length === 0 ? undefined : () => Object.assign({}, ...outputs.map((further) => further())),
    padding: paddings[0],
    block:
      blocks.length === 0
        ? undefined
        : (path, run) => blocks.reduceRight<() => Sym>((inner, block) => () => block(path, inner), run)(),
  };
}
