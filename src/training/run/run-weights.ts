/** Weights to go on from out of another run's checkpoint: the averages in place of the last weights, without what belongs to the optimiser. */

import { aliased, weightView } from '../../weights/view.ts';
import type { WeightSource } from '../../weights/weight-source.ts';
import { stateNames } from '../step/optimiser.ts';

/** The model in a file: of a run's checkpoint its averages where it has them, else its weights; any other file as it is. */
export function lastOrAveraged(source: WeightSource): WeightSource {
  if (source.metadata?.get('state') === undefined) return source;
  const names = [...source.entries.keys()].filter((name) => !name.includes('/'));
  return weightView(
    source.label,
    names.map((name) =>
      source.entries.has(stateNames.average(name))
        ? aliased(source, stateNames.average(name), name)
        : aliased(source, name),
    ),
    [source],
  );
}
