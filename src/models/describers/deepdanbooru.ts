/**
 * DeepDanbooru (github.com/KichangKim/DeepDanbooru, `resnet_custom_v3`): which of Danbooru's tags a drawn picture has. A residual network whose
 * batch norms are folded into its convolutions, as A1111 converted it: `model-resnet_custom_v3.pt`, with the names of the tags in it.
 */

import { add, maxPool, mean, relu, sigmoid } from '../../graph/functions.ts';
import type { Params, Sym } from '../../graph/trace.ts';
import { type Entries, shapeOf, unknown } from '../../checkpoints/infer/shapes.ts';
import { StableDiffusionError } from '../../errors.ts';
import { convLayer } from '../../nn/conv.ts';
import type { WeightSource } from '../../weights/weight-source.ts';
import { need, traceNetwork } from '../trace-network.ts';
import type { TaggerNetwork } from './describer.ts';

const title = 'DeepDanbooru';

/** A convolution as its weights tell: channels in and out, and the kernel's side. */
interface ConvShape {
  readonly from: number;
  readonly out: number;
  readonly kernel: number;
}

/** Numbers of the three convolutions of a residual unit, and of that on its shortcut. */
interface Unit {
  readonly first: number;
  readonly shortcut?: number;
  readonly halves: boolean;
}

const nameOf = (number: number): string => `n_Conv_${number}`;

function convShapes(entries: Entries): ConvShape[] {
  const shapes: ConvShape[] = [];
  while (entries.has(`${nameOf(shapes.length)}.weight`)) {
    const [out = 0, from = 0, kernel = 0] = shapeOf(entries, `${nameOf(shapes.length)}.weight`, 4, title);
    shapes.push({ from, out, kernel });
  }
  return shapes;
}

/**
 * The units between the first convolution and the last. A unit is a narrow convolution, one of 3 x 3 and a wide one. Where its shortcut has a
 * convolution, that stands before them, or behind them where it leaves the channels as they are; such a unit halves the image, but the first does not.
 */
function unitsOf(shapes: readonly ConvShape[]): Unit[] {
  const units: Unit[] = [];
  const last = shapes.length - 1;
  const isPointwise = (i: number): boolean => i < last && shapes[i]?.kernel === 1;
  for (let i = 1; i < last; ) {
    const before = isPointwise(i) && isPointwise(i + 1);
    const first = before ? i + 1 : i;
    const isUnit = isPointwise(first) && shapes[first + 1]?.kernel === 3 && isPointwise(first + 2);
    if (!isUnit) throw unknown(title, `${nameOf(i)} begins no residual unit`);
    const wide = shapes[first + 2]?.out;
    const next = shapes[first + 3];
    const behind =
      !before && isPointwise(first + 3) && isPointwise(first + 4) && next?.from === wide && next?.out === wide;
    units.push({
      first,
      halves: (before || behind) && units.length > 0,
      ...(before ? { shortcut: i } : behind ? { shortcut: first + 3 } : {}),
    });
    i = first + (behind ? 4 : 3);
  }
  return units;
}

/** TensorFlow's `SAME` for an even size and a stride of 2: more at the bottom and the right. */
const halving = { kernel: 3, stride: 2, padding: [0, 0, 1, 1] } as const;

function residual(p: Params, x: Sym, { first, shortcut, halves }: Unit, shapes: readonly ConvShape[]): Sym {
  const conv = (i: number, input: Sym, stride = 1): Sym => {
    const { out, kernel } = shapes[i] as ConvShape;
    return convLayer(p.at(nameOf(i)), input, out, kernel === 3 && stride === 2 ? halving : { kernel, stride });
  };
  const stride = halves ? 2 : 1;
  const made = conv(first + 2, relu(conv(first + 1, relu(conv(first, x)), stride)));
  return relu(add(made, shortcut === undefined ? x : conv(shortcut, x, stride)));
}

/** x [1, 3, side, side] in [0, 1] → [1, tags]. */
function deepDanbooru(p: Params, x: Sym, shapes: readonly ConvShape[]): Sym {
  const [stem, head] = [shapes[0], shapes.at(-1)] as [ConvShape, ConvShape];
  const begun = convLayer(p.at(nameOf(0)), x, stem.out, { kernel: stem.kernel, stride: 2, padding: [2, 2, 3, 3] });
  let h = maxPool(relu(begun), halving);
  for (const unit of unitsOf(shapes)) h = residual(p, h, unit, shapes);
  const maps = convLayer(p.at(nameOf(shapes.length - 1)), h, head.out, { kernel: 1, bias: false });
  return sigmoid(mean(maps, [2, 3]));
}

export const isDeepDanbooru = (entries: Entries): boolean =>
  entries.has('n_Conv_0.weight') && entries.has('n_Conv_1.weight') && entries.get('n_Conv_0.weight')?.shape[1] === 3;

/** Throws `model-unknown`, and `weights-mismatch` for a file without one name for each tag. */
export function readDeepDanbooru(weights: WeightSource): TaggerNetwork {
  const side = 512;
  const shapes = convShapes(weights.entries);
  unitsOf(shapes);
  const count = shapes.at(-1)?.out ?? 0;
  const found = weights.metadata?.get('tags');
  const tags = Array.isArray(found) ? found.filter((tag) => typeof tag === 'string') : [];
  if (tags.length !== count)
    throw new StableDiffusionError(
      'weights-mismatch',
      `${weights.label} has ${count} scores of DeepDanbooru and the names of ${tags.length} tags. Get model-resnet_custom_v3.pt of TorchDeepDanbooru, which has both.`,
    );
  return {
    kind: 'tagger',
    title,
    weights,
    tags,
    side,
    trace: () =>
      traceNetwork({ x: { dtype: 'float32', shape: [1, 3, side, side] } }, (p, given) => ({
        scores: deepDanbooru(p, need(given, 'x'), shapes),
      })),
  };
}
