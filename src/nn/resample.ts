/** Down- and upsampling by two, of the UNet (`openaimodel.Downsample`, `Upsample`) and of the autoencoder (`model.Downsample`, `Upsample`). */

import { avgPool, slice, upsampleNearest } from '../graph/functions.ts';
import type { Params, Sym } from '../graph/trace.ts';
import { convLayer } from './conv.ts';
import { fixedSize } from './fixed-size.ts';
import type { UNetHooks } from './hooks.ts';
import { nearestMatrix, resizeBy } from './resize-matrix.ts';

/** Mean of 2x2 pixels; an odd last row or column is dropped. */
export function averageHalf(x: Sym): Sym {
  return avgPool(x, { kernel: 2 });
}

/** Nearest-neighbour doubling. */
export function double(x: Sym): Sym {
  return upsampleNearest(x, 2);
}

/** The UNet's: a 3x3 convolution `op` of stride 2 padded by 1 on all sides, or averaging without parameters. */
export function unetDownsample(p: Params, x: Sym, learned: boolean, pad?: UNetHooks['padding']): Sym {
  return p.module(() =>
    learned ? convLayer(p.at('op'), x, fixedSize(x, 1), { kernel: 3, stride: 2, pad }) : averageHalf(x),
  );
}

/** The autoencoder's: a 3x3 convolution `conv` of stride 2 padded by 1 on the right and the bottom only, or averaging. */
export function autoencoderDownsample(p: Params, x: Sym, learned: boolean): Sym {
  return p.module(() =>
    learned
      ? convLayer(p.at('conv'), x, fixedSize(x, 1), { kernel: 3, stride: 2, padding: [0, 0, 1, 1] })
      : averageHalf(x),
  );
}

export interface UpsampleOptions {
  readonly pad?: UNetHooks['padding'];
  /** A tensor whose height and width the result has, where they are known. */
  readonly like?: Sym | undefined;
}

/** Nearest-neighbour doubling, or to the sides of `like` where those are known and others. */
function doubledLike(x: Sym, like: Sym | undefined): Sym {
  const [from, to] = [x.shape.slice(2), like?.shape.slice(2) ?? []].map((sides) =>
    sides.every((side) => typeof side === 'number') ? sides : [],
  ) as [number[], number[]];
  const [height = 0, width = 0] = from;
  const [rows = 0, columns = 0] = to;
  if (from.length === 0 || to.length === 0 || (rows === 2 * height && columns === 2 * width)) return double(x);
  if (rows <= 2 * height && columns <= 2 * width && rows >= 2 * height - 1 && columns >= 2 * width - 1)
    return slice(slice(double(x), 2, 0, rows), 3, 0, columns);
  return resizeBy(x, nearestMatrix(height, rows), nearestMatrix(width, columns));
}

/** Doubling and then, if learned, a 3x3 convolution `conv`. */
export function upsample(p: Params, x: Sym, learned: boolean, { pad, like }: UpsampleOptions = {}): Sym {
  return p.module(() => {
    const doubled = doubledLike(x, like);
    return learned ? convLayer(p.at('conv'), doubled, fixedSize(x, 1), { kernel: 3, pad }) : doubled;
  });
}
