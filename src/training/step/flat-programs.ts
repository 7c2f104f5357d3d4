/** Programs over flat tensors that a step needs in addition to the optimiser's: sums of squares, and sums of gradients. */

import type { Engine, Program } from '../../engine/engine.ts';
import { dim, multiplyDims } from '../../graph/dim.ts';
import { add, matmul, mul, reshape } from '../../graph/functions.ts';
import { type Sym, trace } from '../../graph/trace.ts';
import { memoryWeights } from '../../weights/memory-weights.ts';

const flat = { dtype: 'float32', shape: [dim('n')] } as const;

/** Divides the lengths of packs. */
export const squareRows = 16;

/** Elements whose squares are summed in one run: in each row few enough for sums in float32. */
export const squaredAtOnce = 2 ** 21;

/** Programs over flat tensors that a step needs in addition to the optimiser's. */
export async function compileHelpers(engine: Engine): Promise<{ squares: Program; accumulate: Program }> {
  const none = memoryWeights(new Map());
  // Rows times themselves: one pass that all threads share. The length of a pack is a multiple of the number of rows.
  const rows = (g: Sym): Sym => reshape(g, [squareRows, 1, -1]);
  const squares = await engine.compile(
    trace({ g: { ...flat, shape: [multiplyDims(squareRows, dim('n'))] } }, ({ g }) => ({
      sums: matmul(rows(g), rows(g), { transposeB: true }),
    })),
    none,
  );
  const accumulate = await engine.compile(
    trace({ total: flat, g: flat }, ({ total, g }) => ({ next: add(total, g) })),
    none,
  );
  return { squares, accumulate };
}

/** Copies parts of tensors: `x` times `one`, which changes no bit. */
export function compileCopy(engine: Engine): Promise<Program> {
  return engine.compile(
    trace({ x: flat, one: { dtype: 'float32', shape: [] } }, ({ x, one }) => ({ y: mul(x, one) })),
    memoryWeights(new Map()),
  );
}
