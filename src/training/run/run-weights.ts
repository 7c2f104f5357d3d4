/** Initial weights from another run's checkpoint: averages replace the last weights; optimiser state is dropped. */

import { aliased, weightView } from '../../weights/view.ts';
import type { WeightSource } from '../../weights/weight-source.ts';
import { stateNames } from '../step/optimiser.ts';

/** The model in a file: for a run's checkpoint its averages, if any, else its weights; other files unchanged. */
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
