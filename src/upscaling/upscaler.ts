/** An upscaler on an engine: a network that makes pictures larger or cleaner, run on tensors of any size. */

import type { Engine, Program } from '../engine/engine.ts';
import { StableDiffusionError, throwIfAborted } from '../errors.ts';
import type { ImageSize, UpscalerNetwork } from '../models/upscalers/index.ts';
import { expectDType, float32, type Tensor } from '../tensor/tensor.ts';
import { cropPlanes } from '../tensor/crop-planes.ts';
import { reflectedIndex } from '../tensor/reflected-index.ts';

export interface Upscaler extends AsyncDisposable {
  readonly network: UpscalerNetwork;
  readonly scale: number;
  readonly channels: number;
  /**
   * x float32 [1, channels, h, w] in [0, 1] → [1, channels, scale · h, scale · w], about [0, 1] and not clamped.
   * Throws `shape-mismatch`, `aborted`, `not-finite`, `engine-failed`.
   */
  run(x: Tensor<'float32'>, signal?: AbortSignal): Promise<Tensor<'float32'>>;
  /** Like `run`, padded to the sides that the architecture needs and clamped to [0, 1] (spandrel's call of a model). */
  runOnPicture(x: Tensor<'float32'>, signal?: AbortSignal): Promise<Tensor<'float32'>>;
  dispose(): Promise<void>;
}

/** Number of cached programs for networks with a fixed size: the sizes of a tiled picture's inner and border tiles. */
const keptSizes = 2;

/** x [b, c, h, w] extended to `height` x `width` at the bottom and right by reflection. */
function extend(x: Tensor<'float32'>, height: number, width: number): Tensor<'float32'> {
  const [b = 1, c = 1, h = 1, w = 1] = x.shape;
  if (h === height && w === width) return x;
  const data = new Float32Array(b * c * height * width);
  let to = 0;
  for (let plane = 0; plane < b * c; plane++)
    for (let row = 0; row < height; row++) {
      const from = (plane * h + reflectedIndex(row, h)) * w;
      for (let column = 0; column < width; column++) data[to++] = x.data[from + reflectedIndex(column, w)] as number;
    }
  return float32([b, c, height, width], data);
}

/** The smallest multiple that is not smaller than `size`. */
const multipleFrom = (size: number, multiple: number): number => Math.ceil(size / multiple) * multiple;

/** The network on the engine. Its weights are closed when it is disposed of. */
export function createUpscaler(engine: Engine, network: UpscalerNetwork): Upscaler {
  const programs = new Map<string, Promise<Program>>();
  const programFor = async (size: ImageSize, signal: AbortSignal | undefined): Promise<Program> => {
    const key = network.fixedSize ? size.join('x') : 'any';
    const known = programs.get(key);
    if (known) return known;
    const [oldest] = programs.keys();
    if (oldest !== undefined && programs.size >= keptSizes) {
      const old = programs.get(oldest);
      programs.delete(oldest);
      await (await old)?.dispose();
    }
    const made = engine.compile(network.trace(size), network.weights, { signal });
    programs.set(key, made);
    made.catch(() => programs.delete(key));
    return made;
  };
  const dispose = async (): Promise<void> => {
    const all = [...programs.values()];
    programs.clear();
    await Promise.allSettled(all.map(async (program) => (await program).dispose()));
    await network.weights.close();
  };
  const run: Upscaler['run'] = async (x, signal) => {
    throwIfAborted(signal);
    const [, c = 0, h = 0, w = 0] = x.shape;
    if (x.shape.length !== 4 || c !== network.channels || h < 1 || w < 1)
      throw new StableDiffusionError(
        'shape-mismatch',
        `${network.architecture} takes [1, ${network.channels}, height, width], got [${x.shape.join(', ')}].`,
      );
    const size: ImageSize = [multipleFrom(h, network.multiple), multipleFrom(w, network.multiple)];
    const program = await programFor(size, signal);
    const { out } = await program.run({ x: extend(x, ...size) }, { signal });
    if (!out) throw new StableDiffusionError('engine-failed', `${network.architecture} returned no picture.`);
    return cropPlanes(expectDType(out, 'float32', 'out'), { height: h * network.scale, width: w * network.scale });
  };
  return {
    network,
    scale: network.scale,
    channels: network.channels,
    run,
    async runOnPicture(x, signal) {
      const [, , h = 1, w = 1] = x.shape;
      const { minimum, multiple } = network.picture;
      const side = (size: number): number => multipleFrom(Math.max(size, minimum), multiple);
      const made = cropPlanes(await run(extend(x, side(h), side(w)), signal), {
        height: h * network.scale,
        width: w * network.scale,
      });
      // NaN stays NaN: the caller looks for it.
      return { ...made, data: made.data.map((value) => Math.min(1, Math.max(0, value))) };
    },
    dispose,
    [Symbol.asyncDispose]: dispose,
  };
}
