/** Down- and upsampling by two, of the UNet (`openaimodel.Downsample`, `Upsample`) and of the autoencoder (`model.Downsample`, `Upsample`). */

import { avgPool, slice, upsampleNearest } from '../graph/functions.ts';
import type { Params, Sym } from '../graph/trace.ts';
import { convLayer } from './conv.ts';
import { fixedSize } from './fixed-size.ts';
import type { UNetHooks } from './hooks.ts';

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
  /** A tensor whose height and width the result has: of an odd side one less than the double. */
  readonly like?: Sym | undefined;
}

/** x without its last row and column where those of `like` are fewer. */
function cutLike(x: Sym, like: Sym | undefined): Sym {
  return [2, 3].reduce((value, axis) => {
    const [own, wanted] = [value.shape[axis], like?.shape[axis]];
    return typeof own === 'number' && typeof wanted === 'number' && wanted < own
      ? slice(value, axis, 0, wanted)
      : value;
  }, x);
}

/** Doubling and then, if learned, a 3x3 convolution `conv`. */
export function upsample(p: Params, x: Sym, learned: boolean, { pad, like }: UpsampleOptions = {}): Sym {
  return p.module(() => {
    const doubled = cutLike(double(x), like);
    return learned ? convLayer(p.at('conv'), doubled, fixedSize(x, 1), { kernel: 3, pad }) : doubled;
  });
}
