/** The gradients of a step in the state: sums over accumulated batches, and sums of their squares. */

import type { BoundRun, EngineState, Program, StatePart } from '../../engine/engine.ts';
import { elementCount } from '../../tensor/tensor.ts';
import { squaredAtOnce } from './flat-programs.ts';
import type { PackRange } from './gradient-exchange.ts';
import { partsOf, stateNames } from './optimiser.ts';
import { type Pack, packLike } from './packs.ts';

export class GradientSums {
  readonly #state: EngineState;
  readonly #packs: readonly Pack[];
  readonly #programs: { readonly squares: Program; readonly accumulate: Program };

  constructor(
    state: EngineState,
    packs: readonly Pack[],
    programs: { readonly squares: Program; readonly accumulate: Program },
  ) {
    this.#state = state;
    this.#packs = packs;
    this.#programs = programs;
  }

  /** Makes room for the gradients of one of several batches. */
  async prepareFresh(): Promise<void> {
    for (const { name, members } of this.#packs) {
      await packLike(this.#state, stateNames.fresh(name), members, stateNames.fresh);
    }
  }

  #whole(pack: string): PackRange {
    return { start: 0, end: elementCount(this.#state.entries.get(pack)?.shape ?? []) };
  }

  /** The parts of all gradients, by what `of` names them; of each pack its `range`. */
  #parts(
    of: (name: string) => string,
    size?: number,
    range: (pack: string) => PackRange = (pack) => this.#whole(pack),
    packs: readonly Pack[] = this.#packs,
  ): StatePart[] {
    return packs.flatMap(({ name }) => {
      const { start, end } = range(name);
      return partsOf(end - start, size).map((part) => ({
        name: of(name),
        start: start + part.start,
        end: start + part.end,
      }));
    });
  }

  /** Adds the gradients of the latest batch to those before it, of packs that are finished. */
  async accumulate(packs: readonly Pack[]): Promise<void> {
    const fresh = this.#parts(stateNames.fresh, undefined, undefined, packs);
    const runs = this.#parts(stateNames.gradient, undefined, undefined, packs).map(
      (total, i): BoundRun => ({ inputs: { total, g: fresh[i] as StatePart }, outputs: { next: total } }),
    );
    await this.#programs.accumulate.runBound(this.#state, runs, { inPlace: true });
  }

  /** Sum of the squares of the gradients in a range of each pack, by default of all; `of` names a pack's tensor. */
  async squares(range?: (pack: string) => PackRange, of = stateNames.gradient): Promise<number> {
    const results = await this.#programs.squares.runBound(
      this.#state,
      this.#parts(of, squaredAtOnce, range).map((g) => ({ inputs: { g } })),
    );
    return results
      .flatMap(({ sums }) => (sums ? [...sums.data] : []))
      .reduce<number>((total, square) => total + Number(square), 0);
  }
}
